"""Two runs of score.py compared: the means are theirs, the interval is that of the differences of the questions."""

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from accelerate import PartialState

from foundation.cli import UserError
from training import compare, score
from training.scoring import metrics
from training.scoring import run as score_run
from training.scoring.bootstrap import paired_bootstrap

from . import qa_tiny


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> Path:
    """What score.py left of a tiny model on two languages."""
    folder = tmp_path_factory.mktemp("compare")
    model = qa_tiny.checkpoint(folder / "model", "bert")
    for language, count in (("en", 4), ("de", 2)):
        qa_tiny.squad_file(folder / f"tiny.{language}.json", count)
    words = ["--model_name_or_path", str(model), "--dataset", "file", "--data_files", str(folder / "tiny.*.json"),
             "--max_length", "48", "--doc_stride", "8", "--output_dir", str(folder / "out"), "--use_cpu"]  # fmt: skip
    score_run.score_checkpoint(score.read_command_line(words), PartialState(cpu=True))
    return folder / "out"


def compared(first: Path, second: Path, *words: str) -> dict:
    return compare.compare(compare.read_command_line(["--scores", str(first), str(second), *words]))


def with_answers(scores: Path, folder: Path, right: list[bool]) -> Path:
    """A copy of the run in which the English questions are answered right or not at all."""
    shutil.copytree(scores, folder)
    corpus = json.loads((scores.parent / "tiny.en.json").read_text())
    questions = [qa for article in corpus["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    assert len(questions) == len(right)
    texts = {qa["id"]: qa["answers"][0]["text"] if ok else "nowhere" for qa, ok in zip(questions, right, strict=True)}
    (folder / "en" / "predictions.json").write_text(json.dumps(texts))
    return folder


def test_means_difference_and_interval(scores, tmp_path):
    count = 24
    ours = with_answers(scores, tmp_path / "ours", [number % 4 > 0 for number in range(count)])  # 75%
    theirs = with_answers(scores, tmp_path / "theirs", [number % 2 > 0 for number in range(count)])  # 50%
    found = compared(ours, theirs, "--language", "en")["en"]
    assert (found["questions"], found["first"], found["second"]) == (count, 75, 50)
    assert found["difference"] == 25
    # A quarter of the pairs differ by 100, so the standard error of the mean is 100 sqrt(3/16) / sqrt(24).
    half = 1.96 * 100 * np.sqrt(3 / 16 / count)
    assert found["low"] == pytest.approx(25 - half, abs=2.5)
    assert found["high"] == pytest.approx(25 + half, abs=2.5)
    turned = compared(theirs, ours, "--language", "en")["en"]
    assert (turned["low"], turned["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_means_are_those_of_score(scores):
    held = json.loads((scores / "scores.json").read_text())["languages"]
    found = compared(scores, scores)
    assert found.keys() == held.keys() == {"de", "en"}
    for language, each in found.items():
        assert each["first"] == pytest.approx(held[language]["f1"])
        assert (each["difference"], each["low"], each["high"]) == (0, 0, 0)


def test_what_cannot_be_compared_is_one_sentence(scores, tmp_path):
    with pytest.raises(UserError, match=r"takes two output folders of score\.py, and 3 came"):
        compare.read_command_line(["--scores", "a", "b", "c"])
    with pytest.raises(UserError, match="'fr' is not in both"):
        compared(scores, scores, "--language", "fr")
    with pytest.raises(UserError, match=r"scores\.json' is not a file"):
        compared(scores, tmp_path)
    (tmp_path / "scores.json").write_text("[]")
    with pytest.raises(UserError, match="holds a list, an object was expected"):
        compared(scores, tmp_path)
    fewer = tmp_path / "fewer"
    shutil.copytree(scores, fewer)
    held = json.loads((fewer / "scores.json").read_text())
    held["run"]["max_eval_samples"] = 3
    (fewer / "scores.json").write_text(json.dumps(held))
    with pytest.raises(UserError, match=r"answer other questions in 'de' \(12 and 3\)"):
        compared(scores, fewer)


def test_the_samples_take_little_memory_and_are_the_same():
    """As many questions as MLQA's English test has: all at once, 10,000 samples of them take 1.9 GB."""
    first, second = np.random.default_rng(1).random(size=(2, 11_590))
    tracemalloc.start()
    found = paired_bootstrap(first, second, np.random.default_rng(42), draws=2_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # bytes; all 2,000 draws at once take 371 MB
    differences = 100 * first - 100 * second
    drawn = np.random.default_rng(42).integers(11_590, size=(2_000, 11_590))
    low, high = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5])
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("metric", metrics.NORMALISERS)
def test_every_metric_that_a_sentence_advises_is_a_choice(metric):
    assert compare.read_command_line(["--scores", "a", "b", "--metric", metric]).metric == metric


def test_unanswerable_questions_by_the_metric_that_is_advised(scores, tmp_path):
    shutil.copytree(scores, tmp_path / "v2")
    held = json.loads((scores.parent / "tiny.en.json").read_text())
    question = held["data"][0]["paragraphs"][0]["qas"][0]
    question |= {"answers": [], "is_impossible": True}
    (tmp_path / "tiny.en.json").write_text(json.dumps(held))
    run = json.loads((tmp_path / "v2" / "scores.json").read_text())
    run["run"]["data_files"] = str(tmp_path / "tiny.en.json")
    (tmp_path / "v2" / "scores.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match="by squad_v2"):
        compared(tmp_path / "v2", tmp_path / "v2", "--language", "en")
    found = compared(tmp_path / "v2", tmp_path / "v2", "--language", "en", "--metric", "squad_v2")
    assert found["en"]["difference"] == 0
