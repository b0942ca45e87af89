"""From a model's start and end logits to answers: spans chosen jointly, over all windows of a document.

`window_spans` keeps the best spans of one window on the model's device; `best_answers` merges the windows of a
document, drops duplicates where windows overlap, and sets the spans against the score of "no answer", which is, as in
BERT's SQuAD 2.0 recipe, the smallest score that any window gives to its first token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from .windows import Document, characters


@dataclass(frozen=True)
class Span:
    """A candidate: first and last document token, and the sum of its start and end logits."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Answer:
    """`text == document[start:end]`; `probability` is over the n best spans and "no answer" together."""

    text: str
    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True)
class Answers:
    """The n best spans, best first (empty where the document has no token), and "no answer" beside them."""

    n_best: list[Answer]
    null_score: float
    null_probability: float

    @property
    def best(self) -> Answer | None:
        return self.n_best[0] if self.n_best else None

    @property
    def null_margin(self) -> float:
        """Score of "no answer" minus score of the best span; above a tuned threshold the answer is "none"."""
        return self.null_score - (self.n_best[0].score if self.n_best else float("-inf"))

    def text(self, null_threshold: float | None = None) -> str:
        """The best span's text; empty where there is none, or where the null margin is above the threshold."""
        if self.best is None or (null_threshold is not None and self.null_margin > null_threshold):
            return ""
        return self.best.text

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def window_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    prefix_lengths: Sequence[int],
    document_starts: Sequence[int],
    document_lengths: Sequence[int],
    n_best: int = 20,
    max_answer_length: int = 30,
) -> list[tuple[list[Span], float]]:
    """The `n_best` spans of at most `max_answer_length` tokens of each window, exactly, and its null score.

    No span holds a token whose logit is -inf, which was not read (`second_look`).

    Args:
        start_logits, end_logits: (windows, tokens).
        prefix_lengths, document_starts, document_lengths: as in `Window`, one number a window.
    """
    results = []
    starts, ends = start_logits.float(), end_logits.float()
    nulls = (starts[:, 0] + ends[:, 0]).tolist()
    for row, (prefix, first, length) in enumerate(zip(prefix_lengths, document_starts, document_lengths, strict=True)):
        start, end = starts[row, prefix : prefix + length], ends[row, prefix : prefix + length]
        # scores[i, j] is of the span from token i to token i + j. Spans beyond the document's end get -inf.
        beyond = end.new_full((max_answer_length - 1,), float("-inf"))
        spans: list[Span] = []
        if length:
            scores = start[:, None] + torch.cat([end, beyond]).unfold(0, max_answer_length, 1)
            unread = torch.cat([start, beyond]).isneginf().cumsum(0)
            scores[unread.unfold(0, max_answer_length, 1) > unread[:length, None]] = float("-inf")
            best = torch.topk(scores.flatten(), min(n_best, scores.numel()))
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                if score > float("-inf"):
                    i, j = divmod(index, max_answer_length)
                    spans.append(Span(first + i, first + i + j, score))
        results.append((spans, nulls[row]))
    return results


def best_answers(document: Document, windows: Iterable[tuple[list[Span], float]], n_best: int = 20) -> Answers:
    """Merge the windows of one document; spans that are the same characters count once, at their best score."""
    null_score = float("inf")
    scores: dict[tuple[int, int], float] = {}
    for spans, null in windows:
        null_score = min(null_score, null)
        for span in spans:
            characters = _characters(document, span)
            if characters is not None:
                scores[characters] = max(span.score, scores.get(characters, float("-inf")))
    # Of equal scores the earlier, then the shorter span comes first. So the order does not depend on the batches.
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:n_best]
    logits = np.array([score for _, score in ranked] + [null_score])
    weights = np.exp(logits - logits.max())
    probabilities = (weights / weights.sum()).tolist()
    answers = [
        Answer(document.text[start:end], start, end, score, probability)
        for ((start, end), score), probability in zip(ranked, probabilities, strict=False)
    ]
    return Answers(answers, null_score, probabilities[-1])


def _characters(document: Document, span: Span) -> tuple[int, int] | None:
    """Character span of a token span without the white space at its ends; None where nothing is left."""
    start, end = characters(document, span.start, span.end)
    text = document.text[start:end]
    start, end = start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
    return (start, end) if start < end else None
