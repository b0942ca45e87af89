"""What a reading looks like: escaped HTML for the answer, its place in the document, and the picture of the windows.

Everything that came from a visitor passes `html.escape` here, once, and stands in an element with `dir="auto"`, so
that markup is shown as text and each paragraph runs in its own direction.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape

from space.reader import Progress, Reader, Reading
from training.qa.answers import Answer

_GAP = re.compile(r"\n[ \t]*\n\s*")

WAITING = """
<div class="card quiet">
  <p class="label">Waiting for a free place …</p>
</div>"""
STOPPED = """
<div class="card quiet">
  <p class="label">Stopped</p>
  <p>Nothing more is read. Ask again, or ask something else.</p>
</div>"""

FAILED = """
<div class="card problem" role="alert">
  <p class="label">That did not work</p>
  <p>The question was not read. If the page says that it is busy, ask again in a minute.</p>
</div>"""


def empty_html() -> str:
    """What stands in the answer's place before the first question."""
    return f"""
<div class="card quiet">
  <p class="label">Answer</p>
  <p>The answer appears here, and below it the document with the answer marked in its place.</p>
  {windows_svg()}
  <p class="hint">However long it is, the document is read whole: in windows that overlap, each with the question.</p>
</div>"""


def progress_html(progress: Progress) -> str:
    """The bar that grows while windows are read."""
    name = "window" if progress.total == 1 else "windows"
    return f"""
<div class="card quiet">
  <p class="label">Reading {progress.total:,} {name} …</p>
  <progress aria-label="windows read" max="{progress.total}" value="{progress.done}"></progress>
</div>"""


def problem_html(sentence: str) -> str:
    """A mistake that the visitor can mend, in one sentence."""
    return f"""
<div class="card problem" role="alert">
  <p class="label">That did not work</p>
  <p dir="auto">{escape(sentence[:1].upper() + sentence[1:])}.</p>
</div>"""


def answer_html(reading: Reading, reader: Reader, length: int) -> str:
    """The answer, the map of the document, the next-best answers and what the reading cost.

    Args:
        length: characters of the document.
    """
    best = reading.best
    if best is not None:
        verdict = f"""
  <p class="label">Answer <span class="probability">{best.probability:.0%}</span></p>
  <p class="answer" dir="auto">{escape(best.text)}</p>"""
    else:
        verdict = f"""
  <p class="label">No answer <span class="probability">{reading.null_probability:.0%}</span></p>
  <p class="answer none">Not answered here</p>
  <p class="hint">The document does not seem to say. The nearest places are marked all the same.</p>"""
    return f"""
<div class="card {"found" if best else "absent"}">{verdict}
  {map_svg(reading, length)}
  {candidates_html(reading)}
  <p class="cost">{cost(reading, reader)}</p>
</div>"""


def cost(reading: Reading, reader: Reader) -> str:
    """How much was read and how long it took, in one line."""
    windows = len(reading.windows)
    return (
        f"{reading.tokens:,} tokens read in {windows:,} window{'s' * (windows != 1)} "
        f"of up to {reader.max_length:,}, in {reading.seconds:.1f} s"
    )


def candidates_html(reading: Reading) -> str:
    """The n-best table; each row leads to its mark in the document."""
    rows = "".join(
        f"""
      <tr><td class="rank">{rank}</td><td><a href="#answer-{rank}" dir="auto">{escape(answer.text)}</a></td>
      <td class="probability">{_percent(answer.probability)}</td></tr>"""
        for rank, answer in enumerate(reading.answers, start=1)
    )
    nothing = f"""
      <tr class="null"><td class="rank">–</td><td>Not answered here</td>
      <td class="probability">{_percent(reading.null_probability)}</td></tr>"""
    return f"""
  <table class="candidates">
    <caption>The likeliest answers, each a place of its own</caption>
    <thead><tr><th scope="col">No.</th><th scope="col">Text</th><th scope="col">Probability</th></tr></thead>
    <tbody>{rows}{nothing}
    </tbody>
  </table>"""


def _percent(probability: float) -> str:
    return f"{probability:.0%}" if probability >= 0.01 else "&lt; 1%"


