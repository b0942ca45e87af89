"""The sample corpus: parallel in five languages, every answer where its offset says, and nowhere else."""

import json
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[2] / "hub_datasets" / "sample"
LANGUAGES = ("de", "en", "es", "fr", "sv")


def paragraphs(language: str) -> list[dict]:
    corpus = json.loads((SAMPLE / f"sample.{language}.json").read_text(encoding="utf-8"))
    return [paragraph for article in corpus["data"] for paragraph in article["paragraphs"]]


def test_the_folder_holds_one_file_a_language():
    assert sorted(path.name for path in SAMPLE.glob("*.json")) == [f"sample.{code}.json" for code in LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_stands_at_its_offset_and_only_there(language):
    checked = 0
    for paragraph in paragraphs(language):
        context = paragraph["context"]
        for question in paragraph["qas"]:
            for answer in question["answers"]:
                start, text = answer["answer_start"], answer["text"]
                assert context[start:][: len(text)] == text, question["id"]
                assert context.count(text) == 1, question["id"]
                assert text == text.strip(" .,"), question["id"]
                checked += 1
    assert checked == 54


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_are_parallel(language):
    def shape(code):
        return [[question["id"] for question in paragraph["qas"]] for paragraph in paragraphs(code)]

    ids = [identifier for paragraph in shape(language) for identifier in paragraph]
    assert len(set(ids)) == len(ids) == 54
    assert shape(language) == shape("en")


def test_no_text_is_left_untranslated():
    english = {p["context"] for p in paragraphs("en")} | {q["question"] for p in paragraphs("en") for q in p["qas"]}
    for language in set(LANGUAGES) - {"en"}:
        here = {p["context"] for p in paragraphs(language)} | {
            q["question"] for p in paragraphs(language) for q in p["qas"]
        }
        assert len(here) == len(english) == 72
        assert not here & english
