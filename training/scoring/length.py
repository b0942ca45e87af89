"""Does length pay on these questions? The same weights read every document whole and in windows, question by question.

<output_dir>/length_report.json     the run, the verdict, what each way cost, and every group's scores
<output_dir>/length_report.csv      the groups
<output_dir>/length_report.png      F1 by the distance of the evidence, or by the length of the document
<output_dir>/answers/               what each way answered; a run that is cut short goes on after the last of them
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foundation import plots, tables
from foundation.cli import UserError
from foundation.files import check_output_dir, read_json, write_atomically
from training.corpora.load import metric_of
from training.qa.windows import Document, Windower, token_span

from .arguments import LengthArguments
from .bootstrap import paired_bootstrap
from .folder import check_same_run, command_given, identity
from .gold import gold_answers
from .metrics import question_scores
from .run import Reader, begin, by_main_process, languages_to_score, null_threshold
from .scores import LENGTH_BOUNDS

REPORT = "length_report"
WRITTEN = (f"{REPORT}.*", "answers/*.json", "*.changes.jsonl")
WHOLE = "whole"
SHORT = "short model"
FEWEST = 20  # questions; with fewer a difference says nothing
FEWEST_DOCUMENTS = 8  # documents that those questions are about
TELLING = 3.0  # points of F1; if chance alone makes more, the questions are too few
QUARTERS = ("first quarter", "second", "third", "last quarter")


class Questions(NamedTuple):
    """What is known of each question beside its answer; `place` and `distance` are NaN where there is none.

    Args:
        lengths: tokens of its document, of the model's own tokenizer.
        places: where the answer stands, from 0 (the document's first token) to 1.
        distances: tokens from the first of its evidence to the last, both included.
        languages: as in the rows.
        documents: the number of its document.
    """

    lengths: np.ndarray
    places: np.ndarray
    distances: np.ndarray
    languages: np.ndarray
    documents: np.ndarray


Documents = Mapping[str, Mapping[str, Document]]
"""Language -> context -> its document, the same for windows of every size."""

Scores = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Way of reading -> exact match and F1 of each question, 0 to 1."""


def length_report(arguments: LengthArguments, state: Any) -> dict[str, Any]:
    """Read, score and compare as `arguments` (of length_report.py) asks.

    Args:
        state: accelerate's PartialState; its main process alone writes.

    Returns:
        The content of length_report.json, on every process.
    """
    output_dir = Path(arguments.output_dir)
    rows = {language: load() for language, load in languages_to_score(arguments).items()}
    if any("question_id" in each.column_names for each in rows.values()):
        raise UserError(f"--dataset {arguments.dataset!r} has several documents a question: give one that has one")
    arguments, report = begin(arguments, state, partial(_open, output_dir))
    reader = Reader(arguments, report["run"].get("model_name_or_path_commit"), state.device)
    whole = reader.windower
    ways = {WHOLE: whole} | {f"windows of {size}": _narrower(whole, size) for size in arguments.windows}
    documents = _documents_of(whole, rows)
    answers: dict[str, dict[str, Any]] = {}
    for way, windower in ways.items():
        reader.windower = windower
        answers[way] = _answers(reader, way, rows, documents, output_dir, state)
    questions = _questions(rows, documents)
    if arguments.short_model:
        del reader
        short = replace(
            arguments,
            model_name_or_path=arguments.short_model,
            adapter=None,
            revision=None,
            max_length=None,
            second_look=None,
        )
        reader = Reader(short, report["run"].get("short_model_commit"), state.device)
        answers[SHORT] = _answers(reader, SHORT, rows, _documents_of(reader.windower, rows), output_dir, state)
    scores = {way: _scores(arguments.dataset, rows, found) for way, found in answers.items()}
    count = len(questions.lengths)
    report |= {
        "questions": count,
        "whole_tokens": whole.max_length,
        "longer_than_whole": int(sum(answers[WHOLE][code]["cut"] for code in rows)),
        "ways": {way: _cost(found) for way, found in answers.items()},
        "groups": group_scores(scores, questions, arguments.draws, arguments.seed),
    }
    report["verdict"] = verdict(scores, questions, arguments.windows[0], arguments.draws, arguments.seed)
    if state.is_main_process:
        source = arguments.dataset if arguments.data_files is None else Path(arguments.data_files).name
        _write(output_dir, report, source)
    state.wait_for_everyone()
    return report


def _narrower(whole: Windower, size: int) -> Windower:
    if size >= whole.max_length:
        raise UserError(
            f"--windows {size} is not below the {whole.max_length} tokens of the whole reading: give less, or a model "
            "that reads more"
        )
    if size <= 2 * whole.doc_stride:
        raise UserError(
            f"--windows {size} is not above twice the --doc_stride {whole.doc_stride}: give more, or less of that"
        )
    return Windower(whole.tokenizer, size, whole.doc_stride, whole.max_question_length, whole.lowercase)


def _documents_of(windower: Windower, rows: Mapping[str, Any]) -> Documents:
    return {language: windower.documents(each["context"]) for language, each in rows.items()}


def _answers(
    reader: Reader, way: str, rows: Mapping[str, Any], documents: Documents, output_dir: Path, state: Any
) -> dict[str, Any]:
    """Language -> texts by question id, seconds, tokens and windows read, and how many documents took several windows;
    from the folder where an earlier run has left them."""
    found: dict[str, Any] = {}
    for language, each in rows.items():
        path = output_dir / "answers" / f"{way.replace(' ', '_')}.{language}.json"
        kept = by_main_process(state, partial(_kept, path))
        if kept is not None:
            found[language] = kept
            continue
        if state.is_main_process:
            print(f"{way}: {len(each)} questions in {language}", file=sys.stderr)
        metric = metric_of(reader.arguments.dataset, each)
        threshold = null_threshold(reader.arguments) if metric == "squad_v2" else None
        answers, seconds = reader.read(each, documents[language])
        sizes = [
            [len(window) for window in reader.windower.windows(row["question"], documents[language][row["context"]])]
            for row in each
        ]
        found[language] = {
            "texts": {name: answer.text(threshold) for name, answer in answers.items()},
            "seconds": round(seconds, 2),
            "tokens": sum(map(sum, sizes)),
            "windows": sum(map(len, sizes)),
            "cut": sum(len(each) > 1 for each in sizes),
        }
        if state.is_main_process:
            write_atomically(path, json.dumps(found[language], ensure_ascii=False, indent=1))
    return found


def _kept(path: Path) -> dict[str, Any] | None:
    return read_json(path, "--output_dir", dict) if path.is_file() else None


def _cost(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: sum(each[name] for each in found.values()) for name in ("seconds", "tokens", "windows")}


def _scores(dataset: str, rows: Mapping[str, Any], answers: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Exact match and F1 of every question, language after language, by the data set's official metric."""
    exact: list[float] = []
    f1: list[float] = []
    for language, each in rows.items():
        scored = question_scores(
            metric_of(dataset, each), gold_answers(each), answers[language]["texts"], language.split(".")[0]
        )
        exact += scored[0]
        f1 += scored[1]
    return np.array(exact, dtype=float), np.array(f1, dtype=float)


def _questions(rows: Mapping[str, Any], documents: Documents) -> Questions:
    lengths, places, distances, languages, numbers = [], [], [], [], []
    known: dict[str, int] = {}
    for language, each in rows.items():
        for row in each:
            document = documents[language][row["context"]]
            length = len(document.ids)
            answers, evidence = row["answers"], row.get("evidence") or {"start": [], "end": []}
            place = distance = None
            if answers["text"]:
                start = answers["answer_start"][0]
                place = token_span(document, start, start + len(answers["text"][0]))
            if evidence["start"]:
                distance = token_span(document, min(evidence["start"]), max(evidence["end"]))
            lengths.append(length)
            places.append(place[0] / length if place else np.nan)
            distances.append(distance[1] - distance[0] + 1 if distance else np.nan)
            languages.append(language)
            numbers.append(known.setdefault(row["context"], len(known)))
    return Questions(*map(np.array, (lengths, places, distances, languages, numbers)))


def group_scores(scores: Scores, questions: Questions, draws: int, seed: int) -> list[dict[str, Any]]:
    """For each group of questions `by` (all, language, length, place, distance), `group`, `questions` and `documents`;
    for each way `exact_match`, `f1` and, against the whole reading, its gain `whole_gains` with `low` and `high` (None
    for too few to tell)."""
    groups = [("all", "all", np.ones(len(questions.lengths), bool))]
    if len(codes := list(dict.fromkeys(questions.languages))) > 1:
        groups += [("language", str(code), questions.languages == code) for code in codes]
    for name, values in (("length", questions.lengths), ("distance", questions.distances)):
        for above, to in zip(LENGTH_BOUNDS, (*LENGTH_BOUNDS[1:], np.inf), strict=True):
            label = f"{above + 1:,} to {to:,}" if to < np.inf else f"above {above:,}"
            groups.append((name, label, (values > above) & (values <= to)))
    quarter = np.minimum(np.nan_to_num(questions.places, nan=-1) * 4, 3)
    groups += [("place", label, (quarter >= n) & (quarter < n + 1)) for n, label in enumerate(QUARTERS)]
    found = []
    for by, label, inside in groups:
        if not inside.any():
            continue
        ways: dict[str, dict[str, float | None]] = {}
        for way, (exact, f1) in scores.items():
            ways[way] = {"exact_match": 100 * float(exact[inside].mean()), "f1": 100 * float(f1[inside].mean())}
            if way != WHOLE:
                gain = _gain(scores, way, questions, inside, draws, seed)
                told = _tells(questions, inside)
                ways[way] |= {"whole_gains": gain["difference"]}
                ways[way] |= {name: gain[name] if told else None for name in ("low", "high")}
        means = {"tokens": float(questions.lengths[inside].mean())}
        if by == "distance":
            means["distance"] = float(questions.distances[inside].mean())
        counts = {"questions": int(inside.sum()), "documents": _documents(questions, inside)}
        found.append({"by": by, "group": label, **counts, "mean": means, "ways": ways})
    return found


def _documents(questions: Questions, inside: np.ndarray) -> int:
    return len(np.unique(questions.documents[inside]))


def _tells(questions: Questions, inside: np.ndarray) -> bool:
    return bool(inside.sum() >= FEWEST and _documents(questions, inside) >= FEWEST_DOCUMENTS)


def _gain(
    scores: Scores, way: str, questions: Questions, inside: np.ndarray, draws: int, seed: int
) -> dict[str, float]:
    """The paired bootstrap of the whole reading's F1 less that of `way` on the questions `inside`, document by
    document."""
    whole, other = scores[WHOLE][1][inside], scores[way][1][inside]
    generator = np.random.default_rng(seed)
    return paired_bootstrap(whole.tolist(), other.tolist(), generator, draws, questions.documents[inside])


def verdict(scores: Scores, questions: Questions, window: int, draws: int, seed: int) -> str:
    """Whether whole reading pays, in a sentence, and where; against windows of `window` tokens and any short model."""
    count = len(questions.lengths)
    way = f"windows of {window}"
    everything = np.ones(count, bool)
    if not _tells(questions, everything):
        documents = _documents(questions, everything)
        about = f"{count} question{'s' * (count > 1)} about {documents} document{'s' * (documents > 1)}"
        return f"{about} {'are' if count > 1 else 'is'} too few to tell: give some hundreds, about dozens of documents."
    if not (questions.lengths > window).any():
        return (
            f"None of the documents is longer than {window} tokens: whole reading and windows are the same here, and "
            "this data does not need length."
        )
    sentence = _sentence(_gain(scores, way, questions, everything, draws, seed), way)
    known = ~np.isnan(questions.distances)
    if known.sum() >= FEWEST:
        parts = [
            (f"where evidence lies more than {window} tokens apart", known & (questions.distances > window)),
            (f"where it lies within {window}", known & (questions.distances <= window)),
        ]
    else:
        parts = [
            (f"in documents of more than {4 * window} tokens", questions.lengths > 4 * window),
            ("in shorter ones", questions.lengths <= 4 * window),
        ]
    where = []
    for words, inside in parts:
        if inside.sum() < count and _tells(questions, inside):
            gain = _gain(scores, way, questions, inside, draws, seed)
            if gain["low"] > 0 or gain["high"] < 0:
                change = "gains" if gain["low"] > 0 else "loses"
                where.append(f"{words} it {change} {_size(gain)}, {inside.sum()} questions")
    sentence += "".join(f"; {part}" for part in where) + "."
    if SHORT in scores:
        gain = _gain(scores, SHORT, questions, everything, draws, seed)
        sentence += f" {_sentence(gain, 'the short model')}."
    return sentence


def _sentence(gain: Mapping[str, float], other: str) -> str:
    count = gain["questions"]
    if gain["low"] > 0 or gain["high"] < 0:
        change = "better" if gain["low"] > 0 else "worse"
        return f"On these {count} questions whole reading is {_size(gain, f' {change} than {other}')}"
    half = (gain["high"] - gain["low"]) / 2
    if half > TELLING:
        needed = int(np.ceil(count * (half / TELLING) ** 2 / 50) * 50)
        return (
            f"These {count} questions are too few to tell whole reading from {other}: the difference is "
            f"{_figures(gain)}, and {needed:,} would show one of {TELLING:.0f}"
        )
    return f"On these {count} questions whole reading and {other} are alike: the difference is {_figures(gain)}"


def _size(gain: Mapping[str, float], words: str = "") -> str:
    """Without its sign, which `words` say."""
    low, high = sorted((abs(gain["low"]), abs(gain["high"])))
    return f"{abs(gain['difference']):.1f} F1{words} ({low:.1f} to {high:.1f})"


def _figures(gain: Mapping[str, float]) -> str:
    return f"{gain['difference']:.1f} F1 ({gain['low']:.1f} to {gain['high']:.1f})"


def group_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[tables.Cell]]]:
    """Header and rows: a line for each group and way of reading."""
    header = ["by", "group", "questions", "documents", "read", "EM", "F1", "whole gains", "95% from", "to"]
    return header, [
        [
            each["by"],
            each["group"],
            each["questions"],
            each["documents"],
            way,
            scores["exact_match"],
            scores["f1"],
            *(scores.get(name) for name in ("whole_gains", "low", "high")),
        ]
        for each in report["groups"]
        for way, scores in each["ways"].items()
    ]


