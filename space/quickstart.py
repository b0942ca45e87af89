"""The main job from end to end on a real model, in minutes and without a Hub: `make quickstart`.

    python -m space.quickstart --output_dir runs/quickstart

A multilingual encoder that reads 512 tokens is converted to read 4,096 and proven equal to its source; long documents
are built from the sample corpus as XQ3 is from XQuAD; the long model is fine-tuned for a few steps and scored; and a
Swedish question is put to a Spanish document. What takes long is the command that a user would type, in a process of
its own: printed, timed, and its memory measured. What a command prints goes into a file, or by --verbose here.
"""

import json
import os
import resource
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from foundation.cli import UserError, command_parser, run
from foundation.files import check_output_dir

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "hub_datasets" / "sample"
PARTS = ("long/**", "finetuned/**", "scores/**", "scores-adapter/**", "logs/**")
TAIL = 15  # lines that are shown of a failed command
STEPS = 16
QUESTION_ID = "printing-3-2"  # one of the few that this small model answers across languages: see README, Status


class Line(NamedTuple):
    """What is told of a step at the end."""

    step: str
    found: str
    seconds: float
    memory_mb: float


@dataclass
class Log:
    """Runs the steps and keeps a line on each; `folder` takes what the commands print, None lets it through."""

    folder: Path | None
    lines: list[Line] = field(default_factory=list)

    def command(self, name: str, line: str, result: Callable[[], str]) -> None:
        """Run a command line in a process of its own, then `result` to read what it left; a failure ends it all."""
        print(f"\n== {name}\n$ {line}", flush=True)
        program, *words = shlex.split(line)
        command = [str(Path(sys.executable).with_name(program)), *words]
        start = time.perf_counter()
        if self.folder is None:
            process = subprocess.Popen(command, cwd=ROOT)
            _, status, usage = os.wait4(process.pid, 0)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            told = self.folder / f"{len(self.lines) + 1}.txt"
            with told.open("wb") as output:
                process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
                status, usage = wait(process.pid, told)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode:
            where = "above"
            if self.folder is not None:
                print("\n".join(printed(told)[-TAIL:]), file=sys.stderr)
                where = f"above, all that it printed in {str(told)!r}"
            raise UserError(f"the step {name!r} ended with status {process.returncode}: its message stands {where}")
        self.lines.append(Line(name, result(), seconds, megabytes(usage.ru_maxrss)))
        print(f"{self.lines[-1].found}, in {seconds:.0f} s", flush=True)

    def call(self, name: str, step: Callable[[], str]) -> None:
        """Run a step in this process; it returns what it found."""
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        found = step()
        peak = megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        self.lines.append(Line(name, found, time.perf_counter() - start, peak))

    def table(self) -> str:
        """A line a step, and the sum of the seconds beside the highest memory."""
        total = Line("all", "", sum(line.seconds for line in self.lines), max(line.memory_mb for line in self.lines))
        step, found = (max(map(len, column)) for column in list(zip(*self.lines, strict=True))[:2])
        return "\n".join(
            [
                f"{'step':<{step}}  {'result':<{found}}  seconds  memory MB",
                *(f"{a:<{step}}  {b:<{found}}  {c:>7.0f}  {d:>9,.0f}" for a, b, c, d in [*self.lines, total]),
            ]
        )


def wait(pid: int, told: Path) -> tuple[int, Any]:
    """Status and usage of a process when it ends; meanwhile a terminal shows the last line that it printed."""
    shows, start = sys.stderr.isatty(), time.perf_counter()
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            if shows:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            return status, usage
        if shows:
            last = textwrap.shorten((printed(told) or [""])[-1], 80)
            print(f"\r\x1b[K{time.perf_counter() - start:4.0f} s  {last}", end="", file=sys.stderr, flush=True)
        time.sleep(0.2)


def printed(told: Path) -> list[str]:
    """The lines of a file, of those that were written over (progress bars) the last state."""
    lines = told.read_bytes().decode(errors="replace").split("\n")
    return [shown for line in lines if (shown := line.rstrip("\r").split("\r")[-1].rstrip())]


def megabytes(maxrss: int) -> float:
    """What getrusage calls maxrss: kilobytes on Linux, bytes on macOS."""
    return maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def paragraphs(language: str) -> list[dict]:
    """The sample's paragraphs in one language; ids are the same in all."""
    corpus = json.loads((SAMPLE / f"sample.{language}.json").read_text(encoding="utf-8"))
    return [paragraph for article in corpus["data"] for paragraph in article["paragraphs"]]


def proof(folder: Path) -> str:
    report = json.loads((folder / "conversion_report.json").read_text(encoding="utf-8"))["proof"]
    return f"{len(report['checks'])} checks passed, largest difference {report['largest_difference']:.1e}"


def build() -> str:
    """XQ3 from a SQuAD-format file: paragraphs joined by threes, each answer checked against its offset."""
    from hub_datasets import load_dataset

    rows = load_dataset(
        "xquad_long", "es", split="validation", nr_concats=3, questions="all", data_files=SAMPLE / "sample.es.json"
    )
    print(rows)
    right = sum(row["context"].startswith(row["answers"]["text"][0], row["answers"]["answer_start"][0]) for row in rows)
    documents = set(rows["context"])
    return f"{len(rows)} rows, {len(documents)} documents; {right} answers stand at their offset"


