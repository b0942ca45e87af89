"""What the fine-tuning step eats: windows with their gold tokens, collated into tensors, and the loss on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .features import Document, Window, Windower, collate, token_span

NO_ANSWER = 0  # the first token's position stands for "the answer is not in this window"
IGNORED = -100


def train_features(
    rows: Iterable[Mapping[str, Any]], windower: Windower, *, negatives: int = 1, seed: int = 42, first: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield the training windows of SQuAD-format rows.

    Every window that holds a whole answer is kept, with all the answers it holds; of the windows of an answerable
    document that hold none, `negatives` are drawn, but none that repeats an answer's text elsewhere; a document without
    an answer gives one drawn window in all. An answer that no token covers makes no positive. What is drawn for a row
    follows from the seed and its number, which is `first` for the first one.

    Yields dicts: `input_ids`, `length`, `prefix_length`, `document_length`, `starts` and `ends` (token positions of
    every gold span in the window, or [NO_ANSWER]), `place` (a number in [0, 1) for `TrainCollator`'s position offset),
    `paragraph` (first and last token position of the answer's paragraph, see `mix_lengths`, or of the whole context of
    a row without one; [NO_ANSWER, NO_ANSWER] where the window has it not, or not whole).
    """
    for number, row in enumerate(rows, first):
        rng = np.random.default_rng([seed, number])
        document = windower.document(row["context"])
        spans = gold_spans(document, row["answers"])
        paragraph = token_span(document, *row.get("paragraph", (0, len(row["context"])))) if spans else None
        positive: list[tuple[Window, list[tuple[int, int]]]] = []
        negative: list[tuple[Window, list[tuple[int, int]]]] = []
        for window in windower.windows(row["question"], document):
            gold = [_in_window(window, span) for span in spans]
            inside = [span for span in gold if span is not None]
            (positive if inside else negative).append((window, inside or [(NO_ANSWER, NO_ANSWER)]))
        keep = negatives if positive else 1
        negative = [item for item in negative if not _repeats(document, item[0], row["answers"]["text"])]
        drawn = [negative[i] for i in sorted(rng.permutation(len(negative))[:keep])]
        for window, gold_in_window in positive + drawn:
            yield {
                "input_ids": window.input_ids,
                "length": len(window),
                "prefix_length": window.prefix_length,
                "document_length": window.document_length,
                "starts": sorted({start for start, _ in gold_in_window}),
                "ends": sorted({end for _, end in gold_in_window}),
                "place": float(rng.random()),
                "paragraph": (paragraph and _in_window(window, paragraph)) or (NO_ANSWER, NO_ANSWER),
            }


def _repeats(document: Document, window: Window, answers: Sequence[str]) -> bool:
    """Whether the window's part of the document holds the text of an answer, where nobody marked it."""
    if not window.document_length:
        return False
    last = window.document_start + window.document_length - 1
    part = document.text[document.offsets[window.document_start, 0] : document.offsets[last, 1]].lower()
    return any(answer.lower() in part for answer in answers)


def gold_spans(document: Document, answers: Mapping[str, Sequence[Any]]) -> list[tuple[int, int]]:
    """First and last document token of every answer that tokens cover."""
    spans = (
        token_span(document, start, start + len(text))
        for text, start in zip(answers["text"], answers["answer_start"], strict=True)
    )
    return [span for span in spans if span is not None]


def _in_window(window: Window, span: tuple[int, int]) -> tuple[int, int] | None:
    """Positions in the window's sequence of a span of document tokens, None unless the whole span is inside."""
    start, end = span[0] - window.document_start, span[1] - window.document_start
    if start < 0 or end >= window.document_length:
        return None
    return start + window.prefix_length, end + window.prefix_length


@dataclass
class TrainCollator:
    """Pad features into a batch for `span_loss`.

    Args:
        random_positions: share of the windows whose document is put at a random offset in the position table, so that
            every tiled position row is trained at the price of short examples. Longformer only.
        positions: tokens that the model's position table holds.
    """

    config: Any
    pad_token_id: int
    positions: int
    random_positions: float = 0.0

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Returns the model's inputs (windows, tokens), and `starts`, `ends` (windows, golds) padded with IGNORED,
        `allowed` (windows, tokens), True on the document and on the first token, and `paragraph`, True on the answer's
        paragraph."""
        windows = [
            Window(np.asarray(f["input_ids"], dtype=np.int32), f["prefix_length"], 0, f["document_length"])
            for f in features
        ]
        batch = collate(windows, self.config, self.pad_token_id)
        width = batch["input_ids"].shape[1]
        positions = torch.arange(width)
        prefixes = torch.tensor([w.prefix_length for w in windows])[:, None]
        if self.config.model_type == "longformer" and self.random_positions > 0:
            batch["position_ids"] = self._position_ids(features, positions, prefixes)
        ends = prefixes + torch.tensor([w.document_length for w in windows])[:, None]
        batch["allowed"] = ((positions >= prefixes) & (positions < ends)) | (positions == NO_ANSWER)
        first, last = torch.tensor([f["paragraph"] for f in features]).unbind(dim=1)
        batch["paragraph"] = (positions >= first[:, None]) & (positions <= last[:, None]) & (last[:, None] > NO_ANSWER)
        for name in ("starts", "ends"):
            golds = [torch.tensor(f[name]) for f in features]
            batch[name] = torch.nn.utils.rnn.pad_sequence(golds, batch_first=True, padding_value=IGNORED)
        return batch

    def _position_ids(
        self, features: Sequence[Mapping[str, Any]], positions: torch.Tensor, prefixes: torch.Tensor
    ) -> torch.Tensor:
        """Longformer's own numbering (from pad_token_id + 1; padding stays at pad_token_id), documents moved."""
        # `place` below the share moves the window; its rest, stretched to [0, 1), says how far.
        share = self.random_positions
        offsets = [
            int(f["place"] / share * (self.positions - f["length"] + 1)) if f["place"] < share else 0 for f in features
        ]
        moved = positions + torch.where(positions >= prefixes, torch.tensor(offsets)[:, None], 0)
        lengths = torch.tensor([f["length"] for f in features])[:, None]
        first = self.config.pad_token_id + 1
        return torch.where(positions < lengths, moved + first, self.config.pad_token_id)


def span_loss(outputs: Any, starts: torch.Tensor, ends: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Mean over the windows of -log P(any gold start) and -log P(any gold end), averaged.

    With one gold span this is the usual cross-entropy; with several it is the "OR" loss of the Longformer paper
    (appendix, TriviaQA) after Clark and Gardner (2018). The softmax runs over the tokens that can be an answer.
    """
    losses = []
    for logits, gold in ((outputs.start_logits, starts), (outputs.end_logits, ends)):
        log_p = logits.float().masked_fill(~allowed, float("-inf")).log_softmax(dim=-1)
        at_gold = log_p.gather(1, gold.clamp(min=0)).masked_fill(gold == IGNORED, float("-inf"))
        losses.append(-at_gold.logsumexp(dim=-1))
    return (losses[0] + losses[1]).mean() / 2