def cost_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[tables.Cell]]]:
    """Header and rows: what each way of reading cost."""
    return ["read", "seconds", "tokens", "windows"], [
        [way, cost["seconds"], cost["tokens"], cost["windows"]] for way, cost in report["ways"].items()
    ]


def _open(output_dir: Path, arguments: LengthArguments) -> dict[str, Any]:
    """A start, with what an earlier run of the same questions and model has left; a UserError for another run's."""
    this_run = identity(arguments)
    path = output_dir / f"{REPORT}.json"
    if path.is_file() and not arguments.overwrite_output_dir:
        before = read_json(path, "--output_dir", dict)
        check_same_run(this_run, before.get("run") or {}, output_dir)
    else:
        check_output_dir(output_dir, WRITTEN if arguments.overwrite_output_dir else None, mark=path.name)
        for file in sorted(output_dir.rglob("*"), reverse=True):  # reversed: a folder comes after its files
            file.rmdir() if file.is_dir() else file.unlink()
    start = {"command": command_given(), "run": this_run}
    write_atomically(path, json.dumps(start, ensure_ascii=False, indent=1))
    return start


def _write(output_dir: Path, report: Mapping[str, Any], source: str) -> None:
    write_atomically(output_dir / f"{REPORT}.json", json.dumps(report, ensure_ascii=False, indent=1))
    write_atomically(output_dir / f"{REPORT}.csv", tables.comma_separated(*group_table(report)))
    by, x, words = "distance", "distance", "tokens from the first evidence to the last"
    if not any(each["by"] == by for each in report["groups"]):
        by, x, words = "length", "tokens", "tokens of the document"
    drawn: Sequence[Any] = [each for each in report["groups"] if each["by"] == by]
    places = [round(each["mean"][x]) for each in drawn]
    lines = {way: (places, [each["ways"][way]["f1"] for each in drawn]) for way in report["ways"]}
    counts = {place: each["questions"] for place, each in zip(places, drawn, strict=True)}
    title = f"{source}: F1 by {words}"
    plots.lines(output_dir / f"{REPORT}.png", title, f"{words} (questions)", lines, "F1", counts)
