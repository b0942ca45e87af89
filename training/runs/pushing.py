"""The push of what a run has made, in one commit, claimed before the run begins."""

import os
import tempfile
from pathlib import Path
from typing import Any


def claim_push(training_args: Any) -> bool:
    """Take the push over from the trainer, which would push at every save, in several commits; whether to push at all.

    The token goes where the Hub's client finds it, so that no training_args.bin holds it. A name that no repository
    can have and a missing login are refused here, before hours of training.
    """
    from huggingface_hub.utils import build_hf_headers

    from conversion.publish import check_model_id

    if training_args.hub_token:
        os.environ["HF_TOKEN"], training_args.hub_token = training_args.hub_token, None
    push, training_args.push_to_hub = training_args.push_to_hub, False
    if push and training_args.should_save:  # of many machines only one needs a login
        check_model_id(training_args.hub_model_id or _folder_name(training_args))
        build_hf_headers(token=True)  # raises when nobody is logged in
    return push


def repo_id(training_args: Any) -> str:
    """--hub_model_id, or the output folder's name in the space of whoever is logged in."""
    from huggingface_hub import HfApi

    return training_args.hub_model_id or f"{HfApi().whoami()['name']}/{_folder_name(training_args)}"


def _folder_name(training_args: Any) -> str:
    return Path(str(training_args.output_dir)).resolve().name


def publish(training_args: Any, message: str) -> str:
    """Push what the output folder's top level holds of a model in one commit; returns a sentence with its address."""
    from conversion.publish import stage_model
    from foundation.push import push_folder

    name = repo_id(training_args)
    with tempfile.TemporaryDirectory() as folder:
        stage_model(str(training_args.output_dir), folder)
        url = push_folder(
            folder,
            name,
            "model",
            private=training_args.hub_private_repo,
            message=message,
            revision=training_args.hub_revision,
        )
    return f"pushed: {url}" if url else f"{name} holds exactly this already"
