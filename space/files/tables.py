"""A table as text: each row with its headings, since a figure without them answers nothing."""

import re
from collections.abc import Iterable, Iterator, Sequence

_FIGURE = re.compile(r"^[\s\d.,:%/+()€$£¥–—-]*$")


def lines(rows: Iterable[Sequence[str]], headed: bool | None = None) -> Iterator[str]:
    """One line a row: `Town: Lund; Time: 9:40`, or the cells with tabs between where the table has no headings.

    Args:
        headed: whether the first row holds headings; None guesses: words in every column, two columns and another row.
    """
    rest = iter(rows)
    first = next(rest, None)
    if first is None:
        return
    second = next(rest, None)
    if headed is None:
        headed = second is not None and len(first) > 1 and all(not _FIGURE.match(cell) for cell in first)
    if not headed or second is None:
        yield "\t".join(first)
        if second is not None:
            yield "\t".join(second)
        for row in rest:
            yield "\t".join(row)
        return
    yield "\t".join(first)
    yield _headed(first, second)
    for row in rest:
        yield _headed(first, row)


def _headed(headings: Sequence[str], row: Sequence[str]) -> str:
    cells = []
    for number, cell in enumerate(row):
        heading = " ".join(headings[number].split()) if number < len(headings) else ""
        if cell.strip():
            cells.append(f"{heading}: {cell}" if heading else cell)
    return "; ".join(cells)
