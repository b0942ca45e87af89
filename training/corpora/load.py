"""One door to every question-answering data set: SQuAD's columns, whatever it is and wherever it lies.

    load_qa("squad", "train")                                        # from the Hub
    load_qa("sq3", "train", data_dir="data/squad", nr_concats=3)     # from the official files
    load_qa("xquad", "validation", language="all")                   # 12 languages, a `language` column
    load_qa("mlqa", "test", language="de.en")                        # German document, English question
    load_qa("trivia_qa", "train", data_dir="data/triviaqa")          # answers found by distant supervision
    load_qa("file", "train", data_files="mine.json", language="sv")  # any SQuAD-format file
    load_qa("org/dataset", "validation")                             # any Hub data set with those columns

Rows: id, title, context, question, answers {text, answer_start}, language; TriviaQA's also question_id and aliases.
All but TriviaQA, whose documents are long as they are, can be made long by the concatenation of SQ3 and XQ3.
"""

import glob
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import hub_datasets
from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions, Paragraph, Question, concatenate, mend_spans

from . import normalise, trivia_qa
from .hub import check_columns, load_hub, load_published
from .sources import (
    LANGUAGES,
    LONG_REPOSITORIES,
    SOURCES,
    canonical_name,
    check_data_dir,
    check_split,
    fill,
    is_long,
    languages_of,
    local_file,
)

SAMPLE_HELD_OUT = 2  # the last articles of the sample are its validation split


def load_qa(
    dataset: str,
    split: str,
    *,
    data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
    data_dir: str | None = None,
    language: str | None = None,
    config: str | None = None,
    nr_concats: int | None = None,
    questions: str | None = None,
    within_articles: bool = False,
    separator: str = "",
    on_bad_span: str = "error",
) -> Any:
    """Load one split as a `datasets.Dataset`.

    Args:
        dataset: a name of `SOURCES` in sources.py, "file" with `data_files`, a Hub id, or a SQuAD-format file.
        split: train, validation, or test (MLQA).
        data_files: SQuAD-format files (paths or patterns), or a mapping from split to them.
        data_dir: folder that holds the data set in its official layout; without it the Hub is asked.
        language: a language of the data set, several with commas, or "all". For other files and Hub ids, the
            language that the rows are in (by default read off the file's name, or "en").
        config: the Hub's configuration, for a Hub id.
        nr_concats, questions, within_articles, separator, on_bad_span: see `hub_datasets.concat.ConcatOptions`. By
            default sq3 and xq3 join 3 paragraphs and keep their first questions; all others stay as they are.

    Raises:
        UserError: an unknown name, a missing file, a wrong column, no rows, or no answers.
    """
    name = canonical_name(dataset)
    options = _concat_options(name, nr_concats, questions, within_articles, separator, on_bad_span)
    if data_files is None and Path(dataset).is_file():
        data_files = dataset
    check_data_dir(data_dir, (dataset, data_files))
    if name.startswith("trivia_qa"):
        rows = _load_trivia_qa(name, split, data_files, data_dir, language, options)
    elif data_files is None and name.partition("/")[2] in LONG_REPOSITORIES:
        rows = load_published(name, split, language, options)
    else:
        rows = _dataset(_tables(name, split, data_files, data_dir, language, config, options))
    _check_answers(rows, dataset, split)
    return rows


