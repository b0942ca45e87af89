"""Export a Longformer to ONNX, encoder or head, and check it against PyTorch under onnxruntime.

    python -m conversion.export_onnx long-4096 --output_dir long-4096-onnx
    python -m conversion.export_onnx long-4096 --output_dir long-4096-int8 --precision int8

The graph is that of the fast attention. Batch and length are dynamic: any length up to the model's is taken. Inputs are
int64 (batch, length): `input_ids`, `attention_mask`, `global_attention_mask`, and `token_type_ids` where the model
knows more than one type. An `attention_mask` of 2 means a global token, as in PyTorch. Outputs are named as in PyTorch:
`OUTPUTS` lists them by head.
"""

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, check_apart, check_output_dir
from foundation.model_files import TOKENIZER

from .named import resolve

TOLERANCE = 1e-4
# How far the outputs of the smaller graphs may be off, in shares of the largest output. How their answers change is
# measured by benchmarks/onnx_answers.py.
NEAR = {"float16": 0.02, "int8": 0.5}
LARGEST_OUTPUT = 2**30  # bytes; inputs that give more are checked only on request
LENGTHS = (512, 1024, 4096)
OPSET = 18
REPORT = "onnx_report.json"
WRITTEN = ("model.onnx", "model.onnx.data", "config.json", "generation_config.json", *TOKENIZER, REPORT)
COLUMNS = ("length", "global tokens", "difference", "onnxruntime s", "PyTorch native s", "PyTorch fast s")
OUTPUTS = {
    "LongformerModel": ("last_hidden_state",),
    "LongformerForQuestionAnswering": ("start_logits", "end_logits"),
    "LongformerForSequenceClassification": ("logits",),
    "LongformerForTokenClassification": ("logits",),
    "LongformerForMaskedLM": ("logits",),
}


