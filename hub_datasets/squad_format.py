"""SQuAD's format, in and out: a file to checked paragraphs, rows to Arrow tables with SQuAD's features.

Published beside the loading scripts: imports `datasets`, what it stands on, and the standard library only.
"""

import contextlib
import gc
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa

from .concat import ConcatOptions, CorpusError, Paragraph, Question, Row, concatenate
from .flat_rows import Part, RowError, evidence_of, parts_of_rows, whole_number
from .reading import Rows, read, unpack
from .spans import mend_spans, write_changes

FEATURES = {
    "id": datasets.Value("string"),
    "title": datasets.Value("string"),
    "context": datasets.Value("string"),
    "question": datasets.Value("string"),
    "answers": datasets.Sequence({"text": datasets.Value("string"), "answer_start": datasets.Value("int32")}),
}

# A column of its own for rows that say where the evidence of their answer stands.
EVIDENCE = {"evidence": datasets.Sequence({"start": datasets.Value("int32"), "end": datasets.Value("int32")})}

logger = datasets.logging.get_logger(__name__)

# A table ends at the limit that comes first. So memory does not grow with the length of the contexts.
ROWS_A_TABLE = 1_000
CHARACTERS_A_TABLE = 1_000_000


def long_tables(
    paragraphs: list[Paragraph],
    source: str,
    options: ConcatOptions,
    language: str | None = None,
    evidence: bool = False,
) -> Iterator[pa.Table]:
    """The paragraphs of one source as tables of long documents: the way to rows of every script and every corpus."""
    paragraphs, changes, note = mend_spans(paragraphs, options.on_bad_span, source)
    if changes and options.on_bad_span == "repair_or_drop":
        note += f"; every change stands in {write_changes(changes, options.changes_dir, source)}"
    if note:
        logger.warning(note)
    table = None
    with _unseen_by_garbage_collection():
        for table in tables(concatenate(paragraphs, options), language, evidence):
            yield table
    if table is None:
        # `datasets` would only say that a split "corresponds to no data".
        raise CorpusError(f"{source} gives no row: {note or 'it holds no question, so give another file'}")


def check_sha256(content: bytes, expected: str, source: str) -> None:
    """Refuse an official file that differs from the one that the published figures were computed on."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CorpusError(
            f"{source} differs from the official file (SHA-256 {found}, expected {expected}): download it again; "
            "load_dataset takes a file of your own as data_files"
        )


def read_paragraphs(content: bytes, source: str) -> list[Paragraph]:
    """The paragraphs of a file, in whatever language. Raises CorpusError naming `source` and the place of a fault."""
    return [paragraph for part in read_parts(content, source, {}) for paragraph in part.paragraphs]


def read_parts(content: bytes, source: str, names: Mapping[str, str]) -> list[Part]:
    """The paragraphs of a file, apart by language: of a SQuAD v1.1 or v2.0 tree, or of flat rows (see reading.py).

    Args:
        names: a column's name in a file of flat rows -> SQuAD's.

    Raises:
        CorpusError: naming `source` and the place of what is wrong.
    """
    with _without_garbage_collection():
        content = unpack(content, source)
        found = tree_or_rows(read(content, source), names)
        if isinstance(found, Rows):
            return parts_of_rows(found, source, names)
        if _SURROGATE.search(content):
            _check(found, _FILE, source)
        try:
            paragraphs = list(_paragraphs(found, source))
        except (AttributeError, KeyError, TypeError):
            # `_paragraphs` is quick and finds that something is wrong. `_check` is slow and finds what and where.
            _check(found, _FILE, source)
            raise
        del found  # else the garbage collector walks through it
    return [Part(None, paragraphs)]


def tree_or_rows(document: Any, names: Mapping[str, str]) -> Any:
    """A document as SQuAD's tree, an object with the list `data`, or as `Rows` where that is what its arrays hold."""
    if isinstance(document, Rows):
        return document
    data = document.get("data") if isinstance(document, dict) else document
    first = data[0] if isinstance(data, list) and data else data
    columns = {"id", "context", "question", *names}
    if isinstance(data, list) and isinstance(first, dict) and "paragraphs" not in first and columns & first.keys():
        return Rows(data)
    if isinstance(document, dict) and "data" not in document and columns & document.keys():
        return Rows([document])  # a file of JSON lines that has one line
    return {"data": document} if isinstance(document, list) and isinstance(first, dict) else document


