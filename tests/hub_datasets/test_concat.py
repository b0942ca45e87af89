"""SQ3's rules: on generated trees against a plainer implementation, on real files against published figures."""

import itertools
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hub_datasets.concat import ConcatOptions, CorpusError, concatenate
from hub_datasets.spans import mend_spans
from hub_datasets.squad_format import read_paragraphs, tables

from .trees import reference, trees

CASES: Counter[str] = Counter()
PARAMETERS = list(itertools.product((1, 2, 3, 7), ("first", "all"), (False, True), ("", " \u2029👩‍🚀")))
SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


def build(tree, n, questions, within, separator, on_bad_span="error", ascii_only=False):
    content = json.dumps(tree, ensure_ascii=ascii_only).encode()
    paragraphs, *_ = mend_spans(read_paragraphs(content, "generated"), on_bad_span, "generated")
    options = ConcatOptions(n, questions, within, separator, on_bad_span)
    return [row for table in tables(concatenate(paragraphs, options)) for row in table.to_pylist()]


def check_every_parameter(tree, ascii_only):
    for parameters in PARAMETERS:
        rows = build(tree, *parameters, ascii_only=ascii_only)
        assert rows == reference(tree, *parameters)
        for row in rows:
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
                assert row["context"][start : start + len(text)] == text
        CASES["good spans"] += 1


def check_every_mending(tree):
    for parameters, mode in itertools.product(PARAMETERS[::3], ("error", "repair", "drop")):
        try:
            wanted = reference(tree, *parameters, mode)
        except ValueError:
            with pytest.raises(CorpusError, match="generated: "):
                build(tree, *parameters, mode)
        else:
            assert build(tree, *parameters, mode) == wanted
        CASES["bad spans"] += 1


# Equal neighbours across an article's end; an answer at each end; a paragraph that nobody asks about in between.
EDGE = {
    "data": [
        {"title": "A", "paragraphs": [{"context": "ab", "qas": [{"id": "1", "question": "", "answers": []}]}]},
        {
            "paragraphs": [
                {
                    "context": "ab",
                    "qas": [{"id": "2", "question": "?", "answers": [{"text": "ab", "answer_start": 0}]}],
                },
                {"context": "unasked", "qas": []},
                {"context": "", "qas": [{"id": "3", "question": "?", "answers": []}]},
                {"context": "ab", "qas": [{"id": "4", "question": "?", "answers": [{"text": "b", "answer_start": 1}]}]},
            ]
        },
    ]
}


@settings(max_examples=120, derandomize=True, **SETTINGS)
@given(trees(), st.booleans())
@example(EDGE, False)
def test_rows_equal_the_reference_for_every_parameter(tree, ascii_only):
    check_every_parameter(tree, ascii_only)


@settings(max_examples=120, derandomize=True, **SETTINGS)
@given(trees(may_be_bad=True))
def test_bad_spans_are_refused_repaired_or_dropped_as_the_reference_does(tree):
    check_every_mending(tree)


@pytest.mark.slow
@settings(max_examples=2_500, **SETTINGS)
@given(trees(), st.booleans())
def test_rows_equal_the_reference_for_many_more_trees(tree, ascii_only):
    check_every_parameter(tree, ascii_only)


@pytest.mark.slow
@settings(max_examples=2_500, **SETTINGS)
@given(trees(may_be_bad=True))
def test_bad_spans_of_many_more_trees(tree):
    check_every_mending(tree)


def test_the_generated_cases_were_really_compared():
    if not CASES:
        pytest.skip("the property tests were not selected")
    print(dict(CASES))
    assert all(count >= 120 * 11 for count in CASES.values())


def xquad(shared_data, language="en"):
    file = shared_data / "xquad" / f"xquad.{language}.json"
    return read_paragraphs(file.read_bytes(), file.name)


def test_xq3_has_the_thesis_figures(shared_data):
    rows = list(concatenate(xquad(shared_data), ConcatOptions(3)))
    documents = {row.context: None for row in rows}
    lengths = [len(document) for document in documents]
    assert (len(rows), len(documents)) == (240, 80)
    assert (round(sum(lengths) / 80), max(lengths)) == (2_355, 7_391)
    titles = [{row.title for row in rows if row.context == document} for document in documents]
    assert sum(len(names) > 1 for names in titles) == 32
    more_than_once = [row for row in rows if row.context.count(row.texts[0]) > 1]
    assert len(more_than_once) == 49
    assert len(list(concatenate(xquad(shared_data), ConcatOptions(3, "all")))) == 1_190


