"""TriviaQA in its official layout, as extractive rows: one row for each question and document.

    <data_dir>/qa/{wikipedia,web}-{train,dev}.json
    <data_dir>/evidence/{wikipedia,web}/<Filename>

The data set gives answers as strings, not as places. Distant supervision marks every place in the document where an
alias stands, compared as the official script compares (`normalise.triviaqa`): case, punctuation, underscores and
articles do not matter. Source of the layout and the rules: github.com/mandarjoshi90/triviaqa, `utils/`.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from foundation.cli import UserError, one_line
from foundation.files import file_hash, read_json
from hub_datasets.concat import ConcatOptions

from . import normalise
from .files import DataFiles, paths_of
from .hub import load_hub
from .normalise import TRIVIAQA_PUNCTUATION, triviaqa, unicode_punctuation
from .sources import SOURCES, check_split, languages_of, local_file

if TYPE_CHECKING:
    import datasets

ARTICLES = {"a", "an", "the"}


def load_trivia_qa(
    name: str,
    split: str,
    data_files: DataFiles | None,
    data_dir: str | None,
    language: str | None,
    options: ConcatOptions,
) -> "datasets.Dataset":
    """One split as a `datasets.Dataset`, as by `load_qa`; in training, without the documents that hold no alias."""
    import datasets

    from hub_datasets.squad_format import FEATURES

    source = SOURCES[name]
    check_split(name, source, split)
    languages_of(name, source, language)
    if replace(options, changes_dir="") != source.concat:
        raise UserError(
            f"--nr_concats, --questions, --within_articles and --on_bad_span do not go with {name}: its documents are "
            "long as they are, and its answers are looked for in them"
        )
    if data_files is not None:
        paths = paths_of(data_files, split)
    elif data_dir is not None:
        paths = [local_file(source, data_dir, split, "en")]
    else:
        paths = []
    evidence = str(Path(data_dir) / "evidence") if data_dir else None
    # The documents of 77,000 questions do not fit into memory, so a generator writes them to the cache of `datasets`.
    # Their key there is made of its arguments: with the hashes of files and code in it, no old rows are found.
    code = Path(__file__).read_bytes() + Path(str(normalise.__file__)).read_bytes()
    given = {
        "files": [(str(path), _content_hash(path, evidence)) for path in paths],
        "evidence": evidence,
        "hub_data": None if paths else load_hub(str(source.hub_id), source.config, split, source),
        "domain": name,
        "train": split == "train",
        "rules": hashlib.sha256(code).hexdigest(),
    }
    text = datasets.Value("string")
    features = {**FEATURES, "language": text, "question_id": text, "aliases": datasets.Sequence(text)}
    try:
        return datasets.Dataset.from_generator(_rows, features=datasets.Features(features), gen_kwargs=given)
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, KeyError):
            raise UserError(f"{name} is not in TriviaQA's format: an entry has no {cause}") from error
        if isinstance(cause, AttributeError | TypeError):
            raise UserError(f"{name} is not in TriviaQA's format: {one_line(cause)}") from error
        raise


def _content_hash(qa_file: Path, evidence_dir: str | None) -> str:
    """SHA-256 of the questions and of every document that they name, read piece by piece; a missing one counts so."""
    digest = hashlib.sha256(file_hash(qa_file).encode())
    pages = _pages(_questions(qa_file), _evidence(qa_file, evidence_dir))
    documents = dict.fromkeys(path for _, _, path in pages)
    for path in tqdm(documents, desc="looking for edited documents", unit="document", disable=None, leave=False):
        digest.update((file_hash(path) if path.is_file() else "").encode())
    return digest.hexdigest()


def _rows(
    files: list[tuple[str, str]], evidence: str | None, hub_data: Any, domain: str, train: bool, rules: str
) -> Iterator[dict[str, Any]]:
    """TriviaQA's rows; in training without the documents in which no alias stands, whose number is said."""
    if hub_data is None:
        rows = chain.from_iterable(read_rows(path, evidence) for path, _ in files)
    else:
        rows = chain(hub_rows(hub_data, "web" if domain.endswith("web") else "wikipedia"))
    left_out = 0
    for row in rows:
        if train and not row["answers"]["text"]:
            left_out += 1
        else:
            yield row
    if left_out:
        print(f"TriviaQA: left out {left_out} training documents in which no alias stands", file=sys.stderr)


def read_rows(qa_file: str | Path, evidence_dir: str | Path | None = None) -> Iterator[dict[str, Any]]:
    """Rows of an official `qa/*.json` file.

    `evidence_dir` holds `wikipedia/` and `web/`; by default it is the folder `evidence` beside `qa`. Yields `id`
    (`QuestionId--Filename`), `question_id` (the key the official script scores by: the question on Wikipedia, `id` on
    the web), `title`, `context`, `question`, `answers` (every place of every alias), `aliases` and `language`.
    """
    qa_file = Path(qa_file)
    content = _questions(qa_file)
    by_question = content.get("Domain") == "Wikipedia"
    for datum, page, path in _pages(content, _evidence(qa_file, evidence_dir)):
        yield _row(datum, page["Filename"], page.get("Title", ""), _read_document(path), by_question)


