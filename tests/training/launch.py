"""Start the entry points as a user does, in processes of their own."""

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

CONFIGS = ROOT / "training" / "configs"


def environment(**extra: str) -> dict[str, str]:
    """This environment without what a surrounding launcher or pytest set, one thread a process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE_", "FSDP_"))}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        kept.pop(name, None)
    return {**kept, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", **extra}


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def command(script: str, arguments: list[str], config: str | None = None, launcher: tuple[str, ...] = ()) -> list[str]:
    """The command line of `script`, by itself or under `accelerate launch` with a configuration of the repository."""
    if config is None:
        return [sys.executable, script, *arguments]
    port = [] if "--main_process_port" in launcher else ["--main_process_port", free_port()]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / config), *port]
    return [*launch, *launcher, *script.split(), *arguments]


def run(script: str, arguments: list[str], config: str | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run to the end from the repository's root; stdout and stderr are kept."""
    return subprocess.run(
        command(script, arguments, config),
        cwd=ROOT,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=280,
    )


def succeed(script: str, arguments: list[str], config: str | None = None, **extra: str) -> str:
    """Like `run`, and demand exit status 0; returns stderr."""
    done = run(script, arguments, config, **extra)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def losses(output_dir: Path) -> dict[int, float]:
    """Training loss of every logged step, from the newest trainer_state.json."""
    state = json.loads((output_dir / "trainer_state.json").read_text())
    return {entry["step"]: entry["loss"] for entry in state["log_history"] if "loss" in entry}


def largest_difference(one: dict[int, float], other: dict[int, float]) -> float:
    """Largest relative difference, printed too (`pytest -rP`); the steps must be the same and their losses finite."""
    assert one.keys() == other.keys() and one
    assert all(math.isfinite(loss) and loss > 0 for loss in (*one.values(), *other.values()))
    difference = max(abs(one[step] - other[step]) / one[step] for step in one)
    print(f"largest relative difference of {len(one)} steps: {difference:.1e}")
    return difference
