"""What a pre-training run leaves for people: a table on the screen, JSON and a plot on disk, a commit on the Hub."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foundation.files import write_atomically
from training.runs.pushing import hub_id
from training.runs.pushing import publish as push_output

from .arguments import PretrainArguments

MEASURES = ("loss", "perplexity", "bits_per_byte")


def report(
    log_history: list[dict[str, Any]], step: int, this_run: dict[str, Any], training_args: Any
) -> dict[str, Any]:
    """Print and write the first evaluation and that of the weights of `step`, which were saved.

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
    content = {**results, "evaluations": evaluations, "losses": losses, "run": this_run, "versions": versions}
    write_atomically(output_dir / "pretrain_results.json", json.dumps(content, indent=2))
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


def publish(arguments: PretrainArguments, training_args: Any, results: dict[str, Any]) -> str:
    """Write the card beside the trained model and push both; returns a sentence with the address."""
    write_atomically(Path(str(training_args.output_dir)) / "README.md", card(arguments, results))
    return push_output(training_args, f"MLM of {arguments.model_name_or_path} at {arguments.max_pos} tokens")


def card(arguments: PretrainArguments, results: dict[str, Any]) -> str:
    """The model card: where the model comes from, how to load it, and the table of this run."""
    base_id = hub_id(arguments.model_name_or_path)
    base = f"base_model: {base_id}\n" if base_id else ""
    scores = f" The run and its losses: `pretrain_results.json`.\n\n```text\n{_table(results)}\n```" if results else ""
    text = arguments.dataset_name or Path(str(arguments.train_file_path)).name
    return f"""---
{base}library_name: transformers
pipeline_tag: fill-mask
tags: [longformer, long-context]
---

# {arguments.model_name or "A long encoder"}

A native Longformer of {arguments.max_pos} tokens: `{arguments.model_name_or_path}` after masked-language modelling on
`{text}`. `AutoModelForMaskedLM` loads it without remote code.{scores}
"""