def evenly(rows: Any, count: int | None) -> Any:
    """`count` of the questions, spread over all of them; all when `count` is None or more than there are.

    Of TriviaQA, whose rows are a question's documents, each question keeps all of its own.
    """
    if count is None or count >= len(rows):
        return rows
    if "question_id" not in rows.column_names:
        return rows.select([number * len(rows) // count for number in range(count)])
    ids = rows["question_id"]
    questions = list(dict.fromkeys(ids))
    chosen = {questions[number * len(questions) // count] for number in range(count)}
    return rows.select([number for number, question in enumerate(ids) if question in chosen])


def metric_of(dataset: str, rows: Any) -> str:
    """Whose official script scores `dataset`; for other data, squad_v2 when `rows` has unanswerable questions."""
    name = canonical_name(dataset)
    if name in SOURCES:
        return SOURCES[name].metric
    return "squad" if all(answers["text"] for answers in rows["answers"]) else "squad_v2"


def _concat_options(
    name: str, nr_concats: int | None, questions: str | None, within_articles: bool, separator: str, on_bad_span: str
) -> ConcatOptions:
    long = is_long(name)
    options = ConcatOptions(
        nr_concats=(3 if long else 1) if nr_concats is None else nr_concats,
        questions=("first" if long else "all") if questions is None else questions,
        within_articles=within_articles,
        separator=separator,
        on_bad_span=on_bad_span,
    )
    try:
        options.check()
    except ValueError as error:
        raise UserError(f"--{error}") from error
    return options


def _tables(
    name: str,
    split: str,
    data_files: str | Sequence[str] | Mapping[str, Any] | None,
    data_dir: str | None,
    language: str | None,
    config: str | None,
    options: ConcatOptions,
) -> Iterator[Any]:
    """Arrow tables of the rows, one or more for each file or language."""
    if data_files is not None:
        for path in _paths(data_files, split):
            yield from _long_tables(_read_file(path), str(path), language or _language_in_name(path), options)
    elif name == "sample":
        source = SOURCES[name]
        check_split(name, source, split)
        folder = Path(hub_datasets.__file__).parent / "sample"
        for code in languages_of(name, source, language):
            path = folder / fill(source.files, split, code)
            yield from _long_tables(_sample_split(_read_file(path), split), str(path), code, options)
    elif name in SOURCES:
        source = SOURCES[name]
        check_split(name, source, split)
        for code in languages_of(name, source, language):
            if data_dir is not None:
                path = local_file(source, data_dir, split, code)
                yield from _long_tables(_read_file(path), str(path), code, options)
            else:
                hub_rows = load_hub(str(source.hub_id), fill(source.config or "", "", code) or None, split, source)
                yield from _long_tables(_paragraphs(hub_rows, str(source.hub_id)), str(source.hub_id), code, options)
    elif "/" in name:
        hub_rows = load_hub(name, config, split)
        yield from _long_tables(_paragraphs(hub_rows, name), name, language or "en", options)
    else:
        raise UserError(
            f"--dataset {name!r} is no data set of ours ({', '.join(SOURCES)}), no file and no Hub id (owner/name)"
        )


def _long_tables(paragraphs: list[Paragraph], source: str, language: str, options: ConcatOptions) -> Iterator[Any]:
    from hub_datasets.squad_format import tables

    try:
        paragraphs, changed = mend_spans(paragraphs, options.on_bad_span, source)
    except ValueError as error:
        raise UserError(str(error)) from error
    if changed:
        print(changed, file=sys.stderr)
    return tables(concatenate(paragraphs, options), language)


def _read_file(path: Path) -> list[Paragraph]:
    from hub_datasets.squad_format import read_paragraphs

    if path.suffix in (".jsonl", ".parquet"):
        return _paragraphs(_load_rows(path), str(path))
    try:
        return read_paragraphs(path.read_bytes(), str(path))
    except ValueError as error:
        raise UserError(str(error)) from error


def _load_rows(path: Path) -> Any:
    """Rows with SQuAD's columns from a file that is not a SQuAD tree."""
    import datasets

    kind = {".jsonl": "json", ".parquet": "parquet"}[path.suffix]
    try:
        rows = datasets.load_dataset(kind, data_files=str(path), split="train")
    except datasets.exceptions.DatasetsError as error:
        raise UserError(
            f"{str(path)!r} cannot be read as {path.suffix[1:]}: is it cut off, or another format?"
        ) from error
    check_columns(rows.column_names, str(path))
    return rows


def _paragraphs(rows: Iterable[Mapping[str, Any]], source: str) -> list[Paragraph]:
    """Flat rows as paragraphs of one question each; `concatenate` joins neighbours with the same context."""
    paragraphs: list[Paragraph] = []
    for number, row in enumerate(rows):
        title = row.get("title") or ""
        article = 0 if not paragraphs else paragraphs[-1].article + (title != paragraphs[-1].title)
        answers = row["answers"] if isinstance(row["answers"], Mapping) else {}
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not (isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)):
            raise UserError(
                f"{source!r}, row {number}: answers is no object with the lists text and answer_start, of one length"
            )
        question = Question(str(row["id"]), row["question"], texts, starts)
        paragraphs.append(Paragraph(article, title, row["context"], [question]))
    return paragraphs


def _sample_split(paragraphs: list[Paragraph], split: str) -> list[Paragraph]:
    first_held_out = paragraphs[-1].article + 1 - SAMPLE_HELD_OUT
    return [p for p in paragraphs if (p.article >= first_held_out) == (split == "validation")]


def _load_trivia_qa(
    name: str, split: str, data_files: Any, data_dir: str | None, language: str | None, options: ConcatOptions
) -> Any:
    import datasets

    source = SOURCES[name]
    check_split(name, source, split)
    languages_of(name, source, language)
    if options != ConcatOptions(1, "all"):
        raise UserError(
            f"--nr_concats, --questions, --within_articles and --on_bad_span do not go with {name}: its documents are "
            "long as they are, and its answers are looked for in them"
        )
    if data_files is not None:
        paths = _paths(data_files, split)
    elif data_dir is not None:
        paths = [local_file(source, data_dir, split, "en")]
    else:
        paths = []
    evidence = str(Path(data_dir) / "evidence") if data_dir else None
    hub_rows = None if paths else load_hub(str(source.hub_id), source.config, split, source)
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    # Documents of 77,000 questions do not fit in memory: the generator writes them to the cache of `datasets`, which
    # keys them by these arguments; `rules` makes rows of an older version of this code unknown.
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (trivia_qa, normalise))
    given = {
        "stamps": stamps,
        "evidence": evidence,
        "hub_rows": hub_rows,
        "domain": name,
        "train": split == "train",
        "rules": hashlib.sha256(code).hexdigest(),
    }
    try:
        return datasets.Dataset.from_generator(_trivia_qa_rows, features=_features(question_id=True), gen_kwargs=given)
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, KeyError):
            raise UserError(f"{name} is not in TriviaQA's format: an entry has no {cause}") from error
        raise


def _trivia_qa_rows(
    stamps: list[tuple[str, int, int]], evidence: str | None, hub_rows: Any, domain: str, train: bool, rules: str
) -> Iterator[dict[str, Any]]:
    """TriviaQA's rows; in training without the documents in which no alias stands, whose number is said."""
    if hub_rows is None:
        rows = chain.from_iterable(trivia_qa.read_rows(path, evidence) for path, _, _ in stamps)
    else:
        rows = chain(trivia_qa.hub_rows(hub_rows, "web" if domain.endswith("web") else "wikipedia"))
    left_out = 0
    for row in rows:
        if train and not row["answers"]["text"]:
            left_out += 1
        else:
            yield row
    if left_out:
        print(f"TriviaQA: left out {left_out} training documents in which no alias stands", file=sys.stderr)


def _features(question_id: bool = False) -> Any:
    import datasets

    from hub_datasets.squad_format import FEATURES

    features = {**FEATURES, "language": datasets.Value("string")}
    if question_id:
        features |= {"question_id": datasets.Value("string"), "aliases": datasets.Sequence(datasets.Value("string"))}
    return datasets.Features(features)


def _dataset(tables: Iterable[Any]) -> Any:
    import datasets
    import pyarrow as pa

    collected = list(tables)
    if not collected:
        return datasets.Dataset.from_dict({column: [] for column in _features()}, features=_features())
    return datasets.Dataset(pa.concat_tables(collected), info=datasets.DatasetInfo(features=_features()))


def _paths(data_files: str | Sequence[str] | Mapping[str, Any], split: str) -> list[Path]:
    """The files that `data_files` names for `split`, patterns resolved."""
    if isinstance(data_files, Mapping):
        if split not in data_files:
            raise UserError(f"--data_files names no file for the split {split!r}: it has {', '.join(data_files)}")
        data_files = data_files[split]
    patterns = [data_files] if isinstance(data_files, str | Path) else list(data_files)
    paths: list[Path] = []
    for pattern in map(str, patterns):
        literal = Path(pattern).expanduser()
        found = [literal] if literal.is_file() else [Path(path) for path in sorted(glob.glob(str(literal)))]
        if not any(path.is_file() for path in found):
            raise UserError(f"--data_files {pattern!r} is not a file: check the path")
        paths += [path for path in found if path.is_file()]
    return paths


def _language_in_name(path: Path) -> str:
    """`de` for `xquad.de.json` and `test-context-de-question-en.json`, else `en`, for `my_qa.json` too."""
    if match := re.search(r"context-([a-z]{2})-question|\.([a-z]{2})$", path.stem):
        return match[1] or match[2]
    match = re.search(r"[_-]([a-z]{2})$", path.stem)
    return match[1] if match and match[1] in LANGUAGES.split() else "en"


def _check_answers(rows: Any, dataset: str, split: str) -> None:
    if len(rows) == 0:
        raise UserError(f"--dataset {dataset!r}, split {split!r}, holds no question: give a file with rows")
    if not any(answers["text"] for answers in rows["answers"]) and "aliases" not in rows.column_names:
        raise UserError(f"--dataset {dataset!r}, split {split!r}, has no answers: it can neither train nor score")
