"""repair_or_drop: answers go to the nearest place that is equal but for what does not count, and a file says which."""

import json

import pytest
from hypothesis import given, settings

import hub_datasets
from hub_datasets import squad_format
from hub_datasets.concat import Paragraph, Question
from hub_datasets.spans import mend_spans

from .trees import trees


def mended(context: str, text: str, start: int, mode: str = "repair_or_drop"):
    paragraph = Paragraph(0, "", context, [Question("q", "?", [text], [start])])
    (paragraph,), _, _ = mend_spans([paragraph], mode, "f.json")
    if not paragraph.questions:
        return None
    (question,) = paragraph.questions
    return question.texts[0], question.answer_starts[0]


@pytest.mark.parametrize(
    ("context", "text", "start", "found"),
    [
        ("He lives in Oslo.", "Oslo", 3, ("Oslo", 12)),  # the same text at another place
        ("He lives in  New\nYork today.", "New York", 12, ("New\nYork", 13)),  # white space
        ("他住在“北京”。", "北京,", 3, ("北京", 4)),  # punctuation that the answer has
        ("《三国演义》,罗贯中", "三国演义罗贯中", 0, ("三国演义》,罗贯中", 1)),  # punctuation that the context has
        ("共１２３人", "123人", 0, ("１２３人", 1)),  # width
        ("in the NORTH of", "the north", 0, ("the NORTH", 3)),  # case
        ("Straße 5", "STRASSE", 3, ("Straße", 0)),
        ("au cafe\u0301 noir", "café", 0, ("cafe\u0301", 3)),  # another Unicode form; the accent belongs to the answer
        ("au café noir", "cafe\u0301", 0, ("café", 3)),
        ("أحمد في مصر", "مصر.", 2, ("مصر", 8)),
        ("one cat, one dog, one cat", "CAT", 20, ("cat", 22)),  # the nearest
        ("one cat, one dog, one cat", "CAT", 5, ("cat", 4)),
        ("ab CD ab", "cd ", 0, ("CD", 3)),
        ("Magic and music", "C++", 4, None),  # inside a word nothing is found
        ("straßen", "STRAS", 0, None),  # inside a letter (ß) nothing is found
        ("北京大学", "北京!", 1, ("北京", 0)),  # Chinese has no spaces, so an answer may end anywhere
        ("그는 서울에서 산다", "서울.", 3, ("서울", 3)),  # a Korean answer leaves off the ending
        ("그는 서울에서 산다", "서우", 3, None),
        ("nothing of it", "Oslo", 0, None),
        ("a, b", ",", 3, (",", 1)),  # punctuation alone is found exactly
        ("a; b", ",", 0, None),  # and another sign does not do for it
        ("", "x", 0, None),
        ("abc", "", 0, None),
    ],
)
def test_the_nearest_place_equal_but_for_what_does_not_count(context, text, start, found):
    assert mended(context, text, start) == found


def test_what_stands_at_its_place_is_left_alone():
    assert mended("Oslo, OSLO", "OSLO", 6) == ("OSLO", 6)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(trees(may_be_bad=True))
def test_every_answer_stands_and_every_change_is_listed(tree):
    paragraphs = squad_format.read_paragraphs(json.dumps(tree).encode(), "f")
    result, changes, note = mend_spans(paragraphs, "repair_or_drop", "f")
    kept = 0
    for paragraph in result:
        for question in paragraph.questions:
            kept += len(question.texts)
            for text, start in zip(question.texts, question.answer_starts, strict=True):
                assert text and paragraph.context[start : start + len(text)] == text
    given = sum(len(question.texts) for paragraph in paragraphs for question in paragraph.questions)
    assert given - kept == sum(change.new_start is None for change in changes)
    assert bool(note) == bool(changes)
    # If the answer stands in the context as it is, it is found, and no further away than the nearest such place.
    for change in changes:
        contexts = [p.context for p in paragraphs if any(q.id == change.id for q in p.questions)]
        places = [i for i in range(len(contexts[0])) if change.text and contexts[0].startswith(change.text, i)]
        if places:
            nearest = min(abs(place - change.answer_start) for place in places)
            assert change.new_start is not None and abs(change.new_start - change.answer_start) <= nearest


def test_a_file_lists_every_change_and_the_note_names_it(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(squad_format.logger, "propagate", True)
    questions = [
        ("moved", "oslo", 0), ("fine", "Oslo", 12), ("gone", "Bergen", 3),
    ]  # fmt: skip
    qas = [
        {"id": key, "question": "?", "answers": [{"text": text, "answer_start": start}]}
        for key, text, start in questions
    ]
    (tmp_path / "f.json").write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "He lives in Oslo.", "qas": qas}]}]})
    )
    rows = hub_datasets.load_dataset(
        "squad_long", data_files=str(tmp_path / "f.json"), split="train", questions="all", cache_dir=tmp_path / "cache",
        on_bad_span="repair_or_drop", changes_dir=str(tmp_path / "out"),
    )  # fmt: skip
    assert [(row["id"], row["answers"]["text"]) for row in rows] == [("moved", ["Oslo"]), ("fine", ["Oslo"])]
    listed = [json.loads(line) for line in (tmp_path / "out" / "f.json.changes.jsonl").read_text().splitlines()]
    assert listed == [
        {"id": "moved", "text": "oslo", "answer_start": 0, "new_text": "Oslo", "new_start": 12},
        {"id": "gone", "text": "Bergen", "answer_start": 3, "new_text": None, "new_start": None},
    ]
    assert "moved 1 answer(s) to the nearest occurrence; dropped 1 answer(s)" in caplog.text
    assert "every change stands in" in caplog.text and "f.json.changes.jsonl" in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f.json.changes.jsonl"]
