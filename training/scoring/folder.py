"""The folder of a scoring run: which run it belongs to, and what of it is there already."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from foundation.cli import UserError, short_repr
from foundation.files import check_output_dir, file_hash
from foundation.model_files import MEASURED
from training.runs.checkpoints import contents
from training.runs.origin import base_of_adapter, commit_of

from .arguments import ReadArguments
from .record import SCORES, read_scores, write_scores

ANSWERS = ("predictions.json", "nbest.json")
WRITTEN = (SCORES, *ANSWERS, "scores.csv", "by_length.csv", "scores.png", "by_length.png")
# None of these flags decides an answer. The last three are of length_report.py.
NOT_PART_OF_THE_RUN = ("output_dir", "overwrite_output_dir", "by", "use_cpu", "windows", "draws", "seed")


def open_folder(output_dir: Path, arguments: ReadArguments, *, processes: int) -> dict[str, Any]:
    """What scores.json holds for this same run, or an empty start; a UserError for another run's folder."""
    this_run = identity(arguments)
    path = output_dir / SCORES
    if path.is_file():
        before = read_scores(path, "--output_dir")
        # A run that was not finished in any language may be replaced by another run.
        if not arguments.overwrite_output_dir and (before["languages"] or before["run"] == this_run):
            check_same_run(this_run, before["run"], output_dir)
            return before
        _remove(output_dir)
    check_output_dir(output_dir, replace_flag=None)
    start = {"command": command_given(), "processes": processes, "run": this_run, "languages": {}}
    write_scores(output_dir, start)
    return start


def command_given() -> str:
    """The command of this process, its files named from the folder where it runs: reports are handed on."""
    words = []
    for word in sys.argv[1:]:
        flag, sign, value = word.rpartition("=")
        words.append(flag + sign + (os.path.relpath(value) if os.path.isabs(value) else value))
    return shlex.join([Path(sys.argv[0]).name, *words])


def _remove(output_dir: Path) -> None:
    """Remove what an earlier run wrote; a UserError, and nothing removed, when something else is there too."""
    # In every language's folder: a killed run may leave answers of a language that its scores.json lacks.
    check_output_dir(output_dir, (*WRITTEN, *(f"*/{name}" for name in ANSWERS), "*.changes.jsonl"))
    for path in sorted(output_dir.rglob("*"), reverse=True):  # reversed: a folder comes after its files
        path.rmdir() if path.is_dir() else path.unlink()


def check_same_run(this: dict[str, Any], other: dict[str, Any], output_dir: Path) -> None:
    different = [name for name in {**this, **other} if this.get(name) != other.get(name)]
    if different:
        name = different[0]
        raise UserError(
            f"--output_dir {str(output_dir)!r} holds another run's scores ({name} was {short_repr(other.get(name))}, "
            f"now {short_repr(this.get(name))}): choose another folder, or add --overwrite_output_dir"
        )


def identity(arguments: ReadArguments) -> dict[str, Any]:
    """Everything that decides the numbers: the flags, what is in the model's and the data's files here, and the commits
    of what comes from the Hub, where a branch moves."""
    run = {name: value for name, value in vars(arguments).items() if name not in NOT_PART_OF_THE_RUN}
    models = {name: run.get(name) for name in ("model_name_or_path", "adapter", "short_model")}
    for name, model in models.items():
        if model is None:
            continue
        revision = arguments.revision if name == "model_name_or_path" else None
        run |= _pinned(name, model, revision)
        base = base_of_adapter(model, revision)
        if base is not None:
            run |= _pinned(f"{name}_base", *base)
    run["data"] = contents(_local_data(arguments))
    return json.loads(json.dumps(run))


def _pinned(name: str, model: str, revision: str | None) -> dict[str, Any]:
    """What the files of a folder hold, or the commit of a model on the Hub."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return {f"{name}_commit": commit_of(model, revision)}
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".bin", ".json")]
    return {f"{name}_files": [[path.name, file_hash(path)] for path in files if path.name not in MEASURED]}


def _local_data(arguments: ReadArguments) -> list[str]:
    """Paths and patterns of the files on this machine that the questions come from."""
    if arguments.data_files is not None:
        return [arguments.data_files]
    if Path(arguments.dataset).is_file():
        return [arguments.dataset]
    patterns = [f"{arguments.data_dir}/**/*.{ending}" for ending in ("json", "txt")] if arguments.data_dir else []
    background = arguments.background and arguments.background.replace("{language}", "*")
    if background:
        patterns.append(f"{background}/*.json" if Path(background).is_dir() else background)
    return patterns
