"""Files that would hurt: each is one sentence with file and place, and what is merely large or odd is read."""

import copy
import gc
import json
import re

import pyarrow as pa
import pytest

from hub_datasets import squad_format
from hub_datasets.concat import ConcatOptions, CorpusError, Row
from hub_datasets.squad_format import check_sha256, long_tables, read_paragraphs, tables

GOOD = {
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "Malmö är en stad.",
                    "qas": [
                        {"id": "1", "question": "Vad?", "answers": [{"text": "stad", "answer_start": 12}]},
                        {"id": 2, "question": "Var?", "answers": [], "is_impossible": True},
                        {"id": "3", "question": "När?", "is_impossible": True, "plausible_answers": [{"text": "en"}]},
                    ],
                }
            ],
        }
    ]
}


def refusal(content: bytes) -> str:
    with pytest.raises(CorpusError) as raised:
        read_paragraphs(content, "folder/f.json")
    sentence = str(raised.value)
    assert sentence.startswith("folder/f.json ") and "\n" not in sentence and len(sentence) < 300
    return sentence


def changed(path: str, value: object = ...) -> bytes:
    """GOOD with one place set to `value`, or removed."""
    tree = copy.deepcopy(GOOD)
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"\w+", path)]
    place: object = tree
    for step in steps[:-1]:
        place = place[step]  # type: ignore[index]
    if value is ...:
        del place[steps[-1]]  # type: ignore[attr-defined]
    else:
        place[steps[-1]] = value  # type: ignore[index]
    return json.dumps(tree).encode()


def test_a_good_file_is_read_unanswerable_questions_and_number_ids_too():
    (paragraph,) = read_paragraphs(json.dumps(GOOD, ensure_ascii=False).encode(), "f.json")
    assert [(q.id, q.texts, q.answer_starts) for q in paragraph.questions] == [
        ("1", ["stad"], [12]),
        ("2", [], []),
        ("3", [], []),
    ]


QUESTION = "data[0].paragraphs[0].qas[0]"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"[]", "the file is a list, not an object"),
        (b"3", "the file is 3, not an object"),
        (b"{}", "the file has no 'data'"),
        (b'{"data": {}}', "data is an object, not a list"),
        (b'{"data": [[]]}', "data[0] is a list, not an object"),
        (changed("data.0.title", False), "data[0].title is false, not a string"),
        (changed("data.0.paragraphs"), "data[0] has no 'paragraphs'"),
        (changed("data.0.paragraphs", {}), "data[0].paragraphs is an object, not a list"),
        (changed("data.0.paragraphs.0.context"), "data[0].paragraphs[0] has no 'context'"),
        (changed("data.0.paragraphs.0.context", 7), "data[0].paragraphs[0].context is 7, not a string"),
        (changed("data.0.paragraphs.0.qas"), "data[0].paragraphs[0] has no 'qas'"),
        (changed("data.0.paragraphs.0.qas", "x" * 99), 'data[0].paragraphs[0].qas is "xxxx'),
        (changed("data.0.paragraphs.0.qas.0", None), f"{QUESTION} is null, not an object"),
        (changed("data.0.paragraphs.0.qas.0.id"), f"{QUESTION} has no 'id'"),
        (changed("data.0.paragraphs.0.qas.0.id", 1.5), f"{QUESTION}.id is 1.5, not a string"),
        (changed("data.0.paragraphs.0.qas.0.question", False), f"{QUESTION}.question is false, not a string"),
        (changed("data.0.paragraphs.0.qas.0.answers"), f"{QUESTION} has no 'answers'"),
        (changed("data.0.paragraphs.0.qas.0.answers", {}), f"{QUESTION}.answers is an object, not a list"),
        (changed("data.0.paragraphs.0.qas.0.answers.0.text"), f"{QUESTION}.answers[0] has no 'text'"),
        (changed("data.0.paragraphs.0.qas.0.answers.0.answer_start"), f"{QUESTION}.answers[0] has no 'answer_start'"),
        (changed("data.0.paragraphs.0.qas.0.answers.0.answer_start", True), "answer_start is true, not a whole number"),
        (changed("data.0.paragraphs.0.qas.0.answers.0.answer_start", 12.5), "answer_start is 12.5, not a whole number"),
        (changed("data.0.paragraphs.0.qas.0.answers.0.answer_start", "a"), 'answer_start is "a", not a whole number'),
        (
            changed("data.0.paragraphs.0.qas.0.answers.0.answer_start", float("nan")),
            f"{QUESTION}.answers[0].answer_start is NaN, not a whole number",
        ),
        (
            changed("data.0.paragraphs.0.context", "a\ud83d"),
            "data[0].paragraphs[0].context holds half a surrogate pair ('\\ud83d' at character 1)",
        ),
    ],
)
def test_what_is_missing_or_of_another_kind_is_named_with_its_place(content, place):
    assert f"is not in SQuAD's format: {place}" in refusal(content) or place in refusal(content)


