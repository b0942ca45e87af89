"""The card beside the document: one answer with all that belongs to it, or the answers to many questions.

Everything of a visitor's passes `html.escape`, once, and stands in an element with `dir="auto"`.
"""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from space.marks import Mark, page_of
from space.pictures import map_svg
from space.reader import ABSENT, UNCERTAIN, Reader, Reading
from space.sentences import sentence
from space.words import Words


def marks_of(reading: Reading) -> list[Mark]:
    """The places of a reading, best first, then the definitions of its words."""
    places = [
        Mark(answer.start, answer.end, f"answer-{rank}", str(rank), "best" if rank == 1 else "rival")
        for rank, answer in enumerate(reading.answers, start=1)
    ]
    if places and reading.verdict == ABSENT:
        places[0] = Mark(places[0].start, places[0].end, "answer-1", "1", "rival")
    defined = [
        Mark(found.start, found.end, f"definition-{number}", "", "definition")
        for number, found in enumerate(reading.definitions, start=1)
    ]
    return places + defined


def marks_of_all(readings: Sequence[Reading]) -> list[Mark]:
    """The best place of each of several questions, numbered by question."""
    return [
        Mark(reading.answers[0].start, reading.answers[0].end, f"answer-{number}", str(number), "best")
        for number, reading in enumerate(readings, start=1)
        if reading.answers and reading.verdict != ABSENT
    ]


def answer_html(reading: Reading, reader: Reader, document: str, asked: str, name: str, words: Words) -> str:
    """The answer, its sentence and page, its definitions, the map of the document, its rivals and the cost.

    Args:
        asked: the question, and `name` that of the document, which stand above the answer.
    """
    marks = [mark for mark in marks_of(reading) if mark.kind != "definition"]
    return f"""
<div class="card {"absent" if reading.verdict == ABSENT else "found"}"{_kept([reading], document, [asked], name)}>
  <p class="asked">{escape(words("asked", name=name))}: <q dir="auto">{escape(asked)}</q></p>
  {_verdict(reading, document, words)}
  {_definitions(reading, document, words)}
  {map_svg(marks, reading.windows, len(document), words)}
  {_candidates(reading, document, words)}
  <p class="cost">{escape(cost(reading, reader, words))}{_copy(words)}</p>
</div>"""


def answers_html(readings: Sequence[Reading], document: str, asked: Sequence[str], name: str, words: Words) -> str:
    """Several questions with an answer each, as a table."""
    rows = "".join(
        f"""
      <tr><td class="rank">{number}</td><td><span dir="auto">{escape(question)}</span></td>
      <td>{_short(reading, document, number, words)}</td></tr>"""
        for number, (question, reading) in enumerate(zip(asked, readings, strict=True), start=1)
    )
    return f"""
<div class="card found"{_kept(readings, document, asked, name)}>
  <p class="asked">{escape(words("asked_many", count=len(asked), name=name))}</p>
  <table class="candidates answers">
    <thead><tr><th scope="col">{escape(words("number"))}</th><th scope="col">{escape(words("question"))}</th>
    <th scope="col">{escape(words("answer"))}</th></tr></thead>
    <tbody>{rows}
    </tbody>
  </table>
  <p class="cost">{_copy(words)}</p>
</div>"""


def _short(reading: Reading, document: str, number: int, words: Words) -> str:
    """The answer to one of several questions, with its sentence."""
    if reading.verdict == ABSENT or not reading.answers:
        return f'<span class="verdict">{escape(words("not_here"))}</span> {_probability(reading.null_probability)}'
    best = reading.answers[0]
    said = f'<span class="verdict">{escape(words("uncertain"))}</span> ' if reading.verdict == UNCERTAIN else ""
    return (
        f'{said}<a href="#answer-{number}" dir="auto">{_line(best.text)}</a> {_probability(best.probability)}'
        f'<div class="context" dir="auto">{_around(document, best.start, best.end, words)}</div>'
    )


def _kept(readings: Sequence[Reading], document: str, asked: Sequence[str], name: str) -> str:
    """What the page's script keeps in the tab's history, as an attribute."""
    rows: list[dict[str, Any]] = []
    for question, reading in zip(asked, readings, strict=True):
        row: dict[str, Any] = {"document": name, "question": question, "verdict": reading.verdict}
        row |= {"answer": "", "probability": round(reading.null_probability, 4), "sentence": "", "page": None}
        row |= {"start": None, "end": None}
        if reading.answers and reading.verdict != ABSENT:
            best = reading.answers[0]
            first, last = sentence(document, best.start, best.end)
            row |= {"answer": " ".join(best.text.split()), "probability": round(best.probability, 4)}
            row |= {"sentence": " ".join(document[first:last].split()), "page": page_of(document, best.start)}
            row |= {"start": best.start, "end": best.end}
        rows.append(row)
    return f' data-result="{escape(json.dumps(rows, ensure_ascii=False))}"'


