"""HTML of a reading: nothing of a visitor's text is markup, and the marks stand on the answers' own characters."""

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space import render
from space.reader import Progress, Reading
from training.qa.answers import Answer

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(2)> \"quoted\" & 'single' ${7*7} {{value}} <b>bold</b>"


class Marks(HTMLParser):
    """Collects the text, the text in each <mark> by rank, and every tag."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.marked, self.tags, self.ids = "", dict[str, str](), set[str](), list[str]()
        self._rank: str | None = None

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        if tag == "mark":
            self._rank = values["data-rank"]

    def handle_endtag(self, tag):
        if tag == "mark":
            self._rank = None

    def handle_data(self, data):
        self.text += data
        if self._rank is not None:
            self.marked[self._rank] = self.marked.get(self._rank, "") + data


def parsed(markup: str) -> Marks:
    parser = Marks()
    parser.feed(markup)
    parser.close()
    return parser


def answer(text: str, start: int, end: int, probability: float = 0.5) -> Answer:
    return Answer(text[start:end], start, end, 1.0, probability)


def reading(*answers: Answer, answered: bool = True) -> Reading:
    return Reading(answers, answered, 0.25, 1_234, ((0, 60), (50, 100)), 1.26, 0.1, False)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab<>&\"' \n\t\u05d0\u4e2d", max_size=120), st.lists(st.integers(0, 120), max_size=8))
def test_every_character_but_empty_lines_is_shown_and_marks_hold_the_answers(text, cuts):
    edges = sorted({min(cut, len(text)) for cut in cuts})
    answers = [answer(text, a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if text[a:b].strip()]
    shown = parsed(render.document_html(text, answers))
    gap = re.compile(r"\s+")
    assert gap.sub("", shown.text) == gap.sub("", text)
    assert shown.tags <= {"div", "p", "mark"}
    for rank, expected in enumerate(answers, start=1):
        assert gap.sub("", shown.marked[str(rank)]) == gap.sub("", expected.text)
        assert shown.ids.count(f"answer-{rank}") == 1


def test_an_answer_over_two_paragraphs_is_marked_in_both():
    text = "One two.\n\nThree four."
    shown = render.document_html(text, [answer(text, 4, 15)])
    assert '<p dir="auto">One <mark id="answer-1" class="best" data-rank="1">two.</mark></p>' in shown
    assert '<p dir="auto"><mark class="best" data-rank="1">Three</mark> four.</p>' in shown


@pytest.mark.parametrize("place", ["document", "answer", "problem"])
def test_markup_of_a_visitor_is_shown_as_text(place, echo):
    found = reading(answer(HOSTILE, 0, len(HOSTILE)))
    markup = {
        "document": lambda: render.document_html(HOSTILE, found.answers),
        "answer": lambda: render.answer_html(found, echo, len(HOSTILE)),
        "problem": lambda: render.problem_html(HOSTILE),
    }[place]()
    assert HOSTILE in parsed(markup).text
    assert not parsed(markup).tags & {"script", "img", "b"}
    assert html.escape(HOSTILE) in markup


def test_the_answer_shows_its_share_its_rivals_and_its_cost(echo):
    text = "x" * 100
    shown = parsed(render.answer_html(reading(answer(text, 10, 12, 0.7), answer(text, 60, 63, 0.004)), echo, 100)).text
    for part in ("70%", "< 1%", "25%", "Not answered here", "1,234 tokens read in 2 windows of up to 128, in 1.3 s"):
        assert part in shown


def test_no_answer_is_said_plainly(echo):
    shown = render.answer_html(reading(answer("abc", 0, 1, 0.1), answered=False), echo, 3)
    assert '<p class="answer none">Not answered here</p>' in shown


def test_the_map_places_windows_and_answers_in_percent():
    text = "x" * 100
    drawn = render.map_svg(reading(answer(text, 40, 42)), 100)
    assert 'class="window" x="0.0%" width="60.0%"' in drawn
    assert 'class="window" x="50.0%" width="50.0%"' in drawn
    assert 'class="tick best" x="40.0%"' in drawn
    assert "read in 2 windows; the first candidate is 40% into it" in drawn


def test_the_attention_picture_has_the_pattern_of_the_model():
    size, question, reach = 10, 2, 1
    drawn = render.attention_svg(size, question, reach)
    assert drawn.count('class="global"') == size * size - (size - question) ** 2
    assert drawn.count('class="local"') == 3 * (size - question) - 2


def test_progress_is_a_progress_bar():
    assert 'max="7" value="3"' in render.progress_html(Progress(3, 7))
