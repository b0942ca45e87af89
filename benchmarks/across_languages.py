"""A question in one language, a document in another: every pair of XQuAD's languages, as a table and a picture.

    python -m benchmarks.across_languages --data_dir data/xquad
    python -m benchmarks.across_languages --data_dir data/xquad --nr_concats 12 --questions 4

XQ3's first questions, spread evenly; each is asked in every language about its document in every language, so that all
pairs are compared on the same questions. F1 is the language-aware one, in the document's language, of the best place:
as it is, and as the page shows it, where "not answered here" counts 0. Adds the figures of each --nr_concats to OUTPUT
and draws OUTPUT.png for the smallest.
"""

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.machine import processor
from foundation.cli import UserError, command_parser, run
from foundation.files import read_json, write_atomically


class Asked(NamedTuple):
    """F1 in percent of one question: of the best place, and of what the page shows of it."""

    document: str
    question: str
    best: float
    shown: float


def pairs_of(rows: Sequence[Mapping[str, Any]], count: int) -> dict[str, dict[str, Any]]:
    """`count` questions, evenly spread, each in every language with its document in every language.

    Args:
        rows: of XQ3 in all languages; a question has one id in all of them.

    Returns:
        `id|language of the document|language of the question` to a row with `id`, `question`, `context`, `answers`.
    """
    from training.corpora.load import spread

    questions: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        questions.setdefault(row["id"], {})[row["language"]] = row
    names = list(questions)
    found = {}
    for name in (names[number] for number in spread(len(names), count)):
        for document, there in questions[name].items():
            for asked, here in questions[name].items():
                key = f"{name}|{document}|{asked}"
                found[key] = {"id": key, "question": here["question"], "context": there["context"],
                              "answers": there["answers"]}  # fmt: skip
    return found


def ask(reader: Any, pairs: Mapping[str, Mapping[str, Any]], batch_size: int) -> list[Asked]:
    """Read every pair and score it."""
    from space.language import asked_from_another
    from training.qa.predict import predict
    from training.scoring.metrics import question_scores

    answers = predict(reader.model, reader.windower, list(pairs.values()), batch_size=batch_size)
    asked = []
    for key, row in pairs.items():
        _, document, question = key.split("|")
        best = answers[key].n_best[0]
        foreign = asked_from_another(row["question"], row["context"], best.start, best.end)
        places, nothing = (reader.other if foreign else reader.same).places(answers[key])
        _, (f1,) = question_scores("language_aware", [(key, row["answers"]["text"])], {key: best.text}, document)
        shown = places[0].probability >= nothing or foreign  # of a foreign question the page shows the best place
        asked.append(Asked(document, question, 100 * f1, 100 * f1 if shown else 0.0))
    return asked


def figures(asked: Sequence[Asked]) -> dict[str, Any]:
    """By language of the document and of the question, and the means within a language and across."""
    languages = sorted({a.document for a in asked})
    by_pair = {
        document: {
            question: round(fmean(a.best for a in asked if (a.document, a.question) == (document, question)), 1)
            for question in languages
        }
        for document in languages
    }

    def mean(kind: str, *, same: bool) -> float:
        return round(fmean(getattr(a, kind) for a in asked if (a.document == a.question) == same), 1)

    means: dict[str, float] = {
        f"{'same' if same else 'other'}_language_{kind}": mean(kind, same=same)
        for same in (True, False)
        for kind in ("best", "shown")
    }
    return means | {
        "kept_across": round(100 * means["other_language_best"] / max(means["same_language_best"], 0.1), 1),
        "f1": by_pair,
    }


def plot(f1: Mapping[str, Mapping[str, float]], title: str, path: Path) -> None:
    """Documents down, questions across, one square for each pair."""
    from matplotlib.figure import Figure

    from foundation import plots

    figure = Figure(figsize=(7.2, 6.2), layout="constrained")
    axes = figure.subplots()
    names = list(f1)
    image = axes.imshow([list(row.values()) for row in f1.values()], cmap="YlGnBu", vmin=0, vmax=100)
    for y, row in enumerate(f1.values()):
        for x, value in enumerate(row.values()):
            axes.text(x, y, f"{value:.0f}", ha="center", va="center", color="white" if value > 60 else "#222")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(title=title, xlabel="language of the question", ylabel="language of the document")
    figure.colorbar(image, shrink=0.8, label="F1")
    plots.save(figure, path, dpi=110)


def table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each length of the documents."""
    from foundation.tables import aligned

    columns = ("questions", "same_language_best", "other_language_best", "kept_across",
               "same_language_shown", "other_language_shown")  # fmt: skip
    return aligned(["paragraphs", *columns], [[count, *(row[c] for c in columns)] for count, row in measured.items()])


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="F1 of questions in one language about documents in another, for every pair of XQuAD's languages.",
        example="python -m benchmarks.across_languages --data_dir data/xquad --output runs/across.json",
    )
    parser.add_argument("--model_name_or_path", help="QA model or adapter; by default the one shipped with the project")
    parser.add_argument("--data_dir", required=True, help="folder of XQuAD's official files")
    parser.add_argument("--language", default="all", help="languages, with commas")
    parser.add_argument("--nr_concats", type=int, default=1, help="paragraphs a document")
    parser.add_argument("--questions", type=int, default=20, help="questions, each asked of every pair")
    parser.add_argument("--batch_size", type=int, default=8, help="windows a batch")
    parser.add_argument("--bf16", action="store_true", help="read under bfloat16 autocast")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/across.json"), help="the figures; the plot lies beside"
    )
    return parser


def main() -> None:
    arguments = make_parser().parse_args()
    if arguments.questions < 1:
        raise UserError(f"--questions {arguments.questions} asks nothing: give a whole number from 1 up")
    import torch

    from hub_datasets.concat import ConcatOptions
    from space.reader import load_reader
    from training.corpora.load import load_qa

    options = ConcatOptions(nr_concats=arguments.nr_concats)
    rows = load_qa(
        "xq3", "validation", data_dir=arguments.data_dir, language=arguments.language, options=options
    ).to_list()
    pairs = pairs_of(rows, arguments.questions)
    reader = load_reader(arguments.model_name_or_path)
    with torch.autocast(reader.model.device.type, torch.bfloat16, enabled=arguments.bf16):
        asked = ask(reader, pairs, arguments.batch_size)
    before = read_json(arguments.output, "--output", dict) if arguments.output.is_file() else {}
    found = {
        "questions": len({key.split("|")[0] for key in pairs}),
        "model": reader.name,
        "bf16": arguments.bf16,
        "machine": {"processor": processor(), "python": platform.python_version()},
        **figures(asked),
    }
    measured = before | {str(arguments.nr_concats): found}
    measured = dict(sorted(measured.items(), key=lambda item: int(item[0])))
    write_atomically(arguments.output, json.dumps(measured, indent=1) + "\n")
    first, drawn = next(iter(measured.items()))
    paragraphs = "1 paragraph" if first == "1" else f"{first} paragraphs"
    plot(drawn["f1"], f"XQ3, {paragraphs}, best place, language-aware F1", arguments.output.with_suffix(".png"))
    print(table(measured))


if __name__ == "__main__":
    run(main)
