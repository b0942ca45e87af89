"""One stream for each use: no draw of one thing says anything about another."""

from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset

from tests.conftest import ROOT
from training.finetuning.batches import TrainCollator
from training.finetuning.windows import make_windows
from training.qa.windows import Windower
from training.runs.randomness import Use, random_stream

from . import qa_tiny

SHARE = 0.2


@pytest.fixture
def windows(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    arguments = SimpleNamespace(
        dataset="file", long_fraction=0.5, max_paragraphs=4, same_article=0.5, unanswerable_fraction=SHARE,
        documents_per_question=1, negatives=1, num_proc=1, cross_language=0.0,
    )  # fmt: skip
    rows = Dataset.from_list(qa_tiny.rows(200, 5))
    return make_windows(arguments, SimpleNamespace(seed=5), Windower(qa_tiny.tokenizer(), 256), rows)


def test_what_makes_a_document_unanswerable_does_not_move_its_window(windows):
    """One stream for both: no window left in place was unanswerable, and every moved one was."""
    examples = [windows[0, number] for number in range(len(windows))]
    unanswerable = np.array([example["ends"] == [0] for example in examples])
    moved = np.array([example["place"] < SHARE for example in examples])
    assert len(examples) == 2000 and abs(moved.mean() - SHARE) < 0.03 and abs(unanswerable.mean() - SHARE) < 0.03
    for part in (moved, ~moved):
        assert abs(unanswerable[part].mean() - SHARE) < 0.05
    # How far a window is moved must not depend on how long its document was drawn.
    lengths = np.array([example["length"] for example in examples])
    places = np.array([example["place"] for example in examples])
    assert abs(np.corrcoef(lengths, places)[0, 1]) < 0.06


def test_every_epoch_moves_the_windows_anew(windows):
    collator = TrainCollator(qa_tiny.model("longformer", 300).config, 1, 512, random_positions=1.0)
    first, again, second = (
        collator([windows[epoch, number] for number in range(8)])["position_ids"] for epoch in (0, 0, 1)
    )
    assert (first == again).all() and (first.amax(1) != second.amax(1)).sum() >= 6


def test_no_two_uses_draw_the_same():
    draws = [random_stream(7, use, *numbers).random(4) for use in Use for numbers in ((), (1,), (1, 1))]
    assert len({tuple(draw) for draw in draws}) == len(draws) == 3 * len(Use)
    assert len(set(map(int, Use))) == len(Use)


def test_no_other_place_of_training_makes_a_stream():
    made = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "training").rglob("*.py")
        if any(word in path.read_text() for word in ("default_rng(", "manual_seed(", "import random\n", ".shuffle("))
    }
    # They draw intervals, and nothing of a training.
    draws_of_scored_questions = {"training/compare.py", "training/scoring/length.py"}
    assert made == {"training/runs/randomness.py"} | draws_of_scored_questions
