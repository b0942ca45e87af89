"""What it costs that OpenMP's threads spin while they wait: a reading on a quiet machine, and beside busy processes.

    python -m benchmarks.waiting_threads --output docs/waiting_threads.json

Each case is a process of its own, since the policy is read once, when torch is loaded. They take turns, so that a noisy
moment hits all. The page sets GOMP_SPINCOUNT=1000 (space/__init__.py).
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation.cli import command_parser, run
from foundation.files import write_atomically

POLICIES = ("unset", "OMP_WAIT_POLICY=PASSIVE", "GOMP_SPINCOUNT=1000")
# The child reads one document of --tokens tokens twice, and prints the seconds of the second reading.
CHILD = """
import torch  # which reads them now, before the page sets its own
import sys
from benchmarks.reader import LONG, document_of, readers, timed
from space.gallery import examples
reader = readers()[LONG]
document = document_of(reader, int(sys.argv[1]), examples()["English, a book"].text)
print([timed(reader, document)[0] for _ in range(2)][-1])
"""


def read_once(policy: str, tokens: int) -> float:
    """Seconds of one reading in a process with this policy."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    environment |= {} if policy == "unset" else dict([policy.split("=")])
    command = [sys.executable, "-c", CHILD, str(tokens)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but work."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(tokens: int, repeats: int, others: int) -> list[dict[str, Any]]:
    """A row for each policy and number of busy processes, 0 and `others`: the median, fastest and slowest seconds."""
    from tqdm.auto import tqdm

    seconds: dict[tuple[str, int], list[float]] = {}
    with tqdm(total=repeats * 2 * len(POLICIES), unit="reading", leave=False) as bar:
        for _ in range(repeats):
            for processes in (0, others):
                for policy in POLICIES:
                    with busy(processes):
                        seconds.setdefault((policy, processes), []).append(read_once(policy, tokens))
                    bar.update()
    return [
        {
            "policy": policy,
            "busy_processes": processes,
            "rounds": len(values),
            "median_s": round(statistics.median(values), 2),
            "min_s": round(min(values), 2),
            "max_s": round(max(values), 2),
        }
        for (policy, processes), values in seconds.items()
    ]


def main() -> None:
    parser = command_parser(
        description="Time a reading by how OpenMP's threads wait, on a quiet and on a busy machine.",
        example="python -m benchmarks.waiting_threads --repeats 3",
    )
    parser.add_argument("--tokens", type=int, default=4_096, help="of the document")
    parser.add_argument("--repeats", type=int, default=3, help="readings of each case")
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside a reading")
    parser.add_argument("--output", type=Path, default=Path("runs/waiting_threads.json"), help="where the figures go")
    arguments = parser.parse_args()
    from benchmarks.machine import machine
    from foundation.tables import aligned

    rows = measure(arguments.tokens, arguments.repeats, arguments.busy)
    print(aligned(list(rows[0]), [list(row.values()) for row in rows]))
    report = {"machine": machine(), "tokens": arguments.tokens, "rows": rows}
    write_atomically(arguments.output, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
