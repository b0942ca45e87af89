"""Does whole reading pay? The shipped adapter on documents that need it and on some that are long by nature.

    python -m benchmarks.long_reading --data_dir data
    python -m benchmarks.long_reading --data_dir data --only musique timeqa --times 4 --bf16

Each line of the table is a run of training/length_report.py, the same weights whole against windows of 512 tokens, on
questions spread evenly over the file or made from the seed 42. What a run has answered is not asked again. Writes
OUTPUT_DIR/NAME.json (without what tells its folder's run from another), OUTPUT_DIR/f1.png, and prints the tables of
docs/results.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import processor
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

WAYS = ("whole", "windows of 512")
NATURAL = {"fairytaleqa": ("en.fairytaleqa-dev.json", 20), "covidqa": ("en.covidqa-dev.json", 20),
           "musique": ("en.musique-dev.json", 48), "timeqa": ("en.timeqa-train.json", 40)}  # fmt: skip
# The number of questions for each language and task. All of them take one core about an hour in float32.
TERMS = {512: 5, 1024: 5, 2048: 5, 4096: 5, 8192: 3}
TERMS_LANGUAGES = "en,de,zh,ar"
BABI_FAR = {1: 20, 2: 20, 14: 20}
BABI_FAR_TOKENS = 2048


def reports(data_dir: str, times: int = 1) -> dict[str, list[str]]:
    """Name of a report to the flags of length_report.py that make it, with `times` as many questions."""
    found = {
        name: ["--data_files", f"{data_dir}/long/{file}", "--max_eval_samples", str(times * count)]
        for name, (file, count) in NATURAL.items()
    }
    made = ["--background", f"{data_dir}/xquad", "--tokenizer", "embedded"]
    for task, count in BABI_FAR.items():
        found[f"babi_far.{task}"] = ["--dataset", "babi_far", "--task", str(task), "--tokens", str(BABI_FAR_TOKENS),
                                     "--data_dir", f"{data_dir}/babi", "--rows", str(times * count), *made]  # fmt: skip
    for tokens, count in TERMS.items():
        found[f"terms.{tokens}"] = ["--dataset", "terms", "--language", TERMS_LANGUAGES, "--tokens", str(tokens),
                                    "--rows", str(times * count), *made]  # fmt: skip
    return found


def table(found: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: a line for each report, all its questions together."""
    header = ["questions of", "count", "tokens", "whole EM", "F1", "windows EM", "F1", "whole gains", "95% from", "to"]
    lines = []
    for name, report in found.items():
        everything = report["groups"][0]
        whole, windows = (everything["ways"][way] for way in WAYS)
        lines.append([name, everything["questions"], round(everything["mean"]["tokens"]),
                      *(each[metric] for each in (whole, windows) for metric in ("exact_match", "f1")),
                      *(windows[key] for key in ("whole_gains", "low", "high"))])  # fmt: skip
    return header, lines


def languages_table(found: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: exact match of terms in each language, whole and in windows of 512."""
    terms = {name: report for name, report in found.items() if name.startswith("terms.")}
    lines: dict[tuple[str, str], list[Any]] = {}
    for report in terms.values():
        for group in report["groups"]:
            if group["by"] == "language":
                for way in WAYS:
                    row = lines.setdefault((group["group"], way), [group["group"], way])
                    row.append(group["ways"][way]["exact_match"])
    return ["language", "read", *(name.removeprefix("terms.") for name in terms)], list(lines.values())


def read_reports(folder: Path) -> dict[str, dict[str, Any]]:
    """The reports of `folder` in the order of `reports`, those that are there."""
    files = {name: folder / f"{name}.json" for name in reports("data")}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Whole reading against windows of 512, on terms, babi_far and natural documents.",
        example="python -m benchmarks.long_reading --data_dir data",
    )
    parser.add_argument("--data_dir", default="data", help="folder with xquad, babi and long")
    parser.add_argument("--model_name_or_path", default="space/adapter", help="checkpoint or adapter")
    parser.add_argument("--times", type=int, default=1, help="ask so many times as many questions")
    parser.add_argument("--bf16", action="store_true", help="read under bfloat16 autocast")
    parser.add_argument("--only", nargs="+", help="names of reports (default: all)")
    parser.add_argument("--runs", default="runs/length", help="folder that keeps the runs")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/long_reading"), help="the figures and the plot")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    if args.times < 1:
        raise UserError(f"--times must be 1 or more, not {args.times}")
    wanted = reports(args.data_dir, args.times)
    if unknown := sorted(set(args.only or ()) - set(wanted)):
        raise UserError(f"--only {unknown[0]!r} is none of the reports: choose among {', '.join(wanted)}")
    from foundation import plots, tables

    for name in args.only or wanted:
        folder = Path(args.runs) / name
        words = ["--model_name_or_path", args.model_name_or_path, *wanted[name], "--batch_size", "2",
                 *(["--bf16", "yes"] if args.bf16 else []), "--output_dir", str(folder)]  # fmt: skip
        subprocess.run([sys.executable, "-m", "training.length_report", *words], check=True, stdout=subprocess.DEVNULL)
        report = json.loads((folder / "length_report.json").read_text(encoding="utf-8"))
        del report["run"]  # it holds times and checksums of files on this machine
        report["processor"] = processor()
        write_atomically(args.output_dir / f"{name}.json", json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        print(f"{name}: {report['verdict']}", file=sys.stderr)
    found = read_reports(args.output_dir)
    series = {way: [report["groups"][0]["ways"][way]["f1"] for report in found.values()] for way in WAYS}
    plots.bars(args.output_dir / "f1.png", "F1 of the same weights, whole and in windows", list(found), series)
    print(*(tables.markdown(*each) for each in (table(found), languages_table(found)) if each[1]), sep="\n\n")


if __name__ == "__main__":
    run(main)
