"""The model card of a fine-tuned model, every number taken from its run, and the push of both in one commit."""

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conversion.embedded import LONG_NAME, NAME
from hub_datasets.files import write_atomically

from .finetune_arguments import FinetuneArguments

TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def write_card(
    arguments: FinetuneArguments, training_args: Any, trainer: Any, max_length: int, scores: Mapping[str, float]
) -> Path:
    """Write README.md into the output folder."""
    from jinja2 import Environment

    base = arguments.model_name_or_path
    environment = Environment(trim_blocks=False, keep_trailing_newline=True, autoescape=False)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=training_args.hub_model_id or Path(str(training_args.output_dir)).name,
        base_model=base,
        base_model_id=hub_id(base),
        architecture=trainer.model.config.model_type,
        dataset=arguments.dataset,
        eval_dataset=arguments.eval_dataset or arguments.dataset,
        nr_concats=arguments.nr_concats,
        lora_r=_lora_rank(trainer.model),
        max_eval_samples=arguments.max_eval_samples,
        scores={name.removeprefix("eval_"): value for name, value in scores.items()},
        seed=training_args.seed,
        command=shlex.join(["accelerate", "launch", "training/finetune.py", *_without_token(sys.argv[1:])]),
        max_length=max_length,
        doc_stride=arguments.doc_stride,
        steps=trainer.state.global_step,
        unanswerable=trainer.train_dataset is None or any(ends == [0] for ends in trainer.train_dataset["ends"]),
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate")),
    )
    return write_atomically(Path(str(training_args.output_dir)) / "README.md", text)


def hub_id(model: str) -> str | None:
    """`model` where it is an id on the Hub, which a card may link to: neither a folder nor a name of this project."""
    ours = model in (NAME, LONG_NAME) or Path(model).expanduser().exists()
    return model if not ours and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) else None


def _without_token(words: list[str]) -> list[str]:
    """A command line without --hub_token and its value: a card is published, and the token may write."""
    flags = [word.partition("=")[0].replace("-", "_") for word in words]
    return [
        word
        for word, flag, before in zip(words, flags, ["", *words], strict=False)
        if flag != "__hub_token" and before.replace("-", "_") != "__hub_token"
    ]


def _lora_rank(model: Any) -> int:
    """Of the adapter that was trained, new or given; 0 without one."""
    configs = getattr(model, "peft_config", None) or {}
    return next((config.r for config in configs.values()), 0)


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
    from hub_datasets.push import push_folder

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