def losses(folder: Path) -> str:
    history = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    seen = [float(entry["loss"]) for entry in history if "loss" in entry]
    return f"loss from {seen[0]:.2f} to {seen[-1]:.2f}"


def scores(folder: Path) -> str:
    swedish = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["languages"]["sv"]
    return f"EM {swedish['exact_match']:.1f}, F1 {swedish['f1']:.1f} on {swedish['questions']} held-back questions"


def answer(model: str | None) -> str:
    """A Swedish question to all the Spanish articles in one, by the reader that the page uses."""
    from space.reader import load_reader

    document = "\n\n".join(paragraph["context"] for paragraph in paragraphs("es"))
    question = next(qa["question"] for part in paragraphs("sv") for qa in part["qas"] if qa["id"] == QUESTION_ID)
    gold = next(qa["answers"][0]["text"] for part in paragraphs("es") for qa in part["qas"] if qa["id"] == QUESTION_ID)
    reading = load_reader(model).read(document, question)
    best = reading.answers[0]
    print(
        f"document  {len(document):,} characters of Spanish, {reading.tokens:,} tokens, read in {reading.seconds:.1f} s"
    )
    print(f"question  {question}\nanswer    {best.text!r}, characters {best.start} to {best.end}")
    print(f"correct   {gold!r}, characters {document.index(gold)} to {document.index(gold) + len(gold)}")
    doubt = "" if reading.answered else " (but 'not answered here' is likelier)"
    return f"{question} {textwrap.shorten(best.text, 40)}{doubt}"


def main() -> None:
    parser = command_parser(
        description="Convert, prove, build XQ3, fine-tune, score and answer, on the embedded model and the sample.",
        example="python -m space.quickstart --output_dir runs/quickstart",
    )
    parser.add_argument("--output_dir", default="runs/quickstart", help="folder for the models and the scores")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace what an earlier run wrote there")
    parser.add_argument("--reader_model", help="QA model that answers at the end (default: the adapter in space/)")
    parser.add_argument("--verbose", action="store_true", help="show what the commands print, too")
    arguments = parser.parse_args()
    folder = check_output_dir(arguments.output_dir, PARTS if arguments.overwrite_output_dir else None).resolve()
    quickstart(folder, arguments.reader_model, arguments.verbose)


def quickstart(folder: Path, reader_model: str | None, verbose: bool) -> None:
    """All steps; what they write is under `folder`, each part overwritten if it is there."""
    import torch

    from space.reader import ADAPTER

    device = "gpu" if torch.accelerator.is_available() else "cpu"
    launch = f"accelerate launch --config_file training/configs/{device}.yaml"
    reader_model = reader_model or str(ADAPTER)
    log = Log(None if verbose else folder / "logs")
    log.command(
        "convert 512 to 4,096 tokens, and prove it",
        "python -m conversion.convert --model_name_or_path embedded --max_pos 4096 --tile_from 64 "
        f"--attention_window 256 --output_dir {quote(folder / 'long')} --overwrite_output_dir",
        lambda: proof(folder / "long"),
    )
    log.call("build XQ3 in Spanish", build)
    log.command(
        f"fine-tune the long model, {STEPS} steps",
        f"{launch} training/finetune.py --model_name_or_path {quote(folder / 'long')} --dataset sample --language all "
        f"--do_train --max_steps {STEPS} --per_device_train_batch_size 8 --gradient_accumulation_steps 1 "
        "--learning_rate 1.5e-4 --warmup_steps 0.1 --freeze_word_embeddings --logging_steps 4 --save_strategy no "
        f"--seed 42 --output_dir {quote(folder / 'finetuned')} --overwrite_output_dir",
        lambda: losses(folder / "finetuned"),
    )
    score = f"{launch} training/score.py --dataset sample --language sv --nr_concats 3 --overwrite_output_dir"
    log.command(
        f"score it after {STEPS} steps",
        f"{score} --model_name_or_path {quote(folder / 'finetuned')} --output_dir {quote(folder / 'scores')}",
        lambda: scores(folder / "scores"),
    )
    log.command(
        "score the adapter in space/adapter",
        f"{score} --model_name_or_path {quote(reader_model)} --output_dir {quote(folder / 'scores-adapter')}",
        lambda: scores(folder / "scores-adapter"),
    )
    log.call("ask in Swedish about Spanish text", lambda: answer(reader_model))
    print(f"\n{log.table()}\n\nfiles: {folder}\n{NEXT.format(folder=folder)}")


def quote(path: Path | str) -> str:
    return shlex.quote(str(path))


NEXT = """
The sample is a test of the machinery: 16 steps teach nothing, and the figures say nothing about a model.
To try next:
  make demo                                      ask your own documents, in a browser
  python -m conversion.convert --model_name_or_path FacebookAI/xlm-roberta-base --output_dir xlm-long-4096
  docs/finetuning.md                             fine-tune it on SQuAD or on a file of your own, and score it
  {folder}/long/conversion_report.json           the proof, check by check"""


if __name__ == "__main__":
    run(main)
