"""Prove that a converted model computes what its source computes.

    python -m conversion.verify FacebookAI/xlm-roberta-base xlm-long-4096

The source runs its own full attention. The converted model runs transformers' native Longformer, in which a token sees
`attention_window / 2` tokens to either side: on inputs that fit one side the two must agree as they stand, with and
without global tokens; on longer ones they must agree once the window is widened to cover the input. Beyond the length
that the source reads, its positions are given by hand, wrapped round as the conversion tiles them.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub_datasets.cli import UserError, run

from .checkpoint import TORCH_NAMES, Tensor, read_checkpoint, read_json, to_torch
from .legacy import build_by_hand, is_old_long
from .plan import source_offset
from .report import Check, Report, VerificationError
from .source import Source, download, open_source

TOLERANCE = 1e-5  # of the largest value compared, or absolute where all are below 1
SMALL_RUN = 64  # tokens; a masked-LM head gives a number for each word of the vocabulary, so it runs on these alone
LONGEST_RUN = 1024  # tokens; native attention over a window that covers them takes memory with their square

AUTO_CLASSES = {
    "LongformerModel": "AutoModel",
    "LongformerForMaskedLM": "AutoModelForMaskedLM",
    "LongformerForQuestionAnswering": "AutoModelForQuestionAnswering",
    "LongformerForSequenceClassification": "AutoModelForSequenceClassification",
    "LongformerForTokenClassification": "AutoModelForTokenClassification",
    "LongformerForMultipleChoice": "AutoModelForMultipleChoice",
}

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


def verify(
    source: str | Path | Source, converted: str | Path, *, revision: str | None = None, name: str | None = None
) -> Report:
    """Compare a converted checkpoint with its source.

    Args:
        source: what was converted: folder, Hub id or "embedded".
        converted: the result, a folder or a Hub id.
        name: how the report calls the source (by default as it was given).

    Raises:
        VerificationError: on any difference; it has the report.
        UserError: one of the two cannot be read, or is not what it should be.
    """
    source = source if isinstance(source, Source) else open_source(str(source), revision)
    converted = _local(str(converted))
    config = _longformer_config(converted)
    architecture = (config.architectures or ["LongformerModel"])[0]
    if architecture not in AUTO_CLASSES:
        raise UserError(f"CONVERTED {str(converted)!r} is a {architecture}: one of {', '.join(AUTO_CLASSES)} is meant")
    report = Report(name or source.name, architecture)
    tensors = {"source": source.tensors(), "converted": read_checkpoint(converted)}
    old_long = is_old_long(tensors["source"])

    report.checks.append(_check_words(tensors))
    report.checks.append(_check_positions(tensors, source, config))
    report.checks.append(_check_globals(tensors["converted"], config, trained=old_long))
    report.checks.append(_check_tokenizer(source, converted, config))
    _compare_outputs(report, source, converted, config, tensors["source"] if old_long else None)
    if not report.passed:
        raise VerificationError(report)
    return report


def _local(converted: str) -> Path:
    folder = Path(converted).expanduser()
    if folder.exists() or converted.startswith(("/", ".", "~")) or converted.count("/") > 1:
        return folder
    return download(converted)


def _longformer_config(folder: Path) -> Any:
    from transformers import LongformerConfig

    if not (folder / "config.json").is_file():
        raise UserError(
            f"CONVERTED {str(folder)!r} holds no config.json: give the folder that conversion.convert wrote"
        )
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type != "longformer":
        raise UserError(f"CONVERTED {str(folder)!r} has the model type {model_type!r}, not 'longformer': convert it")
    return LongformerConfig.from_pretrained(folder)


def _find(tensors: dict[str, Tensor], ending: str) -> Tensor | None:
    return next((tensor for name, tensor in tensors.items() if name.endswith(ending)), None)


def _check_words(tensors: dict[str, dict[str, Tensor]]) -> Check:
    """Every row of the word table is the source's, to the bit: inputs of any length would meet few of them."""
    name = "word rows"
    ours, theirs = (_find(tensors[side], "embeddings.word_embeddings.weight") for side in ("converted", "source"))
    if ours is None or theirs is None:
        return Check(name, False, "no word table")
    if ours.shape != theirs.shape:
        return Check(name, False, f"shape {list(ours.shape)}, {list(theirs.shape)} expected")
    if not ours.equals(theirs):
        table = to_torch(ours)
        wrong = (table != to_torch(theirs).to(table.dtype)).any(dim=1).nonzero().flatten().tolist()
        if wrong:
            return Check(name, False, f"{len(wrong)} rows differ, first row {wrong[0]}")
    return Check(name, True, f"{ours.shape[0]:,} rows, each the source's")


