"""From scores to percentages that hold: places of their own, and "not answered here" beside them.

Spans that overlap are other wordings of one place, and the best of them speaks for it. The scores are divided by a
temperature and "no answer" is moved by a threshold, both measured (benchmarks/no_answer.py), once for questions in the
document's language and once for questions in another. Both lie beside the model, in one layout:

    no_answer.json: {"same_language": {"threshold": 1.5, "temperature": 2.0, "add_wordings": false}, ...}
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from foundation.cli import UserError
from foundation.files import read_json, write_atomically
from training.qa.answers import Answer, Answers
from training.scoring.record import CALIBRATION

# A place below this share that touches a better one tells a reader nothing more.
TRIFLE = 0.01


@dataclass(frozen=True)
class Calibration:
    """`threshold` is taken from the score of "no answer"; all scores are divided by `temperature`.

    Args:
        add_wordings: a place has the shares of all spans that overlap it, not of its best one alone, as when files
            without this field were measured. Then it promises too much: the best place has most of the spans, right
            or wrong (docs/space.md).
    """

    threshold: float = 0.0
    temperature: float = 1.0
    add_wordings: bool = False

    @property
    def fitted(self) -> bool:
        """Whether its shares were compared with what is right; 0.1 moved "no answer" alone."""
        return self.temperature != UNMEASURED.temperature

    def places(self, answers: Answers) -> tuple[tuple[Answer, ...], float]:
        """The places, best first, each with its share, and the share of "no answer"; all of them together make 1.

        A place is named by its best span, which also ranks it, as in training/score.py.
        """
        scores = [*(answer.score for answer in answers.n_best), answers.null_score - self.threshold]
        *spans, nothing = (math.exp((score - max(scores)) / self.temperature) for score in scores)
        places: list[Answer] = []
        weights: list[float] = []
        for answer, weight in zip(answers.n_best, spans, strict=True):
            rank = next((i for i, place in enumerate(places) if overlap(answer, place)), None)
            if rank is None:
                places.append(answer)
                weights.append(weight)
            elif self.add_wordings:
                weights[rank] += weight
        total = sum(weights) + nothing
        shared = (replace(place, probability=weight / total) for place, weight in zip(places, weights, strict=True))
        return tuple(shared), nothing / total


UNMEASURED = Calibration()
LANGUAGES = ("same_language", "other_language")


def write_calibrations(folder: Path, dataset: str, measured: dict[str, Calibration]) -> Path:
    """Write no_answer.json into a model's folder: what was measured on `dataset`, for one of `LANGUAGES` or both."""
    content = {"dataset": dataset, **{languages: asdict(measured[languages]) for languages in measured}}
    return write_atomically(folder / CALIBRATION, json.dumps(content, indent=2) + "\n")


def read_calibrations(path: Path, argument: str) -> tuple[Calibration, Calibration]:
    """Those of a no_answer.json, for questions in the document's language and in another.

    What was not measured for one of them is taken as unmeasured. A file of 0.1 has one `threshold` for both. The
    numbers of a file without `add_wordings` hold with the wordings added up.

    Args:
        argument: what a sentence calls the file by, as for `foundation.files.read_json`.

    Raises:
        UserError: the file is not of this layout.
    """
    content = read_json(path, argument, dict)
    given = [content[languages] for languages in LANGUAGES if languages in content]
    if not given and "threshold" in content:
        content = {languages: {"threshold": content["threshold"], "temperature": 1.0} for languages in LANGUAGES}
        given = list(content.values())
    if not given or not all(map(_is_calibration, given)):
        raise UserError(
            f"{argument} {str(path)!r} is no file of benchmarks.no_answer --write_calibration: "
            f"{' and '.join(LANGUAGES)} need a threshold and a temperature above 0; measure again, or remove it"
        )
    same, other = (_calibration(content[languages]) if languages in content else UNMEASURED for languages in LANGUAGES)
    return same, other


def _calibration(content: dict[str, Any]) -> Calibration:
    return Calibration(float(content["threshold"]), float(content["temperature"]), content.get("add_wordings", True))


def _is_calibration(content: Any) -> bool:
    known = isinstance(content, dict) and type(content.get("add_wordings", True)) is bool
    return known and _is_number(content.get("threshold")) and _is_number(content.get("temperature"), above=0)


def _is_number(value: Any, above: float = -math.inf) -> bool:
    return type(value) in (int, float) and above < value < math.inf


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
