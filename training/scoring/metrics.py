"""Exact match and F1 as the official scripts compute them, and a language-aware score beside them.

Which script each metric follows stands in `training/metrics.py`, the command.
"""

import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial, reduce
from typing import Any

from foundation.cli import UserError, short_repr
from foundation.files import read_json
from training.corpora import normalise
from training.scoring.gold import Gold, gold_answers

NORMALISERS: dict[str, Callable[[str, str], str]] = {
    "squad": normalise.squad,
    "squad_v2": normalise.squad,
    "mlqa": normalise.mlqa,
    "triviaqa": normalise.triviaqa,
    "language_aware": normalise.language_aware,
}
EMPTY_ALLOWED = ("squad_v2", "language_aware")


def score(
    metric: str,
    gold: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    predictions: Mapping[str, str],
    language: str = "en",
    *,
    na_probs: Mapping[str, float] | None = None,
    na_prob_thresh: float = 1.0,
) -> dict[str, float]:
    """Score predictions by one metric.

    Args:
        metric: squad, squad_v2, mlqa, triviaqa or language_aware.
        gold: the content of an official file, or rows (see `training.scoring.gold.gold_answers`).
        predictions: question id to answer text; the empty string is "no answer".
        language: two-letter code of the answers; used by mlqa and language_aware only.
        na_probs: squad_v2 only: question id to the probability (or any score) of "no answer".
        na_prob_thresh: squad_v2 only: above it a question counts as not answered.

    Returns:
        `exact_match` and `f1` in percent and `total`, the number of questions; squad_v2 adds the official script's
        own keys.
    """
    check_metric(metric, language)
    return score_questions(
        metric, gold_answers(gold), predictions, language, na_probs=na_probs, na_prob_thresh=na_prob_thresh
    )


def score_questions(
    metric: str,
    questions: Gold,
    predictions: Mapping[str, str],
    language: str = "en",
    *,
    na_probs: Mapping[str, float] | None = None,
    na_prob_thresh: float = 1.0,
) -> dict[str, float]:
    """The same of gold answers that are read already."""
    check_metric(metric, language)
    if not questions:
        raise UserError("the gold data holds no question: nothing can be scored")
    exact, f1 = question_scores(metric, questions, predictions, language)
    if metric != "squad_v2":
        total = len(questions)
        return {"exact_match": 100.0 * _sum(exact) / total, "f1": 100.0 * _sum(f1) / total, "total": total}
    return _squad_v2(questions, predictions, exact, f1, na_probs, na_prob_thresh)


def _sum(values: list[float]) -> float:
    """Addition from left to right, as by the scripts' `+=`: since Python 3.12 `sum` corrects its rounding."""
    return reduce(operator.add, values)


def check_metric(metric: str, language: str = "en") -> None:
    """A UserError for a metric that does not exist, or a language that MLQA's script does not know."""
    if metric not in NORMALISERS:
        raise UserError(f"--metric {metric!r} is none of {', '.join(NORMALISERS)}")
    if metric == "mlqa" and language not in normalise.MLQA_ARTICLES:
        raise UserError(
            f"--lang {language!r} is none of MLQA's {', '.join(sorted(normalise.MLQA_ARTICLES))}: "
            "take --metric language_aware for another language"
        )