def _copy(words: Words) -> str:
    return f' <button type="button" class="copy" data-done="{escape(words("copied"))}">{escape(words("copy"))}</button>'


def _verdict(reading: Reading, document: str, words: Words) -> str:
    if reading.verdict == ABSENT or not reading.answers:
        return f"""
  <p class="label">{escape(words("no_answer"))} {_probability(reading.null_probability)}</p>
  <p class="answer none">{escape(words("not_here"))}</p>
  <p class="hint">{escape(words("not_here_hint"))}</p>"""
    best = reading.answers[0]
    doubt = reading.verdict == UNCERTAIN
    hint = f'\n  <p class="hint">{escape(words("uncertain_hint"))}</p>' if doubt else ""
    lang = f' lang="{escape(reading.language)}"' if reading.language else ""
    return f"""
  <p class="label">{escape(words("uncertain" if doubt else "answer"))} {_probability(best.probability)}</p>
  <p class="answer{" doubtful" if doubt else ""}" dir="auto"{lang}>{_line(best.text)}</p>{hint}
  <p class="context" dir="auto"{lang}>{_around(document, best.start, best.end, words)}</p>"""


def in_sentence(document: str, start: int, end: int) -> str:
    """The sentence around a place, with the place in strong letters."""
    first, last = sentence(document, start, end)
    before = "… " if first and document[first - 1].isalnum() else ""
    after = " …" if last < len(document) and document[last - 1 : last + 1].isalnum() else ""
    left, middle, right = (_line(document[a:b]) for a, b in ((first, start), (start, end), (end, last)))
    gap = " " if left and document[start - 1].isspace() else ""
    following = " " if right and document[end].isspace() else ""
    return f"{before}{left}{gap}<strong>{middle}</strong>{following}{right}{after}"


def _around(document: str, start: int, end: int, words: Words) -> str:
    return f"{in_sentence(document, start, end)} {_page(document, start, words)}"


def _line(text: str) -> str:
    return escape(" ".join(text.split()))


def _page(document: str, at: int, words: Words) -> str:
    number = page_of(document, at)
    if number is None:
        return ""
    return f'<a class="to-page" href="#page-{number}">{escape(words("page", number=str(number)))}</a>'


def _definitions(reading: Reading, document: str, words: Words) -> str:
    return "".join(
        f"""
  <p class="label">{escape(words("defined", term=found.term))}</p>
  <p class="context" dir="auto"><a href="#definition-{number}">{_line(document[found.start : found.end])}</a>
  {_page(document, found.start, words)}</p>"""
        for number, found in enumerate(reading.definitions, start=1)
    )


def _candidates(reading: Reading, document: str, words: Words) -> str:
    """The places as a table; each row leads to its mark in the document."""
    rows = "".join(
        f"""
      <tr><td class="rank">{rank}</td>
      <td><a href="#answer-{rank}" dir="auto">{_line(answer.text)}</a>
      <div class="context" dir="auto">{_around(document, answer.start, answer.end, words)}</div></td>
      <td>{_probability(answer.probability)}</td></tr>"""
        for rank, answer in enumerate(reading.answers, start=1)
    )
    # If the page is not sure, the other places are open: the right one may be among them.
    others = "" if reading.answered else " open"
    return f"""
  <details class="others"{others}><summary>{escape(words("others", count=len(reading.answers)))}</summary>
  <table class="candidates">
    <caption>{escape(words("candidates"))}</caption>
    <thead><tr><th scope="col">{escape(words("number"))}</th><th scope="col">{escape(words("text"))}</th>
    <th scope="col">{escape(words("probability"))}</th></tr></thead>
    <tbody>{rows}
      <tr class="null"><td class="rank">–</td><td>{escape(words("not_here"))}</td>
      <td>{_probability(reading.null_probability)}</td></tr>
    </tbody>
  </table></details>"""


def _probability(value: float) -> str:
    said = "&lt; 1%" if value < 0.01 else "&gt; 99%" if value > 0.99 else f"{value:.0%}"
    return f'<span class="probability">{said}</span>'


def cost(reading: Reading, reader: Reader, words: Words) -> str:
    """How much was read and how long it took, in one line."""
    windows = len(reading.windows)
    return words(
        "cost" if windows != 1 else "cost_one",
        tokens=reading.tokens,
        windows=windows,
        length=reader.max_length,
        seconds=f"{reading.seconds:.1f}",
    )
