"""The page's languages: each says all, and the browser's list chooses."""

import re

import pytest

from space.words import FOLDER, chosen, spoken, words

ENGLISH = words("en").sentences


@pytest.mark.parametrize("language", spoken())
def test_each_language_says_everything_with_the_same_values_and_no_markup(language):
    sentences = words(language).sentences
    assert list(sentences) == list(ENGLISH)
    for name, sentence in sentences.items():
        assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", ENGLISH[name])), name
        assert "<" not in sentence.replace("<strong>", "").replace("</strong>", ""), name
        assert sentence.strip() or name == "thousands", name
    assert language == "en" or sum(sentences[name] == ENGLISH[name] for name in sentences) < 15


def test_five_languages_at_least():
    assert len(spoken()) >= 5


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("sv-SE,sv;q=0.9,en;q=0.8", "sv"),
        ("en;q=0.5, fr;q=0.9", "fr"),
        ("fi, ZH-tw;q=0.7, en;q=0.1", "zh"),
        ("fi,et", "en"),
        ("", "en"),
        (None, "en"),
        ("sv;q=0", "en"),
        ("sv;q=nonsense, de", "de"),
        (",".join(["xx"] * 100_000) + ",sv", "en"),
    ],
)
def test_the_browsers_list_chooses(header, language):
    assert chosen(header).language == language


def test_every_sentence_is_said_somewhere():
    code = "".join(file.read_text() for file in [*FOLDER.parent.rglob("*.py"), FOLDER.parent / "page.js"])
    named = set(re.findall(r"""["'](\w+)["']""", code))
    named |= {f"unread_{kind}" for kind in named}  # what Found.unread counts
    assert set(ENGLISH) <= named


def test_numbers_are_parted_as_the_language_parts_them():
    assert words("sv")("pages", count=1234) == "1\u00a0234 sidor"
    assert [words(name).number(1234567) for name in ("en", "de", "sv")] == [
        "1,234,567",
        "1.234.567",
        "1\u00a0234\u00a0567",
    ]
