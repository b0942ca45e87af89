"""The push of what a run has made, in one commit, claimed before the run begins."""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.cli import UserError
from foundation.model_files import ADAPTER, REPLACED, RUN, WEIGHTS, stage_model
from foundation.push import push_folder, settle

from .origin import base_of_adapter

if TYPE_CHECKING:
    from transformers import TrainingArguments


def claim_push(training_args: "TrainingArguments") -> bool:
    """Take the push over from the trainer, which would push at every save, in several commits. Returns whether to push.

    The token goes where the Hub's client finds it, so that no training_args.bin holds it. Where the push goes is asked
    of the Hub here, so that a name that no repository can have, a missing login or a wrong one costs no training; the
    whole id is in `training_args.hub_model_id` then.
    """
    if training_args.hub_token:
        os.environ["HF_TOKEN"], training_args.hub_token = training_args.hub_token, None
    push, training_args.push_to_hub = training_args.push_to_hub, False
    if push and training_args.should_save:  # only the machine that saves needs a login
        folder = Path(str(training_args.output_dir))
        if not training_args.do_train and not any(any(folder.glob(name)) for name in (*WEIGHTS, *ADAPTER)):
            raise UserError(
                f"--push_to_hub pushes the model in --output_dir, and {str(folder)!r} holds none: give --do_train, or "
                "evaluate in the model's own folder"
            )
        name = training_args.hub_model_id or folder.resolve().name
        training_args.hub_model_id = settle(name, "model", private=training_args.hub_private_repo)
    return push


def publish(training_args: "TrainingArguments", message: str) -> str:
    """Push what the output folder holds of a model in one commit; returns a sentence with its address."""
    name = str(training_args.hub_model_id)
    with tempfile.TemporaryDirectory() as folder:
        stage_model(str(training_args.output_dir), folder, RUN)
        _warn_of_a_local_base(Path(folder))
        url = push_folder(
            folder,
            name,
            "model",
            private=training_args.hub_private_repo,
            message=message,
            delete_patterns=REPLACED,
            revision=training_args.hub_revision,
        )
    return f"pushed: {url}" if url else f"{name} holds exactly this already"


def _warn_of_a_local_base(folder: Path) -> None:
    base = base_of_adapter(str(folder))
    if base is not None and Path(base[0]).expanduser().exists():
        print(
            f"note: the adapter's base is a folder of this machine, {base[0]!r}, which nobody else has: push it too, "
            "and name its id in adapter_config.json",
            file=sys.stderr,
        )