def _check_positions(tensors: dict[str, dict[str, Tensor]], source: Source, config: Any) -> Check:
    """Row pad + 1 + i of the result is the source's row for token `_source_positions` names, to the bit."""
    name = "position rows"
    ours, theirs = (_find(tensors[side], "embeddings.position_embeddings.weight") for side in ("converted", "source"))
    if ours is None or theirs is None:
        return Check(name, False, "no position table")
    table = to_torch(ours)
    original = to_torch(theirs)[source_offset(source.config) :].to(table.dtype)
    first = config.pad_token_id + 1
    rows = table[first:]
    expected = original[_source_positions(len(rows), len(original), config)]
    wrong = (rows != expected).any(dim=1).nonzero().flatten().tolist()
    if wrong:
        return Check(name, False, f"{len(wrong)} rows differ, first row {first + wrong[0]}")
    if not table[:first].isfinite().all():
        return Check(name, False, "reserved rows are not finite")
    return Check(name, True, f"{len(rows)} rows from row {first}, each one of the source's {len(original)}")


def _source_positions(count: int, source_length: int, config: Any) -> Any:
    """Whose position row each of the first `count` tokens has: its own, then again and again those from `tile_from`."""
    import torch

    token, tile_from = torch.arange(count), getattr(config, "tile_from", 0)
    if type(tile_from) is not int or not 0 <= tile_from < source_length:
        raise UserError(f"tile_from {tile_from!r} in the converted config.json is not one of {source_length} positions")
    return torch.where(token < tile_from, token, tile_from + (token - tile_from) % (source_length - tile_from))


def _check_globals(tensors: dict[str, Tensor], config: Any, trained: bool) -> Check:
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


def _check_tokenizer(source: Source, converted: Path, config: Any) -> Check:
    from transformers import AutoTokenizer

    name = "tokenizer"
    ours, theirs = AutoTokenizer.from_pretrained(converted, trust_remote_code=False), source.tokenizer()
    length = config.max_position_embeddings - config.pad_token_id - 1
    for text in SCRIPTS:
        if ours(text)["input_ids"] != theirs(text)["input_ids"]:
            return Check(name, False, f"other ids than the source's for {text!r}")
    pairs = [tokenizer(SCRIPTS[0], SCRIPTS[1])["input_ids"] for tokenizer in (ours, theirs)]
    if pairs[0] != pairs[1]:
        return Check(name, False, "other ids than the source's for a pair of texts")
    if ours.model_max_length != length:
        return Check(name, False, f"model_max_length is {ours.model_max_length}, the model reads {length}")
    if ours.pad_token_id != config.pad_token_id:
        return Check(name, False, f"pads with {ours.pad_token_id}, the config says {config.pad_token_id}")
    backend = getattr(ours, "backend_tokenizer", None)
    if backend is not None and backend.truncation is not None:
        return Check(name, False, f"tokenizer.json itself cuts texts: {backend.truncation}")
    return Check(name, True, f"{type(ours).__name__}: equal ids for {len(SCRIPTS)} texts in 10 scripts")


