"""Time and memory of an encoder on long inputs: native Longformer, ours, and what one would use instead.

    python -m benchmarks.attention --modes training forward --lengths 4096
    python -m benchmarks.attention --modes forward --lengths 128 512 1024 2048 4096 8192 16384
    python -m benchmarks.attention --modes training forward --lengths 4096 --dtype bfloat16
    python -m benchmarks.attention --modes training --lengths 512 4096 --width 384 --layers 12 --systems ours floor
    python -m benchmarks.attention --modes memory --lengths 4096
    python -m benchmarks.attention --device cuda --batch_size 8 --dtype bfloat16 --systems native ours
    python -m benchmarks.attention --modes forward-parts training-parts --layers 1
    python -m benchmarks.attention --modes report

Within a run the systems take turns, so that a slow minute of the machine meets all of them; a figure is the median over
the repeats. Every run adds its figures to one JSON file, in the place of older ones of the same kind; `report`
draws it and writes its tables into the page beside it.

    native      transformers' LongformerModel, window 512
    ours        the same model after conversion.attention.use_fast_attention
    full        the source architecture (RoBERTa) with stretched positions, scaled_dot_product_attention
    modernbert  ModernBERT of the same width and number of layers, scaled_dot_product_attention
    floor       the six linear maps of every layer and nothing else

The two modes of parts take one layer of ours apart: what each part costs when it runs alone.
"""

import argparse
import contextlib
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from foundation.cli import command_parser, run
from foundation.files import write_atomically

SYSTEMS = ("native", "ours", "full", "modernbert", "floor")
MODES = ("count", "training", "forward", "memory", "forward-parts", "training-parts", "report")
UNITS = {"count": "flop", "memory": "bytes"}
UNUSUAL = {"batch_size": 1, "device": "cpu"}  # part of a setting where they are something else
SHOWN = {"flop": ("GFLOP", 1e9, 0), "bytes": ("MB", 1e6, 0), "seconds": ("seconds", 1, 3)}


def main() -> None:
    """Run the modes asked for, in order."""
    args = parse_args()
    for mode in args.modes:
        if mode == "report":
            print(f"wrote {plot(args.output)} and {write_tables(args.output)}")
            continue
        for length in args.lengths:
            setting = {"mode": mode, "length": length} | {k: getattr(args, k) for k in ("dtype", "width", "layers")}
            setting |= {k: v for k, usual in UNUSUAL.items() if (v := getattr(args, k)) != usual}
            measure = parts if mode.endswith("parts") else {"memory": peak_bytes, "count": flops}.get(mode, seconds)
            figures = measure(args, setting)
            record(args.output, setting | {"globals": args.globals, "dropout": args.dropout}, figures)
            print(table(setting, figures), flush=True)


