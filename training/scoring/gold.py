"""Gold answers, read from whatever holds them: rows, an official SQuAD-format file, an official TriviaQA file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions, CorpusError
from hub_datasets.flat_rows import RowError, answers_of, named_rows, row_error, text_of
from hub_datasets.reading import Rows, read, unpack
from training.corpora.files import language_in_name
from training.corpora.load import check_ids
from training.corpora.trivia_qa import triviaqa_aliases

Gold = list[tuple[str, list[str]]]
"""(question id, texts of its right answers) in the order of the data set; no texts: the question has no answer."""


def read_gold(path: str, language: str | None = None, columns: str = "") -> Gold:
    """Gold answers of a file, of whatever kind `load_qa` reads.

    Args:
        language: which to take of a file of rows in several languages.
        columns: names of its columns that are not SQuAD's, as in `ConcatOptions`.

    Raises:
        UserError: the file cannot be read, or an id comes twice.
    """
    from hub_datasets.squad_format import tree_or_rows

    if not Path(path).is_file():
        raise UserError(f"--dataset_file {path!r} is not a file: check the path")
    try:
        names = ConcatOptions(columns=columns).names()
        found = tree_or_rows(read(unpack(Path(path).read_bytes(), path), path), names)
        if not isinstance(found, Rows):
            return gold_answers(found)
        by_language = _rows_answers(found, path, names)
    except CorpusError as error:
        raise UserError(str(error)) from error
    except ValueError as error:
        raise UserError(f"--{error}") from error
    if len(by_language) > 1 and language not in by_language:
        raise UserError(f"--lang {language!r} is none of the languages of {path!r}: choose of {', '.join(by_language)}")
    return next(iter(by_language.values()), []) if len(by_language) < 2 else by_language[str(language)]


def gold_answers(gold: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Gold:
    """Gold answers of an official file's content (`data` for SQuAD's format, `Data` for TriviaQA's) or of rows.

    Rows have `id` and `answers` with its list `text`. TriviaQA's rows also have `aliases`, which are the right answers,
    and `question_id`, the key that its script scores by: it comes once for each document of the question.
    """
    try:
        if not isinstance(gold, Mapping):
            answers = [(*_row_answers(row), "question_id" in row) for row in gold]
            pairs = [(identifier, texts) for identifier, texts, _ in answers]
            by_document = any(a_document for *_, a_document in answers)
            return list(dict(pairs).items()) if by_document else _unique(pairs)
        if "Data" in gold:
            return _triviaqa_answers(gold)
        if isinstance(gold.get("data"), list):
            return _unique(_squad_answers(gold["data"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"the gold data has an entry of neither SQuAD's nor TriviaQA's format ({error!r})") from error
    raise UserError("the gold file has neither 'data' (SQuAD format) nor 'Data' (TriviaQA format)")


def _row_answers(row: Mapping[str, Any]) -> tuple[str, list[str]]:
    identifier = str(row.get("question_id") or row["id"])
    return identifier, list(row["aliases"] if row.get("aliases") else row["answers"]["text"])


def _unique(answers: Gold) -> Gold:
    check_ids([identifier for identifier, _ in answers], [""] * len(answers), "the gold data")
    return answers


def _squad_answers(articles: list[Any]) -> Gold:
    try:
        return [
            (str(qa["id"]), [answer["text"] for answer in _answers(qa)])
            for article in articles
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]
    except KeyError as error:
        raise UserError(f"the gold file is not in SQuAD format: an entry has no {error.args[0]!r}") from error
    except TypeError as error:
        raise UserError(f"the gold file is not in SQuAD format: {error}") from error


def _answers(question: Mapping[str, Any]) -> list[Any]:
    """An unanswerable question may come without `answers`."""
    return (question.get("answers") or []) if question.get("is_impossible") is True else question["answers"]


def _rows_answers(rows: Rows, source: str, names: Mapping[str, str]) -> dict[str, Gold]:
    """Gold answers by the rows' language, or by the language in the file's name."""
    by_language: dict[str, Gold] = {}
    for number, row in named_rows(rows, source, names, ("id", "answers")):
        try:
            language = text_of(row, "language", optional=True) or language_in_name(source) or ""
            by_language.setdefault(language, []).append((text_of(row, "id"), answers_of(row, placed=False)[0]))
        except RowError as error:
            raise row_error(source, rows, number, error) from None
    return {language: _unique(answers) for language, answers in by_language.items()}


def _triviaqa_answers(content: Mapping[str, Any]) -> Gold:
    """Wikipedia is scored per question, the web per question and document (`QuestionId--Filename`).

    A file of the verified set counts only verified questions, and of the web's only verified documents.
    """
    verified = bool(content.get("VerifiedEval"))
    wikipedia = content.get("Domain") == "Wikipedia"
    gold = {}
    for datum in content["Data"]:
        if verified and not datum["QuestionPartOfVerifiedEval"]:
            continue
        if "Answer" not in datum:
            raise UserError(
                f"question {datum['QuestionId']!r} has no 'Answer': the test files of TriviaQA cannot score"
            )
        answers = triviaqa_aliases(datum["Answer"])
        if wikipedia:
            gold[datum["QuestionId"]] = answers
            continue
        for page in [*datum.get("EntityPages", []), *datum.get("SearchResults", [])]:
            if not verified or page["DocPartOfVerifiedEval"]:
                gold[f"{datum['QuestionId']}--{page['Filename']}"] = answers
    return list(gold.items())
