"""Whole reading against windows: the tables on the page are those of the reports that lie beside it."""

import subprocess
import sys

import pytest

from benchmarks import long_reading
from foundation import tables
from tests.conftest import ROOT
from training import length_report

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
# Of the English-only reader in float32, and of the shipped one in bfloat16.
FOLDERS = {folder: long_reading.read_reports(ROOT / "docs" / folder) for folder in ("length", "length_shipped")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tables_of_the_page_are_those_of_the_reports(folder):
    found = FOLDERS[folder]
    assert found, f"docs/{folder} holds no report"
    for header, rows in (long_reading.table(found), long_reading.languages_table(found)):
        assert not rows or tables.markdown(header, rows) in PAGE
    header, rows = long_reading.table(found)
    rows[0][4] += 0.01
    assert tables.markdown(header, rows) not in PAGE


@pytest.mark.parametrize("folder, name", [(folder, name) for folder, found in FOLDERS.items() for name in found])
def test_a_report_is_whole_and_made_by_the_command_that_is_named(folder, name):
    report = FOLDERS[folder][name]
    commands = [" ".join(long_reading.reports("data", times)[name]) for times in range(1, 11)]
    assert any(words in report["command"] for words in commands)
    assert ("--bf16 yes" in report["command"]) == (folder == "length_shipped")
    assert report["questions"] == report["groups"][0]["questions"]
    for by in ("length", "place"):
        assert sum(group["questions"] for group in report["groups"] if group["by"] == by) <= report["questions"]
    for group in report["groups"]:
        whole, windows = (group["ways"][way] for way in long_reading.WAYS)
        assert windows["whole_gains"] == pytest.approx(whole["f1"] - windows["f1"])
        assert windows["low"] is None or windows["low"] <= windows["whole_gains"] <= windows["high"]
    made = {"terms": "terms", "babi_far": "babi_far"}.get(name.split(".")[0])
    if made:  # made questions have evidence, so the report says how far apart it lies
        distances = [group["questions"] for group in report["groups"] if group["by"] == "distance"]
        assert sum(distances) == report["questions"]


def test_every_report_is_one_that_the_command_takes(tmp_path):
    for words in long_reading.reports("data").values():
        given = ["--model_name_or_path", "m", *words, "--output_dir", str(tmp_path)]
        assert length_report.read_command_line(given).windows == [512]


def test_languages_stand_in_a_line_for_each_way():
    def group(by, name, whole, windows):
        ways = {"whole": {"exact_match": whole}, "windows of 512": {"exact_match": windows}}
        return {"by": by, "group": name, "ways": ways}

    found = {
        "musique": {"groups": [group("all", "all", 9.0, 9.0)]},
        "terms.512": {"groups": [group("all", "all", 9.0, 9.0), group("language", "en", 40.0, 40.0)]},
        "terms.1024": {"groups": [group("language", "en", 60.0, 20.0)]},
    }
    assert long_reading.languages_table(found) == (
        ["language", "read", "512", "1024"],
        [["en", "whole", 40.0, 60.0], ["en", "windows of 512", 40.0, 20.0]],
    )


def test_a_file_that_is_missing_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "benchmarks.long_reading", "--data_dir", "none", "--only", "covidqa"]
    words = [*command, "--runs", str(tmp_path / "runs"), "--output_dir", str(tmp_path / "length")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: --data_files 'none/long/en.covidqa-dev.json' is not a file: check the path\n"


def test_an_unknown_report_is_one_sentence():
    command = [sys.executable, "-m", "benchmarks.long_reading", "--only", "squad"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("error: --only 'squad' is none of the reports: choose among")
