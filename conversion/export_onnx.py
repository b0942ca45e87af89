"""Export a Longformer encoder or QA model to ONNX, and check it against PyTorch under onnxruntime.

    python -m conversion.export_onnx long-4096 --output long-4096-onnx

Batch and length are dynamic, and any length up to the model's is taken (the graph pads to half a window by itself).
Inputs are int64 (batch, length): `input_ids`, `attention_mask`, `global_attention_mask`, and `token_type_ids` where the
model knows more than one type. Outputs are `last_hidden_state`, or `start_logits` and `end_logits`.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, check_apart, check_output_dir

from .named import resolve

TOLERANCE = 1e-4
LENGTHS = (512, 1024, 4096)
OPSET = 18
COLUMNS = ("length", "global tokens", "difference", "onnxruntime s", "PyTorch native s", "PyTorch fast s")


def export_onnx(
    model_name_or_path: str,
    output: str | Path,
    *,
    lengths: Sequence[int] | None = None,
    overwrite: bool = False,
    repeats: int = 1,
) -> list[dict[str, float]]:
    """Write `output`/model.onnx with tokenizer, config and onnx_report.json; whole, checked, or not at all.

    Args:
        model_name_or_path: a Longformer (folder or Hub id) with a question-answering head, or whose encoder is taken.
        lengths: token counts to check, with and without global tokens; by default 512, 1,024 and 4,096, as far as the
            model reads them.
        repeats: runs whose median is the time in the report.

    Returns:
        The report's rows, one a length and mask: the `COLUMNS`.

    Raises:
        UserError: not a Longformer, or onnxruntime and PyTorch differ by more than 1e-4.
    """
    import torch
    from transformers import AutoTokenizer

    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if absent:
        raise UserError(f"ONNX needs {', '.join(absent)}, not installed here: run `pip install '.[onnx]'`")
    if repeats < 1:
        raise UserError(f"--repeats {repeats} is below 1: give a whole number from 1 up")
    target = check_output_dir(output, overwrite, "--output", "--overwrite_output_dir")
    name = resolve(model_name_or_path)
    check_apart(target, name, "--output")
    model, exportable, outputs = _load(name, model_name_or_path)
    longest = model.config.max_position_embeddings - model.config.pad_token_id - 1
    lengths = lengths or [length for length in LENGTHS if length <= longest] or [longest]
    if not all(1 <= length <= longest for length in lengths):
        raise UserError(f"--lengths {' '.join(map(str, lengths))}: the model reads 1 to {longest} tokens, give such")
    with atomic_folder(target, overwrite, "--output") as folder:
        side = max(model.config.attention_window) // 2
        example = make_inputs(model.config, 3 * max(side, 8) + 5, every=7, batch=2)
        dynamic = {key: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for key in example}
        print("exporting …", file=sys.stderr)
        program = torch.onnx.export(
            exportable,
            tuple(example.values()),
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=list(example),
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        size = sum(parameter.nbytes for parameter in model.parameters())
        program.save(folder / "model.onnx", external_data=size > 1_500_000_000)  # one protobuf holds 2 GB
        del program
        rows = compare(folder / "model.onnx", model, outputs, lengths, repeats)
        for row in rows:
            if not row["difference"] <= TOLERANCE:  # NaN is not, either
                raise UserError(
                    f"the graph differs from PyTorch by {row['difference']:.1e} at {row['length']:.0f} tokens, "
                    f"more than {TOLERANCE}: not written"
                )
        model.config.save_pretrained(folder)
        AutoTokenizer.from_pretrained(name, trust_remote_code=False).save_pretrained(folder)
        report = {"opset": OPSET, "outputs": outputs, "threads": torch.get_num_threads(), "rows": rows}
        (folder / "onnx_report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return rows


def _load(name: str, given: str) -> tuple[Any, Any, list[str]]:
    """The native model, the module to export, and the names of its outputs."""
    import transformers

    from .onnx_attention import ExportableEncoder, ExportableReader

    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"MODEL {given!r} is neither a model's folder nor a Hub id that can be read: check it"
        ) from error
    if config.model_type != "longformer":
        raise UserError(f"MODEL {given!r} is a {config.model_type}, not a longformer: convert it first")
    architecture = (config.architectures or [""])[0]
    if architecture not in ("", "LongformerModel", "LongformerForQuestionAnswering"):
        print(f"note: the head of {architecture} is left out, the encoder is exported", file=sys.stderr)
    if architecture == "LongformerForQuestionAnswering":
        model = transformers.LongformerForQuestionAnswering.from_pretrained(name).float().eval()
        return model, ExportableReader(model).eval(), ["start_logits", "end_logits"]
    model = transformers.LongformerModel.from_pretrained(name, add_pooling_layer=False).float().eval()
    return model, ExportableEncoder(model).eval(), ["last_hidden_state"]


def make_inputs(config: Any, length: int, every: int, batch: int = 1) -> dict[str, Any]:
    """Random ids, the first row padded in its last eighth, and every `every`-th token global (0: none)."""
    import torch

    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(0, config.vocab_size - 1, (batch, length), generator=generator)
    ids += ids >= config.pad_token_id  # any id but padding
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


def compare(path: Path, model: Any, outputs: list[str], lengths: Sequence[int], repeats: int) -> list[dict[str, float]]:
    """Run onnxruntime, native and fast PyTorch on the same inputs: largest difference from native, median seconds."""
    import onnxruntime
    import torch
    from tqdm import tqdm

    from conversion.attention.modules import use_native_attention

    from .attention import use_fast_attention

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
            pairs = zip(outputs, found, strict=True)
            # torch's maximum keeps NaN, Python's loses it
            apart = [(expected[key][real] - torch.from_numpy(b)[real]).abs().max() for key, b in pairs]
            difference = torch.stack(apart).max().item()
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
        description="Export a Longformer encoder or QA model to ONNX and check it against PyTorch.",
        example="python -m conversion.export_onnx long-4096 --output long-4096-onnx",
    )
    parser.add_argument("model", metavar="MODEL", help="a Longformer: folder or Hub id")
    parser.add_argument("--output", required=True, help="folder of the result, which must not exist yet")
    parser.add_argument(
        "--lengths", type=int, nargs="+", help=f"token counts to check (default: of {LENGTHS} those that it reads)"
    )
    parser.add_argument("--repeats", type=int, default=1, help="runs whose median is the time in the table")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace an existing folder at the end")
    arguments = parser.parse_args()
    rows = export_onnx(
        arguments.model,
        arguments.output,
        lengths=arguments.lengths,
        overwrite=arguments.overwrite_output_dir,
        repeats=arguments.repeats,
    )
    print(table(rows))


if __name__ == "__main__":
    run(main)