def test_within_articles_no_document_straddles_two(shared_data):
    rows = list(concatenate(xquad(shared_data), ConcatOptions(24, "all", within_articles=True)))
    titles: dict[str, set[str]] = {}
    for row in rows:
        titles.setdefault(row.context, set()).add(row.title)
    assert len(rows) == 1_190 and len(titles) == 48 and all(len(names) == 1 for names in titles.values())


def test_every_answer_of_every_language_stands_at_its_offset(shared_data):
    files = sorted((shared_data / "xquad").glob("xquad.*.json"))
    assert len(files) == 12
    for file in files:
        answers = 0
        for row in concatenate(
            read_paragraphs(file.read_bytes(), file.name), ConcatOptions(5, "all", separator="\n\n")
        ):
            for text, start in zip(row.texts, row.answer_starts, strict=True):
                assert row.context[start : start + len(text)] == text
                answers += 1
        assert answers == 1_190


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"nr_concats": 0}, "nr_concats must be a whole number from 1 up, but got 0: try 3"),
        ({"nr_concats": "three"}, "nr_concats must be a whole number from 1 up, but got 'three': try 3"),
        ({"nr_concats": "3"}, "nr_concats must be a whole number from 1 up, but got '3': try 3"),
        ({"nr_concats": 3.0}, "nr_concats must be a whole number from 1 up, but got 3.0: try 3"),
        ({"nr_concats": True}, "nr_concats must be a whole number from 1 up, but got True: try 3"),
        ({"questions": "some"}, "questions must be 'first' or 'all', but got 'some'"),
        ({"within_articles": "no"}, "within_articles must be True or False, but got 'no'"),
        ({"within_articles": 1}, "within_articles must be True or False, but got 1"),
        ({"separator": None}, "separator must be a string, but got None: give '' for none"),
        (
            {"on_bad_span": "ignore"},
            "on_bad_span must be 'error', 'repair', 'repair_or_drop' or 'drop', but got 'ignore'",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_one_sentence(arguments, sentence):
    with pytest.raises(ValueError) as raised:
        ConcatOptions(**arguments).check()
    assert str(raised.value) == sentence


def paragraphs_with(*answers):
    answers = [{"text": text, "answer_start": start} for text, start in answers]
    qas = [{"id": "q1", "question": "?", "answers": answers}]
    return read_paragraphs(
        json.dumps({"data": [{"paragraphs": [{"context": "ab ab ab", "qas": qas}]}]}).encode(), "f.json"
    )


def test_a_bad_span_is_named_with_file_id_offset_and_count():
    with pytest.raises(CorpusError) as raised:
        mend_spans(paragraphs_with(("ab", 0), ("ab", 4), ("b", 99)), "error", "f.json")
    assert str(raised.value) == (
        "f.json: 2 answers are not found at their answer_start, the first is 'ab' at 4 of question 'q1': "
        "mend the file, or give on_bad_span='repair', 'repair_or_drop' or 'drop'"
    )


def test_repair_moves_to_the_nearest_and_says_so():
    (paragraph,), _, note = mend_spans(paragraphs_with(("ab", 4), ("ab", 1), ("b", 99), ("ab", -7)), "repair", "f.json")
    assert paragraph.questions[0].answer_starts == [3, 0, 7, 0]
    assert note == "f.json: moved 4 answer(s) to the nearest exact occurrence, the first was 'ab' at 4 of question 'q1'"
    with pytest.raises(CorpusError, match=r"1 answer is nowhere in its context.*'zz' at 0 of question 'q1'.*'drop'"):
        mend_spans(paragraphs_with(("ab", 4), ("zz", 0)), "repair", "f.json")


def test_drop_says_what_it_dropped_and_never_makes_a_question_unanswerable():
    (paragraph,), _, note = mend_spans(paragraphs_with(("ab", 4), ("ab", 0)), "drop", "f.json")
    assert (paragraph.questions[0].texts, paragraph.questions[0].answer_starts) == (["ab"], [0])
    assert "dropped 1 answer(s)" in note and "0 question(s)" in note
    (paragraph,), _, note = mend_spans(paragraphs_with(("ab", 4), ("", 0)), "drop", "f.json")
    assert paragraph.questions == [] and "dropped 2 answer(s)" in note and "1 question(s)" in note
