"""Evidence far apart: the tables and figures of the page are those of the benchmarks' files."""

import json

import pytest

from benchmarks import far_evidence
from foundation import tables
from foundation.cli import UserError
from tests.conftest import ROOT
from training.score import read_command_line

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "docs").glob("far_evidence*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_table_of_the_page_is_that_of_the_file(file):
    header, rows = far_evidence.table(json.loads(file.read_text(encoding="utf-8"))["exact_match"])
    assert tables.markdown(header, rows) in PAGE
    rows[0][1] += 0.01
    assert tables.markdown(header, rows) not in PAGE


def test_a_mean_is_that_of_the_languages():
    figures = {"one": {"terms": {"de": 50.0, "el": 25.0}, "babi_far.2": {"en": 40.0}}}
    header, rows = far_evidence.table(figures)
    assert header == ["questions of", "one"]
    assert rows == [["terms de", 50.0], ["terms el", 25.0], ["terms, mean", 37.5], ["babi_far.2", 40.0]]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a=b", ("a", "b", [])),
        ("a b=c/d@once", ("a b", "c/d", ["--second_look", "0"])),
        ("a=b@512", ("a", "b", ["--max_length", "512"])),
    ],
)
def test_a_reader_is_a_label_a_checkpoint_and_a_way(text, expected):
    assert far_evidence.parse_reader(text) == expected


@pytest.mark.parametrize("text", ["a", "=b", "a=", "a=b@twice"])
def test_what_is_no_reader_is_refused(text):
    with pytest.raises(UserError, match=r"is not LABEL=CHECKPOINT"):
        far_evidence.parse_reader(text)


def test_two_readers_of_one_folder_are_refused():
    assert [label for label, *_ in far_evidence.parse_readers(["a=b", "c=b@once"])] == ["a", "c"]
    with pytest.raises(UserError, match="the label 'a_b' has the folder of an earlier one"):
        far_evidence.parse_readers(["a b=c", "a_b=c@once"])


def test_every_set_is_one_that_score_takes(tmp_path):
    args = far_evidence.make_parser().parse_args(["--reader", "a=b"])
    for words in far_evidence.sets(args).values():
        given = [*words, "--tokenizer", "embedded", "--model_name_or_path", "m", "--output_dir", str(tmp_path)]
        assert read_command_line(given).tokens == 4096
