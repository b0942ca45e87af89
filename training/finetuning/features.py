"""The windows that a fine-tuning step learns from, each with its gold tokens."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from training.qa.windows import Document, Window, Windower, characters, token_span
from training.runs.randomness import Use, random_stream

NO_ANSWER = 0  # the first token's position: the answer is not in this window


def train_features(
    rows: Iterable[Mapping[str, Any]], windower: Windower, *, negatives: int = 1, seed: int = 42, first: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield the training windows of SQuAD-format rows.

    Every window that holds a whole answer is kept, with all the answers it holds; of the windows of an answerable
    document that hold none, `negatives` are drawn, but none that repeats an answer's text elsewhere; a document without
    an answer gives one drawn window in all. An answer that no token covers makes no positive. What is drawn for a row
    follows from the seed and its number, which is `first` for the first one.

    Yields dicts: `input_ids`, `length`, `prefix_length`, `document_length`, `starts` and `ends` (token positions of
    every gold span in the window, or [NO_ANSWER]), `paragraph` (first and last token position of the answer's
    paragraph, see `mix_lengths`, or of the whole context of a row without one; [NO_ANSWER, NO_ANSWER] where the window
    has it not, or not whole).
    """
    for number, row in enumerate(rows, first):
        rng = random_stream(seed, Use.NEGATIVE, number)
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
                "paragraph": (paragraph and _in_window(window, paragraph)) or (NO_ANSWER, NO_ANSWER),
            }


def _repeats(document: Document, window: Window, answers: Sequence[str]) -> bool:
    """Whether the window's part of the document holds the text of an answer, where nobody marked it."""
    if not window.document_length:
        return False
    last = window.document_start + window.document_length - 1
    start, end = characters(document, window.document_start, last)
    part = document.text[start:end].lower()
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
