"""The scores of a model's answers: official and language-aware, by context length, and averaged over languages."""

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import TYPE_CHECKING, Any

from training.corpora.trivia_qa import best_documents
from training.qa.answers import Answers

from .gold import gold_answers
from .metrics import question_scores, score

if TYPE_CHECKING:
    import datasets

LENGTH_BOUNDS = (0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)

# XQuAD has 12 languages. The thesis left out Romanian, so its figures compare with the mean over the other 11.
THESIS_LEAVES_OUT = "ro"


def score_language(
    metric: str,
    rows: "datasets.Dataset",
    answers: Mapping[str, Answers],
    language: str,
    count_tokens: Callable[[str], int],
    null_threshold: float = 0.0,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores of one language, and the predictions that were scored.

    Args:
        metric: the official metric, see `training.metrics`.
        rows: the data set's rows; answers: row id to answers.
        language: as in the rows' `language`; of a pair such as `de.en` the first, the document's, counts.
        count_tokens: length of a context, for the scores by length.
        null_threshold: squad_v2 only: "no answer" is taken where its margin is above this.

    Returns:
        `questions`, `exact_match`, `f1`, `language_aware` {exact_match, f1}, `by_length`, and what else the official
        script prints; question id to text.
    """
    answer_language = language.split(".")[0]
    if metric == "triviaqa":
        rows, answers = best_documents(rows, answers)
    texts = {key: answer.text() for key, answer in answers.items()}
    na_probs = None
    if metric == "squad_v2":
        na_probs = {key: answer.null_margin for key, answer in answers.items()}
    official = score(metric, rows, texts, answer_language, na_probs=na_probs, na_prob_thresh=null_threshold)
    if metric == "squad_v2":
        texts = {key: answer.text(null_threshold) for key, answer in answers.items()}
        official["null_threshold"] = null_threshold
    aware = score("language_aware", rows, texts, answer_language)
    scores = {
        "questions": official.pop("total"),
        **official,
        "language_aware": {name: aware[name] for name in ("exact_match", "f1")},
        "by_length": _by_length(metric, rows, texts, answer_language, count_tokens),
    }
    return scores, texts


def _by_length(
    metric: str, rows: "datasets.Dataset", texts: Mapping[str, str], language: str, count_tokens: Callable[[str], int]
) -> list[dict[str, Any]]:
    """Official exact match and F1 by context length: of the questions with more than `above` and up to `to` tokens."""
    lengths = [count_tokens(context) for context in rows["context"]]
    exact, f1 = question_scores(metric, gold_answers(rows), texts, language)
    table = []
    for above, to in zip(LENGTH_BOUNDS, (*LENGTH_BOUNDS[1:], float("inf")), strict=True):
        inside = [number for number, length in enumerate(lengths) if above < length <= to or length == above == 0]
        if inside:
            table.append(
                {
                    "above": above,
                    "to": None if to == float("inf") else to,
                    "questions": len(inside),
                    "mean_tokens": fmean(lengths[number] for number in inside),
                    "exact_match": 100 * fmean(exact[number] for number in inside),
                    "f1": 100 * fmean(f1[number] for number in inside),
                }
            )
    return table


def averages(languages: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Macro averages, every language counting the same however many questions it has, as XTREME reports them.

    `average` is over all of `languages`; `average_without_ro` is over the thesis's 11 when all 12 of XQuAD are there;
    `average_same_language` and `average_cross_language` split MLQA's pairs.
    """
    sets = {"average": list(languages)}
    if len(languages) == 12 and THESIS_LEAVES_OUT in languages:
        sets["average_without_ro"] = [name for name in languages if name != THESIS_LEAVES_OUT]
    if any("." in name for name in languages):
        same = [name for name in languages if len(set(name.split("."))) == 1]
        cross = [name for name in languages if len(set(name.split("."))) == 2]
        sets |= {"average_same_language": same, "average_cross_language": cross}
    return {name: _average([languages[code] for code in codes]) for name, codes in sets.items() if codes}


def _average(scores: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "languages": len(scores),
        **{name: fmean(each[name] for each in scores) for name in ("exact_match", "f1")},
        "language_aware": {
            name: fmean(each["language_aware"][name] for each in scores) for name in ("exact_match", "f1")
        },
    }
