"""scores.json: one layout, whoever writes it, checked by whoever reads it.

    {"run": {"dataset": "xquad", ...}, "languages": {"sv": {"questions": 1190, "exact_match": 50.1, "f1": 60.2, ...}},
     "average": {"languages": 1, "exact_match": 50.1, "f1": 60.2, ...}, ...}

`score.py` adds to it what else it knows; `pack_adapter` keeps what stands here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.cli import UserError
from foundation.files import read_json, write_atomically
from training.corpora.sources import canonical_name

SCORES = "scores.json"
CALIBRATION = "no_answer.json"  # lies beside a model; space/calibration.py says what is in it
METRICS = ("exact_match", "f1")


def write_scores(folder: Path, scores: Mapping[str, Any]) -> Path:
    """Write scores.json into `folder`."""
    return write_atomically(folder / SCORES, json.dumps(scores, ensure_ascii=False, indent=1) + "\n")


def read_scores(path: str | Path, argument: str) -> dict[str, Any]:
    """The content of a scores.json.

    Args:
        argument: what a sentence calls the file by, as for `foundation.files.read_json`.

    Raises:
        UserError: no such file, or another layout than the one above.
    """
    scores = read_json(path, argument, dict)
    wrong = _what_is_wrong(scores)
    if wrong:
        raise UserError(
            f"{argument} {str(path)!r} is no scores.json of score.py ({wrong}): give its own file, or another folder"
        )
    return scores


def _what_is_wrong(scores: dict[str, Any]) -> str | None:
    run, languages = scores.get("run"), scores.get("languages")
    if not isinstance(run, dict) or not isinstance(run.get("dataset"), str):
        return "run.dataset is missing"
    if not isinstance(languages, dict):
        return "languages is missing"
    for language, score in languages.items():
        questions = score.get("questions") if isinstance(score, dict) else None
        if type(questions) is not int or questions < 1:
            return f"languages.{language}.questions is {questions!r}"
        for name in METRICS:
            if type(score.get(name)) not in (int, float) or not 0 <= score[name] <= 100:
                return f"languages.{language}.{name} is {score.get(name)!r}"
    return None


def of_xquad(scores: dict[str, Any]) -> dict[str, Any] | None:
    """The languages of scores on XQuAD's own paragraphs; None of other scores."""
    run = scores["run"]
    plain = canonical_name(run["dataset"]) == "xquad" and run.get("nr_concats") in (None, 1)
    return scores["languages"] if plain and scores["languages"] else None