def question_scores(
    metric: str, questions: Gold, predictions: Mapping[str, str], language: str = "en"
) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each question, 0 to 1, in the order given; stderr names what lacks a prediction."""
    normal = cache(partial(_normal, NORMALISERS[metric], language))
    exact: list[float] = []
    f1: list[float] = []
    for identifier, answers in questions:
        if metric in EMPTY_ALLOWED:
            answers = [answer for answer in answers if normal(answer)] or [""]
        elif not answers:
            raise UserError(
                f"question {identifier!r} has no gold answer: score data with unanswerable questions by squad_v2"
            )
        if identifier not in predictions:
            print(f"Unanswered question {identifier} will receive score 0.", file=sys.stderr)
            exact.append(0)
            f1.append(0)
            continue
        prediction = normal(predictions[identifier])
        exact.append(max(int(prediction == normal(answer)) for answer in answers))
        f1.append(max(_f1(prediction, normal(answer), metric in EMPTY_ALLOWED) for answer in answers))
    return exact, f1


def _normal(normaliser: Callable[[str, str], str], language: str, text: str) -> str:
    return normaliser(text, language)


def _f1(prediction: str, answer: str, empty_agrees: bool) -> float:
    """Token F1 of two normalised texts. Two empty ones agree in SQuAD 2.0 alone: elsewhere they score 0."""
    predicted, right = prediction.split(), answer.split()
    if empty_agrees and (not predicted or not right):
        return int(predicted == right)
    same = sum((Counter(predicted) & Counter(right)).values())
    if same == 0:
        return 0
    precision = same / len(predicted)
    recall = same / len(right)
    return (2 * precision * recall) / (precision + recall)


def _squad_v2(
    questions: Gold,
    predictions: Mapping[str, str],
    exact: list[float],
    f1: list[float],
    na_probs: Mapping[str, float] | None,
    na_prob_thresh: float,
) -> dict[str, float]:
    """The dictionary that evaluate-v2.0.py prints, its `exact` under the name `exact_match` too."""
    answerable = [bool(answers) for _, answers in questions]
    probabilities = [0.0 if na_probs is None else na_probs.get(identifier, 0.0) for identifier, _ in questions]

    def threshold(scores: list[float]) -> list[float]:
        return [
            float(not has_answer) if probability > na_prob_thresh else value
            for value, has_answer, probability in zip(scores, answerable, probabilities, strict=True)
        ]

    def means(scores: tuple[list[float], list[float]], which: list[bool], prefix: str) -> dict[str, float]:
        kept = [[value for value, keep in zip(values, which, strict=True) if keep] for values in scores]
        total = sum(which)
        if not total:
            return {}
        names = (f"{prefix}exact", f"{prefix}f1")
        return {name: 100.0 * sum(values) / total for name, values in zip(names, kept, strict=True)} | {
            f"{prefix}total": total
        }

    cut = (threshold(exact), threshold(f1))
    result = means(cut, [True] * len(questions), "")
    result = {"exact_match": result["exact"], **result}
    result |= means(cut, answerable, "HasAns_")
    result |= means(cut, [not has_answer for has_answer in answerable], "NoAns_")
    if na_probs is not None:
        for name, scores in (("exact", exact), ("f1", f1)):
            best, at = best_threshold(questions, predictions, scores, na_probs)
            result |= {f"best_{name}": best, f"best_{name}_thresh": at}
    return result


def best_threshold(
    questions: Gold, predictions: Mapping[str, str], scores: list[float], na_probs: Mapping[str, float]
) -> tuple[float, float]:
    """The best score in percent that a threshold on `na_probs` can give, and the threshold (`find_best_thresh`).

    Starts from "nothing is answered" and answers the questions one by one, the most certain first.
    """
    by_id = {identifier: (value, bool(answers)) for (identifier, answers), value in zip(questions, scores, strict=True)}
    current: float = sum(not has_answer for _, has_answer in by_id.values())
    best, threshold = current, 0.0
    for identifier in sorted(na_probs, key=lambda key: na_probs[key]):
        if identifier not in by_id:
            continue
        value, has_answer = by_id[identifier]
        if has_answer:
            current += value
        elif predictions.get(identifier):
            current -= 1
        if current > best:
            best, threshold = current, na_probs[identifier]
    return 100.0 * best / len(by_id), threshold


def read_predictions(path: str) -> dict[str, str]:
    """Question id to answer, from a JSON object; a UserError for anything else."""
    return read_by_id(path, "--predictions_file", str, "answer to", "a text")


def read_by_id(path: str, argument: str, kind: Any, of_question: str, what: str) -> dict[str, Any]:
    content = read_json(path, argument)
    if not isinstance(content, dict):
        raise UserError(f"{argument} {path!r} is no JSON object: give question ids and for each {what}")
    for identifier, value in content.items():
        if not isinstance(value, kind):
            raise UserError(f"{argument} {path!r}: the {of_question} {identifier!r} is {short_repr(value)}, not {what}")
    return content
