"""Speed and memory of building SQ3 and XQ3.

    python -m benchmarks.long_datasets --squad data/squad/train-v1.1-first44articles.json \\
        --xquad_dir data/xquad

Three claims, each measured in fresh processes that take turns, the median over the repeats:
  1. building SQ3 from a SQuAD-size file (a sample repeated with new ids to 87,599 questions) takes at most 1.5 times
     what `datasets`' own JSON loader takes for the same rows already flattened to JSON lines (all questions, 3
     paragraphs);
  2. peak memory is the same within 10% for 1, 3 and 24 paragraphs a document;
  3. the 12 languages of XQ3 build in under 10 s.

Not named datasets.py: a script's folder comes first on sys.path, where that file would hide the library from the other
benchmarks.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_bytes, processor
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

QUESTIONS_IN_SQUAD = 87_599


def squad_sized(sample: Path, target: Path) -> None:
    """Repeat the sample's articles, with new ids, to the number of questions in SQuAD v1.1 train."""
    articles = json.loads(sample.read_text(encoding="utf-8"))["data"]
    repeated: list[Any] = []
    count = 0
    while count < QUESTIONS_IN_SQUAD:
        for article in articles:
            paragraphs = []
            for paragraph in article["paragraphs"]:
                # The whole file is repeated, and not each paragraph: equal neighbours would be read as one.
                questions = paragraph["qas"][: QUESTIONS_IN_SQUAD - count]
                qas = [{**question, "id": f"{count + n:024x}"} for n, question in enumerate(questions)]
                count += len(qas)
                if qas:
                    paragraphs.append({"context": paragraph["context"], "qas": qas})
            if paragraphs:
                repeated.append({"title": article["title"], "paragraphs": paragraphs})
    target.write_text(json.dumps({"version": "1.1", "data": repeated}), encoding="utf-8")


def flatten(source: Path, target: Path, options: dict[str, Any]) -> int:
    """The rows that the builder makes of `source`, as JSON lines; returns how many."""
    from hub_datasets.concat import ConcatOptions, concatenate
    from hub_datasets.squad_format import read_paragraphs

    count = 0
    with target.open("w", encoding="utf-8") as file:
        for row in concatenate(read_paragraphs(source.read_bytes(), source.name), ConcatOptions(**options)):
            answers = {"text": row.texts, "answer_start": row.answer_starts}
            columns = {"id": row.id, "title": row.title, "context": row.context, "question": row.question}
            file.write(json.dumps(columns | {"answers": answers}) + "\n")
            count += 1
    return count


def measure(loader: str, files: list[str], options: dict[str, Any]) -> None:
    """In a process of its own: build once into an empty cache and print seconds, rows and peak memory as JSON."""
    import datasets

    import hub_datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache_dir:
        before = peak_bytes() / 2**20
        start, start_cpu = time.perf_counter(), time.process_time()
        if loader == "json":
            loaded: Any = datasets.load_dataset("json", data_files=files, cache_dir=cache_dir)
        else:
            loaded = hub_datasets.load_dataset(loader, data_files=files, cache_dir=cache_dir, **options)
        figures = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - start_cpu}
        rows = sum(split.num_rows for split in loaded.values())
        print(json.dumps({**figures, "rows": rows, "peak_mb": peak_bytes() / 2**20, "imports_mb": before}))


def _in_a_fresh_process(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.long_datasets", "--measure", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"measuring {job['loader']} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def benchmark(squad: Path, xquad_dir: Path, repeats: int) -> dict[str, Any]:
    from tqdm import tqdm

    with tempfile.TemporaryDirectory() as folder:
        big = Path(folder) / "squad-size.json"
        squad_sized(squad, big)
        jobs: dict[str, dict[str, Any]] = {}
        for questions in ("first", "all"):
            for n in (1, 3, 24):
                options = {"nr_concats": n, "questions": questions}
                jobs[f"SQ3 {questions} {n}"] = {"loader": "squad_long", "files": [str(big)], "options": options}
            flat = Path(folder) / f"{questions}.jsonl"
            flatten(big, flat, {"nr_concats": 3, "questions": questions})
            jobs[f"JSON {questions} 3"] = {"loader": "json", "files": [str(flat)], "options": {}}
        xquad = sorted(str(file) for file in xquad_dir.glob("xquad.*.json"))
        jobs["XQ3 first 3"] = {"loader": "xquad_long", "files": xquad, "options": {"nr_concats": 3}}
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
        for name in tqdm([name for _ in range(repeats) for name in jobs], desc="Building", disable=None):
            runs[name].append(_in_a_fresh_process(jobs[name]))
    figures = {
        name: {key: statistics.median(run[key] for run in done) for key in done[0]} for name, done in runs.items()
    }
    return {"machine": _machine(), "repeats": repeats, "figures": figures}


def _machine() -> dict[str, Any]:
    import datasets

    return {
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "processor": processor(),
        "python": platform.python_version(),
        "datasets": datasets.__version__,
    }


def table(result: dict[str, Any]) -> str:
    figures = result["figures"]
    lines = [
        "| built | questions | nr_concats | rows | seconds | of JSON's | CPU seconds | of JSON's | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, figure in figures.items():
        built, questions, n = name.split()
        yardstick = figures.get(f"JSON {questions} {n}")
        cells = [built, questions, n, f"{figure['rows']:,.0f}"]
        for clock in ("seconds", "cpu_seconds"):
            compared = yardstick and built == "SQ3"
            cells += [f"{figure[clock]:.2f}", f"{figure[clock] / yardstick[clock]:.2f}" if compared else ""]
        lines.append(f"| {' | '.join([*cells, format(figure['peak_mb'], ',.0f')])} |")
    return "\n".join(lines)


def main() -> None:
    assert __doc__ is not None
    parser = command_parser(
        description=__doc__.split("\n")[0],
        example="python -m benchmarks.long_datasets --squad squad/train-v1.1.json --xquad_dir xquad",
    )
    parser.add_argument("--squad", type=Path, help="SQuAD-format file that is repeated to SQuAD's size")
    parser.add_argument("--xquad_dir", type=Path, help="folder of xquad.LANGUAGE.json")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median counts")
    parser.add_argument("--output", type=Path, default=Path("runs/datasets_benchmark.json"), help="figures as JSON")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(**json.loads(arguments.measure))
        return
    if arguments.squad is None or not arguments.squad.is_file():
        raise UserError(f"--squad {str(arguments.squad)!r} is not a file: give one in SQuAD's format")
    if arguments.xquad_dir is None or not arguments.xquad_dir.is_dir():
        raise UserError(
            f"--xquad_dir {str(arguments.xquad_dir)!r} is not a folder: give the one with xquad.en.json and others"
        )
    result = benchmark(arguments.squad, arguments.xquad_dir, arguments.repeats)
    write_atomically(arguments.output, json.dumps(result, indent=2) + "\n")
    print(table(result))
    print(f"machine: {result['machine']}, median of {arguments.repeats}; figures in {arguments.output}")


if __name__ == "__main__":
    run(main)
