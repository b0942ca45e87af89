"""Checkpoints that say which run they belong to, so that a resume can neither mix two runs nor meet half a save.

`MarkCheckpoints` writes run.json into a checkpoint as its last file. A checkpoint without it was cut short (kill -9,
full disk) and is passed over; one that belongs to another run is refused in one sentence.
"""

import errno
import glob
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from foundation.cards import CARD
from foundation.cli import UserError
from foundation.files import check_output_dir, file_hash, read_json, write_atomically
from foundation.model_files import KEPT_AT_HOME, RUN

from .arguments import LAST
from .origin import base_of_adapter

MARK = "run.json"
FULL = (errno.ENOSPC, errno.EDQUOT)
# A run is only resumed with the same values of these, since they shape the later steps. max_steps may be raised.
SAME_ARGUMENTS = ("seed", "data_seed", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
                  "weight_decay", "optim", "lr_scheduler_type", "warmup_steps", "max_grad_norm", "adam_beta1",
                  "adam_beta2", "adam_epsilon", "bf16", "fp16", "train_sampling_strategy")  # fmt: skip

# Files of an earlier run that may not stay at the top of the folder: its adapter would be loaded in place of the new
# model, its threshold would be used, its tokenizer would be pushed. Files in subfolders do no harm, and stay.
LEFT = tuple(name for name in (*RUN, *KEPT_AT_HOME) if name != CARD)
DATA = ("train_file_path", "val_file_path", "dataset", "data_files", "eval_dataset", "eval_data_files", "source_files")
NO_MATTER = ("overwrite_output_dir", "logging_dir", "model_name", "num_proc")


def identity(training_args: TrainingArguments, **facts: Any) -> dict[str, Any]:
    """What a run is: `facts` of the entry point (model, data, length ...) and the arguments that shape every step."""
    arguments = {name: getattr(training_args, name) for name in SAME_ARGUMENTS}
    run = {**facts, **arguments, "processes": training_args.world_size}
    run = {name: value for name, value in run.items() if name not in NO_MATTER}
    if training_args.should_save:  # only this process writes the mark
        folder = [f"{facts['data_dir']}/**/*.json"] if facts.get("data_dir") else []
        given = [facts.get(name) for name in DATA]
        files = [path for value in given for path in (value if isinstance(value, list) else [value])]
        run["data"] = contents([*files, *folder])
    return json.loads(json.dumps(run, default=lambda value: getattr(value, "value", str(value))))


def contents(patterns: Iterable[str | None]) -> list[list[Any]]:
    """[path, SHA-256] of the files that paths, folders and patterns here name: edited data are other data."""
    given = (str(Path(pattern).expanduser()) for pattern in patterns if pattern)
    named = (Path(path) for pattern in given for path in glob.glob(pattern, recursive=True))
    found = sorted(file for path in named for file in (path.rglob("*") if path.is_dir() else [path]))
    return [[str(path), file_hash(path)] for path in found if path.is_file()]


def prepare_output_dir(training_args: TrainingArguments, run: dict[str, Any], overwrite: bool) -> str | None:
    """Check output_dir and return the checkpoint to resume from, or None for a fresh run.

    `--resume_from_checkpoint` alone takes the newest whole checkpoint of output_dir. Raises UserError for an
    output_dir that holds something (without resume or overwrite) and for a checkpoint that is missing, cut short or
    of another run.
    """
    output_dir = Path(str(training_args.output_dir))
    asked = training_args.resume_from_checkpoint
    if asked is None:
        if training_args.should_save:  # another process may look after this one has begun to write
            if not overwrite:
                check_output_dir(output_dir)
            if training_args.do_train:
                for flag in ("model_name_or_path", "teacher"):
                    if run.get(flag):
                        _check_start_is_kept(output_dir, flag, run[flag])
        return None
    checkpoint = _newest(output_dir) if asked.lower() in (LAST, "true") else Path(asked).expanduser()
    _check_same_run(checkpoint, run)
    return str(checkpoint)


def forget_checkpoints(training_args: TrainingArguments) -> None:
    """Delete another run's checkpoints, which --overwrite_output_dir gives up, once everything else is checked."""
    if training_args.should_save:
        for _, path in _checkpoints(Path(str(training_args.output_dir))):
            _delete(path)


def train_and_save(trainer: Trainer, checkpoint: str | None) -> dict[str, float]:
    """Train, from `checkpoint` on where there is one, and save model and state; the trainer's figures."""
    if checkpoint is None:
        forget_checkpoints(trainer.args)
    result = trainer.train(resume_from_checkpoint=checkpoint)
    save_model(trainer)
    trainer.save_state()
    return result.metrics


