"""Flat rows, one question each, as paragraphs: the columns of SQuAD's data sets, in the shapes that they come in.

`answers` may be an object of two lists, a list of objects, one object, or the text of any of them (CSV); a file without
objects has the columns `text` and `answer_start`. Whole numbers may be strings, and ids and titles whole numbers.

Published beside the loading scripts: imports its siblings and the standard library only.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .concat import CorpusError, Evidence, Paragraph, Question
from .reading import Rows

NEEDED = ("id", "context", "question", "answers")


class Part(NamedTuple):
    """The paragraphs of one language; None where a file does not say which."""

    language: str | None
    paragraphs: list[Paragraph]


class RowError(ValueError):
    """What is wrong with a value; who knows file and row makes the sentence."""


def parts_of_rows(rows: Rows, source: str, names: Mapping[str, str]) -> list[Part]:
    """Paragraphs of one question each, apart by language; `concatenate` joins neighbours with the same context.

    Args:
        names: a column's name in the file -> SQuAD's.

    Raises:
        CorpusError: naming file, row and column.
    """
    parts: dict[str | None, list[Paragraph]] = {}
    for number, row in named_rows(rows, source, names, NEEDED):
        try:
            texts, starts = answers_of(row)
            title, context = text_of(row, "title", optional=True), text_of(row, "context")
            evidence = evidence_of(row.get("evidence"), context)
            question = Question(text_of(row, "id"), text_of(row, "question"), texts, starts, evidence)
            paragraphs = parts.setdefault(text_of(row, "language", optional=True) or None, [])
        except RowError as error:
            raise row_error(source, rows, number, error) from None
        article = 0 if not paragraphs else paragraphs[-1].article + (title != paragraphs[-1].title)
        paragraphs.append(Paragraph(article, title, context, [question]))
    return [Part(language, paragraphs) for language, paragraphs in parts.items()]


def named_rows(
    rows: Rows, source: str, names: Mapping[str, str], needed: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows with SQuAD's names, numbered; CorpusError where the first has not what is `needed`."""
    for number, row in enumerate(rows.rows):
        if not isinstance(row, Mapping):
            raise row_error(source, rows, number, RowError(f"{_shown(row)} is no object"))
        named = {names.get(column, column): value for column, value in row.items()}
        if number == 0:
            flat = "text" in named and "answers" not in named
            missing = [column for column in needed if column not in named and not (column == "answers" and flat)]
            if missing:
                raise CorpusError(
                    f"{source!r} has no column {missing[0]!r} (it has {', '.join(map(str, row))}): SQuAD's columns are "
                    f"needed, {', '.join(needed[:-1])} and {needed[-1]}: name another by columns, THEIRS={missing[0]}"
                )
        yield number, named


def row_error(source: str, rows: Rows, number: int, error: RowError) -> CorpusError:
    return CorpusError(f"{source}, {rows.place(number)}: {error}: mend the row, or give another file")


def text_of(row: Mapping[str, Any], column: str, optional: bool = False) -> str:
    """A text of the row, "" for an optional one that it lacks; a whole number is a text too, but as context."""
    value = row.get(column)
    if value is None and optional:
        return ""
    text = _text(value)
    if text is None or (column in ("context", "question") and not isinstance(value, str)):
        raise RowError(f"{column} is {_shown(value)}, not a text")
    if half := re.search("[\ud800-\udfff]", text):
        raise RowError(f"{column} holds half a surrogate pair ({half.group()!r} at character {half.start()})")
    return text


def answers_of(row: Mapping[str, Any], placed: bool = True) -> tuple[list[str], list[int]]:
    """Texts and offsets of a row's answers. Where they need not be `placed`, offsets may be missing."""
    answers = row.get("answers") if "answers" in row else _flat_answers(row)
    if isinstance(answers, str):
        answers = _parse(answers)
    if answers is None and _is_true(row.get("is_impossible")):
        answers = []
    if isinstance(answers, list):
        if not all(isinstance(answer, Mapping) for answer in answers):
            raise RowError(f"answers is {_shown(answers)}, not a list of objects with text and answer_start")
        answers = {name: [answer.get(name) for answer in answers] for name in ("text", "answer_start")}
    if not isinstance(answers, Mapping):
        raise RowError(f"answers is {_shown(answers)}, no object with text and answer_start, and no list of them")
    texts, starts = (_as_list(answers.get(name)) for name in ("text", "answer_start"))
    if placed and len(texts) != len(starts):
        raise RowError(f"answers has {len(texts)} text and {len(starts)} answer_start, not as many of both")
    for text in texts:
        if _text(text) is None:
            raise RowError(f"a text of answers is {_shown(text)}, not a text")
    offsets = [whole_number(start) for start in starts] if placed else []
    for start, offset in zip(starts, offsets, strict=False):
        if offset is None:
            raise RowError(f"an answer_start of answers is {_shown(start)}, not a whole number")
    return [text_of({"answers.text": text}, "answers.text") for text in texts], [n for n in offsets if n is not None]


def evidence_of(value: Any, context: str) -> Evidence | None:
    """Where the evidence of a question stands in its context, None where nothing says it.

    Args:
        value: an object with the lists `start` and `end`, a list of objects with both, or the text of either.
    """
    if isinstance(value, str):
        value = _parse(value, "evidence", "start and end")
    if isinstance(value, list):
        value = {name: [each.get(name) if isinstance(each, Mapping) else None for each in value]
                 for name in ("start", "end")}  # fmt: skip
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise RowError(f"evidence is {_shown(value)}, no object with start and end, and no list of them")
    starts, ends = ([whole_number(place) for place in _as_list(value.get(name))] for name in ("start", "end"))
    spans = [(start, end) for start, end in zip(starts, ends, strict=False) if start is not None and end is not None]
    if not len(starts) == len(ends) == len(spans):
        raise RowError(f"evidence is {_shown(value)}, not as many whole numbers in start as in end")
    for start, end in spans:
        if not 0 <= start < end <= len(context):
            raise RowError(f"evidence from {start} to {end} lies outside its document of {len(context)} characters")
    return Evidence(*map(list, zip(*spans, strict=True))) if spans else None


def whole_number(value: Any) -> int | None:
    """13, 13.0 and "13" as 13; None for anything else, true and false included."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.0*)?\s*", value):
        return int(value.split(".")[0])
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else None


def _flat_answers(row: Mapping[str, Any]) -> Any:
    """The columns `text` and `answer_start` as answers; an empty text is none."""
    text, start = row.get("text"), row.get("answer_start")
    if text is None or text == "":
        return {"text": [], "answer_start": []}
    return {"text": text, "answer_start": start}


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def _parse(text: str, column: str = "answers", keys: str = "text and answer_start") -> Any:
    """Objects in the text of a cell: JSON, or what Python prints of an object (pandas), arrays included."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(re.sub(r"array\((\[.*?\])(?:, dtype=\w+)?\)", r"\1", text, flags=re.DOTALL))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise RowError(f"{column} is {_shown(text)}, no object with {keys}") from None


def _is_true(value: Any) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
