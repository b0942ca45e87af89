"""Does a reader join two places far apart, and in which languages? terms and babi_far, by language and task.

    python -m benchmarks.far_evidence --data_dir data --bf16 --reader "looks again=benchmarks/far_reader" \\
        --reader "reads once=benchmarks/far_reader@once" --reader "windows of 512=benchmarks/far_reader@512"

A reader is a label, a checkpoint or adapter, and after `@` how it reads: `once` (no second look) or the tokens of its
windows. Questions are made from the seed 42. Points that are in --runs already are not run again. Writes OUTPUT.json,
OUTPUT.png (exact match of terms by language) and prints the table.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.length_curve import folder_name, reader_parts
from benchmarks.machine import processor
from foundation.cli import UserError, command_parser, run
from foundation.files import read_json, write_atomically


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Exact match on terms and babi_far, by language and task, for several ways of reading.",
        example='python -m benchmarks.far_evidence --data_dir data --reader "looks again=benchmarks/far_reader"',
    )
    parser.add_argument(
        "--reader", action="append", required=True, help="LABEL=CHECKPOINT[@once|@MAX_LENGTH]; may be repeated"
    )
    parser.add_argument("--data_dir", default="data", help="folder with xquad and babi")
    parser.add_argument("--language", default="all", help="languages of terms, with commas")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a document, question included")
    parser.add_argument("--parties", type=int, default=4, help="parties of terms: who guesses is right in 1 of these")
    parser.add_argument("--rows", type=int, default=20, help="questions of each language, and of each task")
    parser.add_argument("--task", type=int, nargs="*", default=[1, 2, 14], help="tasks of babi_far, in English")
    parser.add_argument("--bf16", action="store_true", help="read under bfloat16 autocast")
    parser.add_argument("--runs", default="runs/far_evidence", help="folder that keeps the points")
    parser.add_argument("--output", default="runs/far_evidence.json", help="the figures; the plot lies beside")
    return parser


def parse_reader(text: str) -> tuple[str, str, list[str]]:
    """(label, checkpoint, flags of score.py) of `LABEL=CHECKPOINT[@once|@MAX_LENGTH]`."""
    label, checkpoint, way = reader_parts(text)
    if not (label and checkpoint) or (way and way != "once" and not way.isdigit()):
        raise UserError(f"--reader {text!r} is not LABEL=CHECKPOINT, LABEL=CHECKPOINT@once or LABEL=CHECKPOINT@512")
    if way == "once":
        return label, checkpoint, ["--second_look", "0"]
    return label, checkpoint, ["--max_length", way] if way else []


def parse_readers(texts: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """All of them, before the first is run; two may not share a folder."""
    readers = [parse_reader(text) for text in texts]
    names = [folder_name(label) for label, *_ in readers]
    for number, (label, *_) in enumerate(readers):
        if names[number] in names[:number]:
            raise UserError(f"--reader: the label {label!r} has the folder of an earlier one: give each its own")
    return readers


def sets(args: argparse.Namespace) -> dict[str, list[str]]:
    """Name of a set to the flags of score.py that make it."""
    made = ["--tokens", str(args.tokens), "--rows", str(args.rows), "--background", f"{args.data_dir}/xquad"]
    found = {"terms": ["--dataset", "terms", "--language", args.language, "--parties", str(args.parties), *made]}
    for task in args.task:
        found[f"babi_far.{task}"] = ["--dataset", "babi_far", "--language", "en", "--task", str(task),
                                     "--data_dir", f"{args.data_dir}/babi", *made]  # fmt: skip
    return found


def exact_match(folder: Path, words: list[str]) -> dict[str, float]:
    """Language to exact match of one reader on one set."""
    command = ["training/score.py", *words, "--tokenizer", "embedded", "--batch_size", "2", "--output_dir", str(folder)]
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    scores = read_json(folder / "scores.json", "--runs", dict)["languages"]
    return {language: round(each["exact_match"], 2) for language, each in scores.items()}


def table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: a line for each language of terms, their mean, and each task of babi_far."""
    readers = list(figures)
    first = figures[readers[0]]
    lines: list[list[Any]] = [
        [f"terms {language}", *(figures[r]["terms"][language] for r in readers)] for language in first["terms"]
    ]
    means = [list(figures[reader]["terms"].values()) for reader in readers]
    lines.append(["terms, mean", *(sum(values) / len(values) for values in means)])
    lines += [[name, *(figures[r][name]["en"] for r in readers)] for name in first if name != "terms"]
    return ["questions of", *readers], lines


def main() -> None:
    from foundation import plots, tables

    args = make_parser().parse_args()
    readers = parse_readers(args.reader)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for label, checkpoint, flags in readers:
        for name, words in sets(args).items():
            folder = Path(args.runs) / folder_name(label) / name
            words = [*words, "--model_name_or_path", checkpoint, *flags, *(["--bf16", "yes"] if args.bf16 else [])]
            figures.setdefault(label, {})[name] = exact_match(folder, words)
            print(f"{label}, {name}: {figures[label][name]}", file=sys.stderr)
    setting = {name: getattr(args, name) for name in ("language", "task", "tokens", "parties", "rows", "bf16")}
    setting["readers"] = {label: " ".join([Path(checkpoint).name, *flags]) for label, checkpoint, flags in readers}
    output = Path(args.output).with_suffix(".json")
    result = {"setting": setting, "processor": processor(), "exact_match": figures}
    write_atomically(output, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    languages = list(next(iter(figures.values()))["terms"])
    series = {label: [found["terms"][language] for language in languages] for label, found in figures.items()}
    title = f"terms at {args.tokens:,} tokens, {args.parties} parties: exact match"
    plots.bars(output.with_suffix(".png"), title, languages, series)
    print(tables.markdown(*table(figures)))


if __name__ == "__main__":
    run(main)
