"""Training examples of many lengths out of a corpus of single paragraphs.

A model that is to read long documents must be trained on them: the thesis's XLM-Long lost 6 F1 from one paragraph to
three. Each example keeps its question and answer; its paragraph is joined with others, before and after it, from the
same article or from other ones, and a share of the questions is paired with text that does not answer it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from foundation.cli import UserError
from training.runs.randomness import Use, random_stream

SEPARATORS = ("", "\n", "\n\n")  # SQ3/XQ3 join with nothing; documents in the wild have line breaks


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
        return self.long_fraction > 0 or self.unanswerable_fraction > 0


def mix_lengths(rows: Sequence[Mapping[str, Any]], mixture: Mixture) -> Iterator[dict[str, Any]]:
    """Yield each row (`id`, `title`, `context`, `question`, `answers`) with each of its drawn documents.

    Where that holds the answer, `paragraph` says where the row's own context lies in it, as (start, end) in characters.
    """
    paragraphs, by_title = _paragraphs(rows)
    drawings = product(range(mixture.documents_per_question), rows)
    for number, (_, row) in enumerate(drawings):
        rng = random_stream(mixture.seed, Use.DOCUMENT, number)
        answerable = rng.random() >= mixture.unanswerable_fraction
        count = 1
        if rng.random() < mixture.long_fraction:
            count = round(float(np.exp(rng.uniform(np.log(2), np.log(mixture.max_paragraphs)))))
        near = by_title[row["title"]] if rng.random() < mixture.same_article else range(len(paragraphs))
        others = _draw(rng, near, paragraphs, row, count if not answerable else count - 1, answerable)
        if not answerable and not others:  # an answer such as "a" is in every paragraph: the question keeps its own
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


def _paragraphs(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[str, list[int]]]:
    """Every distinct paragraph, and the numbers of those of each article."""
    numbers: dict[str, int] = {}
    by_title: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row["context"] not in numbers:
            numbers[row["context"]] = len(numbers)
            by_title[row["title"]].append(numbers[row["context"]])
    return list(numbers), by_title


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
    if not drawn and count and (answerable or len(paragraphs) == 1):
        raise UserError("the training set has too few paragraphs: lower --long_fraction and --unanswerable_fraction")
    return drawn
