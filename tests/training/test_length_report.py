"""The length report: its scores are those of score.py, its intervals those of compare.py, its verdict what they say."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from accelerate import PartialState

from foundation.cli import UserError
from tests.conftest import ROOT
from training import length_report, score
from training.scoring import length
from training.scoring import run as score_run
from training.scoring.bootstrap import paired_bootstrap
from training.scoring.length import Questions, group_scores, verdict

from . import qa_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Longformer of 64 tokens, a tiny BERT, and questions whose documents take one window or several."""
    folder = tmp_path_factory.mktemp("length")
    qa_tiny.checkpoint(folder / "model", "longformer")
    qa_tiny.checkpoint(folder / "short", "bert")
    corpus = qa_tiny.articles(count=6)
    for number, article in enumerate(corpus["data"]):
        for paragraph in article["paragraphs"]:
            added = " It is a sea of words." * (number % 3 * 4)
            paragraph["context"] += added
            for qa in paragraph["qas"]:
                answer = qa["answers"][0]
                end = len(paragraph["context"]) if number % 2 else answer["answer_start"] + len(answer["text"])
                qa["evidence"] = {"start": [0, answer["answer_start"]], "end": [9, end]}
    (folder / "tiny.en.json").write_text(json.dumps(corpus))
    return folder


def words(folder, output, *more):
    return ["--model_name_or_path", str(folder / "model"), "--data_files", str(folder / "tiny.en.json"),
            "--doc_stride", "8", "--windows", "32", "48", "--output_dir", str(output), "--use_cpu", "--draws", "500",
            *more]  # fmt: skip


def report(folder, output, *more):
    args = length_report.read_command_line(words(folder, output, *more))
    return length.length_report(args, PartialState(cpu=True))


@pytest.fixture(scope="module")
def made(folder):
    return report(folder, folder / "out", "--short_model", str(folder / "short"))


def test_each_way_scores_as_score_py_does(folder, made, tmp_path):
    for way, model, size in (("whole", "model", None), ("windows of 32", "model", 32), ("short model", "short", None)):
        given = ["--model_name_or_path", str(folder / model), "--dataset", "file", "--data_files",
                 str(folder / "tiny.en.json"), "--doc_stride", "8", "--use_cpu",
                 "--output_dir", str(tmp_path / way)]  # fmt: skip
        given += [] if size is None else ["--max_length", str(size)]
        scores = score_run.score_checkpoint(score.read_command_line(given), PartialState(cpu=True))
        everything = made["groups"][0]["ways"][way]
        for name in ("exact_match", "f1"):
            assert everything[name] == pytest.approx(scores["languages"]["en"][name])
        texts = json.loads((tmp_path / way / "predictions.json").read_text())
        kept = json.loads((folder / "out" / "answers" / f"{way.replace(' ', '_')}.en.json").read_text())
        assert kept["texts"] == texts


def test_a_second_look_is_not_asked_of_the_short_model(folder, tmp_path):
    content = report(folder, tmp_path / "out", "--short_model", str(folder / "short"), "--second_look", "2")
    assert length.SHORT in content["ways"]


def test_the_report_counts_what_was_read(folder, made):
    assert made["questions"] == 36 and made["whole_tokens"] == 64
    assert made["groups"][0]["by"] == "all" and made["groups"][0]["questions"] == 36
    ways = made["ways"]
    assert list(ways) == ["whole", "windows of 32", "windows of 48", "short model"]
    # There are more of the narrower windows, and they repeat more tokens.
    assert ways["whole"]["windows"] < ways["windows of 48"]["windows"] < ways["windows of 32"]["windows"]
    assert ways["whole"]["tokens"] < ways["windows of 48"]["tokens"] < ways["windows of 32"]["tokens"]
    assert 0 < made["longer_than_whole"] < 36
    for by in ("length", "distance", "place"):
        groups = [group for group in made["groups"] if group["by"] == by]
        assert groups and sum(group["questions"] for group in groups) == 36
    told = {group["by"] for group in made["groups"]}
    assert told == {"all", "length", "distance", "place"}


