"""The sentence around a place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from space.sentences import MAX_CHARACTERS, sentence


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("One. The canal is long. Two.", "canal", "The canal is long."),
        ("It was opened by J. Smith in 1832. Then rain.", "1832", "It was opened by J. Smith in 1832."),
        ("Den 26. september kom han. Regn.", "september", "Den 26. september kom han."),
        ("他来了。李冰修建了都江堰。后来下雨。", "李冰", "李冰修建了都江堰。"),
        ("أين؟ يقع في الأردن. نعم.", "الأردن", "يقع في الأردن."),
        ("A heading\nThe text below it goes on.", "below", "The text below it goes on."),
        ("First part\n\nSecond part", "Second", "Second part"),
    ],
)
def test_it_is_the_sentence_that_a_reader_sees(text, place, expected):
    start = text.index(place)
    first, last = sentence(text, start, start + len(place))
    assert text[first:last] == expected


@given(st.text(alphabet="ab. \n。?", max_size=900), st.integers(0, 900), st.integers(1, 60))
def test_it_holds_the_place_and_is_not_long(text, start, length):
    start = min(start, max(len(text) - 1, 0))
    end = min(len(text), start + length)
    if not text[start:end].strip() or text[start].isspace() or text[end - 1].isspace():
        return
    first, last = sentence(text, start, end)
    assert 0 <= first <= start and end <= last <= len(text)
    assert last - first <= MAX_CHARACTERS + 41