def test_a_truncated_file_is_named_with_line_and_column():
    content = json.dumps(GOOD, indent=1).encode()
    for end in range(1, len(content), 7):
        assert re.search(r"is not JSON: .* at line \d+ column \d+ of \d+ line", refusal(content[:end]))
    assert "at line 1 column 1 of 0 line" in refusal(b"")


def test_bytes_that_are_not_utf_8():
    content = json.dumps(GOOD, indent=1, ensure_ascii=False).encode("latin-1")
    sentence = refusal(content)
    offset = content.index(b"\xf6")
    line = len(content[: offset + 1].splitlines())
    assert f"is not UTF-8: byte 0xf6 at offset {offset} (line {line})" in sentence


def test_json_that_exhausts_a_parser():
    assert "nested too deeply" in refusal(b"[" * 200_000)
    assert "answer_start" not in refusal(b'{"data": ' + b"1" * 10_000 + b"}")


def test_a_line_of_fifty_megabytes_is_read_and_a_broken_one_is_a_short_sentence():
    tree = copy.deepcopy(GOOD)
    tree["data"][0]["paragraphs"][0]["context"] += " å" * 17_000_000
    content = json.dumps(tree, ensure_ascii=False).encode()
    assert len(content) > 50_000_000 and b"\n" not in content
    (paragraph,) = read_paragraphs(content, "f.json")
    assert len(paragraph.context) == 34_000_017
    assert "at line 1 column" in refusal(content[:-3])


def test_a_character_beyond_the_basic_plane_may_be_escaped_by_two_halves():
    content = json.dumps(GOOD).encode().replace(b"Vad?", rb"\ud83d\ude00")
    (paragraph,) = read_paragraphs(content, "f.json")
    assert paragraph.questions[0].question == "😀"


def test_the_collector_is_left_as_it_was():
    for switch in (gc.disable, gc.enable):
        switch()
        with pytest.raises(CorpusError):
            read_paragraphs(b"{}", "f.json")
        assert gc.isenabled() == (switch is gc.enable)


def test_nothing_stays_frozen_when_the_rows_are_made_or_left():
    content = json.dumps(GOOD).encode()
    assert gc.get_freeze_count() == 0
    assert (
        len(list(long_tables(read_paragraphs(content, "f.json"), "f.json", ConcatOptions()))) == 1
        and gc.get_freeze_count() == 0
    )
    left = long_tables(read_paragraphs(content, "f.json"), "f.json", ConcatOptions())
    assert next(left).num_rows == 1 and gc.get_freeze_count() > 0
    left.close()
    assert gc.get_freeze_count() == 0
    gc.freeze()  # as a server does before it forks
    try:
        list(long_tables(read_paragraphs(content, "f.json"), "f.json", ConcatOptions()))
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_a_file_that_differs_from_the_official_one():
    check_sha256(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "f.json")
    with pytest.raises(CorpusError, match=r"f\.json differs from the official file .* data_files"):
        check_sha256(b"x", "0" * 64, "f.json")


@pytest.mark.parametrize("characters", [10, 10_000])
def test_tables_are_bounded_in_rows_and_characters(characters, monkeypatch):
    monkeypatch.setattr(squad_format, "ROWS_A_TABLE", 50)
    monkeypatch.setattr(squad_format, "CHARACTERS_A_TABLE", 100_000)
    rows = [Row(str(n), "", "x" * characters, "?", ["x"], [0]) for n in range(120)]
    made = list(tables(rows, "sv"))
    assert [table.num_rows for table in made] == ([50, 50, 20] if characters == 10 else [10] * 12)
    merged = pa.concat_tables(made).to_pylist()
    assert [row["id"] for row in merged] == [row.id for row in rows] and merged[0]["language"] == "sv"


def test_a_note_of_what_was_mended_is_logged(caplog, monkeypatch):
    monkeypatch.setattr(squad_format.logger, "propagate", True)
    content = changed("data.0.paragraphs.0.qas.0.answers.0.answer_start", 3)
    (table,) = long_tables(read_paragraphs(content, "f.json"), "f.json", ConcatOptions(on_bad_span="repair"))
    assert table.to_pylist()[0]["answers"] == {"text": ["stad"], "answer_start": [12]}
    assert "f.json: moved 1 answer(s)" in caplog.text
