"""Past one machine: what the cost model says of runs that were made, and of runs on GPUs.

    python -m benchmarks.scaling check      # the steps of docs/pretraining.json, measured by benchmarks/pretraining.py
    python -m benchmarks.scaling predict    # XLM-R base and large, 1, 8 and 64 GPUs, beside the thesis

`check` prints the rate that each measured step implies and the memory that the model says: where the rates of different
ways agree, and the memory does, the counts are right. `predict` assumes 35% of the data sheet's bf16 rate.
"""

from pathlib import Path
from typing import Any

from benchmarks.cost_model import (
    ROBERTA_BASE,
    XLMR_BASE,
    XLMR_LARGE,
    Device,
    Model,
    activation_bytes,
    ddp_bytes,
    fsdp_bytes,
    head_bytes,
    notebook_flops,
    run_seconds,
    state_bytes,
    training_flops,
)
from foundation.cli import command_parser, run
from foundation.files import read_json

DAY = 86_400
UPDATES, SEQUENCES, LENGTH, WINDOW = 6000, 64, 4096, 512
THESIS_DAYS = {"RoBERTa base": 5 + 13 / 24, "XLM-R base": 6 + 22 / 24}
# From data sheets: dense bf16 FLOP/s, NVLink bytes/s in one direction, network bytes/s for each GPU. The network has
# 200 Gbit/s for each A100, and 400 for each H100.
SHEETS = {
    "A100 80 GB": (312e12, 300e9, 25e9),
    "H100 80 GB": (989e12, 450e9, 50e9),
}


def main() -> None:
    """Print the tables of one mode."""
    parser = command_parser(
        description=str(__doc__).split("\n")[0], example="python -m benchmarks.scaling predict --utilisation 0.25"
    )
    parser.add_argument("mode", choices=("check", "predict"), help="what to print")
    parser.add_argument(
        "--utilisation", type=float, default=0.35, help="share of the data sheet's rate that is reached"
    )
    parser.add_argument("--steps", type=Path, default=Path("docs/pretraining.json"), help="figures of pretraining.py")
    args = parser.parse_args()
    if args.mode == "check":
        check(args.steps)
    else:
        predict(args.utilisation)


def check(steps: Path) -> None:
    """Rates that measured steps imply: one machine, so the model is right where they agree."""
    figures: dict[str, Any] = read_json(steps, "--steps", dict)["step"]
    layers, length = figures["setting"]["layers"], figures["setting"]["length"]
    width = figures["setting"].get("width", 768)
    model = Model("measured", layers, width, 4 * width, 12, figures["vocab_size"], length + 2)
    on_cpu = figures["setting"].get("device", "cpu") == "cpu"
    counts = {
        "notebook": notebook_flops(model, length, WINDOW),
        "ours": training_flops(model, length, WINDOW, on_cpu=on_cpu),
    }
    print(
        "| way | GFLOP a step | seconds | GFLOP/s | peak MiB measured | MiB by the model |\n|---|---|---|---|---|---|"
    )
    states, kept = state_bytes(model), activation_bytes(model, length, mixed=not on_cpu)
    logits = 4 * length * figures["vocab_size"]
    # The notebook's peak is in backward. It holds the log-softmax and two gradients, and no more the logits.
    memory = {"notebook": states + kept + 3 * logits, "ours": states + kept + head_bytes(model)}
    for way, flops in counts.items():
        measured = figures["figures"][way]
        print(
            f"| {way} | {flops / 1e9:.0f} | {measured['seconds']:.2f} | {flops / measured['seconds'] / 1e9:.0f} "
            f"| {measured['peak_mb']:.0f} | {memory[way] / 2**20:.0f} |"
        )


def predict(utilisation: float) -> None:
    """Hours of the recipe, memory and traffic, by model, GPU and number of GPUs."""
    print("| model | parameters | GFLOP a sequence, ours | notebook's way | thesis, days on 48 GB | TFLOP/s of that |")
    print("|---|---|---|---|---|---|")
    for model in (ROBERTA_BASE, XLMR_BASE, XLMR_LARGE):
        days = THESIS_DAYS.get(model.name)
        ours, notebook = training_flops(model, LENGTH, WINDOW), notebook_flops(model, LENGTH, WINDOW)
        thesis = f"{days:.1f} | {UPDATES * SEQUENCES * notebook / days / DAY / 1e12:.1f}" if days else "- | -"
        print(f"| {model.name} | {model.parameters / 1e6:.0f} M | {ours / 1e9:.0f} | {notebook / 1e9:.0f} | {thesis} |")
    print(
        "\n| model | device | hours on 1 | on 8 | on 64 | tokens/s a GPU on 1 | on 64 |\n|---|---|---|---|---|---|---|"
    )
    for model in (ROBERTA_BASE, XLMR_BASE, XLMR_LARGE):
        for name, (flops, link, network) in SHEETS.items():
            device = Device(name, flops * utilisation, link, network)
            seconds = {n: run_seconds(model, device, n, steps=UPDATES, sequences=SEQUENCES) for n in (1, 8, 64)}
            rate = {n: UPDATES * SEQUENCES * LENGTH / seconds[n] / n for n in seconds}
            hours = " | ".join(f"{seconds[n] / 3600:.2f}" for n in seconds)
            print(f"| {model.name} | {name} | {hours} | {rate[1]:,.0f} | {rate[64]:,.0f} |")
    print("\n| model | states, GiB | activations of a sequence, fp32 | bf16 | bf16, checkpointing | loss |")
    print("|---|---|---|---|---|---|")
    for model in (ROBERTA_BASE, XLMR_BASE, XLMR_LARGE):
        kept = [
            activation_bytes(model, LENGTH, mixed=mixed, checkpointing=checkpointing)
            for mixed, checkpointing in ((False, False), (True, False), (True, True))
        ]
        numbers = " | ".join(f"{size / 2**30:.1f}" for size in (state_bytes(model), *kept, head_bytes(model)))
        print(f"| {model.name} | {numbers} |")
    print("\n| model | DDP on 8: sent an update, GiB | FSDP on 8, 1 x 8: GiB | states by FSDP on 8, GiB |")
    print("|---|---|---|---|")
    for model in (XLMR_BASE, XLMR_LARGE):
        sent = ddp_bytes(model, 8), fsdp_bytes(model, 8, SEQUENCES // 8), state_bytes(model, 8)
        print(f"| {model.name} | " + " | ".join(f"{size / 2**30:.2f}" for size in sent) + " |")


if __name__ == "__main__":
    run(main)
