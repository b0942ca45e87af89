"""Time and memory of an encoder on long inputs: native Longformer, ours, and what one would use instead.

    python -m benchmarks.attention --modes training forward --lengths 4096
    python -m benchmarks.attention --modes forward --lengths 128 512 1024 2048 4096 8192 16384
    python -m benchmarks.attention --modes training forward --lengths 4096 --dtype bfloat16
    python -m benchmarks.attention --modes training --lengths 512 4096 --width 384 --layers 12 --systems ours floor
    python -m benchmarks.attention --modes memory --lengths 4096
    python -m benchmarks.attention --device cuda --tokens 32768 --lengths 512 4096 16384 --dtype bfloat16 --layers 12
    python -m benchmarks.attention --modes forward-parts training-parts --layers 1
    python -m benchmarks.attention --modes report --output docs/performance.json

Within a run the systems take turns, so that a slow minute of the machine meets all of them; a figure is the least over
the repeats, after rounds that are not counted: the first touches of memory are slow, on virtual machines ten times so.
Every run adds its figures to one JSON file, in the place of older ones of the same kind; `report` draws it and writes
its tables into the page beside it. On a GPU every run also gives the peak memory, tokens a second, and the length from
which ours is faster than full attention. What does not fit in memory is left out and named.

    native      transformers' LongformerModel, window 512
    ours        the same model after conversion.attention.use_fast_attention
    compiled    the same after use_fast_attention(model, compile=True)
    graphs      ours as a whole under torch.compile(mode="reduce-overhead"): CUDA graphs, compiled for each length
    full        the source architecture (RoBERTa) with stretched positions, scaled_dot_product_attention, and no mask:
                on a GPU the flash kernel
    masked      the same with the mask that transformers makes when one token is padding
    modernbert  ModernBERT of the same width and number of layers, scaled_dot_product_attention
    floor       the six linear maps of every layer and nothing else

The two modes of parts take one layer of ours apart: what each part costs when it runs alone.
"""

import argparse
import contextlib
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.machine import processor
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

SYSTEMS = ("native", "ours", "full", "modernbert", "floor")
MORE = ("compiled", "graphs", "masked")
MODES = ("count", "training", "forward", "memory", "forward-parts", "training-parts", "report")
UNITS = {"count": "flop", "memory": "bytes", "memory of training": "bytes", "memory of forward": "bytes"}
UNUSUAL = {"batch_size": 1, "tokens": None, "device": "cpu"}  # part of a setting only if they differ from these values
SHOWN = {"flop": ("GFLOP", 1e9, 0), "bytes": ("MB", 1e6, 0), "seconds": ("seconds", 1, 3)}


def main() -> None:
    """Run the modes asked for, in order."""
    args = parse_args()
    for mode in args.modes:
        if mode == "report":
            print(f"wrote {write_tables(args.output)} and {plot(args.output)}")
            continue
        for length in args.lengths:
            setting = {"mode": mode, "length": length} | {k: getattr(args, k) for k in ("dtype", "width", "layers")}
            setting |= {k: v for k, usual in UNUSUAL.items() if (v := getattr(args, k)) != usual}
            measure = parts if mode.endswith("parts") else {"memory": peak_bytes, "count": flops}.get(mode, seconds)
            figures = measure(args, setting)
            memory = figures.pop("memory", {})
            for key, values in ((setting, figures), (setting | {"mode": f"memory of {mode}"}, memory)):
                if values:
                    record(args.output, key | {"globals": args.globals, "dropout": args.dropout}, values)
                    print(table(key, values), flush=True)
    if args.device != "cpu":
        print(rates(json.loads(args.output.read_text())))