def export_onnx(
    model_name_or_path: str,
    output_dir: str | Path,
    *,
    lengths: Sequence[int] | None = None,
    precision: str = "float32",
    overwrite: bool = False,
    repeats: int = 1,
) -> list[dict[str, float]]:
    """Write `output_dir`/model.onnx with tokenizer, config and onnx_report.json; whole, checked, or not at all.

    Args:
        model_name_or_path: a Longformer (folder or Hub id) with a head of `OUTPUTS`, or whose encoder is taken.
        lengths: token counts to check, with and without global tokens; by default those of 512, 1,024 and 4,096 that
            the model reads and whose outputs stay below 1 GB.
        precision: "float32"; "float16", half the size, for GPUs; "int8", a quarter, for CPUs (weights by tensor,
            activations as they come).
        repeats: runs whose median is the time in the report.

    Returns:
        The report's rows, one a length and mask: the `COLUMNS`.

    Raises:
        UserError: not a Longformer, or onnxruntime and PyTorch differ by more than 1e-4 (float32) or `NEAR`.
    """
    import torch
    from transformers import AutoTokenizer

    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if absent:
        raise UserError(f"ONNX needs {', '.join(absent)}, not installed here: run `pip install '.[onnx]'`")
    if repeats < 1:
        raise UserError(f"--repeats {repeats} is below 1: give a whole number from 1 up")
    check_apart(output_dir, model_name_or_path)
    target = check_output_dir(output_dir, WRITTEN if overwrite else None, mark=REPORT)
    name = resolve(model_name_or_path)
    check_apart(target, name)
    model, outputs = _load(name, model_name_or_path)
    longest = model.config.max_position_embeddings - model.config.pad_token_id - 1
    lengths = lengths or _lengths(model.config, outputs, longest)
    if not all(1 <= length <= longest for length in lengths):
        raise UserError(f"--lengths {' '.join(map(str, lengths))}: the model reads 1 to {longest} tokens, give such")
    with atomic_folder(target, WRITTEN if overwrite else None, mark=REPORT) as folder:
        print("exporting …", file=sys.stderr)
        _write_graph(model.half() if precision == "float16" else model, outputs, folder / "model.onnx")
        model.float()
        if precision == "int8":
            _quantise(folder / "model.onnx")
        rows = compare(folder / "model.onnx", model, outputs, lengths, repeats, NEAR.get(precision))
        model.config.save_pretrained(folder)
        AutoTokenizer.from_pretrained(name, trust_remote_code=False).save_pretrained(folder)
        report = {"opset": OPSET, "precision": precision, "outputs": outputs}
        report |= {"threads": torch.get_num_threads(), "rows": rows}
        (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return rows


def _load(name: str, given: str) -> tuple[Any, tuple[str, ...]]:
    """The model in float32, and the names of its outputs."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"MODEL {given!r} is neither a model's folder nor a Hub id that can be read: check it"
        ) from error
    if config.model_type != "longformer":
        raise UserError(f"MODEL {given!r} is a {config.model_type}, not a longformer: convert it first")
    architecture = (config.architectures or ["LongformerModel"])[0]
    if architecture not in OUTPUTS:
        print(f"note: the head of {architecture} is left out, the encoder is exported", file=sys.stderr)
        architecture = "LongformerModel"
    if getattr(config, "second_look", 0):
        print(
            f"note: the graph reads once, and this model was trained to look at {config.second_look} places again: run "
            "it twice, as training/qa/second_look.py does",
            file=sys.stderr,
        )
    options = {"add_pooling_layer": False} if architecture == "LongformerModel" else {}
    model = getattr(transformers, architecture).from_pretrained(name, **options)
    return model.float().eval(), OUTPUTS[architecture]


def _lengths(config: Any, outputs: Sequence[str], longest: int) -> list[int]:
    """The default lengths that the model reads and whose logits over the vocabulary, if it has such, fit."""
    is_masked_lm = (config.architectures or [""])[0] == "LongformerForMaskedLM"
    width = config.vocab_size if is_masked_lm and "logits" in outputs else config.hidden_size
    fitting = [length for length in LENGTHS if length <= longest and 4 * width * length <= LARGEST_OUTPUT]
    return fitting or [min(longest, LENGTHS[0])]


def _write_graph(model: Any, outputs: Sequence[str], path: Path) -> None:
    """The graph of the fast attention, for inputs of any batch and length."""
    import torch

    from .attention import use_fast_attention, use_native_attention

    class Exportable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found = self.model(**dict(zip(example, inputs, strict=True)))
            return tuple(found[name].float() for name in outputs)

    example = make_inputs(model.config, 3 * max(*model.config.attention_window, 16) // 2 + 5, every=7, batch=2)
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    use_fast_attention(model)
    program = torch.onnx.export(
        Exportable().eval(),
        tuple(example.values()),
        dynamo=True,
        dynamic_shapes=(tuple(any_size for _ in example),),
        input_names=list(example),
        output_names=outputs,
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    use_native_attention(model)
    size = sum(parameter.nbytes for parameter in model.parameters())
    program.save(path, external_data=size > 1_500_000_000)  # bytes; one file of protobuf holds at most 2 GB


def _quantise(path: Path) -> None:
    """Put the graph with 8-bit weights in the place of the one at `path`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # else onnxruntime warns of every mask that it does not quantise
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        small = Path(folder) / path.name
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)
        logging.root.setLevel(level)
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        small.rename(path)


