"""Checks that need no run: words, positions, global projections and the tokenizer of a converted checkpoint."""

from typing import TYPE_CHECKING

from foundation.cli import UserError

from .checkpoint import Tensor, to_torch
from .plan import source_offset
from .report import Check
from .source import Source
from .tokens import settle_padding

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

SCRIPTS = (
    "The quick brown fox, born in 1984, jumps over the lazy dog.",
    "Räksmörgås på Östermalm; blåbär från Umeå.",
    "Zażółć gęślą jaźń. Çok güzel! Đường đến trường.",
    "Ο γρήγορος σκύλος και η αργή αλεπού.",
    "Съешь же ещё этих мягких французских булок.",
    "الجواب موجود في نهاية الوثيقة الطويلة.",
    "התשובה נמצאת בסוף המסמך.",
    "उत्तर दस्तावेज़ के अंत में मिलता है।",
    "คำตอบอยู่ท้ายเอกสาร",
    "答案在长文档的最后。日本語の文書も読めます。한국어도 읽습니다.",
    "  spaces   everywhere \t and a new\nline  ",
    "emoji 😀, ligature ﬁ, fraction ½, soft\u00adhyphen, zero\u200bwidth",
)


def _find(tensors: dict[str, Tensor], ending: str) -> Tensor | None:
    return next((tensor for name, tensor in tensors.items() if name.endswith(ending)), None)


def check_words(tensors: dict[str, dict[str, Tensor]]) -> Check:
    """Every row of the word table is the source's, to the bit: inputs of any length would meet few of them."""
    name = "word rows"
    source, converted = (_find(tensors[side], "embeddings.word_embeddings.weight") for side in ("source", "converted"))
    if source is None or converted is None:
        return Check(name, False, "no word table")
    if converted.shape != source.shape:
        return Check(name, False, f"shape {list(converted.shape)}, {list(source.shape)} expected")
    if not converted.equals(source):
        table = to_torch(converted)
        wrong = (table != to_torch(source).to(table.dtype)).any(dim=1).nonzero().flatten().tolist()
        if wrong:
            return Check(name, False, f"{len(wrong)} rows differ, first row {wrong[0]}")
    return Check(name, True, f"{converted.shape[0]:,} rows, each the source's")


def check_positions(tensors: dict[str, dict[str, Tensor]], source: Source, config: "PreTrainedConfig") -> Check:
    """Row pad + 1 + i of the result is the source's row for token `source_positions` names, to the bit."""
    name = "position rows"
    ending = "embeddings.position_embeddings.weight"
    short, long = (_find(tensors[side], ending) for side in ("source", "converted"))
    if short is None or long is None:
        return Check(name, False, "no position table")
    table = to_torch(long)
    original = to_torch(short)[source_offset(source.config) :].to(table.dtype)
    first = config.pad_token_id + 1
    rows = table[first:]
    expected = original[source_positions(len(rows), len(original), config)]
    wrong = (rows != expected).any(dim=1).nonzero().flatten().tolist()
    if wrong:
        return Check(name, False, f"{len(wrong)} rows differ, first row {first + wrong[0]}")
    if not table[:first].isfinite().all():
        return Check(name, False, "reserved rows are not finite")
    return Check(name, True, f"{len(rows)} rows from row {first}, each one of the source's {len(original)}")


def source_positions(count: int, source_length: int, config: "PreTrainedConfig") -> "torch.Tensor":
    """Whose position row each of the first `count` tokens has: its own, then again and again those from `tile_from`."""
    import torch

    token, tile_from = torch.arange(count), getattr(config, "tile_from", 0)
    if type(tile_from) is not int or not 0 <= tile_from < source_length:
        raise UserError(f"tile_from {tile_from!r} in the converted config.json is not one of {source_length} positions")
    return torch.where(token < tile_from, token, tile_from + (token - tile_from) % (source_length - tile_from))


def check_globals(tensors: dict[str, Tensor], config: "PreTrainedConfig", trained: bool) -> Check:
    """Every layer has global projections of its own; after a conversion they hold the local ones' values."""
    name = "global projections"
    for layer in range(config.num_hidden_layers):
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                stem = f"layer.{layer}.attention.self.{part}"
                local, own = _find(tensors, f"{stem}.{kind}"), _find(tensors, f"{stem}_global.{kind}")
                if local is None or own is None:
                    return Check(name, False, f"{stem}_global.{kind} or its local twin is not in the file")
                if not trained and not own.equals(local):
                    return Check(name, False, f"{stem}_global.{kind} is not a copy of {stem}.{kind}")
    said = "as trained in the source" if trained else "copies of the local ones, with storage of their own"
    return Check(name, True, said)


def check_tokenizer(
    source: "PreTrainedTokenizerBase",
    converted: "PreTrainedTokenizerBase",
    source_config: "PreTrainedConfig",
    config: "PreTrainedConfig",
) -> Check:
    """Same ids for texts of all scripts, alone and in pairs; the length, and padding that gets no position."""
    name = "tokenizer"
    length = config.max_position_embeddings - config.pad_token_id - 1
    for text in SCRIPTS:
        if converted(text)["input_ids"] != source(text)["input_ids"]:
            return Check(name, False, f"other ids than the source's for {text!r}")
    pairs = [tokenizer(SCRIPTS[0], SCRIPTS[1])["input_ids"] for tokenizer in (source, converted)]
    if pairs[0] != pairs[1]:
        return Check(name, False, "other ids than the source's for a pair of texts")
    if converted.model_max_length != length:
        return Check(name, False, f"model_max_length is {converted.model_max_length}, the model reads {length}")
    pad = converted.pad_token_id
    try:
        settled = settle_padding(converted, source_config, "the converted model")[0], converted.pad_token_id
    except UserError as error:
        return Check(name, False, str(error))
    if (config.pad_token_id, pad) != settled:
        return Check(
            name,
            False,
            f"pads with {pad} and the config with {config.pad_token_id}, {settled[1]} and {settled[0]} expected",
        )
    backend = getattr(converted, "backend_tokenizer", None)
    if backend is not None and backend.truncation is not None:
        return Check(name, False, f"tokenizer.json itself cuts texts: {backend.truncation}")
    return Check(name, True, f"{type(converted).__name__}: equal ids for {len(SCRIPTS)} texts in 10 scripts")