def parse_args() -> argparse.Namespace:
    parser = command_parser(
        description=__doc__.split("\n")[0],
        example="python -m benchmarks.attention --modes training forward --lengths 4096",
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["training", "forward"], help="what to measure")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="what takes part")
    parser.add_argument("--lengths", nargs="+", type=int, default=[4096], help="tokens of the input")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="bfloat16 is by autocast")
    parser.add_argument("--width", type=int, default=768, help="hidden size; 12 heads, feed-forward of four widths")
    parser.add_argument("--batch_size", type=int, default=1, help="inputs at a time; a GPU wants some")
    parser.add_argument("--layers", type=int, default=3, help="number of layers")
    parser.add_argument("--globals", type=int, default=16, help="global tokens, at the start")
    parser.add_argument("--dropout", type=float, default=0.0, help="dropout everywhere (training)")
    parser.add_argument("--repeats", type=int, default=5, help="measured rounds, after one round to warm up")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, …")
    parser.add_argument("--output", type=Path, default=Path("docs/performance.json"), help="the figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # memory: the one system that this process measures
    return parser.parse_args()


def build(system: str, args: argparse.Namespace, length: int):
    """A randomly initialised encoder and its inputs; the model's forward returns last_hidden_state first."""
    import torch
    import transformers

    from conversion.attention import use_fast_attention

    torch.manual_seed(0)
    sizes = {
        "vocab_size": 1000,
        "hidden_size": args.width,
        "num_hidden_layers": args.layers,
        "num_attention_heads": 12,
        "pad_token_id": 1,
    }
    bert_like = {
        "intermediate_size": 4 * args.width,
        "max_position_embeddings": length + 2,
        "hidden_dropout_prob": args.dropout,
        "attention_probs_dropout_prob": args.dropout,
    }
    inputs = {
        "input_ids": torch.randint(2, 1000, (args.batch_size, length)),
        "attention_mask": torch.ones(args.batch_size, length, dtype=torch.long),
    }
    if system in ("native", "ours"):
        config = transformers.LongformerConfig(**sizes, **bert_like, attention_window=512)
        model = transformers.LongformerModel(config, add_pooling_layer=False)
        inputs["global_attention_mask"] = (torch.arange(length) < args.globals).long().repeat(args.batch_size, 1)
        if system == "ours":
            use_fast_attention(model)
    elif system == "full":
        config = transformers.RobertaConfig(**sizes, **bert_like, attn_implementation="sdpa")
        model = transformers.RobertaModel(config, add_pooling_layer=False)
    elif system == "modernbert":
        config = transformers.ModernBertConfig(
            **sizes,
            intermediate_size=args.width * 3 // 2,
            max_position_embeddings=length,
            attention_dropout=args.dropout,
            mlp_dropout=args.dropout,
            embedding_dropout=args.dropout,
            attn_implementation="sdpa",
            **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
        )
        model = transformers.ModernBertModel(config)
    else:
        model = Floor(args.width, args.layers)
        inputs = {"hidden_states": torch.randn(args.batch_size, length, args.width)}
    device = torch.device(args.device)
    return model.to(device), {name: value.to(device) for name, value in inputs.items()}


def Floor(width: int, layers: int):  # noqa: N802
    """The linear maps of an encoder, one after the other: four square ones, up, and down, in every layer."""
    from torch import nn

    class Linears(nn.Sequential):
        def forward(self, hidden_states):
            return (super().forward(hidden_states),)

    shapes = [(1, 1)] * 4 + [(1, 4), (4, 1)]
    return Linears(*(nn.Linear(i * width, o * width) for _ in range(layers) for i, o in shapes))


def step(model, inputs: dict, mode: str, dtype: str) -> None:
    """One forward, or one forward and backward; the gradients replace the last step's."""
    import torch

    training = mode != "forward"
    model.train(training)
    model.zero_grad()
    device = next(model.parameters()).device.type
    autocast = torch.autocast(device, torch.bfloat16) if dtype == "bfloat16" else contextlib.nullcontext()
    with torch.set_grad_enabled(training), autocast:
        output = model(**inputs)[0]
    if training:
        output.float().square().mean().backward()
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(args: argparse.Namespace, setting: dict) -> dict[str, float]:
    """Median seconds of a step, by system; the systems take turns."""
    built = {system: build(system, args, setting["length"]) for system in args.systems}
    mode, dtype = setting["mode"], setting["dtype"]
    return medians({name: partial(step, *built[name], mode, dtype) for name in built}, args.repeats)


def medians(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each call over the rounds; the calls take turns, and the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def parts(args: argparse.Namespace, setting: dict) -> dict[str, float]:
    """Median seconds of one layer of ours, of its linear maps, and of its other parts, each alone."""
    import torch

    from conversion.attention.banded import banded_attention, make_plan

    if args.dtype != "float32":
        sys.exit(f"The parts are measured in float32, not in {args.dtype}.")
    length, width = setting["length"], args.width
    model, inputs = build("ours", args, length)
    layer = model.encoder.layer[0]
    attention, activation, norm = layer.attention, layer.intermediate.intermediate_act_fn, layer.output.LayerNorm
    window = attention.self.one_sided_attn_window_size
    mask = inputs["attention_mask"] + inputs["global_attention_mask"]
    plan = make_plan(mask, mask.shape, [window], mask.device, walk=mask.device.type == "cpu")
    training = setting["mode"].startswith("training")
    shapes = {"hidden": (width,), "wide": (4 * width,)} | dict.fromkeys(("query", "key", "value"), (12, width // 12))
    x = {
        name: torch.randn(args.batch_size, length, *shape, device=args.device, requires_grad=training)
        for name, shape in shapes.items()
    }
    heads = x["query"], x["key"], x["value"]
    linears, rows_of = Floor(width, 1).to(args.device), plan.global_tokens.positions
    parts = {
        "ours": lambda: layer(x["hidden"], attention_mask=plan)[0],
        "floor": lambda: linears(x["hidden"])[0],
        "band": lambda: banded_attention(*heads, plan, window, 0.0),
        "global rows": lambda: attention.self._global_rows(x["hidden"], rows_of, plan.padding, 0.0),
        "activation": lambda: activation(x["wide"]),
        "two norms and residuals": lambda: norm(norm(x["hidden"] + x["hidden"]) + x["hidden"]),
    }
    everything = *x.values(), *layer.parameters(), *linears.parameters()

    def run(part: Callable[[], torch.Tensor]) -> None:
        for tensor in everything:
            tensor.grad = None
        with torch.set_grad_enabled(training):
            output = part()
        if training:
            output.backward(torch.ones_like(output))

    return medians({name: partial(run, part) for name, part in parts.items()}, args.repeats)


def flops(args: argparse.Namespace, setting: dict) -> dict[str, float]:
    """Floating-point operations of the matrix products of a training step, by system, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = {}
    for system in args.systems:
        model, inputs = build(system, args, setting["length"])
        with FlopCounterMode(display=False) as counter:
            step(model, inputs, "training", setting["dtype"])
        counts[system] = float(counter.get_total_flops())
    return counts


def peak_bytes(args: argparse.Namespace, setting: dict) -> dict[str, float]:
    """Peak memory of a training step over weights and gradients, by system; one process each."""
    if args.child:
        print(_peak_here(args, setting))
        sys.exit()
    peaks = {}
    for system in args.systems:
        command = [
            sys.executable,
            *sys.argv,
            "--lengths",
            str(setting["length"]),
            "--modes",
            "memory",
            "--child",
            system,
        ]
        peaks[system] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return peaks


def _peak_here(args: argparse.Namespace, setting: dict) -> float:
    import torch

    model, inputs = build(args.child, args, setting["length"])
    cuda = args.device.startswith("cuda")
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # the gradients' room is not counted
    if cuda:
        before = torch.cuda.memory_allocated()
    else:
        status = Path("/proc/self/status").read_text()
        before = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024
    step(model, inputs, "training", setting["dtype"])
    return (
        torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ) - before


def table(setting: dict, figures: dict[str, float]) -> str:
    """The figures of one setting, one system a row, beside their ratio to ours."""
    unit, divisor, digits = SHOWN[UNITS.get(setting["mode"], "seconds")]
    head = " ".join(f"{key}={value}" for key, value in setting.items())
    rows = [head, f"{'system':12}{unit:>10}{'to ours':>10}{'to floor':>10}"]
    for system, value in figures.items():
        ratios = (f"{value / figures[key]:.2f}x" if key in figures else "" for key in ("ours", "floor"))
        rows.append(f"{system:12}{value / divisor:>10.{digits}f}" + "".join(f"{ratio:>10}" for ratio in ratios))
    return "\n".join(rows)


def record(output: Path, setting: dict, figures: dict[str, float]) -> None:
    """Put the figures into the JSON file, in the place of those of the same setting."""
    import torch
    import transformers

    machine = {
        "processor": torch.cuda.get_device_name() if setting.get("device", "").startswith("cuda") else processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    rows = json.loads(output.read_text()) if output.exists() else []
    rows = [row for row in rows if row["setting"] != setting] + [
        {
            "setting": setting,
            "unit": UNITS.get(setting["mode"], "seconds"),
            "figures": figures,
            "machine": machine,
        }
    ]
    rows.sort(key=lambda row: [str(v).zfill(6) for v in row["setting"].values()])
    write_atomically(output, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def processor() -> str:
    """The processor's name where the system tells it."""
    # Twin of machine.processor: run as a script, this file cannot import its package.
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def plot(source: Path) -> Path:
    """Draw seconds against length beside the JSON file; grey on nothing, so that it reads on light and dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = [row for row in json.loads(source.read_text()) if row["unit"] == "seconds" and row["setting"]["layers"] == 3]
    rows = [row for row in rows if not UNUSUAL.keys() & row["setting"].keys()]
    kinds = [(row["setting"]["mode"], row["setting"]["dtype"]) for row in rows]
    panels = sorted(kind for kind in set(kinds) if kinds.count(kind) > 1)  # one length makes no curve
    grey = "#808890"
    colours = {
        "text.color": grey,
        "axes.labelcolor": grey,
        "axes.edgecolor": grey,
        "xtick.color": grey,
        "ytick.color": grey,
    }
    with pyplot.rc_context(colours | {"font.size": 11, "axes.facecolor": "none", "svg.hashsalt": "attention"}):
        figure, axes = pyplot.subplots(1, len(panels), figsize=(4.5 * len(panels), 4), squeeze=False)
        for axis, panel in zip(axes[0], panels, strict=True):
            shown = [row for row in rows if (row["setting"]["mode"], row["setting"]["dtype"]) == panel]
            shown.sort(key=lambda row: row["setting"]["length"])
            for system, colour in zip(SYSTEMS, ("#d95f5f", "#3b8eea", "#e09a2b", "#9b6bdf", grey), strict=True):
                points = [
                    (row["setting"]["length"], row["figures"][system]) for row in shown if system in row["figures"]
                ]
                axis.loglog(*zip(*points, strict=True), "o-", base=2, color=colour, label=system)
            axis.set(title=", ".join(panel), xlabel="tokens", ylabel="seconds")
            axis.grid(color=grey, alpha=0.25)
        axes[0][0].legend(frameon=False)
        figure.tight_layout()
        target = source.with_suffix(".svg")
        figure.savefig(target, transparent=True, metadata={"Date": None})
    return target


def write_tables(source: Path) -> Path:
    """Write the figures as tables at the end of the page beside the JSON file, after its mark: a line a length."""
    rows = json.loads(source.read_text())
    tables: dict[str, list[dict]] = {}
    for row in rows:
        setting = row["setting"]
        title = f"{setting['mode']}, {setting['dtype']}, width {setting['width']}, layers {setting['layers']}"
        title += "".join(f", {name} {setting[name]}" for name in UNUSUAL if name in setting)
        tables.setdefault(f"**{title}**, {SHOWN[row['unit']][0]} (times ours)", []).append(row)
    lines = []
    for title, shown in tables.items():
        _, divisor, digits = SHOWN[shown[0]["unit"]]
        names = list(shown[0]["figures"])
        lines += ["", title, "", f"| tokens | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for row in sorted(shown, key=lambda row: row["setting"]["length"]):
            ours = row["figures"]["ours"]
            cells = [f"{row['figures'][n] / divisor:,.{digits}f} ({row['figures'][n] / ours:.2f})" for n in names]
            lines.append(f"| {row['setting']['length']:,} | {' | '.join(cells)} |")
    machines = {json.dumps(row["machine"]) for row in rows}
    lines += ["", *(f"Machine: {', '.join(f'{k} {v}' for k, v in json.loads(m).items())}." for m in sorted(machines))]
    target = source.with_suffix(".md")
    page, mark, _ = target.read_text().partition("<!-- written by benchmarks/attention.py -->\n")
    write_atomically(target, page + mark + "\n".join(lines) + "\n")
    return target


if __name__ == "__main__":
    run(main)
