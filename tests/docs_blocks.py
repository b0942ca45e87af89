"""The code blocks of a Markdown page, and a folder in which they run as a reader would run them.

A ```bash or ```python block is run, unless its first line says otherwise:

    # needs a GPU; about 5 days        cannot run here: says what it needs and how long it takes
    # takes 3 minutes                  runs in the slow suite

`python -m tests.docs_blocks conversion finetuning` runs all blocks of these pages (without a name, of every page)
against the loopback Hub of the tests, and says how long each took. Without pytest: tests/test_docker.sh runs it in
the image.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = (
    "benchmarks",
    "constraints.txt",
    "conversion",
    "docs",
    "foundation",
    "hub_datasets",
    "space",
    "tests",
    "training",
)
FENCE = re.compile(r"^```(bash|python)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One code block: where it is, in which language, and what its first line says about running it."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def speed(self) -> str:
        """'fast', 'slow' or 'elsewhere' (needs what a test machine has not)."""
        first = self.code.split("\n", 1)[0]
        return "elsewhere" if first.startswith("# needs ") else "slow" if first.startswith("# takes ") else "fast"

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every bash and python block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in FENCE.finditer(text)]


def checkout(folder: Path) -> Path:
    """Make `folder` look like the root of a checkout, so that what a block writes stays in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_block(block: Block, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one block in `folder`, with this Python first on the path; both streams come back as stdout."""
    interpreter = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.environ['PATH'])}"
    return subprocess.run(
        [*interpreter, block.code],
        cwd=folder,
        env={**os.environ, **environment, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,  # minutes alone, and several times that beside other work
    )


def _cpu_seconds() -> float:
    """What the processes that have ended took of a core: the time of a block on one core that does nothing else."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the blocks of the pages that argv names, and end with the first that fails."""
    from tests.hub.server import LoopbackHub

    hub = LoopbackHub()
    for page in PAGES[1:]:
        if sys.argv[1:] and page.stem not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            environment = hub.env(Path(folder) / "home")
            here = checkout(Path(folder) / "checkout")
            for block in blocks(page):
                if block.speed == "elsewhere" or ("$SHARED_DATA" in block.code and "SHARED_DATA" not in os.environ):
                    continue
                started, before = time.monotonic(), _cpu_seconds()
                done = run_block(block, here, environment)
                took, worked = time.monotonic() - started, _cpu_seconds() - before
                print(f"{block}: {took:.0f} s, {worked:.0f} s of them at work", flush=True)
                if done.returncode:
                    sys.exit(f"{block.code}\n--- printed\n{done.stdout[-4000:]}")
    hub.stop()


if __name__ == "__main__":
    main()