def make_inputs(config: Any, length: int, every: int, batch: int = 1) -> dict[str, Any]:
    """Random ids, the first row padded in its last eighth, and every `every`-th token global (0: none)."""
    import torch

    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(0, config.vocab_size - 1, (batch, length), generator=generator)
    ids += ids >= config.pad_token_id  # skips the id of padding
    ids[0, length - length // 8 :] = config.pad_token_id
    attention_mask = (ids != config.pad_token_id).long()
    global_attention_mask = torch.zeros_like(ids)
    if every:
        global_attention_mask[:, ::every] = 1
    inputs = {
        "input_ids": ids,
        "attention_mask": attention_mask,
        "global_attention_mask": global_attention_mask * attention_mask,
    }
    if config.type_vocab_size > 1:
        inputs["token_type_ids"] = (torch.arange(length) >= length // 2).long().expand(batch, length).contiguous()
    return inputs


def compare(
    path: Path, model: Any, outputs: Sequence[str], lengths: Sequence[int], repeats: int, near: float | None = None
) -> list[dict[str, float]]:
    """Run onnxruntime, native and fast PyTorch on the same inputs: largest difference from native, median seconds.

    Raises:
        UserError: a difference above 1e-4, or where `near` is given above that share of the largest output.
    """
    import onnxruntime
    import torch
    from tqdm import tqdm

    from .attention import use_fast_attention, use_native_attention

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    cases = [(length, every) for length in lengths for every in (0, max(1, length // 16))]
    rows = []
    with torch.inference_mode():
        for length, every in tqdm(cases, desc="checking", file=sys.stderr):
            inputs = make_inputs(model.config, length, every)
            arrays = {key: value.numpy() for key, value in inputs.items()}
            expected, native = _timed(partial(model, **inputs), repeats)
            found, onnx = _timed(partial(session.run, outputs, arrays), repeats)
            use_fast_attention(model)
            _, fast = _timed(partial(model, **inputs), repeats)
            use_native_attention(model)
            real = inputs["attention_mask"].bool()
            pairs = [(expected[key], torch.from_numpy(array)) for key, array in zip(outputs, found, strict=True)]
            pairs = [(a[real], b[real]) if a.shape[:2] == real.shape else (a, b) for a, b in pairs]
            # Python's max() may lose a NaN, torch's keeps it.
            difference = torch.stack([(a - b).abs().max() for a, b in pairs]).max().item()
            allowed = near * max(a.abs().max().item() for a, _ in pairs) if near else TOLERANCE
            if not difference <= allowed:  # also true for NaN
                raise UserError(
                    f"the graph differs from PyTorch by {difference:.1e} at {length} tokens, "
                    f"more than {allowed:.1e}: not written"
                )
            count = int(inputs["global_attention_mask"].sum())
            rows.append(dict(zip(COLUMNS, (length, count, difference, onnx, native, fast), strict=True)))
    return rows


def _timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, sorted(seconds)[len(seconds) // 2]


def table(rows: list[dict[str, float]]) -> str:
    """The report as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        length, count, difference, *seconds = (row[column] for column in COLUMNS)
        cells = [f"{length:.0f}", f"{count:.0f}", f"{difference:.1e}", *(f"{value:.2f}" for value in seconds)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = command_parser(
        description="Export a Longformer, encoder or head, to ONNX and check it against PyTorch.",
        example="python -m conversion.export_onnx long-4096 --output_dir long-4096-onnx",
    )
    parser.add_argument("model", metavar="MODEL", help="a Longformer: folder or Hub id")
    parser.add_argument("--output_dir", "--output", required=True, help="folder of the result, new or empty")
    parser.add_argument(
        "--lengths", type=int, nargs="+", help=f"token counts to check (default: of {LENGTHS} those that it reads)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", *NEAR),
        default="float32",
        help="of the graph: float16 halves it, for GPUs; int8 quarters it, for CPUs",
    )
    parser.add_argument("--repeats", type=int, default=1, help="runs whose median is the time in the table")
    parser.add_argument(
        "--overwrite_output_dir", action="store_true", help="replace what an earlier export wrote there"
    )
    arguments = parser.parse_args()
    rows = export_onnx(
        arguments.model,
        arguments.output_dir,
        lengths=arguments.lengths,
        precision=arguments.precision,
        overwrite=arguments.overwrite_output_dir,
        repeats=arguments.repeats,
    )
    print(table(rows))


if __name__ == "__main__":
    run(main)
