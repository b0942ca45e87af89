"""From scores to percentages that hold: places of their own, and "not answered here" beside them.

Spans that overlap are other wordings of one place and count together. The scores are divided by a temperature and "no
answer" is moved by a threshold, both measured (benchmarks/no_answer.py), once for questions in the document's language
and once for questions in another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.qa.answers import Answer, Answers

# A rival below this share that touches a better place adds nothing to it.
TRIFLE = 0.01


@dataclass(frozen=True)
class Calibration:
    """`threshold` is taken from the score of "no answer"; all scores are divided by `temperature`."""

    threshold: float = 0.0
    temperature: float = 1.0

    def places(self, answers: Answers) -> tuple[tuple[Answer, ...], float]:
        """The places, best first, each with its share, and the share of "no answer"; all of them together make 1.

        A place is named by its best span, which also ranks it, as in training/score.py; the spans that overlap it give
        it their shares.
        """
        scores = [*(answer.score for answer in answers.n_best), answers.null_score - self.threshold]
        weights = [math.exp((score - max(scores)) / self.temperature) for score in scores]
        total = sum(weights)
        places: list[Answer] = []
        shares: list[float] = []
        for answer, weight in zip(answers.n_best, weights, strict=False):
            rank = next((i for i, place in enumerate(places) if overlap(answer, place)), None)
            if rank is None:
                places.append(answer)
                shares.append(weight / total)
            else:
                shares[rank] += weight / total
        shared = tuple(replace(place, probability=share) for place, share in zip(places, shares, strict=True))
        return shared, weights[-1] / total


UNMEASURED = Calibration()


def overlap(one: Answer, other: Answer) -> bool:
    return one.start < other.end and other.start < one.end


def worth_showing(places: Sequence[Answer], text: str) -> tuple[Answer, ...]:
    """The places without those that say nothing: bare signs, and trifles that touch a better place."""
    kept: list[Answer] = []
    for place in places:
        says = any(letter.isalnum() for letter in place.text)
        trifle = place.probability < TRIFLE and any(_touch(place, better, text) for better in kept)
        if not kept or (says and not trifle):
            kept.append(place)
    return tuple(kept)


def _touch(one: Answer, other: Answer, text: str) -> bool:
    """Whether no letter and no figure stands between the two."""
    first, second = sorted((one, other), key=lambda answer: answer.start)
    return not any(letter.isalnum() for letter in text[first.end : second.start])
