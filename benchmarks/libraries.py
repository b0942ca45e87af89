"""What libraries do in the place of our own code, beside the plain way: seconds and memory, by turns.

    python -m benchmarks.libraries

The loss of pre-training (`training/pretraining/loss.py`), forward and backward: torch's `linear_cross_entropy` a chunk
of positions at a time, against the logits of all positions at once. Reading a checkpoint: ours piece by piece, as
`convert` does, against safetensors' reader, which maps the file. Each way runs in a process of its own; the memory is
what its peak rises by.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, peak_bytes
from foundation import tables
from foundation.cli import command_parser, run
from foundation.files import write_atomically

POSITIONS, HIDDEN, WORDS = 614, 384, 250_002  # masked positions of 4,096 tokens, hidden size, XLM-R's vocabulary
LOSSES = ("logits of all positions at once", "linear_cross_entropy in chunks")
READERS = ("piece by piece, as convert", "safetensors, mapped")


def loss(way: str, folder: Path) -> Callable[[], None]:
    """One loss and its gradients."""
    import torch
    from torch.nn import functional as F

    from training.pretraining.loss import sum_cross_entropy

    torch.manual_seed(0)
    features = torch.randn(POSITIONS, HIDDEN, requires_grad=True)
    weight = torch.randn(WORDS, HIDDEN, requires_grad=True)
    bias = torch.zeros(WORDS, requires_grad=True)
    targets = torch.randint(WORDS, (POSITIONS,))

    def step() -> None:
        if way == LOSSES[0]:
            total = F.cross_entropy(F.linear(features, weight, bias), targets, reduction="sum")
        else:
            total = sum_cross_entropy(features, weight, bias, targets)
        torch.autograd.grad(total, (features, weight, bias))

    return step


def reader(way: str, folder: Path) -> Callable[[], None]:
    """All bytes of a checkpoint, once."""
    from safetensors import safe_open

    from conversion.checkpoint import read_checkpoint

    def ours() -> None:
        for tensor in read_checkpoint(folder).values():
            for piece in tensor.pieces():
                bytes(piece)

    def mapped() -> None:
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_tensor(name).sum()

    return ours if way == READERS[0] else mapped


def measure(way: str, folder: Path) -> dict[str, float]:
    """Seconds and the rise of this process's peak memory in bytes; the first of two runs only warms up."""
    step = (loss if way in LOSSES else reader)(way, folder)
    before = peak_bytes()
    step()
    start = time.perf_counter()
    step()
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes() - before}


def write_checkpoint(folder: Path, megabytes: int) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {f"layer.{number}": torch.zeros(1 << 22) for number in range(max(1, megabytes // 16))}  # 16 MiB each
    save_file(tensors, folder / "model.safetensors")


def in_new_process(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.libraries", "--measure", way, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = command_parser(
        description="Seconds and memory of libraries in the place of our own code.",
        example="python -m benchmarks.libraries --repeats 3",
    )
    parser.add_argument("--repeats", type=int, default=3, help="turns, of which the median counts")
    parser.add_argument("--megabytes", type=int, default=400, help="of the checkpoint that is read")
    parser.add_argument("--output", help="also write the figures to this JSON file")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.folder)))
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder, arguments.megabytes)
        for _ in range(arguments.repeats):
            for way in (*LOSSES, *READERS):
                figures.setdefault(way, []).append(in_new_process(way, folder))
    lines = []
    for ways in (LOSSES, READERS):
        for way in ways:
            ratios = [a["seconds"] / b["seconds"] for a, b in zip(figures[way], figures[ways[0]], strict=True)]
            peak = statistics.median(each["peak_bytes"] for each in figures[way]) / 1e6
            lines.append([way, round(statistics.median(ratios), 2), round(peak)])
    print(tables.markdown(["way", "time of the first way", "MB"], lines))
    if arguments.output:
        report = {"machine": machine(), "repeats": arguments.repeats, "figures": figures}
        write_atomically(arguments.output, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
