"""Documents of many lengths: every offset right, the shares as asked, the same seed the same documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.cli import UserError
from training.finetuning.mixture import Mixture, mix_lengths

from .qa_tiny import rows

SHARE = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(SHARE, st.integers(2, 40), SHARE, SHARE, st.integers(0, 1000))
def test_every_answer_stays_at_its_offset(long_fraction, max_paragraphs, same_article, unanswerable, seed):
    source = rows()
    mixture = Mixture(long_fraction, max_paragraphs, same_article, unanswerable, seed)
    mixed = list(mix_lengths(source, mixture))
    assert len(mixed) == len(source)
    for before, after in zip(source, mixed, strict=True):
        assert (after["id"], after["question"]) == (before["id"], before["question"])
        if after["answers"]["text"]:
            assert after["answers"]["text"] == before["answers"]["text"]
            first, behind = after["paragraph"]
            assert after["context"][first:behind] == before["context"]
        else:
            assert before["context"] not in after["context"]
        for text, start in zip(after["answers"]["text"], after["answers"]["answer_start"], strict=True):
            assert after["context"][start : start + len(text)] == text
    assert mixed == list(mix_lengths(source, mixture))


def test_shares_are_those_asked_for():
    source = rows(60, 5)
    mixed = list(mix_lengths(source, Mixture(0.5, 8, 1.0, 0.2, seed=3)))
    lone = sum(after["context"] == before["context"] for before, after in zip(source, mixed, strict=True))
    without = [after for after in mixed if not after["answers"]["text"]]
    assert 0.14 < len(without) / len(mixed) < 0.26
    assert 0.3 < lone / len(mixed) < 0.5  # expected: 0.5 x 0.8
    joined = [after["context"].count(" to a sea ") for after in mixed]
    assert max(joined) == 8 and set(joined) >= set(range(1, 9))
    places = [after["context"].find(before["context"]) for before, after in zip(source, mixed, strict=True)]
    assert np.mean(np.array(places) > 0) > 0.2  # the answer's paragraph is not always the first


def test_unanswerable_documents_do_not_hold_the_answer():
    source = rows()
    for before, after in zip(source, mix_lengths(source, Mixture(unanswerable_fraction=1.0)), strict=True):
        assert before["answers"]["text"][0].lower() not in after["context"].lower()


def test_an_answer_that_is_in_every_paragraph_keeps_its_own_document():
    source = [{**row, "answers": {"text": ["a"], "answer_start": [row["context"].index("a")]}} for row in rows()]
    for before, after in zip(source, mix_lengths(source, Mixture(unanswerable_fraction=1.0)), strict=True):
        assert after["context"] == before["context"] and after["answers"] == before["answers"]


def test_a_question_comes_with_another_document_each_time():
    source = rows(20, 5)
    once = list(mix_lengths(source, Mixture(1.0, 4, seed=7)))
    twice = list(mix_lengths(source, Mixture(1.0, 4, seed=7, documents_per_question=2)))
    assert twice[: len(source)] == once
    pairs = list(zip(once, twice[len(source) :], strict=True))
    assert all(first["id"] == second["id"] for first, second in pairs)
    assert sum(first["context"] == second["context"] for first, second in pairs) < 0.1 * len(pairs)


def test_nothing_asked_changes_nothing():
    mixture = Mixture()
    assert not mixture.changes_something()
    assert list(mix_lengths(rows(), mixture)) == [{**row, "paragraph": (0, len(row["context"]))} for row in rows()]


@pytest.mark.parametrize(
    ("mixture", "word"),
    [({"long_fraction": 1.5}, "long_fraction 1.5"), ({"unanswerable_fraction": -1}, "unanswerable_fraction"),
     ({"max_paragraphs": 1}, "max_paragraphs 1")],
)  # fmt: skip
def test_impossible_mixtures_are_refused(mixture, word):
    with pytest.raises(UserError, match=word):
        Mixture(**mixture)


def test_one_paragraph_is_too_few_to_draw_others_from():
    with pytest.raises(UserError, match="too few paragraphs"):
        list(mix_lengths(rows(1, 1), Mixture(unanswerable_fraction=1.0)))
