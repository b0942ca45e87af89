"""Make an encoder long: RoBERTa, XLM-R, CamemBERT or BERT in, a native Longformer checkpoint out.

    python -m conversion.convert --model_name_or_path FacebookAI/xlm-roberta-base --output_dir xlm-long-4096 \
        --max_pos 4096 --attention_window 512

Tensors go from file to file, and no model is built. The recipe is that of Beltagy et al., Longformer (2020), section 5:
the learned positions are tiled to the new length, and the global projections start as copies of the local ones. The
result is `model_type: longformer`, which `AutoModel.from_pretrained` loads without remote code.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hub_datasets.cli import UserError, run
from hub_datasets.files import atomic_folder, check_output_dir

from .checkpoint import Output, Tensor, cast, write_safetensors
from .families import DECODER_BIAS, DECODER_WEIGHT, FAMILIES, POSITIONS, WORDS, Mapping, map_names
from .source import open_source

LONGEST = 65_536
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}

# Fields of the source's config that say the same in Longformer's; what is absent here is decided below or has no use.
KEPT_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "bos_token_id",
    "eos_token_id",
    "tie_word_embeddings",
    "id2label",
    "label2id",
    "problem_type",
)


def convert(
    model_name_or_path: str,
    output_dir: str | Path,
    *,
    max_pos: int = 4096,
    attention_window: int | Sequence[int] | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    verify: bool = True,
) -> Path:
    """Write the long form of an encoder checkpoint to `output_dir`, whole or not at all.

    Args:
        model_name_or_path: a local folder, a Hub id, or "embedded".
        max_pos: tokens that the result reads; a multiple of the (largest) window, at least the source's own length.
        attention_window: tokens that each token sees, half of them to either side; one number, or one a layer.
            By default 512, or what an old long checkpoint says of itself.
        revision: branch, tag or commit of a Hub id.
        dtype: "float32", "float16" or "bfloat16"; by default the source's.
        verify: prove the result against its source (conversion/verify.py) before it appears.

    Returns:
        `output_dir` as a path.

    Raises:
        UserError: an argument or the source is not fit for conversion; nothing has been written.
    """
    target = check_output_dir(output_dir, overwrite)
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"--dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    source = open_source(model_name_or_path, revision)
    windows = check_windows(attention_window, source.config)
    tensors = source.tensors()
    mapping = map_names(tensors, source.config)
    tokenizer = source.tokenizer()
    offset = source_offset(source.config)
    _check_max_pos(max_pos, windows, tensors[mapping.names[_position_name(mapping)]].shape[0] - offset)

    outputs = plan(tensors, mapping, source.config, tokenizer.pad_token_id, max_pos)
    config = longformer_config(source.config, tokenizer, mapping, outputs, windows, max_pos, dtype)
    _check_shapes(config, mapping.architecture, outputs)
    if dtype:
        outputs = {name: cast(output, DTYPES[dtype]) for name, output in outputs.items()}

    with atomic_folder(target, overwrite) as folder:
        _write_weights(folder / "model.safetensors", outputs)
        config.save_pretrained(folder)
        save_tokenizer(tokenizer, folder, max_pos)
    return target


def source_offset(config: Any) -> int:
    """Row of the source's position table that its first token reads."""
    return config.pad_token_id + 1 if FAMILIES[config.model_type].positions_after_padding else 0


def check_windows(attention_window: int | Sequence[int] | None, config: Any) -> list[int]:
    """One even window a layer, each a divisor of the largest (LongformerModel pads to that one alone)."""
    layers = config.num_hidden_layers
    given = attention_window or getattr(config, "attention_window", None) or 512
    windows = [given] * layers if isinstance(given, int) else list(given)
    windows = windows * layers if len(windows) == 1 else windows
    if len(windows) != layers:
        raise UserError(
            f"--attention_window has {len(windows)} numbers, and the model {layers} layers: give one number, or one for"
            " each layer"
        )
    for window in windows:
        if window <= 0 or window % 2 or max(windows) % window:
            raise UserError(
                f"--attention_window {window} does not fit: windows are positive and even, and each divides the largest"
                f" ({max(windows)})"
            )
    return windows


