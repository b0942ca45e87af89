"""The scores of a run for people: tables for the screen and as CSV, and plots."""

from pathlib import Path
from typing import Any

from foundation import plots, tables
from foundation.files import write_atomically

Table = tuple[list[str], list[list[tables.Cell]]]


def screen_table(scores: dict[str, Any], by: str) -> str:
    """A line for each language and average, or (`by` "length") for each language and context length."""
    return tables.aligned(*(length_table(scores) if by == "length" else language_table(scores)))


def language_table(scores: dict[str, Any]) -> Table:
    """Header and rows: a line for each language and each average."""
    header = ["language", "questions", "EM", "F1", "EM aware", "F1 aware", "seconds"]
    lines = [(name, each, each["questions"], each["seconds"]) for name, each in scores["languages"].items()]
    lines += [
        (_average_name(name, each), each, None, None) for name, each in scores.items() if name.startswith("average")
    ]
    return header, [
        [
            name,
            questions,
            each["exact_match"],
            each["f1"],
            each["language_aware"]["exact_match"],
            each["language_aware"]["f1"],
            seconds,
        ]
        for name, each, questions, seconds in lines
    ]


def length_table(scores: dict[str, Any]) -> Table:
    """Header and rows: a line for each language and class of context length, in the model's own tokens."""
    header = ["language", "tokens above", "up to", "mean", "questions", "EM", "F1"]
    keys = ("above", "to", "mean_tokens", "questions", "exact_match", "f1")
    return header, [
        [language, *(each[key] for key in keys)]
        for language, result in scores["languages"].items()
        for each in result["by_length"]
    ]


def _average_name(name: str, average: dict[str, Any]) -> str:
    return f"{name.replace('_', ' ')} ({average['languages']})"


def write_tables(output_dir: Path, scores: dict[str, Any], dataset: str) -> None:
    """The tables as CSV and as plots."""
    write_atomically(output_dir / "scores.csv", tables.comma_separated(*language_table(scores)))
    write_atomically(output_dir / "by_length.csv", tables.comma_separated(*length_table(scores)))
    languages = scores["languages"]
    plots.bars(
        output_dir / "scores.png",
        f"{dataset}: {_average_name('average', scores['average'])} F1 {scores['average']['f1']:.1f}",
        list(languages),
        {
            "exact match": [each["exact_match"] for each in languages.values()],
            "F1": [each["f1"] for each in languages.values()],
            "F1, language-aware": [each["language_aware"]["f1"] for each in languages.values()],
        },
    )
    by_length = {
        name: ([part["mean_tokens"] for part in each["by_length"]], [part["f1"] for part in each["by_length"]])
        for name, each in languages.items()
    }
    plots.lines(
        output_dir / "by_length.png", f"{dataset}: F1 by context length", "tokens of the context", by_length, "F1"
    )