def parse_args() -> argparse.Namespace:
    parser = command_parser(
        description=__doc__.split("\n")[0],
        example="python -m benchmarks.attention --modes training forward --lengths 4096",
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["training", "forward"], help="what to measure")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS + MORE, default=list(SYSTEMS), help="what takes part")
    parser.add_argument("--lengths", nargs="+", type=int, default=[4096], help="tokens of the input")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="bfloat16 is by autocast")
    parser.add_argument("--width", type=int, default=768, help="hidden size; 12 heads, feed-forward of four widths")
    parser.add_argument("--batch_size", type=int, default=1, help="inputs at a time; a GPU wants some")
    parser.add_argument("--tokens", type=int, help="tokens a batch at every length, in the place of --batch_size")
    parser.add_argument("--layers", type=int, default=3, help="number of layers")
    parser.add_argument("--globals", type=int, default=16, help="global tokens, at the start")
    parser.add_argument("--dropout", type=float, default=0.0, help="dropout everywhere (training)")
    parser.add_argument("--repeats", type=int, default=10, help="measured rounds, of which the least counts")
    parser.add_argument("--warmup", type=int, default=3, help="rounds before those")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, …")
    parser.add_argument("--output", type=Path, default=Path("runs/performance.json"), help="the figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # the one system whose memory this process measures
    args = parser.parse_args()
    import torch

    if args.device != "cpu" and not (args.device.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(f"--device {args.device}: torch finds no such device here; leave it out to measure on the CPU")
    if (
        args.device != "cpu"
        and args.dtype == "bfloat16"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise UserError(f"--dtype bfloat16: {torch.cuda.get_device_name()} does not compute in it; take float32")
    return args


def batch_size(args: argparse.Namespace, length: int) -> int:
    return args.batch_size if args.tokens is None else max(1, args.tokens // length)


def build(system: str, args: argparse.Namespace, length: int):
    """A randomly initialised encoder and its inputs; the model's forward returns last_hidden_state first."""
    import torch
    import transformers

    from conversion.attention import use_fast_attention

    torch.manual_seed(0)
    batch = batch_size(args, length)
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
        "input_ids": torch.randint(2, 1000, (batch, length)),
        "attention_mask": torch.ones(batch, length, dtype=torch.long),
    }
    if system in ("native", "ours", "compiled", "graphs"):
        config = transformers.LongformerConfig(**sizes, **bert_like, attention_window=512)
        model = transformers.LongformerModel(config, add_pooling_layer=False)
        inputs["global_attention_mask"] = (torch.arange(length) < args.globals).long().repeat(batch, 1)
        if system != "native":
            use_fast_attention(model, compile=system == "compiled")
        if system == "graphs":
            model.compile(mode="reduce-overhead")
    elif system in ("full", "masked"):
        config = transformers.RobertaConfig(**sizes, **bert_like, attn_implementation="sdpa")
        model = transformers.RobertaModel(config, add_pooling_layer=False)
        if system == "masked":
            inputs["input_ids"][0, -1], inputs["attention_mask"][0, -1] = 1, 0
        else:
            del inputs["attention_mask"]
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
        inputs = {"hidden_states": torch.randn(batch, length, args.width)}
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


def seconds(args: argparse.Namespace, setting: dict) -> dict:
    """Least seconds of a step, by system, and on a GPU its peak bytes under "memory"; the systems take turns."""
    import torch

    mode, dtype = setting["mode"], setting["dtype"]
    calls: dict[str, Callable[[], None]] = {}
    memory: dict[str, float] = {}
    for system in args.systems:
        try:
            call = partial(step, *build(system, args, setting["length"]), mode, dtype)
            if args.device != "cpu":
                call()  # the first call compiles, which takes memory too
                before = torch.cuda.memory_allocated()
                torch.cuda.reset_peak_memory_stats()
                call()
                memory[system] = float(torch.cuda.max_memory_allocated() - before)
            calls[system] = call
        except torch.OutOfMemoryError:
            print(f"{system} does not fit at {setting['length']} tokens", file=sys.stderr)
            torch.cuda.empty_cache()
    times = least(calls, args.repeats, args.warmup)
    return {**times, "memory": memory} if memory else times


def least(calls: dict[str, Callable[[], None]], repeats: int, warmup: int) -> dict[str, float]:
    """Least seconds of each call over the rounds; the calls take turns, and the first rounds are not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warmup + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: min(values[warmup:]) for name, values in times.items()}


def parts(args: argparse.Namespace, setting: dict) -> dict[str, float]:
    """Least seconds of one layer of ours, of its linear maps, and of its other parts, each alone."""
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
    plan = make_plan(mask, mask.shape, [window], mask.device, "walk" if mask.device.type == "cpu" else "kernel")
    training = setting["mode"].startswith("training")
    shapes = {"hidden": (width,), "wide": (4 * width,)} | dict.fromkeys(("query", "key", "value"), (12, width // 12))
    x = {
        name: torch.randn(batch_size(args, length), length, *shape, device=args.device, requires_grad=training)
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

    def differentiate(part: Callable[[], torch.Tensor]) -> None:
        for tensor in everything:
            tensor.grad = None
        with torch.set_grad_enabled(training):
            output = part()
        if training:
            output.backward(torch.ones_like(output))

    return least({name: partial(differentiate, part) for name, part in parts.items()}, args.repeats, args.warmup)


def flops(args: argparse.Namespace, setting: dict) -> dict[str, float]:
    """Floating-point operations of the matrix products of a training step, by system, as torch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop, sdpa_flop

    # Torch's counter knows the attention of GPUs; the CPU's is in none of its tables, and would count nothing.
    formulas = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
    }
    counts = {}
    for system in args.systems:
        model, inputs = build(system, args, setting["length"])
        counter = FlopCounterMode(display=False)
        counter.flop_registry |= formulas
        with counter:
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
            "-m",
            "benchmarks.attention",
            *sys.argv[1:],
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
        parameter.grad = torch.ones_like(parameter)  # made now, so that the memory of gradients is not counted
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


def rates(rows: list[dict]) -> str:
    """Tokens a second of the GPU's rows, and the length from which ours overtakes full attention."""
    lines = []
    kinds: dict[tuple, list[dict]] = {}
    for row in rows:
        setting = row["setting"]
        if setting.get("device") and row["unit"] == "seconds" and not setting["mode"].endswith("parts"):
            kind = (setting["mode"], setting["dtype"], setting["width"], setting["layers"], setting["globals"])
            kinds.setdefault((*kind, setting.get("tokens")), []).append(row)
    for kind, of_kind in kinds.items():
        lines.append(", ".join(str(part) for part in kind) + ": thousand tokens a second")
        for row in sorted(of_kind, key=lambda row: row["setting"]["length"]):
            length, tokens = row["setting"]["length"], row["setting"].get("tokens")
            each = max(tokens, length) if tokens else row["setting"].get("batch_size", 1) * length
            speeds = (f"{name} {each / value / 1000:,.0f}" for name, value in row["figures"].items())
            lines.append(f"{length:7,}  {', '.join(speeds)}")
        for rival in ("full", "masked"):
            lines.append(f"overtakes {rival}: {crossover(of_kind, rival)}")
    return "\n".join(lines)


def crossover(rows: list[dict], rival: str) -> str:
    """From what length on ours is the faster, between measured ones by a straight line through logarithms."""
    both = [row for row in rows if {"ours", rival} <= row["figures"].keys()]
    both.sort(key=lambda row: row["setting"]["length"])
    ratios = [(row["setting"]["length"], math.log(row["figures"]["ours"] / row["figures"][rival])) for row in both]
    slower = [number for number, (_, ratio) in enumerate(ratios) if ratio > 0]
    if not ratios or (slower and slower[-1] == len(ratios) - 1):
        return "at no measured length"
    if not slower:
        return f"at every measured length, {ratios[0][0]:,} and more"
    (below, over), (above, under) = ratios[slower[-1]], ratios[slower[-1] + 1]
    share = over / (over - under)
    return f"{round(math.exp(math.log(below) + share * math.log(above / below))):,} tokens"


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
        "figure": "least",
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


def plot(source: Path) -> Path:
    """Draw seconds against length beside the JSON file; grey on nothing, so that it reads on light and dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = [row for row in json.loads(source.read_text()) if row["unit"] == "seconds" and row["setting"]["layers"] == 3]
    rows = [row for row in rows if not UNUSUAL.keys() & row["setting"].keys()]
    kinds = [(row["setting"]["mode"], row["setting"]["dtype"]) for row in rows]
    panels = sorted(kind for kind in set(kinds) if kinds.count(kind) > 1)  # a single length makes no curve
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
            of_kind = [row for row in rows if (row["setting"]["mode"], row["setting"]["dtype"]) == panel]
            of_kind.sort(key=lambda row: row["setting"]["length"])
            for system, colour in zip(SYSTEMS, ("#d95f5f", "#3b8eea", "#e09a2b", "#9b6bdf", grey), strict=True):
                points = [
                    (row["setting"]["length"], row["figures"][system]) for row in of_kind if system in row["figures"]
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
    for title, of_kind in tables.items():
        _, divisor, digits = SHOWN[of_kind[0]["unit"]]
        names = list(dict.fromkeys(name for row in of_kind for name in row["figures"]))
        lines += ["", title, "", f"| tokens | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for row in sorted(of_kind, key=lambda row: row["setting"]["length"]):
            found, ours = row["figures"], row["figures"].get("ours", math.nan)
            cells = [f"{found[n] / divisor:,.{digits}f} ({found[n] / ours:.2f})" if n in found else "-" for n in names]
            lines.append(f"| {row['setting']['length']:,} | {' | '.join(cells)} |")
    machines = {json.dumps(row["machine"]) for row in rows}
    lines += ["", *(f"Machine: {', '.join(f'{k} {v}' for k, v in json.loads(m).items())}." for m in sorted(machines))]
    target = source.with_suffix(".md")
    if not target.is_file():
        raise UserError(
            f"--modes report writes into {str(target)!r}, which is not there: add --output docs/performance.json"
        )
    page, mark, _ = target.read_text().partition("<!-- written by benchmarks/attention.py -->\n")
    write_atomically(target, page + mark + "\n".join(lines) + "\n")
    return target


if __name__ == "__main__":
    run(main)
