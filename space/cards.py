"""The cards beside the document: the answer with all that belongs to it, and what stands there before and meanwhile.

Everything of a visitor's passes `html.escape`, once, and stands in an element with `dir="auto"`.
"""

from html import escape

from space.marks import Mark, page_of
from space.pictures import map_svg, windows_svg
from space.reader import ABSENT, UNCERTAIN, Progress, Reader, Reading
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


def answer_html(reading: Reading, reader: Reader, document: str, asked: str, name: str, words: Words) -> str:
    """The answer, its sentence and page, its definitions, the map of the document, its rivals and the cost.

    Args:
        asked: the question, and `name` that of the document, which stand above the answer.
    """
    marks = [mark for mark in marks_of(reading) if mark.kind != "definition"]
    return f"""
<div class="card {"absent" if reading.verdict == ABSENT else "found"}">
  <p class="asked">{escape(words("asked", name=name))}: <q dir="auto">{escape(asked)}</q></p>
  {_verdict(reading, document, words)}
  {_definitions(reading, document, words)}
  {map_svg(marks, reading.windows, len(document), words)}
  {_candidates(reading, document, words)}
  <p class="cost">{escape(cost(reading, reader, words))}</p>
</div>"""


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
    return (
        "" if number is None else f'<a class="to-page" href="#page-{number}">{escape(words("page", number=number))}</a>'
    )


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
    return f"""
  <table class="candidates">
    <caption>{escape(words("candidates"))}</caption>
    <thead><tr><th scope="col">{escape(words("number"))}</th><th scope="col">{escape(words("text"))}</th>
    <th scope="col">{escape(words("probability"))}</th></tr></thead>
    <tbody>{rows}
      <tr class="null"><td class="rank">–</td><td>{escape(words("not_here"))}</td>
      <td>{_probability(reading.null_probability)}</td></tr>
    </tbody>
  </table>"""


def _probability(value: float) -> str:
    return f'<span class="probability">{f"{value:.0%}" if value >= 0.01 else "&lt; 1%"}</span>'


def cost(reading: Reading, reader: Reader, words: Words) -> str:
    """How much was read and how long it took, in one line."""
    windows = len(reading.windows)
    return words(
        "cost" if windows != 1 else "cost_one",
        tokens=words.number(reading.tokens),
        windows=words.number(windows),
        length=words.number(reader.max_length),
        seconds=f"{reading.seconds:.1f}",
    )


def empty_html(words: Words) -> str:
    """What stands in the answer's place before the first question."""
    return _card("quiet", words("answer"), f"<p>{escape(words('answer_hint'))}</p>{windows_svg(words)}"
                 f'<p class="hint">{escape(words("whole"))}</p>')  # fmt: skip


def progress_html(progress: Progress, words: Words) -> str:
    """The bar that grows while windows are read."""
    label = words("reading_one") if progress.total == 1 else words("reading", total=words.number(progress.total))
    bar = (
        f'<progress aria-label="{escape(words("progress"))}" max="{progress.total}" value="{progress.done}"></progress>'
    )
    return _card("quiet", label, bar)


def waiting_html(words: Words) -> str:
    return _card("quiet", words("waiting"), "")


def stopped_html(words: Words) -> str:
    return _card("quiet", words("stopped"), f"<p>{escape(words('stopped_hint'))}</p>")


def failed_html(words: Words) -> str:
    return _card("problem", words("failed"), f"<p>{escape(words('failed_hint'))}</p>", ' role="alert"')


def problem_html(sentence: str, words: Words) -> str:
    """A mistake that the visitor can mend, in one sentence."""
    said = f'<p dir="auto">{escape(sentence[:1].upper() + sentence[1:])}.</p>'
    return _card("problem", words("failed"), said, ' role="alert"')


def _card(kind: str, label: str, body: str, role: str = "") -> str:
    return f"""
<div class="card {kind}"{role}>
  <p class="label">{escape(label)}</p>
  {body}
</div>"""
