"""What a conversion will write: names, shapes, position rows and config, all settled before a byte is written."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from foundation.cli import UserError

from .checkpoint import ITEM_BYTES, TORCH_NAMES, Output, Tensor
from .families import DECODER_BIAS, DECODER_WEIGHT, FAMILIES, POSITIONS, TYPES, WORDS, Mapping, setting
from .legacy import reserved_rows_are_finite
from .tokens import document_token_type

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

LONGEST = 65_536

# Fields that mean the same in the source's config and in Longformer's. The others are decided below, or have no use.
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


def source_offset(config: "PreTrainedConfig") -> int:
    """Row of the source's position table that its first token reads."""
    return config.pad_token_id + 1 if FAMILIES[config.model_type].positions_after_padding else 0


def check_windows(attention_window: int | Sequence[int] | None, config: "PreTrainedConfig") -> list[int]:
    """One even window a layer, each a divisor of the largest (LongformerModel pads to that one alone)."""
    layers = config.num_hidden_layers
    given = getattr(config, "attention_window", None) or 512 if attention_window is None else attention_window
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


def check_max_pos(max_pos: int, windows: list[int], source_length: int) -> None:
    """Refuse a length that is no multiple of the window, too long, or shorter than the source's."""
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


def check_tile_from(tile_from: int, source_length: int) -> None:
    """Refuse what is not a position of the source."""
    if not 0 <= tile_from < source_length:
        raise UserError(
            f"--tile_from {tile_from} is not one of the source's {source_length} positions: give 0 to"
            f" {source_length - 1}"
        )


def plan_tensors(
    tensors: dict[str, Tensor],
    mapping: Mapping,
    config: "PreTrainedConfig",
    pad_token_id: int,
    max_pos: int,
    tile_from: int = 0,
) -> dict[str, Output]:
    """Every tensor of the result: a copy of one in the source, but for the positions, which are tiled."""
    outputs = {}
    for name, source_name in mapping.names.items():
        tensor = tensors[source_name]
        if name.endswith(POSITIONS):
            first = source_offset(config)
            keep = first == pad_token_id + 1 and reserved_rows_are_finite(tensors, first)
            outputs[name] = tile_positions(tensor, first, pad_token_id + 1, max_pos, tile_from, keep_reserved=keep)
        else:
            outputs[name] = Output(tensor.dtype, tensor.shape, tensor.pieces)
    types = next(iter(outputs)).removesuffix(WORDS) + TYPES
    if types not in outputs:  # DistilBERT has no token types, Longformer has: give it one row of zeros
        words = outputs[types.replace(TYPES, WORDS)]
        size = ITEM_BYTES[words.dtype] * words.shape[1]
        outputs[types] = Output(words.dtype, (1, words.shape[1]), lambda: [bytes(size)])
    if DECODER_WEIGHT in outputs or DECODER_BIAS in outputs:
        _untie(outputs, tensors, mapping, config)
    elif mapping.architecture == "LongformerForMaskedLM" and not config.tie_word_embeddings:
        raise UserError(
            "config.json says tie_word_embeddings: false, but the file has no output embedding of its own: set it to"
            " true"
        )
    return outputs


def _untie(
    outputs: dict[str, Output], tensors: dict[str, Tensor], mapping: Mapping, config: "PreTrainedConfig"
) -> None:
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


def tile_positions(
    tensor: Tensor, source_first: int, first: int, max_pos: int, tile_from: int = 0, *, keep_reserved: bool
) -> Output:
    """Position rows for `max_pos` tokens: the source's, then again and again those from token `tile_from` on.

    Args:
        tensor: (rows, hidden), the source's table.
        source_first: row of the source's first token.
        first: row of the result's first token; those below are reserved (padding).
        tile_from: 0 is the thesis's way, token i has the row of token i modulo the source's length. With more, no token
            beyond the source's length gets the rows of the first ones, where a question stands.
        keep_reserved: copy the reserved rows from the source, which must have as many; else they are zeros.
    """
    rows, hidden = tensor.shape
    row_bytes = tensor.nbytes // rows

    def pieces() -> Iterator[bytes | memoryview]:
        if keep_reserved:
            yield from tensor.pieces(0, first * row_bytes)
        else:
            yield bytes(first * row_bytes)
        start, row = 0, source_first
        while start < max_pos:
            count = min(rows - row, max_pos - start)
            yield from tensor.pieces(row * row_bytes, (row + count) * row_bytes)
            start, row = start + count, source_first + tile_from

    return Output(tensor.dtype, (first + max_pos, hidden), pieces)


def longformer_config(
    source: "PreTrainedConfig",
    tokenizer: "PreTrainedTokenizerBase",
    mapping: Mapping,
    outputs: dict[str, Output],
    windows: list[int],
    max_pos: int,
    pad_token_id: int,
    dtype: str | None,
) -> "PreTrainedConfig":
    """A LongformerConfig that says what the source's does; token ids are the tokenizer's, where the two differ."""
    from transformers import LongformerConfig

    fields = {name: setting(source, name) for name in KEPT_FIELDS}
    if DECODER_WEIGHT in outputs:
        fields["tie_word_embeddings"] = False
    if mapping.architecture == "LongformerForQuestionAnswering":
        fields["document_token_type"] = document_token_type(source)
        if hasattr(source, "second_look"):  # of a long model made longer: how often it was trained to read
            fields["second_look"] = source.second_look
    for name in ("bos_token_id", "eos_token_id"):
        own = getattr(tokenizer, name)
        fields[name] = fields[name] if own is None else own
    return LongformerConfig(
        **fields,
        pad_token_id=pad_token_id,
        sep_token_id=tokenizer.sep_token_id,
        attention_window=windows,
        max_position_embeddings=max_pos + pad_token_id + 1,
        architectures=[mapping.architecture],
        dtype=dtype or TORCH_NAMES[outputs[position_table(mapping)].dtype],
    )


def position_table(mapping: Mapping) -> str:
    """The name of the position table in the result."""
    return next(name for name in mapping.names if name.endswith(POSITIONS))


def check_shapes(config: "PreTrainedConfig", architecture: str, outputs: dict[str, Output]) -> None:
    """Compare names and shapes with the class that will load them, which is laid out without memory."""
    import torch
    import transformers

    try:
        with torch.device("meta"):
            model = getattr(transformers, architecture)(config)
    except (KeyError, ValueError) as error:
        raise UserError(f"the source's config.json describes no model ({error}): mend it") from error
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
