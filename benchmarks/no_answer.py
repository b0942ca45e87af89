"""Does "not answered here" mean something? Every question, once with its own document and once with another article's.

    python -m benchmarks.no_answer --data_dir data/xquad --write_threshold

A question is called unanswered when the score of "no answer" exceeds the best span's by more than a threshold. The
threshold is chosen on one half of the articles (best F1 of finding the unanswerable ones, all languages together) and
judged on the other half. Writes no_answer.json and no_answer.png into --output_dir; --write_threshold puts the
threshold beside the model, where space/reader.py looks for it.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically


@dataclass(frozen=True)
class Judged:
    """One question with one document: `margin` is the score of "no answer" minus the best span's."""

    language: str
    tuning: bool
    answerable: bool
    margin: float


def pairs(rows: Sequence[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """For `limit` questions evenly spread over `rows`: the row itself, and its question with another title's text.

    The other document is the one half-way round the list, so that both kinds of document are the same ones.
    """
    chosen = [rows[i * len(rows) // limit] for i in range(min(limit, len(rows)))]
    titles = sorted({row["title"] for row in chosen})
    if len(titles) < 2:
        raise UserError("--data_dir holds one article only: questions need another article's text")
    found = []
    for number, row in enumerate(chosen):
        others = [other for other in chosen[number + len(chosen) // 2 :] + chosen if other["title"] != row["title"]]
        tuning = titles.index(row["title"]) % 2 == 0
        for answerable, context in ((True, row["context"]), (False, others[0]["context"])):
            identity = f"{row['language']}-{row['id']}-{answerable}"
            found.append(
                {
                    "id": identity,
                    "question": row["question"],
                    "context": context,
                    "language": row["language"],
                    "tuning": tuning,
                    "answerable": answerable,
                }
            )
    return found


def curve(judged: Sequence[Judged]) -> list[tuple[float, float, float]]:
    """(threshold, precision, recall) of "not answered here", from the strictest threshold to the laxest."""
    total = sum(not j.answerable for j in judged)
    points, right = [], 0
    ranked = sorted(judged, key=lambda j: -j.margin)
    for said, j in enumerate(ranked, start=1):
        right += not j.answerable
        following = ranked[said].margin if said < len(ranked) else j.margin - 1
        if following < j.margin:  # a threshold falls between two different margins
            points.append(((j.margin + following) / 2, right / said, right / total))
    return points


def best_threshold(judged: Sequence[Judged]) -> float:
    """The threshold with the best F1 of "not answered here"."""
    return max(curve(judged), key=lambda point: _f1(point[1], point[2]))[0]


def judge(judged: Sequence[Judged], threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of "not answered here", and how many answerable questions it takes away, in percent."""
    said = [j for j in judged if j.margin > threshold]
    right = sum(not j.answerable for j in said)
    total = sum(not j.answerable for j in judged)
    precision, recall = right / max(len(said), 1), right / max(total, 1)
    lost = (len(said) - right) / max(len(judged) - total, 1)
    return {
        "questions": len(judged),
        "precision": round(100 * precision, 1),
        "recall": round(100 * recall, 1),
        "f1": round(100 * _f1(precision, recall), 1),
        "answerable_lost": round(100 * lost, 1),
    }


def average_precision(judged: Sequence[Judged]) -> float:
    """Area under the precision-recall curve, as the sum of precision times the step in recall."""
    area, before = 0.0, 0.0
    for _, precision, recall in curve(judged):
        area += precision * (recall - before)
        before = recall
    return area


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read every pair and judge; returns what no_answer.json holds."""
    from hub_datasets.concat import ConcatOptions
    from space.reader import load_reader
    from training.corpora.load import load_qa
    from training.qa.predict import predict

    reader = load_reader(arguments.model_name_or_path, threshold=0.0)
    examples = []
    for language in arguments.language.split(","):
        rows = load_qa(
            arguments.dataset,
            "validation",
            data_dir=arguments.data_dir,
            language=language,
            options=ConcatOptions(arguments.nr_concats, "all", within_articles=True),
        )
        examples += pairs(rows.to_list(), arguments.questions)
    answers = predict(reader.model, reader.windower, examples, batch_size=arguments.batch_size)
    judged = [Judged(e["language"], e["tuning"], e["answerable"], answers[e["id"]].null_margin) for e in examples]
    tuned, held_out = [j for j in judged if j.tuning], [j for j in judged if not j.tuning]
    threshold = best_threshold(tuned)
    languages = sorted({j.language for j in judged})
    return {
        "model": reader.name,
        "dataset": arguments.dataset,
        "nr_concats": arguments.nr_concats,
        "threshold": round(threshold, 3),
        "average_precision": round(100 * average_precision(held_out), 1),
        "tuning": judge(tuned, threshold),
        "held_out": judge(held_out, threshold),
        "languages": {x: judge([j for j in held_out if j.language == x], threshold) for x in languages},
        "curve": [[round(value, 4) for value in point] for point in curve(held_out)],
        "judged": [asdict(j) for j in judged],
    }


def table(report: dict[str, Any]) -> str:
    """Held-out figures, all languages together and each by itself."""
    from foundation.tables import aligned

    columns = ("questions", "precision", "recall", "f1", "answerable_lost")
    rows = {"all": report["held_out"], **report["languages"]}
    return aligned(["held out", *columns], [[name, *(row[c] for c in columns)] for name, row in rows.items()])


def plot(report: dict[str, Any], path: Path) -> None:
    """The held-out precision-recall curve with the chosen threshold on it."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([100 * r for _, _, r in report["curve"]], [100 * p for _, p, _ in report["curve"]], color="#1f5f8b")
    chosen = report["held_out"]
    axes.plot(chosen["recall"], chosen["precision"], "o", color="#9a6b00")
    axes.annotate(
        f"threshold {report['threshold']:.2f}",
        (chosen["recall"], chosen["precision"]),
        textcoords="offset points",
        xytext=(-8, -16),
        ha="right",
    )
    axes.set(xlim=(0, 101), ylim=(45, 101), xlabel="recall, %", ylabel="precision, %")
    axes.set_title(f"“Not answered here”, average precision {report['average_precision']:.1f}%")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def main() -> None:
    parser = command_parser(
        description="Measure “not answered here” and choose its threshold.",
        example="python -m benchmarks.no_answer --data_dir data/xquad --output_dir runs/no_answer",
    )
    parser.add_argument("--model_name_or_path", help="QA model or adapter; by default the one shipped with the project")
    parser.add_argument("--dataset", default="xquad", help="a data set of training.corpora.load")
    parser.add_argument("--data_dir", help="its official files; without it the Hub is asked")
    parser.add_argument("--language", default="en,de,es,ru,zh,ar", help="languages, with commas")
    parser.add_argument("--nr_concats", type=int, default=5, help="paragraphs of one article in a document")
    parser.add_argument("--questions", type=int, default=48, help="questions a language")
    parser.add_argument("--batch_size", type=int, default=4, help="windows a batch")
    parser.add_argument("--output_dir", type=Path, default=Path("docs"), help="folder of no_answer.json and .png")
    parser.add_argument(
        "--write_threshold",
        action="store_true",
        help="also put it beside the model, where the page takes it",
    )
    arguments = parser.parse_args()
    from space.reader import ADAPTER, THRESHOLD_FILE

    model = Path(arguments.model_name_or_path or ADAPTER)
    if arguments.write_threshold and not model.is_dir():
        raise UserError(f"--write_threshold needs the model's folder, and {str(model)!r} is none: leave it out")
    report = measure(arguments)
    print(table(report))
    judged = report.pop("judged")
    print(f"{len(judged)} documents read; threshold {report['threshold']}")
    write_atomically(arguments.output_dir / "no_answer.json", json.dumps(report, indent=1) + "\n")
    plot(report, arguments.output_dir / "no_answer.png")
    if arguments.write_threshold:
        summary = {key: report[key] for key in ("threshold", "dataset", "average_precision", "held_out")}
        write_atomically(model / THRESHOLD_FILE, json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
