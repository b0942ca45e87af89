"""SQuAD's format, in and out: the bytes of a file to checked paragraphs, rows to Arrow tables with SQuAD's features.

Published beside the loading scripts: imports `datasets`, what it stands on, and the standard library only.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import datasets
import pyarrow as pa

from .concat import ConcatOptions, CorpusError, Paragraph, Question, Row, concatenate, mend_spans

FEATURES = {
    "id": datasets.Value("string"),
    "title": datasets.Value("string"),
    "context": datasets.Value("string"),
    "question": datasets.Value("string"),
    "answers": datasets.Sequence({"text": datasets.Value("string"), "answer_start": datasets.Value("int32")}),
}

logger = datasets.logging.get_logger(__name__)

# A table ends at whichever comes first, so that memory does not grow with the length of the contexts.
ROWS_A_TABLE = 1_000
CHARACTERS_A_TABLE = 4_000_000


def long_tables(
    content: bytes, source: str, sha256: str | None, options: ConcatOptions, language: str | None = None
) -> Iterator[pa.Table]:
    """The bytes of a SQuAD-format file as tables of long documents. `sha256` is None for a user's own file."""
    if sha256 is not None:
        check_sha256(content, sha256, source)
    paragraphs, note = mend_spans(read_paragraphs(content, source), options.on_bad_span, source)
    if note:
        logger.warning(note)
    yield from tables(concatenate(paragraphs, options), language)


def check_sha256(content: bytes, expected: str, source: str) -> None:
    """Refuse an official file that differs from the one that the published figures were computed on."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CorpusError(
            f"{source} differs from the official file (SHA-256 {found}, expected {expected}): download it again, "
            "or give it as data_files to use it all the same"
        )


def read_paragraphs(content: bytes, source: str) -> list[Paragraph]:
    """Parse a SQuAD v1.1 or v2.0 file. Raises CorpusError naming `source` and the place of what is wrong."""
    place = _Place(source)
    articles = place.get(_parse(content, source), "data", list)
    paragraphs = []
    for a, article in enumerate(articles):
        place.path = f"data[{a}]"
        title = place.get(article, "title", str, default="")
        for p, paragraph in enumerate(place.get(article, "paragraphs", list)):
            place.path = f"data[{a}].paragraphs[{p}]"
            context = place.get(paragraph, "context", str)
            questions = []
            for q, question in enumerate(place.get(paragraph, "qas", list)):
                place.path = f"data[{a}].paragraphs[{p}].qas[{q}]"
                questions.append(_read_question(question, place))
            paragraphs.append(Paragraph(a, title, context, questions))
    return paragraphs


def _read_question(question: Any, place: "_Place") -> Question:
    # An unanswerable question of SQuAD 2.0 has no answers; its `plausible_answers` are not gold.
    identifier = place.get(question, "id", (str, int))
    text = place.get(question, "question", str)
    unanswerable = place.get(question, "is_impossible", bool, default=False)
    answers = place.get(question, "answers", list, default=[] if unanswerable else None)
    texts, starts = [], []
    for n, answer in enumerate(answers):
        outer, place.path = place.path, f"{place.path}.answers[{n}]"
        texts.append(place.get(answer, "text", str))
        starts.append(place.get(answer, "answer_start", int))
        place.path = outer
    return Question(str(identifier), text, texts, starts)


class _Place:
    """Reads keys of JSON objects and knows where in which file it stands."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.path = ""

    def get(self, parent: Any, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        if not isinstance(parent, dict):
            raise self.error(f"{self.path or 'the file'} is {_shown(parent)}, but SQuAD's format has an object there")
        if key not in parent and default is not None:
            return default
        if key not in parent:
            raise self.error(f"{self.path or 'the file'} has no {key!r}")
        value = parent[key]
        # JSON's true is a bool, which Python counts as an int.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{self.path}{'.' if self.path else ''}{key} is {_shown(value)}, not {_NAMES[kind]}")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise self.error(
                    f"{self.path}.{key} holds half a surrogate pair ({value[error.start]!r} at character {error.start})"
                ) from None
        return value

    def error(self, what: str) -> CorpusError:
        return CorpusError(f"{self.source} is not in SQuAD's format: {what}: mend the file or give another")


_NAMES: dict[Any, str] = {str: "a string", int: "a whole number", list: "a list", bool: "true or false"}
_NAMES[(str, int)] = "a string"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _parse(content: bytes, source: str) -> Any:
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError(f"{source} starts with a byte-order mark (byte 0): save it as UTF-8 without one")
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{source} is not UTF-8: byte {content[error.start]:#04x} at offset {error.start} (line {line}): "
            "save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        # `error.doc` can be the whole of a large file: only the place goes into the sentence.
        raise CorpusError(
            f"{source} is not JSON: {error.msg} at line {error.lineno} column {error.colno} of "
            f"{len(error.doc.splitlines())} line(s): is the file whole?"
        ) from None
    except RecursionError:
        raise CorpusError(f"{source} is not in SQuAD's format: its JSON is nested too deeply") from None
    except ValueError as error:  # a number with more digits than Python converts
        raise CorpusError(f"{source} is not in SQuAD's format: {error}") from None


def tables(rows: Iterable[Row], language: str | None = None) -> Iterator[pa.Table]:
    """Arrow tables with the columns of FEATURES, and `language` when one is given."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row.context)
        if len(batch) == ROWS_A_TABLE or characters >= CHARACTERS_A_TABLE:
            yield _table(batch, language)
            batch, characters = [], 0
    if batch:
        yield _table(batch, language)


def _table(rows: list[Row], language: str | None) -> pa.Table:
    # Column by column: `datasets` encodes examples one by one several times slower.
    ids, titles, contexts, questions, texts, starts = zip(*rows, strict=True)
    columns = {
        "id": pa.array(ids, pa.string()),
        "title": pa.array(titles, pa.string()),
        "context": pa.array(contexts, pa.string()),
        "question": pa.array(questions, pa.string()),
        "answers": pa.StructArray.from_arrays(
            [pa.array(texts, pa.list_(pa.string())), pa.array(starts, pa.list_(pa.int32()))], ["text", "answer_start"]
        ),
    }
    if language is not None:
        columns["language"] = pa.array([language] * len(rows), pa.string())
    return pa.table(columns)
