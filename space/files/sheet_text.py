"""The text of a spreadsheet or a table in a text file: each row with its headings. Formulas are never worked out."""

import csv
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .found import MAX_CHARACTERS, Found
from .package import Package
from .plain_text import decode
from .tables import lines


def read_xlsx(path: Path) -> Found:
    import openpyxl

    package = Package(path)
    if package.declares():
        raise ValueError("a document type, which no such file has")
    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    found = Found()
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # a file may lie about its size
        rows = lines(row for row in _rows(sheet) if any(row))
        text = "\n".join(_until_full(rows, found))
        if text:
            found.pieces.append(f"{sheet.title}\n{text}")
        if found.full:
            break
    found.unread["charts"] = sum("/charts/chart" in name for name in package.names)
    found.unread["pictures"] = sum("/media/" in name for name in package.names)
    return found


def read_csv(path: Path) -> Found:
    found = Found()
    text = decode(path, found)
    csv.field_size_limit(2**24)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:20_000], ",;\t|")
    except csv.Error:
        dialect = "excel-tab" if "\t" in text[:2_000] else "excel"
    rows = ([" ".join(cell.split()) for cell in row] for row in csv.reader(text.splitlines(), dialect))
    found.pieces.append("\n".join(_until_full(lines(row for row in rows if any(row)), found)))
    return found


def _until_full(rows: Iterator[str], found: Found) -> Iterator[str]:
    room = MAX_CHARACTERS + 1 - sum(map(len, found.pieces))
    for row in rows:
        yield row
        room -= len(row) + 1
        if room < 0:
            return


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in sheet.iter_rows():
        cells = [_shown(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        yield cells


def _shown(cell: Any) -> str:
    """A value as the sheet shows it, nearly: dates, per cent and whole numbers; other formats are left out."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    if isinstance(value, int | float) and "%" in (cell.number_format or ""):
        return f"{value * 100:.6g}%"
    if isinstance(value, float):
        return f"{value:.10g}" if abs(value) < 1e15 else str(value)
    return " ".join(str(value).split())
