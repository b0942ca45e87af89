"""Question and document: one language, or two?"""

import json

import pytest

from space.gallery import SAMPLE
from space.language import differ, language


def texts(name: str) -> tuple[list[str], str]:
    articles = json.loads((SAMPLE / f"sample.{name}.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    return [qa["question"] for paragraph in paragraphs for qa in paragraph["qas"]], paragraphs[0]["context"]


@pytest.mark.parametrize("name", ["en", "sv", "de", "es", "fr"])
def test_a_question_is_told_from_one_in_another_language(name):
    questions, text = texts(name)
    assert language(text) == name
    assert sum(differ(question, name) for question in questions) <= len(questions) // 50
    for other in {"en", "sv", "de", "es", "fr"} - {name}:
        assert sum(not differ(question, other) for question in questions) <= len(questions) // 15, other


@pytest.mark.parametrize("question", ["Thomas Telford", "1832", "?", "zebra"])
def test_names_and_numbers_alone_are_in_any_language(question):
    assert not differ(question, "sv")
