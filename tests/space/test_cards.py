"""HTML of a reading: nothing of a visitor's text is markup, and the marks stand on the places' own characters."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space import cards, marks, panel, pictures, status
from space.calibration import Calibration
from space.definitions import Definition
from space.marks import Mark, document_html
from space.reader import ABSENT, ANSWERED, UNCERTAIN, Progress, Reading
from space.words import words
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
            self._rank = values["class"]

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


def reading(*answers: Answer, verdict: str = ANSWERED, definitions: tuple[Definition, ...] = ()) -> Reading:
    return Reading(answers, verdict, 0.25, "en", definitions, 1_234, ((0, 60), (50, 100)), 1.26, 0.1, False)


def card(found: Reading, reader, text: str, asked: str = "Who?", name: str = "report.pdf") -> str:
    return cards.answer_html(found, reader, text, asked, name, words())


def marked(text: str, *spans: tuple[int, int]) -> str:
    return document_html(
        text, [Mark(a, b, f"answer-{i}", str(i), str(i)) for i, (a, b) in enumerate(spans, 1)], words()
    )


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab<>&\"' \n\t\f\u05d0\u4e2d", max_size=120), st.lists(st.integers(0, 120), max_size=8))
def test_every_character_but_empty_lines_is_shown_and_marks_hold_the_answers(text, cuts):
    edges = sorted({min(cut, len(text)) for cut in cuts})
    spans = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if text[a:b].strip()]
    drawn = re.sub(r'<span class="page".*?</span>', "", marked(text, *spans))
    shown = parsed(drawn)
    gap = re.compile(r"\s+")
    assert gap.sub("", shown.text) == gap.sub("", text)
    assert shown.tags <= {"div", "p", "mark"}
    for rank, (start, end) in enumerate(spans, start=1):
        assert gap.sub("", shown.marked[str(rank)]) == gap.sub("", text[start:end])
        assert shown.ids.count(f"answer-{rank}") == 1


def test_every_page_has_its_place_once_and_in_order():
    text = "One.\n\n\fTwo goes\fon.\n\n\f\fFive."
    drawn = marked(text, (text.index("goes"), text.index("on.") + 2))
    assert re.findall(r'id="page-(\d)"', drawn) == ["1", "2", "3", "4", "5"]
    assert drawn.index("page-3") < drawn.index("on</mark>")
    assert [marks.page_of(text, text.index(word)) for word in ("One", "Two", "on.", "Five")] == [1, 2, 3, 5]
    assert marks.page_of("no pages", 3) is None and "page-1" not in marked("no pages")


def test_where_marks_overlap_the_better_one_is_seen_and_both_have_their_place():
    text = "The Expert decides alone."
    found = [Mark(4, 10, "answer-1", "1", "best"), Mark(0, 25, "definition-1", "", "definition")]
    drawn = document_html(text, found, words())
    assert parsed(drawn).marked == {"definition": "The  decides alone.", "best": "Expert"}
    assert sorted(parsed(drawn).ids) == ["answer-1", "definition-1", "document-text"]


def test_an_answer_over_two_paragraphs_is_marked_in_both():
    text = "One two.\n\nThree four."
    shown = document_html(text, [Mark(4, 15, "answer-1", "1", "best")], words())
    assert '<p dir="auto">One <mark id="answer-1" class="best">two.</mark></p>' in shown
    assert '<p dir="auto"><mark class="best" data-rank="1">Three</mark> four.</p>' in shown


@pytest.mark.parametrize("place", ["document", "answer", "question", "name", "definition", "problem"])
def test_markup_of_a_visitor_is_shown_as_text(place, echo):
    found = reading(answer(HOSTILE, 0, len(HOSTILE)))
    markup = {
        "document": lambda: document_html(HOSTILE, cards.marks_of(found), words()),
        "answer": lambda: card(found, echo, HOSTILE),
        "question": lambda: card(found, echo, HOSTILE, asked=HOSTILE),
        "name": lambda: card(found, echo, HOSTILE, name=HOSTILE),
        "definition": lambda: card(reading(found.answers[0], definitions=(Definition(HOSTILE, 0, 50),)), echo, HOSTILE),
        "problem": lambda: status.problem_html(HOSTILE, words()),
    }[place]()
    assert HOSTILE in parsed(markup).text
    assert not parsed(markup).tags & {"script", "img", "b"}
    assert html.escape(HOSTILE) in markup


def test_the_answer_shows_its_share_its_rivals_and_its_cost(echo):
    text = "x" * 100
    shown = parsed(card(reading(answer(text, 10, 12, 0.7), answer(text, 60, 63, 0.004)), echo, text)).text
    for part in ("70%", "< 1%", "25%", "Not answered here", "1,234 tokens read in 2 windows of up to 128, in 1.3 s"):
        assert part in shown


def test_no_answer_is_said_plainly(echo):
    shown = card(reading(answer("abc", 0, 1, 0.1), verdict=ABSENT), echo, "abc")
    assert '<p class="answer none">Not answered here</p>' in shown


def test_where_the_languages_differ_it_never_says_that_the_document_does_not_say(echo):
    text = "Kanalen är 190 kilometer lång."
    shown = card(reading(answer(text, 11, 24, 0.2), verdict=UNCERTAIN), echo, text)
    assert "does not seem to say" not in shown and '"answer none"' not in shown
    assert '<p class="answer doubtful" dir="auto" lang="en">190 kilometer</p>' in shown
    assert "The question is in another language than the document" in shown


def test_question_and_document_stand_above_the_answer_and_the_sentence_below(echo):
    text = "It is long. The canal was dug by\nsoldiers from 1810 on. It leaks."
    shown = parsed(card(reading(answer(text, 33, 41)), echo, text, "Who dug?")).text
    assert "You asked about report.pdf: Who dug?" in shown
    assert "The canal was dug by soldiers from 1810 on." in shown and "It leaks" not in shown


def test_the_page_of_an_answer_leads_to_it(echo):
    text = "First.\n\n\fSecond page.\n\n\fIt was in Visby."
    shown = card(reading(answer(text, text.index("Visby"), text.index("Visby") + 5)), echo, text)
    assert '<a class="to-page" href="#page-3">page 3</a>' in shown


def test_a_definition_stands_under_the_answer_and_leads_to_its_place(echo):
    text = '"Expert" means a hydrographer. Disputes go to the Expert.'
    found = reading(answer(text, 46, 56), definitions=(Definition("Expert", 0, 30),))
    shown = card(found, echo, text)
    assert '<a href="#definition-1">&quot;Expert&quot; means a hydrographer.</a>' in shown
    assert 'id="definition-1" class="definition"' in document_html(text, cards.marks_of(found), words())


def test_the_map_places_windows_and_answers_in_percent():
    drawn = pictures.map_svg([Mark(40, 42, "answer-1", "1", "best")], ((0, 60), (50, 100)), 100, words())
    assert 'class="window" x="0.0%" width="60.0%"' in drawn
    assert 'class="window" x="50.0%" width="50.0%"' in drawn
    assert '<a href="#answer-1"' in drawn and 'class="tick best" x="40.0%"' in drawn
    assert "read in 2 windows; the first place is 40% into it" in drawn


def test_the_attention_picture_has_the_pattern_of_the_model():
    size, question, reach = 10, 2, 1
    drawn = pictures.attention_svg(size, question, reach)
    assert drawn.count('class="global"') == size * size - (size - question) ** 2
    assert drawn.count('class="local"') == 3 * (size - question) - 2


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [(3, 61.0, "Reading window 4 of 7 · about 1 min left"), (0, 18.2, "Reading window 1 of 7 · about 20 s left"),
     (7, 0.4, "Reading window 7 of 7<"), (1, 6.6, "about 7 s left"), (2, None, "Reading window 3 of 7<")],
)  # fmt: skip
def test_progress_is_a_bar_with_what_is_left(done, seconds, said):
    shown = status.progress_html(Progress(done, 7), seconds, words())
    assert f'max="7" value="{done}"' in shown and said in shown


def test_many_answers_stand_in_one_table_and_in_the_tabs_history(echo):
    text = "Built in 1899 by Ada."
    readings = [
        reading(answer(text, 9, 13, 0.8)),
        reading(answer(text, 0, 5, 0.001), verdict=ABSENT),
        reading(answer(text, 17, 20, 0.02), verdict=UNCERTAIN),
    ]
    shown = cards.answers_html(readings, text, ["When?", "Why?", "Vem?"], "report.pdf", words())
    kept = json.loads(html.unescape(re.search(r'data-result="([^"]*)"', shown)[1]))
    assert [(row["question"], row["verdict"], row["answer"], row["start"]) for row in kept] == [
        ("When?", "answered", "1899", 9), ("Why?", "absent", "", None), ("Vem?", "uncertain", "Ada", 17),
    ]  # fmt: skip
    assert [mark.name for mark in cards.marks_of_all(readings)] == ["answer-1", "answer-3"]
    assert 'href="#answer-3"' in shown and 'href="#answer-2"' not in shown
    assert "3 questions about report.pdf" in parsed(shown).text


def test_the_page_claims_calibrated_percentages_only_of_a_model_that_has_them(echo):
    for same, claim in (
        (Calibration(1.6), "are not calibrated"),
        (Calibration(1.6, 2.0), "are calibrated on questions"),
    ):
        said = panel.how_it_works(words("en"), replace(echo, same=same))
        assert claim in said and said.count("calibrated") == 1
