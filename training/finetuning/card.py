"""The model card of a fine-tuned model, every number taken from its run."""

import re
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation import cards
from foundation.cards import public_path, public_words
from training.corpora.sources import SOURCES, canonical_name
from training.qa.second_look import places_of
from training.runs.origin import origin_of

from .arguments import FinetuneArguments

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
METRICS = ("exact_match", "f1")
SCORES = "Scores"  # heading of the section that an evaluation replaces


def write_card(
    arguments: FinetuneArguments,
    training_args: "TrainingArguments",
    trainer: "Trainer",
    max_length: int,
    scores: Mapping[str, float],
    shares: str = "",
) -> Path | None:
    """Write README.md into the output folder.

    A run that only evaluates tells nothing of a training: in a card that is there it renews the scores, and where there
    is none (the model lies elsewhere) it writes none.
    """
    from huggingface_hub import ModelCardData

    folder = Path(str(training_args.output_dir))
    name = training_args.hub_model_id or folder.resolve().name
    results = eval_results(arguments, scores)
    plain = {key.removeprefix("eval_"): value for key, value in scores.items()}
    score_text = _score_text(arguments, training_args.seed, plain)
    if not training_args.do_train:
        return cards.renew_section(folder / cards.CARD, SCORES, score_text, results)
    model: Any = trainer.model
    lora_r = _lora_rank(model)
    data = ModelCardData(
        pipeline_tag="question-answering",
        library_name="peft" if lora_r else "transformers",
        base_model_relation="adapter" if lora_r else "finetune",
        tags=["extractive-question-answering", "long-context"],
        metrics=list(METRICS),
        model_name=name if results else None,
        eval_results=results or None,
        **origin_of(arguments.model_name_or_path, arguments.revision),
    )
    return cards.write_card(
        folder,
        data,
        TEMPLATE,
        name=name,
        start=public_path(arguments.model_name_or_path),
        architecture=model.config.model_type,
        dataset=_trained_on(arguments),
        shares=shares,
        nr_concats=arguments.nr_concats,
        lora_r=lora_r,
        score_text=score_text,
        seed=training_args.seed,
        command=shlex.join(
            ["accelerate", "launch", "training/finetune.py", *public_words(list(map(_public, sys.argv[1:])))]
        ),
        places=places_of(model),
        max_length=max_length,
        doc_stride=arguments.doc_stride,
        steps=trainer.state.global_step,
        unanswerable=trainer.train_dataset is None or any(ends == [0] for ends in trainer.train_dataset["ends"]),
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate")),
    )


def _trained_on(arguments: FinetuneArguments) -> str:
    several = len(arguments.dataset) > 1 or len(arguments.data_files or ()) > 1
    return "several sources, see below" if several else f"`{_public(arguments.dataset[0])}`"


def _public(word: str) -> str:
    """A word of the command line without the folders of a path that a cap or an option hides."""
    word = re.sub(r"(?<=:background=)[^:]+|(?<=:tokenizer=)[^:]+", lambda path: public_path(path[0]), word)
    path, _, cap = word.rpartition(":")
    return f"{public_path(path)}:{cap}" if path and cap.isdigit() else public_path(word)


def eval_results(arguments: FinetuneArguments, scores: Mapping[str, float]) -> list[Any]:
    """The scores as the Hub shows them: exact match and F1, and of several languages the F1 of each."""
    plain = {key.removeprefix("eval_"): value for key, value in scores.items()}
    if not plain:
        return []
    dataset = _evaluated(arguments)
    results = cards.eval_results("question-answering", dataset, {key: plain[key] for key in METRICS if key in plain})
    for key, value in plain.items():
        if key.startswith("f1_"):
            one = {**dataset, "config": key.removeprefix("f1_")}
            results += cards.eval_results("question-answering", one, {"f1": value})
    return results


def _evaluated(arguments: FinetuneArguments) -> dict[str, Any]:
    """What the scores are of: type, name, split and arguments of the data set."""
    held_out = arguments.held_out_articles > 0 and not arguments.own_evaluation
    one = [arguments.eval_dataset] if arguments.eval_dataset else None
    name = ", ".join(map(_public, arguments.eval_data_files or one or arguments.data_files or arguments.dataset))
    source = SOURCES.get(canonical_name(name))
    joined = arguments.nr_concats is not None and arguments.nr_concats > 1
    args = {
        key: value
        for key, value in (
            ("nr_concats", arguments.nr_concats if joined else None),
            ("max_eval_samples", arguments.max_eval_samples),
            ("held_out_articles", arguments.held_out_articles if held_out else None),
        )
        if value
    }
    long = canonical_name(name) in ("sq3", "xq3")  # they are not SQuAD and XQuAD, whose ids their sources have
    return {
        "type": source.hub_id if source and source.hub_id and not long else name,
        "name": name,
        "split": "train" if held_out else "validation",
        **({"args": args} if args else {}),
    }


def _score_text(arguments: FinetuneArguments, seed: int, scores: Mapping[str, float]) -> str:
    if not scores:
        return "<!-- not evaluated in this run -->"
    sample = ", a sample" if arguments.max_eval_samples else ""
    rows = [f"| {key} | {value:.2f} |" for key, value in scores.items() if key not in ("total", "epoch")]
    intro = f"On `{_evaluated(arguments)['name']}` ({int(scores['total'])} questions{sample}), seed {seed}:"
    return "\n".join([intro, "", "| metric | value |", "|---|---|", *rows])


def _lora_rank(model: Any) -> int:
    """Of the adapter that was trained, new or given; 0 without one."""
    configs = getattr(model, "peft_config", None) or {}
    return next((config.r for config in configs.values()), 0)
