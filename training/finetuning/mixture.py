"""Training examples of many lengths out of a corpus of single paragraphs.

A model that is to read long documents must be trained on them: the thesis's XLM-Long lost 6 F1 from one paragraph to
three. Each example keeps its question and answer; its paragraph is joined with others, before and after it, from the
same article or from other ones, and a share of the questions is paired with text that does not answer it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from foundation.cli import UserError
from training.runs.randomness import Use, random_stream

SEPARATORS = ("", "\n", "\n\n")  # SQ3 and XQ3 join with nothing, other documents have line breaks
DOCUMENT = 4000  # characters; a longer context is no paragraph: the longest of SQuAD's first 44 articles has 3,076


@dataclass(frozen=True)
class Mixture:
    """How long the documents of a training set are.

    Args:
        long_fraction: share of the examples whose paragraph is joined with others.
        max_paragraphs: such an example has 2 to this many paragraphs, log-uniformly, so that every octave of length
            gets its share.
        same_article: share of the long examples whose other paragraphs come from the answer's article.
        unanswerable_fraction: share of the examples whose document lacks the answer.
        seed: the same seed draws the same documents.
        documents_per_question: so often all rows come, with other documents each time.
    """

    long_fraction: float = 0.0
    max_paragraphs: int = 24
    same_article: float = 0.5
    unanswerable_fraction: float = 0.0
    seed: int = 42
    documents_per_question: int = 1

    def __post_init__(self) -> None:
        for name in ("long_fraction", "same_article", "unanswerable_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} {getattr(self, name)} is not a share: give a number from 0 to 1")
        if self.max_paragraphs < 2:
            raise UserError(f"--max_paragraphs {self.max_paragraphs} is too few to join: give 2 or more")

    def changes_something(self) -> bool:
        return self.long_fraction > 0 or self.unanswerable_fraction > 0 or self.documents_per_question > 1


def mix_lengths(
    rows: Sequence[Mapping[str, Any]], mixture: Mixture, at_hand: Iterable[Mapping[str, Any]] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield each row (`id`, `title`, `context`, `question`, `answers`) with each of its drawn documents.

    Where that holds the answer, `paragraph` says where the row's own context lies in it, as (start, end) in characters.

    A row's other paragraphs are of its own source and language (`source`, `language`), from the rows `at_hand`, by
    default the rows themselves. What is long by nature comes whole: a context of DOCUMENT characters is never joined,
    and a row that says where its evidence stands is never changed.
    """
    pools = _pools(rows if at_hand is None else at_hand)
    drawings = product(range(mixture.documents_per_question), rows)
    for number, (_, row) in enumerate(drawings):
        if (row.get("evidence") or {}).get("start"):
            yield {**row, "paragraph": (0, len(row["context"]))}
            continue
        paragraphs, by_title = pools[_kind(row)]
        rng = random_stream(mixture.seed, Use.DOCUMENT, number)
        answerable = rng.random() >= mixture.unanswerable_fraction
        count = 1
        if rng.random() < mixture.long_fraction and not _is_document(row):
            count = round(float(np.exp(rng.uniform(np.log(2), np.log(mixture.max_paragraphs)))))
        near = by_title[row["title"]] if rng.random() < mixture.same_article else range(len(paragraphs))
        others = _draw(rng, near, paragraphs, row, count if not answerable else count - 1, answerable)
        if not answerable and not others:  # every paragraph holds an answer such as "a": the question stays answerable
            answerable, others = True, _draw(rng, near, paragraphs, row, count - 1, True)
        separator = SEPARATORS[rng.integers(len(SEPARATORS))]
        if not answerable:
            yield {**row, "context": separator.join(others), "answers": {"text": [], "answer_start": []}}
            continue
        place = int(rng.integers(len(others) + 1))
        before = "".join(text + separator for text in others[:place])
        context = before + row["context"] + "".join(separator + text for text in others[place:])
        starts = [start + len(before) for start in row["answers"]["answer_start"]]
        answers = {"text": list(row["answers"]["text"]), "answer_start": starts}
        yield {
            **row,
            "context": context,
            "answers": answers,
            "paragraph": (len(before), len(before) + len(row["context"])),
        }


def _is_document(row: Mapping[str, Any]) -> bool:
    return len(row["context"]) > DOCUMENT


def _kind(row: Mapping[str, Any]) -> tuple[str, str, bool]:
    """What a row's document is made of: paragraphs, or documents, of one source in one language."""
    return row.get("source") or "", row.get("language") or "", _is_document(row)


def _pools(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, bool], tuple[list[str], dict[str, list[int]]]]:
    """Of each kind every distinct paragraph, and the numbers of those of each article."""
    numbers: dict[tuple[str, str, bool], dict[str, int]] = defaultdict(dict)
    by_title: dict[tuple[str, str, bool], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        kind, context = _kind(row), row["context"]
        if context not in numbers[kind]:
            numbers[kind][context] = len(numbers[kind])
            by_title[kind][row["title"]].append(numbers[kind][context])
    return {kind: (list(contexts), by_title[kind]) for kind, contexts in numbers.items()}


def _draw(
    rng: np.random.Generator,
    near: Sequence[int],
    paragraphs: list[str],
    row: Mapping[str, Any],
    count: int,
    answerable: bool,
) -> list[str]:
    """`count` distinct paragraphs in random order, from `near` as far as they go, none of them the row's own.

    Where the row becomes unanswerable, paragraphs that hold an answer's text are passed over; none may be left.
    """
    taken = {row["context"]}
    answers = [text.lower() for text in row["answers"]["text"]]
    drawn: list[str] = []
    for pool in (rng.permutation(near), rng.permutation(len(paragraphs))) if count else ():
        for number in pool:
            text = paragraphs[number]
            if len(drawn) == count:
                break
            if text not in taken and (answerable or not any(answer in text.lower() for answer in answers)):
                taken.add(text)
                drawn.append(text)
    if not drawn and count and (answerable or len(paragraphs) == 1) and not _is_document(row):
        of = f"{row['source']!r}, of the training set, has" if row.get("source") else "the training set has"
        raise UserError(f"{of} too few paragraphs: lower --long_fraction and --unanswerable_fraction")
    return drawn
