"""Shares of places, and which places are worth a row."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from space.calibration import Calibration, worth_showing
from training.qa.answers import Answer, Answers


def answers(*spans: tuple[int, int, float], null: float = 0.0) -> Answers:
    return Answers([Answer("x", start, end, score, 0.0) for start, end, score in spans], null, 0.0)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.floats(-20, 20)), max_size=20),
    st.floats(-20, 20), st.floats(-5, 5), st.floats(0.2, 8),
)  # fmt: skip
def test_all_shares_make_one_and_no_two_places_overlap(spans, null, threshold, temperature):
    spans = sorted(((a, a + n, s) for a, n, s in spans), key=lambda span: -span[2])
    places, nothing = Calibration(threshold, temperature).places(answers(*spans, null=null))
    assert sum(p.probability for p in places) + nothing == pytest.approx(1)
    ordered = sorted(places, key=lambda p: p.start)
    assert all(a.end <= b.start for a, b in itertools.pairwise(ordered))
    assert [p.score for p in places] == sorted((p.score for p in places), reverse=True)


def test_other_wordings_of_a_place_count_for_it():
    places, nothing = Calibration().places(answers((0, 9, 1.2), (50, 55, 1.0), (2, 9, 1.0), null=-9.0))
    assert [(p.start, p.end) for p in places] == [(0, 9), (50, 55)]
    first, rest = math.exp(1.2), math.exp(1.0)
    assert places[0].probability == pytest.approx((first + rest) / (first + 2 * rest), abs=1e-3)
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
