"""Run what is missing of a plan, one step at a time; a kill costs at most the work since the last checkpoint.

A step is done when its folder holds done.json, the last file that is written. A step that was cut short goes on from
its newest whole checkpoint (finetune.py, pretrain.py) or its first missing language (score.py).
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation.cli import UserError, short_repr
from foundation.files import read_json, write_atomically

from .plan import Plan, Step

DONE = "done.json"
SETTINGS = "grid.json"
LOCK = ".grid.lock"
ROOT = Path(__file__).resolve().parents[2]


def is_done(step: Step) -> bool:
    """Whether the step has run to its end."""
    return (step.folder / DONE).is_file()


def check_settings(output_dir: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` and beside them those that the folder has, or a refusal: runs of two settings must not meet in one
    table. Nothing is written."""
    path = output_dir / SETTINGS
    settings = _without_token(json.loads(json.dumps(settings)))
    if not path.is_file():
        if output_dir.is_dir() and any(each.name != LOCK for each in output_dir.iterdir()):
            raise UserError(f"--output_dir {str(output_dir)!r} is not empty and holds no grid: choose another folder")
        return settings
    before = _without_token(read_json(path, "--output_dir", dict))
    if different := _difference(before, settings):
        place, was, now = different
        raise UserError(
            f"--output_dir {str(output_dir)!r} holds a grid with other settings ({place} was {short_repr(was)}, "
            f"now {short_repr(now)}): choose another folder"
        )
    return _joined(before, settings)


def _token_of(flags: dict[str, Any]) -> dict[str, Any]:
    """The entry of `flags` that is --hub_token, however it is written."""
    return {name: value for name, value in flags.items() if name.replace("-", "_") == "hub_token"}


def _without_token(settings: Any) -> Any:
    """`settings` but for each --hub_token in it: a grid's folder is passed on, and the token may write."""
    if not isinstance(settings, dict):
        return settings
    return {name: _without_token(value) for name, value in settings.items() if name not in _token_of(settings)}


GROWING = ("models", "runs", "trainings", "columns", "training")  # tables of a grid that may gain or lose entries
SELECTING = ("seeds", "models")  # lists that say what is run, and not how


def _difference(before: Any, now: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """(dotted name, before, now) of the first setting that would give another number, if any."""
    table = place.rpartition(".")[2]
    if isinstance(before, dict) and isinstance(now, dict):
        names = before.keys() & now.keys() if table in GROWING else before.keys() | now.keys()
        found = (_difference(before.get(name), now.get(name), f"{place}.{name}".strip(".")) for name in sorted(names))
        return next(filter(None, found), None)
    if before == now or (table in SELECTING and isinstance(before, list) and isinstance(now, list)):
        return None
    return place, before, now


def _joined(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """`now`, and beside it the entries that only `before` has: a later run is checked against both."""
    tables = [name for name in before.keys() & now.keys() if isinstance(before[name], dict)]
    return {**before, **now, **{name: _joined(before[name], now[name]) for name in tables}}


def run_plan(plan: Plan, output_dir: Path, launcher: list[str], settings: dict[str, Any] | None = None) -> list[str]:
    """Run the missing steps in order; returns a sentence for each that failed or that could not start.

    A failed step does not stop the others: only what needs its folder is passed over. The folder keeps `settings`; a
    run that is refused leaves them as they were.
    """
    if settings is not None:
        check_settings(output_dir, settings)  # first, so that no lock is left in a folder of something else
    missing = [step for step in plan.steps if not is_done(step)]
    print(f"{len(plan.steps) - len(missing)} of {len(plan.steps)} steps are done", file=sys.stderr)
    troubles = []
    with _alone(output_dir) as lock:
        if settings is not None:
            write_atomically(output_dir / SETTINGS, json.dumps(check_settings(output_dir, settings), indent=1))
        for step in plan.steps:
            if step not in missing:
                _forget_checkpoints(step)  # an earlier run may have been killed before it did this
        for number, step in enumerate(missing, start=1):
            lacking = [folder for folder in step.needs if not (folder / DONE).is_file()]
            if lacking:
                troubles.append(f"{step.title}: not started, it needs {lacking[0]}")
                continue
            print(f"[{number}/{len(missing)}] {step.title}", file=sys.stderr)
            started = time.time()
            log = output_dir / "logs" / (str(step.folder.relative_to(output_dir)).replace(os.sep, "_") + ".log")
            token = _token_of(step.flags)
            entry_point, *flags = step.arguments({**_this_time(step), **dict.fromkeys(token)})
            words = [*launcher, str(ROOT / entry_point), *flags]  # a whole path works from any folder
            # The token goes by the environment: so it is neither in done.json nor in a traceback in the log.
            secret = {"HF_TOKEN": str(*token.values())} if token else {}
            code = _run(words, log, lock, {**os.environ, **secret})
            if code != 0:
                troubles.append(f"{step.title}: ended with status {code}, see {log}")
                continue
            facts = {"command": words, "seconds": round(time.time() - started, 1), "finished": time.strftime("%F %T")}
            write_atomically(step.folder / DONE, json.dumps(facts, indent=1))
            _forget_checkpoints(step)
    return troubles


def _forget_checkpoints(step: Step) -> None:
    """Delete what was for resuming, three times as large as the model; of a done step, lest one resume from a half."""
    for checkpoint in step.folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def _this_time(step: Step) -> dict[str, Any]:
    """Flags for a step whose folder holds the rest of an attempt."""
    if step.entry_point == "training/score.py" or not step.folder.is_dir() or not any(step.folder.iterdir()):
        return {}
    if any(step.folder.glob("checkpoint-*/run.json")):
        return {"resume_from_checkpoint": "last"}
    return {"overwrite_output_dir": True}


@contextlib.contextmanager
def _alone(output_dir: Path) -> Iterator[int]:
    """Hold output_dir; yields the lock's file descriptor, which the steps inherit.

    So the lock stays with a step that outlives this process after a kill: a second run then says so, instead of
    writing into the same folder.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(output_dir / LOCK, os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"--output_dir {str(output_dir)!r}: another run of this grid, or a step that it left behind, is still "
                "at work there: wait for it, or end it"
            ) from error
        yield handle
    finally:
        os.close(handle)


def _run(words: list[str], log: Path, lock: int, environment: dict[str, str]) -> int:
    """Run one command to its end, its output on the terminal and in `log`; ends it when this process is told to end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # In its own session, the launcher can be ended together with its children.
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
        start_new_session=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        with log.open("ab") as file:
            while chunk := os.read(process.stdout.fileno(), 65536):
                file.write(chunk)
                file.flush()
                sys.stderr.buffer.write(chunk)
                sys.stderr.flush()
        return process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        signal.signal(signal.SIGTERM, previous)
