"""The pictures of the page, as SVG: the map of a document, what a window sees, how windows lie."""

from collections.abc import Sequence
from html import escape

from space.marks import Mark
from space.words import Words


def map_svg(marks: Sequence[Mark], windows: Sequence[tuple[int, int]], length: int, words: Words) -> str:
    """The document as a bar with a tick at each mark, which leads to it, and under it the windows and a legend."""
    if not length:
        return ""

    def percent(position: int) -> float:
        return round(100 * position / length, 2)

    bars = "".join(
        f'<rect class="window" x="{percent(start)}%" width="{max(percent(end - start), 0.2)}%" y="{20 + 7 * (i % 2)}" '
        'height="5" rx="2.5"/>'
        for i, (start, end) in enumerate(windows)
    )
    ticks = "".join(
        f'<a href="#{mark.name}" tabindex="-1"><title>{escape(mark.label)}</title>'
        f'<rect class="tick {mark.kind}" x="{min(percent(mark.start), 99.1)}%" width="0.9%" y="0" height="14" rx="1"/>'
        "</a>"
        for mark in reversed(marks)
    )
    place = words("map_place", percent=f"{percent(marks[0].start):.0f}") if marks else ""
    label = escape(words("map", windows=len(windows)) + place)
    return f"""
  <svg class="map" role="group" width="100%" height="34" aria-label="{label}">
    <rect class="document" width="100%" y="2" height="10" rx="3"/>{ticks}{bars}
  </svg>
  <p class="legend"><span class="tick best"></span> {escape(words("legend_best"))} <span class="tick"></span>
  {escape(words("legend_other"))} <span class="window"></span> {escape(words("legend_window"))}</p>"""


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
<svg class="attention" viewBox="0 0 {size * 10} {size * 10}" aria-hidden="true">
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
<svg class="windows" viewBox="0 0 600 126" aria-hidden="true">
  <rect class="ground" x="48" y="10" width="520" height="14" rx="4"/>{"".join(rows)}
</svg>"""