def _evidence(qa_file: Path, evidence_dir: str | Path | None) -> Path:
    return Path(evidence_dir) if evidence_dir else qa_file.parent.parent / "evidence"


def _questions(qa_file: Path) -> dict[str, Any]:
    content = read_json(qa_file, "the TriviaQA file")
    if not isinstance(content, dict) or not isinstance(content.get("Data"), list):
        raise UserError(f"{str(qa_file)!r} is not in TriviaQA's format: it has no list 'Data'")
    return content


def _pages(content: Mapping[str, Any], evidence: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any], Path]]:
    """Each question with each of its documents: its entry, the document's, and where that lies; none comes twice."""
    for datum in content["Data"]:
        seen = set()
        for folder, pages in (("wikipedia", "EntityPages"), ("web", "SearchResults")):
            for page in datum.get(pages, []):
                if page["Filename"] not in seen:
                    seen.add(page["Filename"])
                    yield datum, page, evidence / folder / page["Filename"]


def hub_rows(dataset: Iterable[Mapping[str, Any]], domain: str) -> Iterator[dict[str, Any]]:
    """The same rows from the Hub's `mandarjoshi/trivia_qa`, configurations `rc.wikipedia` and `rc.web`."""
    columns = (("entity_pages", "wiki_context"), ("search_results", "search_context"))
    for record in dataset:
        datum = {
            "QuestionId": record["question_id"],
            "Question": record["question"],
            "Answer": {"NormalizedAliases": record["answer"]["normalized_aliases"]},
        }
        for pages, text in columns:
            documents = record[pages]
            for filename, title, context in zip(
                documents["filename"], documents["title"], documents[text], strict=True
            ):
                if context:
                    yield _row(datum, filename, title, context, domain == "wikipedia")


def find_aliases(document: str, aliases: Iterable[str]) -> list[tuple[int, str]]:
    """Every place where one of the normalised `aliases` stands: (offset in characters, text as it stands there).

    Places are in the order of the document. One alias inside another ("York" in "York, England") is two places.
    """
    words = [
        (match.start(), match.end(), lowered)
        for match in _word().finditer(document)
        if (lowered := match.group().lower()) not in ARTICLES
    ]
    by_first: dict[str, set[tuple[str, ...]]] = {}
    for alias in aliases:
        tokens = tuple(word for word in _word().findall(triviaqa(alias)) if word not in ARTICLES)
        if tokens:
            by_first.setdefault(tokens[0], set()).add(tokens)
    found = set()
    for at, (start, _, word) in enumerate(words):
        for tokens in by_first.get(word, ()):
            stretch = words[at : at + len(tokens)]
            if tuple(lowered for _, _, lowered in stretch) == tokens:
                found.add((start, stretch[-1][1]))
    return [(start, document[start:end]) for start, end in sorted(found)]


@cache
def _word() -> re.Pattern[str]:
    """A word. The script splits at ASCII punctuation and a few quotes, we at all: an alias may stand in “quotes”."""
    punctuation = "".join(map(chr, TRIVIAQA_PUNCTUATION | unicode_punctuation()))
    return re.compile(f"[^\\s{re.escape(punctuation)}]+")


def _row(datum: Mapping[str, Any], filename: str, title: str, document: str, by_question: bool) -> dict[str, Any]:
    aliases = triviaqa_aliases(datum["Answer"]) if "Answer" in datum else []
    places = find_aliases(document, aliases)
    identifier = f"{datum['QuestionId']}--{filename}"
    return {
        "id": identifier,
        "question_id": datum["QuestionId"] if by_question else identifier,
        "title": title,
        "context": document,
        "question": datum["Question"],
        "answers": {"text": [text for _, text in places], "answer_start": [start for start, _ in places]},
        "aliases": aliases,
        "language": "en",
    }


def _read_document(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"the TriviaQA document {str(path)!r} is missing: unpack the evidence folder beside qa/")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the TriviaQA document {str(path)!r} is not UTF-8 (byte {error.start}): unpack the evidence again"
        ) from error


def best_documents(rows: "datasets.Dataset", answers: Mapping[str, Any]) -> tuple["datasets.Dataset", dict[str, Any]]:
    """Of each question's documents the one whose best span scores highest: its row and its answer.

    Args:
        rows: rows of this module; `answers`: row id to `training.qa.answers.Answers`.

    Returns:
        The chosen rows, in order, and their answers by `question_id`. The Longformer paper's script chooses so too.
    """
    chosen: dict[str, int] = {}
    for number, row in enumerate(rows):
        before = chosen.get(row["question_id"])
        if before is None or _certainty(answers[row["id"]]) > _certainty(answers[rows[before]["id"]]):
            chosen[row["question_id"]] = number
    picked = rows.select(sorted(chosen.values()))
    return picked, {row["question_id"]: answers[row["id"]] for row in picked}


def _certainty(answer: Any) -> float:
    return answer.best.score if answer.best else float("-inf")


def triviaqa_aliases(answer: Mapping[str, Any]) -> list[str]:
    """Right answers of a TriviaQA question: its normalised aliases, then what people answered, normalised."""
    return [*answer["NormalizedAliases"], *map(triviaqa, answer.get("HumanAnswers", []))]
