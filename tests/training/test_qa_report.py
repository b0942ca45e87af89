"""The null threshold of SQuAD 2.0 on logit margins, and what several languages say together."""

from datasets import Dataset

from training.qa.answers import Answer, Answers
from training.scoring.report import best_null_threshold, over_languages, score_answers


def rows(**golds):
    answers = [{"text": texts, "answer_start": [0] * len(texts)} for texts in golds.values()]
    return Dataset.from_dict({"id": list(golds), "answers": answers})


def found(margin: float, text: str = "x") -> Answers:
    return Answers([Answer(text, 0, 1, 0.0, 0.5)], margin, 0.5)


def test_nothing_is_answered_where_that_is_best() -> None:
    """Two questions without an answer, one that is answered wrongly: 2 of 3 are right if none is answered."""
    data = rows(a=[], b=[], c=["right"])
    answers = {name: found(-5.0) for name in "abc"}
    assert best_null_threshold(data, answers) < -5
    scores, texts = score_answers("squad_v2", data, answers, "en")
    assert scores["f1"] == 200 / 3 and set(texts.values()) == {""}


def test_a_threshold_between_right_and_wrong_answers() -> None:
    data = rows(a=[], b=["x"], c=["x"])
    answers = {"a": found(-1.0), "b": found(-3.0), "c": found(-2.0)}
    assert best_null_threshold(data, answers) == -2
    assert score_answers("squad_v2", data, answers, "en")[0]["f1"] == 100


def test_several_languages_keep_a_threshold() -> None:
    each = {"exact_match": 1.0, "f1": 2.0, "total": 3}
    scores = {"de": {**each, "null_threshold": -4.0}, "en": {**each, "null_threshold": -2.0}, "sv": each}
    means = {"exact_match": 1, "f1": 2, "null_threshold": -3, "total": 9}
    assert over_languages(scores) == {**means, "f1_de": 2, "f1_en": 2, "f1_sv": 2}
    assert "null_threshold" not in over_languages({"de": each, "en": each})
