"""Runs of both models on the same inputs, and how far their outputs lie apart."""

import contextlib
import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint import TORCH_NAMES, Tensor, read_checkpoint
from .checks import SCRIPTS, source_positions
from .families import AUTO_CLASSES
from .legacy import build_by_hand
from .plan import source_offset
from .report import Check, Report
from .source import Source

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

TOLERANCE = 1e-5  # share of the largest value compared; absolute where all values are below 1
SMALL_RUN = 64  # tokens; a masked-LM head runs on these alone, since it gives a number for each word of the vocabulary
LONGEST_RUN = 1024  # tokens; the memory of native attention with so wide a window grows with their square

UNKNOWN = "ꙮ 𓀀𓁐 𐎠𐎡𐎢 \U000f0001"  # letters that few vocabularies hold

Tokenizers = tuple["PreTrainedTokenizerBase", "PreTrainedTokenizerBase"]  # of the source, of the converted model


@dataclass(frozen=True)
class Run:
    """Inputs of one comparison, int64 (batch, length): for the source, and for the converted model.

    `window` is that of every layer during the run (two-sided), None for the model's own.
    """

    title: str
    window: int | None
    source: dict[str, "torch.Tensor"]
    converted: dict[str, "torch.Tensor"]


def compare_outputs(
    report: Report,
    source: Source,
    converted: Path,
    tokenizers: Tokenizers | None,
    old_long: dict[str, Tensor] | None,
) -> None:
    """Run both models on the same inputs, one after the other, so that only one is in memory.

    Args:
        report: gets a check for each run and kind of output.
        tokenizers: the source's and the converted model's; None leaves out the runs on texts.
        old_long: the source's tensors, where it is long already.
    """
    import torch
    from tqdm import tqdm
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(converted)
    dtype = getattr(torch, TORCH_NAMES[next(iter(read_checkpoint(converted).values())).dtype])
    runs = plan_runs(source, config, old_long is not None, report.architecture == "LongformerForMaskedLM")
    if tokenizers:
        longest = min(source_length(source), LONGEST_RUN)
        runs += text_runs(*tokenizers, longest, config.type_vocab_size > 1, old_long is not None)
    with torch.inference_mode(), _quiet(), tqdm(total=2 * len(runs), desc="proving", file=sys.stderr, delay=2) as bar:
        if old_long is None or source.config.model_type == "longformer":
            model = _load_source(source, report.architecture, dtype)
        else:
            model = build_by_hand(old_long, source.config, report.architecture, config.attention_window, dtype)
        expected = []
        for planned in runs:
            if old_long is not None:
                _set_window(model, planned.window or config.attention_window)
            expected.append(_outputs(model, planned.source))
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
            _set_window(model, planned.window or config.attention_window)
            report.checks += _compare(planned, outputs, _outputs(model, planned.converted))
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


def source_length(source: Source) -> int:
    """Tokens that the source reads."""
    return source.config.max_position_embeddings - source_offset(source.config)