def test_what_is_written(folder, made):
    out = folder / "out"
    assert json.loads((out / "length_report.json").read_text())["verdict"] == made["verdict"]
    assert made["verdict"].count("36 questions") == 2 and made["verdict"].endswith(".")
    assert (out / "length_report.png").read_bytes().startswith(b"\x89PNG")
    with (out / "length_report.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * len(made["groups"])
    assert lines[0]["read"] == "whole" and lines[0]["whole gains"] == ""
    assert float(lines[1]["whole gains"]) == pytest.approx(float(lines[0]["F1"]) - float(lines[1]["F1"]))


def test_the_plot_says_how_many_questions_stand_behind_a_point(made, folder, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    labels = []
    monkeypatch.setattr(Axes, "set_xticks", lambda self, places, names: labels.extend(names))
    length._write(tmp_path, made, "mine.json")
    distances = [group for group in made["groups"] if group["by"] == "distance"]
    assert labels == [f"{round(group['mean']['distance'])}\n({group['questions']})" for group in distances]


def test_a_run_goes_on_where_it_was_cut_short(folder, made, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = score_run.Reader.read
    calls = []

    def read(self, rows, documents):
        calls.append(self.windower.max_length)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return first(self, rows, documents)

    monkeypatch.setattr(score_run.Reader, "read", read)
    with pytest.raises(KeyboardInterrupt):
        report(folder, out, "--short_model", str(folder / "short"))
    again = report(folder, out, "--short_model", str(folder / "short"))
    assert calls == [64, 32, 32, 48, 64]
    assert again["groups"] == made["groups"] and again["verdict"] == made["verdict"]
    # With other windows and another number of draws, the scores that are there are used again.
    report(folder, out, "--short_model", str(folder / "short"), "--windows", "40", "48")
    assert calls[5:] == [40]
    with pytest.raises(UserError, match=r"holds another run's scores .*choose another folder"):
        report(folder, out)
    report(folder, out, "--overwrite_output_dir")
    assert calls[6:] == [64, 32, 48]
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds what this command did not write \(thesis\.txt\)"):
        report(folder, out, "--overwrite_output_dir")
    assert (out / "thesis.txt").is_file() and (out / "length_report.json").is_file()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--windows", "64"], "--windows 64 is not below the 64 tokens of the whole reading"),
        (["--windows", "16"], "--windows 16 is not above twice the --doc_stride 8"),
        (["--dataset", "trivia_qa", "--data_files", "nowhere"], "--data_files 'nowhere' is not a file"),
        (["--tokens", "512"], "--tokens 512 is for terms and babi_far"),
    ],
)
def test_bad_input_is_one_sentence(folder, tmp_path, more, sentence):
    with pytest.raises(UserError) as raised:
        report(folder, tmp_path / "out", *more)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_the_command_ends_in_the_verdict(folder, made, tmp_path):
    command = [sys.executable, "-m", "training.length_report", *words(folder, tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert " ".join(shown[0].split()) == "by group questions documents read EM F1 whole gains 95% from to"
    assert shown[-1].startswith(("On these 36 questions", "These 36 questions"))
    assert "documents are longer than 64 tokens" in shown[-2]
    assert "sharded" not in done.stderr  # transformers would write a line for every layer
    recorded = shlex.split(json.loads((tmp_path / "out" / "length_report.json").read_text())["command"])
    assert recorded[0] == "length_report.py" and not [word for word in recorded if os.path.isabs(word)]
    assert (ROOT / recorded[recorded.index("--output_dir") + 1]).resolve() == (tmp_path / "out").resolve()
    twice = subprocess.run([*command, "--windows", "32", "32"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (twice.returncode, twice.stderr.strip()) == (2, "error: --windows 32 32 names a size twice: give each once")


def known(count, *, far=0, length=4000, documents=None):
    """Questions of which the first `far` have their evidence 2,000 tokens apart, the others 100; of a document each, or
    of so many `documents`, in order."""
    distances = np.where(np.arange(count) < far, 2000.0, 100.0) if far else np.full(count, np.nan)
    numbers = np.arange(count) * (documents or count) // count
    return Questions(np.full(count, length), np.linspace(0, 0.99, count), distances, np.array(["en"] * count), numbers)


def judged(whole, windows, questions, **more):
    scores = {"whole": whole, "windows of 512": windows, **more}
    return verdict(
        {way: (np.zeros(len(f1)), np.array(f1, float)) for way, f1 in scores.items()}, questions, 512, 2000, 1
    )


def test_the_verdict_says_what_the_figures_say():
    count = 200
    half, none = np.arange(count) % 2 * 1.0, np.zeros(count)
    better = judged(half, none, known(count))
    assert better.startswith("On these 200 questions whole reading is 50.0 F1 better than windows of 512 (4")
    worse = judged(none, half, known(count))
    assert worse.startswith("On these 200 questions whole reading is 50.0 F1 worse than windows of 512 (4")
    alike = judged(half, half, known(count))
    assert alike == (
        "On these 200 questions whole reading and windows of 512 are alike: the difference is 0.0 F1 (0.0 to 0.0)."
    )
    # Each is right on other questions: there is no difference, and so few questions could show none.
    few = judged(half, 1 - half, known(count))
    assert few.startswith(
        "These 200 questions are too few to tell whole reading from windows of 512: the difference is"
    )
    assert "would show one of 3" in few
    more = " too few to tell: give some hundreds, about dozens of documents."
    assert judged([1] * 12, [0] * 12, known(12)) == "12 questions about 12 documents are" + more
    assert judged([1], [0], known(1)) == "1 question about 1 document is" + more
    assert judged(half, none, known(count, documents=7)) == "200 questions about 7 documents are" + more
    same = judged(half, half, known(count, length=300))
    assert same.startswith("None of the documents is longer than 512 tokens")


def test_the_verdict_says_where_it_gains():
    far = np.arange(200) < 80
    gains = judged(far * 1.0, np.zeros(200), known(200, far=80))
    assert "; where evidence lies more than 512 tokens apart it gains 100.0 F1 (100.0 to 100.0), 80 questions." in gains
    assert "within" not in gains
    mixed = judged(far * 1.0, 1.0 - far, known(200, far=80))
    assert "where it lies within 512 it loses 100.0 F1 (100.0 to 100.0), 120 questions." in mixed
    questions = known(200)._replace(lengths=np.where(far, 5000, 600))
    by_length = judged(far * 1.0, np.zeros(200), questions)
    assert "; in documents of more than 2048 tokens it gains 100.0 F1" in by_length
    short = judged(far * 1.0, far * 1.0, known(200, far=80), **{"short model": np.zeros(200)})
    assert re.search(r"alike.*\. On these 200 questions whole reading is 40\.0 F1 better than the short model", short)


def test_groups_hold_their_questions():
    questions = Questions(
        np.array([100, 600, 600, 5000]),
        np.array([0.1, 0.3, np.nan, 0.9]),
        np.array([np.nan, 300, 300, 1000]),
        np.array(["de", "de", "en", "en"]),
        np.array([0, 1, 1, 2]),
    )
    f1 = {"whole": np.array([1, 0.5, 0, 1]), "windows of 512": np.array([0, 0.5, 0, 0])}
    groups = group_scores({way: (values, values) for way, values in f1.items()}, questions, 100, 1)
    found = {(each["by"], each["group"]): each for each in groups}
    assert list(found) == [
        ("all", "all"), ("language", "de"), ("language", "en"), ("length", "1 to 256"), ("length", "513 to 1,024"),
        ("length", "4,097 to 8,192"), ("distance", "257 to 512"), ("distance", "513 to 1,024"),
        ("place", "first quarter"), ("place", "second"), ("place", "last quarter"),
    ]  # fmt: skip
    assert found["length", "513 to 1,024"]["questions"] == 2 and found["length", "513 to 1,024"]["documents"] == 1
    assert found["all", "all"]["documents"] == 3
    assert found["length", "513 to 1,024"]["ways"]["whole"]["f1"] == 25
    assert found["all", "all"]["ways"]["windows of 512"] == {
        "exact_match": 12.5, "f1": 12.5, "whole_gains": 50, "low": None, "high": None
    }  # fmt: skip
    assert found["distance", "513 to 1,024"]["mean"] == {"tokens": 5000, "distance": 1000}


def test_the_bootstrap_is_the_same_in_pieces(monkeypatch):
    first, second = np.random.default_rng(0).random((2, 40)).tolist()
    whole = paired_bootstrap(first, second, np.random.default_rng(1), 1000)
    monkeypatch.setattr("training.scoring.bootstrap.NUMBERS_AT_ONCE", 200)
    pieces = paired_bootstrap(first, second, np.random.default_rng(1), 1000)
    assert pieces["difference"] == whole["difference"] == pytest.approx(100 * np.mean(np.subtract(first, second)))
    assert (pieces["low"], pieces["high"]) == pytest.approx((whole["low"], whole["high"]), abs=1.5)
    assert whole["low"] < whole["difference"] < whole["high"]


def test_questions_about_one_document_are_drawn_together():
    """10 documents of 20 questions that all go one way: their number is 10, not 200."""
    rng = np.random.default_rng(5)
    first = np.repeat(rng.random(10), 20)
    apart = paired_bootstrap(first, np.zeros(200), np.random.default_rng(1), 2000)
    together = paired_bootstrap(first, np.zeros(200), np.random.default_rng(1), 2000, np.repeat(np.arange(10), 20))
    ten = paired_bootstrap(first[::20], np.zeros(10), np.random.default_rng(1), 2000)
    assert together["difference"] == pytest.approx(apart["difference"])
    width, of_ten, of_all = (each["high"] - each["low"] for each in (together, ten, apart))
    assert width == pytest.approx(of_ten) and width > 3 * of_all
    # A document with many questions weighs more, as it does in the mean.
    uneven = np.array([0] * 30 + [1] * 10 + [2] * 5)
    scores = (uneven == 0) * 1.0
    found = paired_bootstrap(scores, np.zeros(45), np.random.default_rng(1), 2000, uneven)
    assert found["difference"] == pytest.approx(100 * 30 / 45) and (found["low"], found["high"]) == (0, 100)
    own = paired_bootstrap(first, np.zeros(200), np.random.default_rng(1), 2000, np.arange(200))
    assert own == apart
