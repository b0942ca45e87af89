"""Gold answers, read from whatever holds them: rows, an official SQuAD-format file, an official TriviaQA file."""

from collections.abc import Iterable, Mapping
from typing import Any

from foundation.cli import UserError
from training.corpora.trivia_qa import triviaqa_aliases

Gold = list[tuple[str, list[str]]]
"""(question id, texts of its right answers) in the order of the data set; no texts: the question has no answer."""


def gold_answers(gold: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Gold:
    """Gold answers of an official file's content (`data` for SQuAD's format, `Data` for TriviaQA's) or of rows.

    Rows have `id` and `answers` with its list `text`. TriviaQA's rows also have `aliases`, which are the right answers,
    and `question_id`, the key that its script scores by.
    """
    if isinstance(gold, Mapping):
        if "Data" in gold:
            return _triviaqa_answers(gold)
        if isinstance(gold.get("data"), list):
            return _squad_answers(gold["data"])
        raise UserError("the gold file has neither 'data' (SQuAD format) nor 'Data' (TriviaQA format)")
    return [
        (row.get("question_id") or row["id"], list(row["aliases"] if row.get("aliases") else row["answers"]["text"]))
        for row in gold
    ]


def _squad_answers(articles: list[Any]) -> Gold:
    try:
        return [
            (qa["id"], [answer["text"] for answer in qa["answers"]])
            for article in articles
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]
    except KeyError as error:
        raise UserError(f"the gold file is not in SQuAD format: an entry has no {error.args[0]!r}") from error
    except TypeError as error:
        raise UserError(f"the gold file is not in SQuAD format: {error}") from error


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