def _compare_outputs(
    report: Report, source: Source, converted: Path, config: Any, old_long: dict[str, Tensor] | None
) -> None:
    """Run both models on the same inputs, one after the other, so that only one is in memory."""
    import torch
    from tqdm import tqdm

    dtype = getattr(torch, TORCH_NAMES[next(iter(read_checkpoint(converted).values())).dtype])
    runs = _plan_runs(source, config, old_long is not None, report.architecture == "LongformerForMaskedLM")
    with torch.inference_mode(), _quiet(), tqdm(total=2 * len(runs), desc="proving", file=sys.stderr, delay=2) as bar:
        if old_long is None:
            model = _load_source(source, report.architecture, dtype)
        else:
            model = build_by_hand(old_long, source.config, report.architecture, config.attention_window, dtype)
        expected = []
        for planned in runs:
            expected.append(_outputs(model, planned["source"]))
            bar.update()
        pooled = getattr(model, "pooler_is_trained", False)
        del model
        gc.collect()

        model, problem = _load_converted(converted, report.architecture)
        if not problem and report.architecture == "LongformerModel" and pooled and not model.pooler_is_trained:
            problem = "the pooler, which the source has, is missing"
        report.checks.append(Check("loads by its Auto class", problem is None, problem or type(model).__name__))
        if problem:
            return
        for planned, outputs in zip(runs, expected, strict=True):
            _set_window(model, planned["window"] or config.attention_window)
            report.checks += _compare(planned, outputs, _outputs(model, planned["converted"]))
            bar.update()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' load reports and padding notices: what they could say is checked and told here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _plan_runs(source: Source, config: Any, old_long: bool, small_runs: bool) -> list[dict[str, Any]]:
    """Inputs for both sides. Ids are random: what counts is what the layers make of any."""
    import torch

    generator = torch.Generator().manual_seed(0)
    words = torch.arange(config.vocab_size)
    words = words[(words != config.pad_token_id) & (words != source.config.pad_token_id)]  # either may mean padding
    first = config.pad_token_id + 1
    length = config.max_position_embeddings - first
    read_by_source = source.config.max_position_embeddings - source_offset(source.config)
    side = min(min(config.attention_window) // 2, read_by_source)

    def planned(title: str, lengths: list[int], window: int | None, every: int, wrap: bool = False) -> dict[str, Any]:
        ids = torch.full((len(lengths), max(lengths)), config.pad_token_id)
        for row, count in enumerate(lengths):
            ids[row, :count] = words[torch.randint(0, len(words), (count,), generator=generator)]
        inputs = {"input_ids": ids, "attention_mask": (ids != config.pad_token_id).long()}
        if config.type_vocab_size > 1:  # a pair of texts: the second half is of the other type
            inputs["token_type_ids"] = (torch.arange(ids.shape[1]) >= ids.shape[1] // 2).long().expand(ids.shape)
        mask = torch.zeros_like(ids)
        if every:
            mask[:, ::every] = 1
        theirs = dict(inputs)
        if wrap:  # full attention over positions that repeat, as the tiled table has them
            row = _source_positions(ids.shape[1], read_by_source, config) + source_offset(source.config)
            theirs["position_ids"] = row[None].expand(ids.shape)
        ours = inputs | {"global_attention_mask": mask * inputs["attention_mask"]}
        return {"title": title, "window": window, "source": ours if old_long else theirs, "converted": ours}

    runs = []
    for longest in sorted({min(side, SMALL_RUN), side} if small_runs else {side}):
        lengths = sorted({min(5, longest), max(1, longest // 3), longest})
        text = f"{lengths[0]} to {longest} tokens, padded"
        runs += [planned(text, lengths, None, 0), planned(f"{text}, every 7th global", lengths[1:] or lengths, None, 7)]
    if old_long:
        beyond = min(read_by_source, max(LONGEST_RUN, 2 * max(config.attention_window)))
        return [*runs, planned(f"{beyond} tokens, every 97th global", [beyond], None, 97)]
    runs.append(planned(f"{read_by_source} tokens, window widened", [read_by_source], 2 * read_by_source, 0))
    beyond = min(length, read_by_source * 5 // 4, LONGEST_RUN)
    if beyond > read_by_source:
        runs.append(planned(f"{beyond} tokens, positions wrapped", [beyond], 2 * beyond, 0, wrap=True))
    return runs


def _load_source(source: Source, architecture: str, dtype: Any) -> Any:
    import transformers

    model, info = getattr(transformers, AUTO_CLASSES[architecture]).from_pretrained(
        source.folder, config=source.config, dtype=dtype, output_loading_info=True, trust_remote_code=False
    )
    # An untied head saved before transformers 5 has one bias, which 5 leaves at zero.
    lost = [name for name in info["missing_keys"] if name.endswith("decoder.bias")]
    for name in lost:
        head = model.get_submodule(name.removesuffix(".decoder.bias"))
        head.decoder.bias.data = head.bias.data.clone()
    model.pooler_is_trained = not any("pooler" in name for name in info["missing_keys"])
    return model.float().eval()


def _load_converted(folder: Path, architecture: str) -> tuple[Any, str | None]:
    """The model, and what is wrong with how it loaded."""
    import torch
    import transformers

    model, info = getattr(transformers, AUTO_CLASSES[architecture]).from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
    )
    wrong = [name for kind in ("missing_keys", "mismatched_keys") for name in info[kind] if "pooler" not in str(name)]
    wrong += [name for name in info["unexpected_keys"] if "pooler" not in name]
    model.pooler_is_trained = not any("pooler" in name for name in info["missing_keys"])
    if architecture != type(model).__name__:
        return model, f"{type(model).__name__} instead of {architecture}"
    encoder = getattr(model, "longformer", model).encoder
    for layer in encoder.layer:
        attention = layer.attention.self
        if attention.query_global.weight.data_ptr() == attention.query.weight.data_ptr():
            return model, "a global projection shares its local one's memory"
    return model.eval(), f"missing or unexpected: {sorted(map(str, wrong))[:6]}" if wrong else None


def _set_window(model: Any, window: int | list[int]) -> None:
    """Widen or restore the attention window of a loaded native model; no weight depends on it."""
    base = getattr(model, "longformer", model)
    windows = window if isinstance(window, list) else [window] * base.config.num_hidden_layers
    base.config.attention_window = windows
    for layer, value in zip(base.encoder.layer, windows, strict=True):
        layer.attention.self.one_sided_attn_window_size = value // 2


def _outputs(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Hidden states of all layers in one tensor (layers, batch, length, hidden), pooled output, and all logits."""
    import torch

    if type(model).__name__.endswith("MultipleChoice"):
        inputs = {key: value[:, None] for key, value in inputs.items()}
    if type(model).__name__.endswith("MaskedLM") and inputs["input_ids"].shape[1] > SMALL_RUN:
        model = model.base_model
    outputs = model(**inputs, output_hidden_states=True)
    found = {"hidden states": torch.stack(outputs.hidden_states).float()}
    for key, value in outputs.items():
        if key.endswith("logits"):
            found[key] = value.float()
    if outputs.get("pooler_output") is not None and getattr(model, "pooler_is_trained", False):
        found["pooler_output"] = outputs["pooler_output"].float()
    return found


def _compare(planned: dict[str, Any], expected: dict[str, Any], found: dict[str, Any]) -> list[Check]:
    real = planned["converted"]["attention_mask"].bool()
    checks = []
    for key in sorted(expected.keys() & found.keys(), key=lambda key: key != "hidden states"):
        a, b = expected[key], found[key]
        if a.shape != b.shape:
            checks.append(Check(key, False, f"{planned['title']}: shape {list(b.shape)}, {list(a.shape)} expected"))
            continue
        if key == "hidden states":
            a, b = a[:, real], b[:, real]
        elif a.shape[:2] == real.shape:
            a, b = a[real], b[real]
        difference = (a - b).abs().max().item()
        limit = TOLERANCE * max(1.0, a.abs().max().item())
        checks.append(Check(key, difference <= limit, planned["title"], difference, limit))
    return checks


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(
        description="Prove that a converted model computes what its source computes.",
        epilog="example: python -m conversion.verify embedded long-4096 --json proof.json",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help='what was converted: folder, Hub id, or "embedded"')
    parser.add_argument("converted", metavar="CONVERTED", help="what became of it: folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of SOURCE on the Hub")
    parser.add_argument("--json", help="also write the report to this file")
    arguments = parser.parse_args()
    try:
        report = verify(arguments.source, arguments.converted, revision=arguments.revision)
    except VerificationError as error:
        _tell(error.report, arguments.json)
        raise
    _tell(report, arguments.json)


def _tell(report: Report, path: str | None) -> None:
    """Print the table; write the report to `path`, if one was given."""
    import json

    from hub_datasets.files import write_atomically

    print(report.table())
    if path:
        write_atomically(path, json.dumps(report.to_dict(), indent=2) + "\n")


if __name__ == "__main__":
    run(main)