def _check_max_pos(max_pos: int, windows: list[int], source_length: int) -> None:
    window = max(windows)
    if max_pos % window or max_pos <= 0:
        up = max(1, -(-max_pos // window)) * window
        raise UserError(f"--max_pos {max_pos} is not a multiple of the attention window {window}: the next is {up}")
    if max_pos > LONGEST:
        raise UserError(f"--max_pos {max_pos} is more than {LONGEST}: positions are only tiled copies, give less")
    if max_pos < source_length:
        raise UserError(
            f"--max_pos {max_pos} is smaller than the source, which reads {source_length} tokens: give more"
        )


def plan(
    tensors: dict[str, Tensor], mapping: Mapping, config: Any, pad_token_id: int, max_pos: int
) -> dict[str, Output]:
    """Every tensor of the result: a copy of one in the source, but for the positions, which are tiled."""
    outputs = {}
    for name, source_name in mapping.names.items():
        tensor = tensors[source_name]
        if name.endswith(POSITIONS):
            outputs[name] = tile_positions(tensor, source_offset(config), pad_token_id + 1, max_pos)
        else:
            outputs[name] = Output(tensor.dtype, tensor.shape, tensor.pieces)
    if DECODER_WEIGHT in outputs or DECODER_BIAS in outputs:
        _untie(outputs, tensors, mapping, config)
    elif mapping.architecture == "LongformerForMaskedLM" and not config.tie_word_embeddings:
        raise UserError(
            "config.json says tie_word_embeddings: false, but the file has no output embedding of its own: set it to"
            " true"
        )
    return outputs


def _untie(outputs: dict[str, Output], tensors: dict[str, Tensor], mapping: Mapping, config: Any) -> None:
    """Keep an output embedding that is not the input embedding, with its bias; leave out one that is.

    transformers 5 adds `lm_head.decoder.bias`, and reads `lm_head.bias` only where the two are tied: both are written.
    """
    if DECODER_BIAS in outputs:
        outputs["lm_head.bias"] = outputs.pop(DECODER_BIAS)
    if DECODER_WEIGHT in outputs:
        own = tensors[mapping.names[DECODER_WEIGHT]]
        words = tensors[mapping.names["longformer." + WORDS]]
        if config.tie_word_embeddings and own.equals(words):
            del outputs[DECODER_WEIGHT]
    if DECODER_WEIGHT in outputs:
        outputs[DECODER_BIAS] = outputs["lm_head.bias"]


def tile_positions(tensor: Tensor, source_first: int, first: int, max_pos: int) -> Output:
    """Position rows for `max_pos` tokens: row `first` + i repeats the source's row for token i modulo its length.

    Rows below `first` are reserved (padding): the source's own where it reserves as many, zeros otherwise.

    Args:
        tensor: (rows, hidden), the source's table.
        source_first: row of the source's first token.
        first: row of the result's first token.
    """
    rows, hidden = tensor.shape
    row_bytes = tensor.nbytes // rows

    def pieces() -> Iterator[bytes | memoryview]:
        if source_first == first:
            yield from tensor.pieces(0, first * row_bytes)
        else:
            yield bytes(first * row_bytes)
        length = rows - source_first
        for start in range(0, max_pos, length):
            count = min(length, max_pos - start)
            yield from tensor.pieces(source_first * row_bytes, (source_first + count) * row_bytes)

    return Output(tensor.dtype, (first + max_pos, hidden), pieces)


def longformer_config(
    source: Any,
    tokenizer: Any,
    mapping: Mapping,
    outputs: dict[str, Output],
    windows: list[int],
    max_pos: int,
    dtype: str | None,
) -> Any:
    """A LongformerConfig that says what the source's does; token ids are the tokenizer's, where the two differ."""
    from transformers import LongformerConfig

    from .checkpoint import TORCH_NAMES

    fields = {name: getattr(source, name) for name in KEPT_FIELDS}
    if DECODER_WEIGHT in outputs:
        fields["tie_word_embeddings"] = False
    for name in ("bos_token_id", "eos_token_id"):
        own = getattr(tokenizer, name)
        fields[name] = fields[name] if own is None else own
    return LongformerConfig(
        **fields,
        pad_token_id=tokenizer.pad_token_id,
        sep_token_id=tokenizer.sep_token_id,
        attention_window=windows,
        max_position_embeddings=max_pos + tokenizer.pad_token_id + 1,
        architectures=[mapping.architecture],
        dtype=dtype or TORCH_NAMES[outputs[_position_name(mapping)].dtype],
    )


def _position_name(mapping: Mapping) -> str:
    return next(name for name in mapping.names if name.endswith(POSITIONS))


def _check_shapes(config: Any, architecture: str, outputs: dict[str, Output]) -> None:
    """Compare names and shapes with the class that will load them, which is laid out without memory."""
    import torch
    import transformers

    with torch.device("meta"):
        model = getattr(transformers, architecture)(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = set() if DECODER_WEIGHT in outputs else {DECODER_WEIGHT, DECODER_BIAS}
    missing = sorted(n for n in expected.keys() - outputs.keys() - tied if not n.startswith("pooler."))
    if missing:
        raise UserError(f"{architecture} needs {len(missing)} tensors that the source does not give: {missing[:12]}")
    wrong = [
        f"{name} is {list(output.shape)}, {list(expected[name])} expected"
        for name, output in sorted(outputs.items())
        if name in expected and output.shape != expected[name]
    ]
    if wrong:
        raise UserError(
            f"the source's tensors do not have the shapes that its config.json gives: {'; '.join(wrong[:6])}"
        )
    extra = sorted(n for n in outputs.keys() - expected.keys() if not n.startswith("longformer.pooler."))
    if extra:
        raise UserError(f"{architecture} has no place for {len(extra)} tensors: {extra[:12]}")


def _write_weights(path: Path, outputs: dict[str, Output]) -> None:
    from tqdm import tqdm

    total = sum(output.nbytes for output in outputs.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc="writing", file=sys.stderr, delay=2) as bar:
        write_safetensors(path, outputs, bar.update)


def save_tokenizer(tokenizer: Any, folder: Path, max_pos: int) -> None:
    """Save the source's tokenizer for the new length; its class is written down, so that AutoTokenizer finds it."""
    tokenizer.model_max_length = max_pos
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # a length stored in tokenizer.json would go on cutting at 512
        backend.no_truncation()
        backend.no_padding()
    tokenizer.save_pretrained(folder)


def parse_arguments(arguments: Sequence[str] | None = None) -> Any:
    import argparse

    parser = argparse.ArgumentParser(
        description="Make an encoder (RoBERTa, XLM-R, CamemBERT, BERT) long, as a native Longformer checkpoint.",
        epilog="example: python -m conversion.convert --model_name_or_path embedded --output_dir long-4096",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model_name_or_path", required=True, help='local folder, Hub id, or "embedded"')
    parser.add_argument("--output_dir", required=True, help="folder of the result, which must not exist yet")
    parser.add_argument("--max_pos", type=int, default=4096, help=f"tokens to read, at most {LONGEST}")
    parser.add_argument(
        "--attention_window",
        type=int,
        nargs="+",
        help="tokens that each token sees, half to either side; one number or one a layer"
        " (default: 512, or an old long checkpoint's own)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--dtype", choices=tuple(DTYPES), help="type of the written weights (default: the source's)")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace an existing folder at the end")
    parser.add_argument("--no_verify", action="store_true", help="skip the proof that the result equals its source")
    return parser.parse_args(arguments)


def main() -> None:
    arguments = parse_arguments()
    folder = convert(
        arguments.model_name_or_path,
        arguments.output_dir,
        max_pos=arguments.max_pos,
        attention_window=arguments.attention_window,
        revision=arguments.revision,
        dtype=arguments.dtype,
        overwrite=arguments.overwrite_output_dir,
        verify=not arguments.no_verify,
    )
    print(folder)


if __name__ == "__main__":
    run(main)