def _paragraphs(document: Any, source: str) -> Iterator[Paragraph]:
    for number, article in enumerate(_of(list, document["data"])):
        title = article.get("title", "")
        title = title if type(title) is str else _title(title)
        for paragraph in _of(list, article["paragraphs"]):
            context = _of(str, paragraph["context"])
            questions = []
            for question in _of(list, paragraph["qas"]):
                # An unanswerable question of SQuAD 2.0 has no answers. Its `plausible_answers` are wrong ones.
                optional = question.get("is_impossible") is True
                answers = _of(list, (question.get("answers") or []) if optional else question["answers"])
                texts = [_of(str, answer["text"]) for answer in answers]
                starts = [_whole(answer["answer_start"]) for answer in answers]
                identifier = question["id"]
                if type(identifier) is not str:
                    identifier = str(_of(int, identifier))
                evidence = None
                if (said := question.get("evidence")) is not None:
                    try:
                        evidence = evidence_of(said, context)
                    except RowError as error:
                        raise CorpusError(f"{source}, question {identifier!r}: {error}: mend the file") from None
                questions.append(Question(identifier, _of(str, question["question"]), texts, starts, evidence))
            yield Paragraph(number, title, context, questions)


def _of(kind: type, value: Any) -> Any:
    # isinstance() would take JSON's true for an int.
    if type(value) is not kind:
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    number = whole_number(value)
    if number is None:
        raise TypeError
    return number


def _title(value: Any) -> str:
    return "" if value is None else str(_of(int, value))


# What a file must hold: a type, a list of such elements, or an object with these keys ("?": may be missing).
_ANSWER = {"text": str, "answer_start": whole_number}
_QUESTION = {"id": (str, int), "question": str, "answers": [_ANSWER], "is_impossible?": bool}
_FILE = {"data": [{"title?": (str, int), "paragraphs": [{"context": str, "qas": [_QUESTION]}]}]}
_NAMES = {str: "a string", bool: "true or false", (str, int): "a string"}


def _check(value: Any, wanted: Any, source: str, place: str = "") -> None:
    """Raise CorpusError at the first place of `value` that is not as `wanted` says."""

    def refuse(what: str) -> None:
        raise CorpusError(f"{source} is not in SQuAD's format: {what}: mend the file, or give another")

    name = place or "the file"
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            refuse(f"{name} is {_shown(value)}, not an object")
        for key, inner in wanted.items():
            may_miss = key.endswith("?") or (key == "answers" and value.get("is_impossible") is True)
            key = key.removesuffix("?")
            if may_miss and value.get(key) is None:
                continue
            if key in value:
                _check(value[key], inner, source, f"{place}.{key}" if place else key)
            else:
                refuse(f"{name} has no {key!r}")
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            refuse(f"{name} is {_shown(value)}, not a list")
        for number, element in enumerate(value):
            _check(element, wanted[0], source, f"{place}[{number}]")
    elif wanted is whole_number:
        if whole_number(value) is None:
            refuse(f"{name} is {_shown(value)}, not a whole number")
    elif type(value) not in (wanted if isinstance(wanted, tuple) else (wanted,)):
        refuse(f"{name} is {_shown(value)}, not {_NAMES[wanted]}")
    elif isinstance(value, str) and (half := _LONE_SURROGATE.search(value)):
        refuse(f"{name} holds half a surrogate pair ({half.group()!r} at character {half.start()})")


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


# JSON may escape a character beyond U+FFFF as two surrogates. One of them alone is no text.
_SURROGATE = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A large file is a million objects without a cycle, through which the collector would search again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def _unseen_by_garbage_collection() -> Iterator[None]:
    """The collector goes on (the caller's code runs between two tables) but searches what comes from now on only, not
    the parsed file again and again: a quarter of the time of a large one."""
    if gc.get_freeze_count():  # the caller has frozen objects, and unfreeze() would free those too
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def tables(rows: Iterable[Row], language: str | None = None, evidence: bool = False) -> Iterator[pa.Table]:
    """Arrow tables with the columns of FEATURES, `language` when one is given, and `evidence` when asked for it."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row.context)
        if len(batch) == ROWS_A_TABLE or characters >= CHARACTERS_A_TABLE:
            yield _table(batch, language, evidence)
            batch, characters = [], 0
    if batch:
        yield _table(batch, language, evidence)


def _table(rows: list[Row], language: str | None, evidence: bool) -> pa.Table:
    # Column by column: `datasets` encodes example by example, which takes several times as long.
    ids, titles, contexts, questions, texts, starts, proofs = zip(*rows, strict=True)
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
    if evidence:
        starts, ends = zip(*(proof or ([], []) for proof in proofs), strict=True)
        lists = [pa.array(side, pa.list_(pa.int32())) for side in (starts, ends)]
        columns["evidence"] = pa.StructArray.from_arrays(lists, ["start", "end"])
    return pa.table(columns)
