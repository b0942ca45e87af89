"""Shares of places, and which places are worth a row."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.cli import UserError
from space.calibration import UNMEASURED, Calibration, read_calibrations, worth_showing, write_calibrations
from training.qa.answers import Answer, Answers


def answers(*spans: tuple[int, int, float], null: float = 0.0) -> Answers:
    return Answers([Answer("x", start, end, score, 0.0) for start, end, score in spans], null, 0.0)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.floats(-20, 20)), max_size=20),
    st.floats(-20, 20), st.floats(-5, 5), st.floats(0.2, 8), st.booleans(),
)  # fmt: skip
def test_all_shares_make_one_and_no_two_places_overlap(spans, null, threshold, temperature, add):
    spans = sorted(((a, a + n, s) for a, n, s in spans), key=lambda span: -span[2])
    places, nothing = Calibration(threshold, temperature, add).places(answers(*spans, null=null))
    assert sum(p.probability for p in places) + nothing == pytest.approx(1)
    ordered = sorted(places, key=lambda p: p.start)
    assert all(a.end <= b.start for a, b in itertools.pairwise(ordered))
    assert [p.score for p in places] == sorted((p.score for p in places), reverse=True)


def test_a_place_has_the_share_of_its_best_wording():
    three = answers((0, 9, 1.2), (50, 55, 1.0), (2, 9, 1.0), null=-9.0)
    first, rest = math.exp(1.2), math.exp(1.0)
    for add, expected in ((False, first / (first + rest)), (True, (first + rest) / (first + 2 * rest))):
        places, nothing = Calibration(add_wordings=add).places(three)
        assert [(p.start, p.end) for p in places] == [(0, 9), (50, 55)]
        assert places[0].probability == pytest.approx(expected, abs=1e-3)
        assert nothing < 1e-4


def test_threshold_and_temperature_move_the_shares():
    plain = Calibration().places(answers((0, 3, 2.0), null=3.0))[1]
    assert Calibration(threshold=2.0).places(answers((0, 3, 2.0), null=3.0))[1] < 0.5 < plain
    assert 0.5 < Calibration(temperature=4.0).places(answers((0, 3, 2.0), null=3.0))[1] < plain


def test_rivals_that_say_nothing_are_dropped():
    text = "It took 22 years . The canal, an old plan , was opened."

    def place(part: str, share: float) -> Answer:
        start = text.index(f" {part} ") + 1
        return Answer(part, start, start + len(part), 0.0, share)

    best, touching, apart, sign = (
        place("old plan", 0.9),
        place("an", 0.004),
        place("22 years", 0.004),
        Answer(".", 54, 55, 0.0, 0.05),
    )
    assert worth_showing([best, sign, touching, apart], text) == (best, apart)
    said = place("an", 0.02)
    assert worth_showing([best, said], text) == (best, said)
    assert worth_showing([sign], text) == (sign,)  # the only one there is


SAME, OTHER = {"threshold": -1.5, "temperature": 2.0}, {"threshold": 3, "temperature": 4}


def test_what_was_measured_is_read_back(tmp_path):
    same, other = Calibration(**SAME), Calibration(3.0, 4.0)
    path = write_calibrations(tmp_path, "xquad", {"same_language": same, "other_language": other})
    assert read_calibrations(path, "beside the model,") == (same, other)
    write_calibrations(tmp_path, "xquad", {"other_language": other})
    assert read_calibrations(path, "beside the model,") == (UNMEASURED, other)


def test_one_threshold_of_an_older_file_counts_for_both(tmp_path):
    (tmp_path / "no_answer.json").write_text('{"threshold": 1.663, "dataset": "xquad", "held_out": {}}')
    assert read_calibrations(tmp_path / "no_answer.json", "") == (Calibration(1.663, 1.0, add_wordings=True),) * 2


def test_a_file_that_says_nothing_of_wordings_was_measured_with_all_of_them(tmp_path):
    (tmp_path / "no_answer.json").write_text(json.dumps({"same_language": SAME, "other_language": OTHER}))
    same, other = read_calibrations(tmp_path / "no_answer.json", "")
    assert (same, other) == (Calibration(-1.5, 2.0, add_wordings=True), Calibration(3.0, 4.0, add_wordings=True))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"treshold": 1.5},
        {"threshold": "1.5"},
        {"threshold": True},
        {"threshold": math.nan},
        {"same_language": 1.5},
        {"same_language": {"threshold": 1.5}},
        {"same_language": SAME, "other_language": {**OTHER, "temperature": 0}},
        {"same_language": SAME, "other_language": {**OTHER, "threshold": None}},
        {"same_language": {**SAME, "add_wordings": "no"}},
    ],
)
def test_another_layout_never_becomes_the_threshold_0(tmp_path, content):
    (tmp_path / "no_answer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"^beside the model, .* is no file of benchmarks\.no_answer"):
        read_calibrations(tmp_path / "no_answer.json", "beside the model,")