def plan_runs(source: Source, config: "PreTrainedConfig", old_long: bool, small_runs: bool) -> list[Run]:
    """Runs on random ids: what counts is what the layers make of any. None is longer than `LONGEST_RUN` tokens, but
    for those of an old long checkpoint with a window as long."""
    import torch

    generator = torch.Generator().manual_seed(0)
    words = torch.arange(config.vocab_size)
    words = words[(words != config.pad_token_id) & (words != source.config.pad_token_id)]
    first, first_of_source = config.pad_token_id + 1, source_offset(source.config)
    length, read_by_source = config.max_position_embeddings - first, source_length(source)
    covered = min(read_by_source, LONGEST_RUN)
    side = min(min(config.attention_window) // 2, covered)
    # The native code pads every input to a whole window. Narrow a wide one, so that short runs stay short.
    own = None if max(config.attention_window) <= 2 * LONGEST_RUN else 2 * side

    def run(
        title: str, lengths: list[int], window: int | None, every: int = 0, rows: tuple[Any, Any] | None = None
    ) -> Run:
        """`lengths` tokens a row, one in `every` global; `rows` gives positions by hand: the source's, the result's."""
        ids = torch.full((len(lengths), max(lengths)), config.pad_token_id)
        for row, count in enumerate(lengths):
            ids[row, :count] = words[torch.randint(0, len(words), (count,), generator=generator)]
        inputs = {"input_ids": ids, "attention_mask": (ids != config.pad_token_id).long()}
        if config.type_vocab_size > 1:  # as a pair of texts: the second half has the other type
            inputs["token_type_ids"] = (torch.arange(ids.shape[1]) >= ids.shape[1] // 2).long().expand(ids.shape)
        mask = torch.zeros_like(ids)
        if every:
            mask[:, ::every] = 1
        of_source, of_converted = dict(inputs), inputs | {"global_attention_mask": mask * inputs["attention_mask"]}
        for inputs, table_rows in zip((of_source, of_converted), rows or (None, None), strict=True):
            if table_rows is not None:
                inputs["position_ids"] = table_rows[None].expand(ids.shape)
        return Run(title, window, of_converted if old_long else of_source, of_converted)

    runs = []
    for longest in sorted({min(side, SMALL_RUN), side} if small_runs else {side}):
        lengths = sorted({min(5, longest), max(1, longest // 3), longest})
        text = f"{lengths[0]} to {longest} tokens, padded" + (f", window {own:,}" if own else "")
        runs += [run(text, lengths, own), run(f"{text}, every 7th global", lengths[1:] or lengths, own, 7)]
    if old_long:
        beyond = min(read_by_source, LONGEST_RUN if own else max(LONGEST_RUN, 2 * max(config.attention_window)))
        return [*runs, run(f"{beyond} tokens, every 97th global", [beyond], own, 97)]
    runs.append(run(f"{covered} tokens, window widened", [covered], 2 * covered))
    if covered < read_by_source:
        last = torch.arange(read_by_source - covered, read_by_source)
        title = f"{covered} tokens at the last of {read_by_source:,} positions, window widened"
        runs.append(run(title, [covered], 2 * covered, rows=(last + first_of_source, last + first)))
    beyond = min(length, read_by_source * 5 // 4, LONGEST_RUN)
    if beyond > read_by_source:  # the source reads them with positions that repeat, as the long table repeats them
        row = source_positions(beyond, read_by_source, config) + first_of_source
        runs.append(run(f"{beyond} tokens, positions wrapped", [beyond], 2 * beyond, rows=(row, None)))
    return runs


def text_runs(
    source: "PreTrainedTokenizerBase",
    converted: "PreTrainedTokenizerBase",
    longest: int,
    types: bool,
    old_long: bool,
) -> list[Run]:
    """Runs on texts of all scripts and their pairs, with unknown words and the mask, each model's as its own tokenizer
    gives and pads them: ids that stand in no random input, and the positions that padding leaves to them.

    Args:
        longest: tokens of a text, at most.
        types: whether the models tell two texts apart by token types.
        old_long: whether the source is a Longformer too.
    """
    import torch

    texts = [*SCRIPTS, f"{SCRIPTS[0]} {UNKNOWN} {SCRIPTS[1]}", f"{UNKNOWN} {source.mask_token or ''} {SCRIPTS[4]}"]
    runs = []
    for title, batch in (("texts", [texts]), ("pairs of texts", [texts[:4], texts[-4:]])):
        sides = []
        for tokenizer in (source, converted):
            rows = tokenizer(*batch, truncation=True, max_length=longest, verbose=False)
            if tokenizer.pad_token is None:  # only in a source; padding is masked, so any token will do
                tokenizer.pad_token = tokenizer.eos_token or tokenizer.sep_token or tokenizer.unk_token
            padded = tokenizer.pad(rows, padding=True, verbose=False)
            keys = ["input_ids", "attention_mask", *["token_type_ids"] * (types and "token_type_ids" in padded)]
            sides.append({key: torch.tensor(padded[key]) for key in keys})
        of_source, of_converted = sides
        no_globals = {"global_attention_mask": torch.zeros_like(of_converted["input_ids"])}
        width = of_converted["input_ids"].shape[1]
        title = f"{title} of all scripts, {width} tokens, padded by the tokenizer"
        inputs = of_source | no_globals if old_long else of_source
        runs.append(Run(title, 2 * width, inputs, of_converted | no_globals))
    return runs


def _load_source(source: Source, architecture: str, dtype: "torch.dtype") -> Any:
    import transformers

    model, info = getattr(transformers, AUTO_CLASSES[architecture]).from_pretrained(
        source.folder,
        config=source.config,
        dtype=dtype,
        output_loading_info=True,
        trust_remote_code=False,
    )
    # Before transformers 5 an untied head was saved with one bias. Version 5 leaves the decoder's at zero.
    lost = [name for name in info["missing_keys"] if name.endswith("decoder.bias")]
    for name in lost:
        head = model.get_submodule(name.removesuffix(".decoder.bias"))
        head.decoder.bias.data = head.bias.data.clone()
    pooler = {name for name, _ in model.named_parameters() if "pooler" in name}
    model.pooler_is_trained = bool(pooler) and not pooler & set(info["missing_keys"])
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


def _outputs(model: Any, inputs: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Hidden states of all layers in one tensor (layers, batch, length, hidden), pooled output, and all logits."""
    import torch

    if type(model).__name__.endswith("MultipleChoice"):
        inputs = {key: value[:, None] for key, value in inputs.items()}
    if type(model).__name__.endswith("MaskedLM") and inputs["input_ids"].numel() > 3 * SMALL_RUN:
        model = model.base_model
    outputs = model(**inputs, output_hidden_states=True, return_dict=True)
    found = {"hidden states": torch.stack(outputs.hidden_states).float()}
    for key, value in outputs.items():
        if key.endswith("logits"):
            found[key] = value.float()
    if outputs.get("pooler_output") is not None and getattr(model, "pooler_is_trained", False):
        found["pooler_output"] = outputs["pooler_output"].float()
    return found


def _compare(planned: Run, expected: dict[str, "torch.Tensor"], found: dict[str, "torch.Tensor"]) -> list[Check]:
    real = planned.converted["attention_mask"].bool()
    if not real.equal(planned.source["attention_mask"].bool()):
        return [Check("hidden states", False, f"{planned.title}: padding stands elsewhere than in the source")]
    checks = []
    for key in sorted(expected.keys() & found.keys(), key=lambda key: key != "hidden states"):
        a, b = expected[key], found[key]
        if a.shape != b.shape:
            checks.append(Check(key, False, f"{planned.title}: shape {list(b.shape)}, {list(a.shape)} expected"))
            continue
        if key == "hidden states":
            a, b = a[:, real], b[:, real]
        elif a.shape[:2] == real.shape:
            a, b = a[real], b[real]
        difference = (a - b).abs().max().item()
        limit = TOLERANCE * max(1.0, a.abs().max().item())
        checks.append(Check(key, difference <= limit, planned.title, difference, limit))
    return checks
