"""One door to every question-answering data set: SQuAD's columns, whatever it is and wherever it lies.

    load_qa("squad", "train")                                        # from the Hub
    load_qa("sq3", "train", data_dir="data/squad")                   # from the official files
    load_qa("xquad", "validation", language="all")                   # 12 languages, a `language` column
    load_qa("mlqa", "test", language="de.en")                        # German document, English question
    load_qa("trivia_qa", "train", data_dir="data/triviaqa")          # answers found by distant supervision
    load_qa("file", "train", data_files="mine.json", language="sv")  # any SQuAD-format file
    load_qa("org/dataset", "validation")                             # any Hub data set with those columns
    load_qa("terms", "validation", language="de", making=...)        # made by code: see hub_datasets.generated

Rows: id, title, context, question, answers {text, answer_start}, language; TriviaQA's also question_id and aliases, and
evidence {start, end} where the data says it. All but TriviaQA and what code makes, whose documents are long as they
are, can be made long by the concatenation of SQ3 and XQ3.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hub_datasets
from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions, CorpusError, Paragraph
from hub_datasets.flat_rows import parts_of_rows
from hub_datasets.reading import Rows

from .files import DataFiles, language_in_name, paths_of
from .generated import MakingArguments, load_generated, making_parameters
from .hub import load_hub, load_published
from .options import concat_options
from .sources import (
    GENERATED,
    SOURCES,
    canonical_name,
    check_data_dir,
    check_split,
    fill,
    is_published,
    languages_of,
    local_file,
)
from .trivia_qa import load_trivia_qa

if TYPE_CHECKING:
    import datasets

SAMPLE = Path(hub_datasets.__file__).parent / "sample"
SAMPLE_HELD_OUT = 2  # articles at the sample's end, which are its validation split


def load_qa(
    dataset: str,
    split: str,
    *,
    data_files: DataFiles | None = None,
    data_dir: str | None = None,
    language: str | None = None,
    config: str | None = None,
    options: ConcatOptions | None = None,
    making: MakingArguments | None = None,
    unique_ids: bool = True,
    name_files: bool = False,
) -> "datasets.Dataset":
    """Load one split.

    Args:
        dataset: a name of `SOURCES` in sources.py, "file" with `data_files`, a Hub id, or a SQuAD-format file.
        split: train, validation, or test (MLQA).
        data_files: files of questions (paths or patterns), or a mapping from split to them: in SQuAD's format, or rows
            in JSON, JSON lines, CSV or Parquet.
        data_dir: folder that holds the data set in its official layout; without it the Hub is asked.
        language: a language of the data set, several with commas, or "all". Rows of other files and Hub ids are in the
            language that their column `language` says, else the file's name (`my.de.json`), else this one, else "en".
        config: the Hub's configuration, for a Hub id.
        options: how paragraphs become rows; by default the data set's own way (`concat_options`).
        making: how rows are made that code makes, `MakingArguments`; of other data sets nothing may be set in it.
        unique_ids: refuse an id that comes twice in one language.
        name_files: add a column `file`, the path that a row was read from (not of TriviaQA).

    Raises:
        UserError: an unknown name, a missing file, a wrong column, no rows, no answers, or an id that comes twice in
            one language.
    """
    name = canonical_name(dataset)
    options = concat_options(name, options)
    if data_files is None and Path(dataset).is_file():
        data_files = dataset
    check_data_dir(data_dir, (dataset, data_files))
    given = making_parameters(name, making, data_files)
    if name in GENERATED:
        rows = load_generated(name, split, data_dir, language, given, options)
    elif name.startswith("trivia_qa"):
        rows = load_trivia_qa(name, split, data_files, data_dir, language, options)
    elif data_files is None and is_published(name):
        rows = load_published(name, split, language, options)
    else:
        rows = _dataset(_parts(name, split, data_files, data_dir, language, config, options), options, name_files)
    _check_answers(rows, dataset, split)
    if unique_ids:
        check_ids(rows["id"], rows["language"], f"--dataset {dataset!r}, split {split!r},")
    return rows


def spread(total: int, count: int | None) -> list[int]:
    """`count` numbers below `total`, in even steps; all when `count` is None or more than there are."""
    count = total if count is None else min(count, total)
    return [number * total // count for number in range(count)]


def evenly(rows: "datasets.Dataset", count: int | None) -> "datasets.Dataset":
    """`count` of the questions, spread over all of them; all when `count` is None or more than there are.

    Of TriviaQA, whose rows are a question's documents, each question keeps all of its own.
    """
    if count is None or count >= len(rows):
        return rows
    if "question_id" not in rows.column_names:
        return rows.select(spread(len(rows), count))
    ids = rows["question_id"]
    questions = list(dict.fromkeys(ids))
    chosen = {questions[number] for number in spread(len(questions), count)}
    return rows.select([number for number, question in enumerate(ids) if question in chosen])


def metric_of(dataset: str, rows: "datasets.Dataset") -> str:
    """Whose official script scores `dataset`: squad_v2 where `rows` has unanswerable questions, which others refuse."""
    name = canonical_name(dataset)
    own = SOURCES[name].metric if name in SOURCES else "squad"
    return own if own == "triviaqa" or all(answers["text"] for answers in rows["answers"]) else "squad_v2"


def check_ids(ids: Iterable[str], languages: Iterable[str], where: str) -> None:
    """A UserError that names the first id that comes twice in one language: answers and scores are kept by id."""
    seen: set[tuple[str, str]] = set()
    for key in zip(languages, ids, strict=True):
        if key in seen:
            raise UserError(f"{where} has the id {key[1]!r} twice in {key[0]!r}: give each question an id of its own")
        seen.add(key)


Found = tuple[list[Paragraph], str, str | None]
"""The paragraphs of one file or Hub data set in one language, what a sentence calls the source, and that language."""


def _parts(
    name: str,
    split: str,
    data_files: DataFiles | None,
    data_dir: str | None,
    language: str | None,
    config: str | None,
    options: ConcatOptions,
) -> Iterator[Found]:
    """One part for each file and language."""
    if data_files is not None:
        files = paths_of(data_files, split)
        yield from _in_languages((part for path in files for part in _read_file(path, options)), language)
    elif name in SOURCES:
        source = SOURCES[name]
        check_split(name, source, split)
        for code in languages_of(name, source, language):
            if name == "sample":
                path = SAMPLE / fill(source.files, split, code)
                ((paragraphs, _, _),) = _read_file(path, options)
                yield _sample_split(paragraphs, split), str(path), code
            elif data_dir is not None:
                path = local_file(source, data_dir, split, code)
                yield from ((paragraphs, str(path), code) for paragraphs, _, _ in _read_file(path, options))
            else:
                rows = load_hub(str(source.hub_id), fill(source.config or "", "", code) or None, split, source)
                parts = parts_of_rows(Rows(rows), str(source.hub_id), options.names())
                yield from ((part.paragraphs, str(source.hub_id), code) for part in parts)
    elif "/" in name:
        parts = parts_of_rows(Rows(load_hub(name, config, split)), name, options.names())
        yield from _in_languages(((part.paragraphs, name, part.language) for part in parts), language)
    elif name == "file":
        raise UserError("--dataset 'file' needs --data_files: give your file of questions, or another --dataset")
    else:
        raise UserError(
            f"--dataset {name!r} is no data set of ours ({', '.join(SOURCES)}), no file and no Hub id (owner/name)"
        )


def _read_file(path: Path, options: ConcatOptions) -> Iterator[Found]:
    from hub_datasets.squad_format import read_parts

    for part in read_parts(path.read_bytes(), str(path), options.names()):
        yield part.paragraphs, str(path), part.language or language_in_name(path)


def _in_languages(parts: Iterable[Found], language: str | None) -> Iterator[Found]:
    """The parts in the languages that are asked for; a part that does not say its language is in the only one."""
    asked = None if language in (None, "all") else str(language).split(",")
    seen: dict[str, None] = {}
    source = ""
    for paragraphs, source, said in parts:
        if said is None and (language == "all" or (asked and len(asked) > 1)):
            raise UserError(
                f"--language {language!r}: {source!r} does not say its language: call it like xquad.de.json, give its "
                "rows a column language, or give one --language"
            )
        code = said or (asked[0] if asked else "en")
        if not re.fullmatch(r"\w[\w.-]*", code):  # the code becomes the name of a folder
            raise UserError(f"{source!r} has the language {code!r}: give a code such as de")
        seen[code] = None
        if asked is None or code in asked:
            yield paragraphs, source, code
    missing = [code for code in asked or () if code not in seen]
    if missing and seen:
        raise UserError(
            f"--language {missing[0]!r} is none of the languages of the data, {', '.join(seen)}, which its column "
            "language or its files' names say: choose one of them, or leave --language out"
        )


def _dataset(parts: Iterable[Found], options: ConcatOptions, name_files: bool) -> "datasets.Dataset":
    """The parts as one data set, made long by the code that `hub_datasets.load_dataset` runs."""
    import datasets
    import pyarrow as pa

    from hub_datasets.squad_format import EVIDENCE, FEATURES, long_tables

    try:
        found = list(parts)
        proven = any(q.evidence for part, _, _ in found for paragraph in part for q in paragraph.questions)
        tables = [
            table.append_column("file", pa.array([source] * len(table))) if name_files else table
            for part, source, code in found
            for table in long_tables(part, source, options, code, proven)
        ]
    except CorpusError as error:
        raise UserError(str(error)) from error
    text = datasets.Value("string")
    more = {**(EVIDENCE if proven else {}), **({"file": text} if name_files else {})}
    features = datasets.Features({**FEATURES, "language": text, **more})
    return datasets.Dataset(pa.concat_tables(tables), info=datasets.DatasetInfo(features=features))


def _sample_split(paragraphs: list[Paragraph], split: str) -> list[Paragraph]:
    first_held_out = paragraphs[-1].article + 1 - SAMPLE_HELD_OUT
    return [p for p in paragraphs if (p.article >= first_held_out) == (split == "validation")]


def _check_answers(rows: "datasets.Dataset", dataset: str, split: str) -> None:
    if len(rows) == 0:
        raise UserError(f"--dataset {dataset!r}, split {split!r}, holds no question: give a file with rows")
    if not any(answers["text"] for answers in rows["answers"]) and "aliases" not in rows.column_names:
        raise UserError(f"--dataset {dataset!r}, split {split!r}, has no answers: it can neither train nor score")