def save_model(trainer: Trainer) -> None:
    """Save the trained model, then delete what an earlier run left and this one did not write anew.

    Until here that run's model stands: a training that ends early costs nothing.
    """
    output_dir = Path(str(trainer.args.output_dir))
    ages = {path: path.stat().st_mtime_ns for path in _left(output_dir)} if trainer.args.should_save else {}
    model: Any = trainer.model
    if hasattr(model, "create_or_update_model_card"):
        model.create_or_update_model_card = lambda folder: None  # no card by peft, since we write one
    with explain_full_disk(f"the model into {output_dir}"):
        trainer.save_model()
    for path, age in ages.items():
        # Saving has deleted the shards of an earlier model already.
        if path.exists() and path.stat().st_mtime_ns == age:
            path.unlink()


def _left(output_dir: Path) -> list[Path]:
    return [path for name in LEFT for path in sorted(output_dir.glob(name)) if path.is_file()]


def _check_start_is_kept(output_dir: Path, flag: str, model: str) -> None:
    """Refuse to start from what is about to be deleted: a run that is then cut short would leave neither."""
    folder = Path(model).expanduser()
    base = (base_of_adapter(str(folder)) if folder.is_dir() else None) or ()
    starts = [Path(name).expanduser().resolve() for name in (model, *base[:1])]
    left = [*_left(output_dir), *(path for _, path in _checkpoints(output_dir))]
    if any(start in (path.resolve(), path.resolve().parent) for path in left for start in starts):
        raise UserError(
            f"--output_dir {str(output_dir)!r} holds --{flag} {model!r} or its base, which would be lost: "
            "choose another folder"
        )


def _delete(checkpoint: Path) -> None:
    """Its mark first: a kill must not leave the half of a checkpoint that is marked as whole."""
    (checkpoint / MARK).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def _checkpoints(output_dir: Path) -> list[tuple[int, Path]]:
    """Checkpoint folders, oldest first."""
    found = [(re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in output_dir.glob("checkpoint-*")]
    return sorted((int(match[1]), path) for match, path in found if match)


def _newest(output_dir: Path) -> Path:
    whole = [path for _, path in _checkpoints(output_dir) if (path / MARK).is_file()]
    if not whole:
        raise UserError(
            f"--resume_from_checkpoint: {str(output_dir)!r} holds no whole checkpoint: leave the argument out to start"
        )
    return whole[-1]


def _check_same_run(checkpoint: Path, run: dict[str, Any]) -> None:
    if not (checkpoint / MARK).is_file():
        raise UserError(
            f"--resume_from_checkpoint {str(checkpoint)!r} is not a whole checkpoint of this project ({MARK} is "
            "missing): give an older one, or the argument without a value for the newest whole one"
        )
    # Old checkpoints have no record of their data. They are trusted.
    before = {"data": run.get("data"), **read_json(checkpoint / MARK, "--resume_from_checkpoint", dict)}
    names = [name for name in run if before.get(name) != run[name]]
    if names:
        differences = ", ".join(f"{name} was {before.get(name)!r} and is now {run[name]!r}" for name in names)
        raise UserError(
            f"--resume_from_checkpoint {str(checkpoint)!r} belongs to another run ({differences}): give the same "
            "arguments again, or start anew in another --output_dir"
        )


class MarkCheckpoints(TrainerCallback):
    """Write run.json into each checkpoint once all its other files are there, and only then delete older ones.

    Takes over `save_total_limit`, since the Trainer would delete before the mark is set.
    """

    def __init__(self, run: dict[str, Any]):
        self.run = run
        self.limit: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.limit, args.save_total_limit = args.save_total_limit, None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not args.should_save:
            return
        output_dir = Path(str(args.output_dir))
        write_atomically(output_dir / f"checkpoint-{state.global_step}" / MARK, json.dumps(self.run, indent=2))
        if self.limit is not None and self.limit > 0:
            best = state.best_model_checkpoint and Path(state.best_model_checkpoint).resolve()
            for _, old in _checkpoints(output_dir)[: -self.limit]:
                if old.resolve() != best:
                    _delete(old)


@contextmanager
def explain_full_disk(what: str) -> Iterator[None]:
    """Turn the errors that the writers of tensors raise on a full disk into one sentence."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # safetensors gives the errno only inside its message, torch's writer not at all.
        known = isinstance(error, OSError) and error.errno in FULL
        if known or any(sign in str(error) for sign in ("os error 28", "inline_container", "PytorchStreamWriter")):
            raise UserError(
                f"the disk is full while saving {what}: free space and run the same command again, with "
                "--resume_from_checkpoint where an earlier checkpoint was saved"
            ) from error
        raise