def map_svg(reading: Reading, length: int) -> str:
    """The document as a bar with a tick at each answer, and under it the windows it was read in."""
    if not length:
        return ""

    def percent(position: int) -> float:
        return round(100 * position / length, 2)

    windows = "".join(
        f'<rect class="window" x="{percent(start)}%" width="{max(percent(end - start), 0.2)}%" y="{20 + 7 * (i % 2)}" '
        'height="5" rx="2.5"/>'
        for i, (start, end) in enumerate(reading.windows)
    )
    ticks = "".join(
        f'<rect class="tick{" best" if i == 0 else ""}" x="{min(percent(answer.start), 99.3)}%" width="0.7%" y="0" '
        'height="14" rx="1"/>'
        for i, answer in reversed(list(enumerate(reading.answers)))
    )
    place = f"; the first candidate is {percent(reading.answers[0].start):.0f}% into it" if reading.answers else ""
    return f"""
  <svg class="map" role="img" width="100%" height="34"
       aria-label="Map of the document: read in {len(reading.windows)} windows{place}">
    <rect class="document" width="100%" y="2" height="10" rx="3"/>{ticks}{windows}
  </svg>"""


def document_html(text: str, answers: Sequence[Answer]) -> str:
    """The document in paragraphs, every answer in a <mark> with the id `answer-RANK`."""
    marks = sorted((answer.start, answer.end, rank) for rank, answer in enumerate(answers, start=1))
    paragraphs = []
    opened: set[int] = set()
    start = 0
    for end, following in [*((gap.start(), gap.end()) for gap in _GAP.finditer(text)), (len(text), len(text))]:
        if body := "".join(_pieces(text, start, end, marks, opened)):
            paragraphs.append(f'<p dir="auto">{body}</p>')
        start = following
    return (
        '<div class="document" id="document-text" role="region" tabindex="0" '
        f'aria-label="Document, with the answers marked">{"".join(paragraphs)}</div>'
    )


def _pieces(text: str, start: int, end: int, marks: Sequence[tuple[int, int, int]], opened: set[int]) -> Iterator[str]:
    """One paragraph, escaped; an answer that runs over its end is marked in each paragraph, with one id."""
    at = start
    for first, last, rank in marks:
        first, last = max(first, start), min(last, end)
        if first >= last:
            continue
        yield escape(text[at:first])
        identity = "" if rank in opened else f' id="answer-{rank}"'
        opened.add(rank)
        best = ' class="best"' if rank == 1 else ""
        yield f'<mark{identity}{best} data-rank="{rank}">{escape(text[first:last])}</mark>'
        at = last
    yield escape(text[at:end])


def attention_svg(size: int = 28, question: int = 4, reach: int = 4) -> str:
    """Who sees whom in one window: row i is a token, column j what it looks at; the question sees all and is seen."""
    cells = []
    for row in range(size):
        for column in range(size):
            if row < question or column < question:
                kind = "global"
            elif abs(row - column) <= reach:
                kind = "local"
            else:
                continue
            cells.append(f'<rect class="{kind}" x="{column * 10 + 1}" y="{row * 10 + 1}" width="8" height="8" rx="2"/>')
    return f"""
<svg class="attention" viewBox="0 0 {size * 10} {size * 10}" role="img"
     aria-label="A square of tokens by tokens: a band along the diagonal, and full rows and columns for the question">
  <rect class="ground" width="100%" height="100%" rx="6"/>{"".join(cells)}
</svg>"""


def windows_svg() -> str:
    """How a long document becomes windows: each starts with the question, and neighbours share some text."""
    rows = []
    for i in range(3):
        x, y = 10 + i * 165, 46 + i * 26
        rows.append(
            f'<rect class="global" x="{x}" y="{y}" width="34" height="14" rx="4"/>'
            f'<rect class="local" x="{x + 38}" y="{y}" width="190" height="14" rx="4"/>'
            f'<path class="thread" d="M{x + 38} 24V{y}M{x + 228} 24V{y}"/>'
        )
    return f"""
<svg class="windows" viewBox="0 0 600 126" role="img"
     aria-label="One long document above three overlapping windows, each of which starts with the question">
  <rect class="ground" x="48" y="10" width="520" height="14" rx="4"/>{"".join(rows)}
</svg>"""
