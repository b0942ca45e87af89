"""Does length pay? F1 on XQ3 as documents grow from 1 paragraph to 24, for several ways of reading them.

    python -m benchmarks.length_curve --data_dir data/xquad --language en \\
        --reader "512 with stride=runs/short" --reader "4,096=runs/long" --output docs/length_curve.json

A reader is a label, a checkpoint or adapter, and, after `@`, the window's tokens (`cut=runs/long@512`). Each point is a
run of training/score.py (questions: first, SQuAD's official metric); points that are there already are not run again,
so that the curve can be made over several sittings. Writes OUTPUT.json, OUTPUT.png and prints the table.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.machine import processor
from foundation.cli import UserError, command_parser, run
from foundation.files import read_json, write_atomically

PARAGRAPHS = (1, 3, 6, 12, 24)


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="F1 on XQ3 by the number of paragraphs, for several ways of reading.",
        example='python -m benchmarks.length_curve --data_dir data/xquad --reader "4,096=runs/long"',
    )
    parser.add_argument(
        "--reader", action="append", required=True, help="LABEL=CHECKPOINT[@MAX_LENGTH]; may be repeated"
    )
    parser.add_argument("--data_dir", required=True, help="folder of XQuAD's official files")
    parser.add_argument("--language", default="en", help="languages, with commas; the curve is their average")
    parser.add_argument("--nr_concats", type=int, nargs="+", default=list(PARAGRAPHS), help="paragraphs a document")
    parser.add_argument("--max_eval_samples", type=int, help="questions a language and point (default: all 240)")
    parser.add_argument("--runs", default="runs/length_curve", help="folder that keeps the points")
    parser.add_argument("--output", default="runs/length_curve.json", help="the figures; the plot lies beside")
    parser.add_argument("--beside", type=Path, help="an earlier file, whose curves are drawn too")
    parser.add_argument("--bf16", action="store_true", help="read under bfloat16 autocast")
    return parser


def line(curve: Mapping[str, Any], languages: Sequence[str]) -> tuple[list[int], list[float]]:
    """Paragraphs and mean F1 of a curve's points, where it has all of the languages."""
    found = [
        (point["paragraphs"], fmean(point["languages"][name]["f1"] for name in languages))
        for point in curve["points"]
        if set(languages) <= set(point["languages"])
    ]
    return [paragraphs for paragraphs, _ in found], [f1 for _, f1 in found]


def reader_parts(text: str) -> tuple[str, str, str]:
    """What stands before `=`, behind it, and behind `@`; empty where it is missing."""
    label, _, rest = text.partition("=")
    checkpoint, _, way = rest.partition("@")
    return label, checkpoint, way


def folder_name(label: str) -> str:
    return label.replace(" ", "_").replace("/", "_")


def parse_reader(text: str) -> tuple[str, str, str | None]:
    """(label, checkpoint, window) of `LABEL=CHECKPOINT[@MAX_LENGTH]`."""
    label, checkpoint, window = reader_parts(text)
    if not (label and checkpoint) or (window and not window.isdigit()):
        raise UserError(f"--reader {text!r} is not LABEL=CHECKPOINT or LABEL=CHECKPOINT@MAX_LENGTH")
    return label, checkpoint, window or None


def score_point(folder: Path, checkpoint: str, window: str | None, count: int, words: list[str]) -> dict[str, Any]:
    """scores.json of one reader at one length, run with more `words` unless it is in `folder` and whole."""
    command = ["training/score.py", "--model_name_or_path", checkpoint, "--dataset", "xq3", "--questions", "first",
               "--nr_concats", str(count), "--output_dir", str(folder), *words]  # fmt: skip
    command += ["--max_length", window] if window else []
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return read_json(folder / "scores.json", "--output_dir", dict)


def main() -> None:
    from foundation import plots, tables

    args = make_parser().parse_args()
    words = ["--data_dir", args.data_dir, "--language", args.language]
    words += ["--max_eval_samples", str(args.max_eval_samples)] if args.max_eval_samples else []
    words += ["--bf16"] if args.bf16 else []
    curves = []
    for label, checkpoint, window in map(parse_reader, args.reader):
        points = []
        for count in args.nr_concats:
            folder = Path(args.runs) / folder_name(label) / str(count)
            scores = score_point(folder, checkpoint, window, count, words)
            languages = {
                name: {m: each[m] for m in ("exact_match", "f1")} for name, each in scores["languages"].items()
            }
            average = {m: scores["average"][m] for m in ("exact_match", "f1")}
            points.append({"paragraphs": count, **average, "languages": languages})
            print(f"{label}, {count} paragraphs: F1 {average['f1']:.1f}", file=sys.stderr)
        curves.append({"reader": label, "checkpoint": Path(checkpoint).name, "max_length": window, "points": points})
    result = {
        "language": args.language,
        "questions": args.max_eval_samples or 240,
        "bf16": args.bf16,
        "machine": {"processor": processor(), "python": platform.python_version()},
        "curves": curves,
    }
    write_atomically(Path(args.output).with_suffix(".json"), json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    earlier = read_json(args.beside, "--beside", dict)["curves"] if args.beside else []
    names = list(curves[0]["points"][0]["languages"])
    series = {curve["reader"]: line(curve, names) for curve in (*earlier, *curves)}
    plots.lines(Path(args.output).with_suffix(".png"), f"XQ3, {args.language}", "paragraphs a document", series, "F1")
    header = ["paragraphs", *(str(count) for count in args.nr_concats)]
    print(tables.aligned(header, [[c["reader"], *(p["f1"] for p in c["points"])] for c in curves]))


if __name__ == "__main__":
    run(main)
