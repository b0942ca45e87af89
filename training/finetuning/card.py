"""The model card of a fine-tuned model, every number taken from its run."""

import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foundation.files import write_atomically
from training.runs.pushing import hub_id

from .arguments import FinetuneArguments

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
