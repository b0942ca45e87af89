"""What a pre-training run leaves for people: a table on the screen, JSON and a plot on disk, and the model's card."""

import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation import cards
from foundation.cards import public_facts, public_path, public_words
from foundation.files import read_json, write_atomically
from training.runs.origin import origin_of

from .arguments import PretrainArguments

if TYPE_CHECKING:
    from transformers import TrainingArguments

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
RESULTS = "pretrain_results.json"
MEASURES = ("loss", "perplexity", "bits_per_byte")


def report(
    log_history: list[dict[str, Any]], step: int, this_run: dict[str, Any], training_args: "TrainingArguments"
) -> dict[str, Any]:
    """Print and write the first evaluation and that of the weights of `step`, which were saved.

    A run that only evaluates adds its evaluation to the file of the training, whose losses stay.

    Returns {"before": ..., "after": ...}, empty without any evaluation.
    """
    evaluations = [entry for entry in log_history if "eval_loss" in entry]
    if not evaluations or not training_args.should_save:
        return {}
    before, after = (
        evaluations[0],
        next((entry for entry in reversed(evaluations) if entry["step"] == step), evaluations[-1]),
    )
    results = {"before": before, "after": after} if len(evaluations) > 1 else {"after": after}
    print(_table(results), file=sys.stderr)
    output_dir = Path(str(training_args.output_dir))
    versions = {name: version(name) for name in ("torch", "transformers", "accelerate")}
    losses = [[entry["step"], entry["loss"]] for entry in log_history if "loss" in entry]
    run = public_facts(this_run)
    content = {**results, "evaluations": evaluations, "losses": losses, "run": run, "versions": versions}
    if not training_args.do_train and (output_dir / RESULTS).is_file():
        trained = read_json(output_dir / RESULTS, "--output_dir", dict)
        content = {**trained, **results, "evaluations": [*trained.get("evaluations", []), *evaluations]}
    write_atomically(output_dir / RESULTS, json.dumps(content, indent=2))
    if losses:
        _plot(losses, evaluations, output_dir / "pretrain_losses.png")
    return results


def _table(results: dict[str, dict[str, float]]) -> str:
    lines = [f"{'':24}" + "".join(f"{name + ' (step ' + str(e['step']) + ')':>22}" for name, e in results.items())]
    names = [name for name in results["after"] if name.startswith("eval_")]
    for measure in MEASURES:
        for name in names:
            if name.startswith(f"eval_{measure}"):
                lines.append(
                    f"{name.removeprefix('eval_'):24}" + "".join(f"{entry[name]:22.4f}" for entry in results.values())
                )
    return "\n".join(lines)


def _plot(losses: list[list[float]], evaluations: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*losses, strict=True), color="0.7", label="training")
    steps = [entry["step"] for entry in evaluations]
    for name in evaluations[-1]:
        if name.startswith("eval_loss"):
            label = name.removeprefix("eval_loss").strip("_") or "full length"
            axes.plot(steps, [entry[name] for entry in evaluations], marker="o", label=f"validation, {label}")
    axes.set(xlabel="step", ylabel="masked-token loss (nats)")
    axes.legend()
    figure.savefig(path, dpi=150)


def write_card(
    arguments: PretrainArguments, training_args: "TrainingArguments", results: dict[str, Any], steps: int
) -> Path | None:
    """Write the model card beside the model: where it comes from, how to load it, and the scores of this run.

    A run that only evaluates renews the scores of a card that is there.
    """
    from huggingface_hub import ModelCardData

    folder = Path(str(training_args.output_dir))
    name = arguments.model_name or training_args.hub_model_id or folder.resolve().name
    text = public_path(str(arguments.dataset_name or arguments.train_file_path or arguments.val_file_path))
    scored = _eval_results(arguments, text, results.get("after", {}))
    score_text = f"```text\n{_table(results)}\n```" if results else "<!-- not evaluated in this run -->"
    if results:
        score_text = f"The run and its losses: `{RESULTS}`.\n\n{score_text}"
    if not training_args.do_train:
        return cards.renew_section(folder / cards.CARD, "Scores", score_text, scored)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="fill-mask",
        base_model_relation="finetune",
        tags=["longformer", "long-context"],
        model_name=name if scored else None,
        eval_results=scored or None,
        **origin_of(arguments.model_name_or_path, arguments.revision),
    )
    return cards.write_card(
        folder,
        data,
        TEMPLATE,
        name=name,
        max_pos=arguments.max_pos,
        start=public_path(arguments.model_name_or_path),
        text=text,
        score_text=score_text,
        command=shlex.join(["accelerate", "launch", "training/pretrain.py", *public_words(sys.argv[1:])]),
        steps=steps,
        seed=training_args.seed,
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate")),
    )


def _eval_results(arguments: PretrainArguments, text: str, after: dict[str, Any]) -> list[Any]:
    """Loss and perplexity at full length as the Hub shows them."""
    metrics = {name: after[f"eval_{name}"] for name in ("loss", "perplexity") if f"eval_{name}" in after}
    dataset = {
        "type": arguments.dataset_name or "text",
        "name": text,
        "split": arguments.validation_split if arguments.dataset_name else "validation",
    }
    if arguments.dataset_config:
        dataset["config"] = arguments.dataset_config
    return cards.eval_results("fill-mask", {**dataset, "type": public_path(dataset["type"])}, metrics)
