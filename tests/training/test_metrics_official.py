"""Our metrics against the official scripts themselves, to the last digit, where somebody has them.

The scripts are not ours to ship. Put evaluate-v1.1.py, evaluate-v2.0.py (rajpurkar.github.io/SQuAD-explorer),
mlqa_evaluation_v1.py (github.com/facebookresearch/MLQA) and a clone of github.com/mandarjoshi90/triviaqa, as
`triviaqa/`, into one folder and name it in OFFICIAL_SCRIPTS.
"""

import ast
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from training.scoring.metrics import score

SCRIPTS = Path(os.environ.get("OFFICIAL_SCRIPTS", "/nonexistent"))
pytestmark = pytest.mark.skipif(not SCRIPTS.is_dir(), reason="OFFICIAL_SCRIPTS names no folder of official scripts")
MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")


def official(*command: object, cwd: Path = SCRIPTS) -> str:
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=cwd, check=True)
    return result.stdout


def noisy_case(path: Path, chance: random.Random, unanswerable: float, missing: float) -> tuple[dict, dict, dict]:
    """A data set with wrong, partial, right, empty and missing predictions: (gold, predictions, na_probs)."""
    gold = json.loads(path.read_text(encoding="utf-8"))
    predictions, na_probs = {}, {}
    for article in gold["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                if chance.random() < unanswerable:
                    qa["answers"] = []
                elif chance.random() < 0.1:
                    qa["answers"].append({"text": chance.choice(["The", "“", "a b"]), "answer_start": 0})
                text, context = qa["answers"][0]["text"] if qa["answers"] else "", paragraph["context"]
                start = max(0, context.find(text) - chance.randrange(15))
                longer = context[start : start + len(text) + chance.randrange(20)]
                marked = f"the {text.upper()}{chance.choice('.,!“”’¿。')}"
                if chance.random() >= missing:
                    predictions[qa["id"]] = chance.choice([text, longer, marked, context[:30], ""])
                na_probs[qa["id"]] = chance.choice([chance.random(), 0.5])
    return gold, predictions, na_probs


def write(folder: Path, **contents: object) -> None:
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.parametrize("language", ["ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"])
def test_squad_and_mlqa(shared_data: Path, tmp_path: Path, language: str) -> None:
    chance = random.Random(language)
    gold, predictions, _ = noisy_case(shared_data / "xquad" / f"xquad.{language}.json", chance, 0.0, 0.02)
    write(tmp_path, gold=gold, predictions=predictions)
    files = (tmp_path / "gold.json", tmp_path / "predictions.json")
    theirs = {"squad": json.loads(official("evaluate-v1.1.py", *files))}
    if language in MLQA_LANGUAGES:
        theirs["mlqa"] = json.loads(official("mlqa_evaluation_v1.py", *files, language))
    for metric, expected in theirs.items():
        ours = score(metric, gold, predictions, language)
        assert {name: ours[name] for name in expected} == expected
        assert 0 < expected["exact_match"] < expected["f1"] < 100


@pytest.mark.parametrize("threshold", [None, 1.0, 0.5])
def test_squad_v2(shared_data: Path, tmp_path: Path, threshold: float | None) -> None:
    chance = random.Random(7)
    gold, predictions, na_probs = noisy_case(shared_data / "xquad" / "xquad.en.json", chance, 0.4, 0.0)
    write(tmp_path, gold=gold, predictions=predictions, na_probs=na_probs)
    command: list[object] = ["evaluate-v2.0.py", tmp_path / "gold.json", tmp_path / "predictions.json"]
    if threshold is None:
        ours = score("squad_v2", gold, predictions)
    else:
        command += ["--na-prob-file", tmp_path / "na_probs.json", "--na-prob-thresh", threshold]
        ours = score("squad_v2", gold, predictions, na_probs=na_probs, na_prob_thresh=threshold)
    assert ours.pop("exact_match") == ours["exact"]
    assert ours == json.loads(official(*command))


@pytest.mark.parametrize("name", ["wikipedia-dev", "wikipedia-train", "web-dev", "web-train"])
def test_triviaqa(shared_data: Path, tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    gold = json.loads((shared_data / "triviaqa" / "qa" / f"{name}.json").read_text(encoding="utf-8"))
    predictions = {}
    for datum in gold["Data"]:
        value = datum["Answer"]["Value"]
        for page in datum.get("EntityPages", []) + datum.get("SearchResults", []):
            key = datum["QuestionId"] if gold["Domain"] == "Wikipedia" else f"{datum['QuestionId']}--{page['Filename']}"
            predictions[key] = chance.choice([value, f"the {value.replace(' ', '_')}‘s", value[:5], "nothing"])
    predictions.pop(next(iter(predictions)))
    write(tmp_path, gold=gold, predictions=predictions)
    files = ("--dataset_file", tmp_path / "gold.json", "--prediction_file", tmp_path / "predictions.json")
    printed = official("-m", "evaluation.triviaqa_evaluation", *files, cwd=SCRIPTS / "triviaqa")
    expected = ast.literal_eval(printed.strip().splitlines()[-1])
    ours = score("triviaqa", gold, predictions)
    assert (ours["exact_match"], ours["f1"]) == (expected["exact_match"], expected["f1"])
