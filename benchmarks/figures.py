"""The README's tables, written from the JSON files in docs/, so that no figure is typed twice.

    python -m benchmarks.figures            # writes them
    python -m benchmarks.figures --check    # says whether they are what would be written

A table stands between `<!-- NAME: python -m benchmarks.figures -->` and `<!-- end of NAME -->`; it comes from one file,
which the command named beside the table on its own page made.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import far_evidence
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically
from foundation.tables import markdown

ROOT = Path(__file__).resolve().parents[1]
MARKED = r"(<!-- {name}: python -m benchmarks\.figures -->\n).*?(<!-- end of {name} -->)"


def docs(name: str) -> Any:
    """What one file of docs/ holds."""
    return json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))


def length() -> str:
    """F1 on English XQ3 by the number of paragraphs of a document."""
    curves = [curve for name in ("length_curve.json", "length_curve_reader.json") for curve in docs(name)["curves"]]
    counts = [point["paragraphs"] for point in curves[0]["points"]]
    rows = []
    for curve in curves:
        f1 = {point["paragraphs"]: f"{point['languages']['en']['f1']:.1f}" for point in curve["points"]}
        rows.append([curve["reader"], *(f1.get(count, "-") for count in counts)])
    return markdown(["F1 at … paragraphs", *map(str, counts)], rows)


def natural() -> str:
    """F1 of the shipped reader on documents that are long by nature, whole and in windows of 512 tokens."""
    names = {"covidqa": "COVID-QA", "musique": "MuSiQue", "fairytaleqa": "FairytaleQA", "timeqa": "TimeQA"}
    rows = []
    for name, title in names.items():
        everything = docs(f"length_shipped/{name}.json")["groups"][0]
        whole, windows = everything["ways"]["whole"], everything["ways"]["windows of 512"]
        gain = f"{windows['whole_gains']:+.1f} ({windows['low']:+.1f} to {windows['high']:+.1f})"
        tokens = f"{everything['mean']['tokens']:,.0f}"
        rows.append([title, everything["questions"], tokens, f"{whole['f1']:.1f}", f"{windows['f1']:.1f}", gain])
    return markdown(["F1", "questions", "tokens", "whole", "windows of 512", "whole gains (95%)"], rows)


def far() -> str:
    """Exact match where an answer stands in two places, as the page of results has it."""
    return markdown(*far_evidence.table(docs("far_evidence_ways.json")["exact_match"]))


def speed() -> str:
    """How many times as long as ours others take for 4,096 tokens."""
    usual = {"length": 4096, "dtype": "float32", "width": 768, "layers": 3, "globals": 16, "dropout": 0.0}
    ratios: dict[str, list[str]] = {}
    for mode in ("forward", "training"):
        (figures,) = [r["figures"] for r in docs("performance.json") if r["setting"] == {"mode": mode, **usual}]
        for system in ("native", "full", "modernbert"):
            ratios.setdefault(system, []).append(f"{figures[system] / figures['ours']:.1f}")
    names = {"native": "native Longformer", "full": "full attention", "modernbert": "ModernBERT"}
    return markdown(
        ["times our time", "forward", "training step"], [[names[system], *row] for system, row in ratios.items()]
    )


def reading() -> str:
    """Seconds for a question, by the length of the document."""
    seconds: dict[str, dict[int, float]] = {}
    for row in docs("reader.json")["rows"]:
        seconds.setdefault(row["reader"], {})[row["tokens"]] = row["median_s"]
    lengths = list(next(iter(seconds.values())))
    rows = [[reader, *(f"{found[tokens]:.2f}" for tokens in lengths)] for reader, found in seconds.items()]
    return markdown(["seconds at … tokens", *(f"{tokens:,}" for tokens in lengths)], rows)


def pretraining() -> str:
    """A pre-training step of ours beside the notebook's way."""
    figures = docs("pretraining.json")["step"]["figures"]
    rows = [["time", f"1/{figures['speed']:.1f}"], ["memory", f"1/{1 / figures['memory']:.1f}"]]
    return markdown(["a step", "of the notebook's"], rows)


TABLES: dict[str, Callable[[], str]] = {f.__name__: f for f in (length, natural, far, speed, reading, pretraining)}


def fill(page: str) -> str:
    """The page with each of its tables as it is to be. Raises UserError where one has no place."""
    for name, table in TABLES.items():
        place = re.compile(MARKED.format(name=name), flags=re.DOTALL)
        if len(place.findall(page)) != 1:
            raise UserError(f"README.md has no single place for {name!r}: it needs its two comments once")
        text = table()
        page = place.sub(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", page)
    return page


def main() -> None:
    parser = command_parser(
        description="Write the tables of README.md from docs/.",
        example="python -m benchmarks.figures --check",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; end with status 2 where a table differs")
    arguments = parser.parse_args()
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = fill(old)
    if arguments.check and new != old:
        raise UserError("README.md's tables differ from docs/: run python -m benchmarks.figures")
    if not arguments.check:
        write_atomically(readme, new)


if __name__ == "__main__":
    run(main)
