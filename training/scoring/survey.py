"""A look at questions before the work: what of them is odd, and what a model's window cuts or cannot answer.

All of it can be counted without the model; only its tokenizer is needed.
"""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from training.qa.windows import Windower, token_span

from .scores import LENGTH_BOUNDS

if TYPE_CHECKING:
    import datasets


def survey(rows: "datasets.Dataset", windower: Windower, max_answer_length: int) -> dict[str, Any]:
    """What stands in the rows of one language.

    Returns:
        `questions`; of them `unanswerable`, `duplicate_ids` (rows whose id an earlier row has), `blank_questions`,
        `not_nfc` (rows with text that is not composed) and `cut_questions`, longer than the window's part for them;
        `golds`, and of them `long_golds`, of more than `max_answer_length` tokens; `documents`, their `mean_tokens` and
        `longest_tokens`, and `by_length`: documents of more than `above` and up to `to` tokens.
    """
    lengths: dict[str, int] = {}
    golds = long_golds = 0
    for row in tqdm(rows, desc="looking at", unit="question", disable=None, leave=False):
        document = windower.document(row["context"])
        lengths[row["context"]] = len(document.ids)
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            span = token_span(document, start, start + len(text))
            golds += 1
            long_golds += span is not None and span[1] - span[0] >= max_answer_length
    return {
        "questions": len(rows),
        "unanswerable": sum(not answers["text"] for answers in rows["answers"]),
        "duplicate_ids": sum(count - 1 for count in Counter(rows["id"]).values()),
        "blank_questions": sum(not question.strip() for question in rows["question"]),
        "not_nfc": sum(not all(map(_is_composed, _texts(row))) for row in rows),
        "cut_questions": len(cut_questions(rows, windower)),
        "golds": golds,
        "long_golds": long_golds,
        "documents": len(lengths),
        "mean_tokens": fmean(lengths.values()),
        "longest_tokens": max(lengths.values()),
        "by_length": _by_length(list(lengths.values())),
    }


def contexts_that_return(contexts: Iterable[str]) -> int:
    """How many contexts come again after another one stood between: their questions are joined as if of two."""
    runs = Counter(context for context, _ in groupby(contexts))
    return sum(count > 1 for count in runs.values())


def cut_questions(rows: "datasets.Dataset", windower: Windower) -> list[str]:
    """Ids of the questions of which a window holds but the beginning."""
    is_cut = {question: windower.cuts(question) for question in dict.fromkeys(rows["question"])}
    return [key for key, question in zip(rows["id"], rows["question"], strict=True) if is_cut[question]]


def say_what_is_cut(rows: "datasets.Dataset", windower: Windower, what: str) -> None:
    """One line on stderr where questions are longer than their part of a window; `what` names the rows."""
    cut = cut_questions(rows, windower)
    if cut:
        print(
            f"note: {len(cut):,} of {len(rows):,} questions of {what} have more than {windower.max_question_length} "
            f"tokens and are cut there, the first is {cut[0]!r}: raise --max_question_length (at most half of "
            "--max_length)",
            file=sys.stderr,
        )


def _is_composed(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)


def _texts(row: Mapping[str, Any]) -> list[str]:
    return [row["context"], row["question"], *row["answers"]["text"]]


def _by_length(lengths: Sequence[int]) -> list[dict[str, Any]]:
    bounds = zip(LENGTH_BOUNDS, (*LENGTH_BOUNDS[1:], float("inf")), strict=True)
    table = []
    for above, to in bounds:
        count = sum(above < length <= to or length == above == 0 for length in lengths)
        if count:
            table.append({"above": above, "to": None if to == float("inf") else to, "documents": count})
    return table
