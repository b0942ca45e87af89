"""The arithmetic of the page's benchmarks, and the attacks against a live page."""

import json
import subprocess
import sys

import pytest

from benchmarks import languages, no_answer, reader, space_load
from benchmarks.no_answer import Judged


def judged(*values: tuple[bool, float]) -> list[Judged]:
    return [Judged("en", False, answerable, margin) for answerable, margin in values]


def test_precision_recall_by_hand():
    four = judged((False, 3.0), (True, 2.0), (False, 1.0), (True, -1.0))
    assert no_answer.curve(four) == [(2.5, 1.0, 0.5), (1.5, 0.5, 0.5), (0.0, 2 / 3, 1.0), (-1.5, 0.5, 1.0)]
    assert no_answer.best_threshold(four) == 0.0
    figures = no_answer.judge(four, 0.0)
    assert figures == {"questions": 4, "precision": 66.7, "recall": 100.0, "f1": 80.0, "answerable_lost": 50.0}


def test_average_precision_agrees_with_another_definition():
    import random

    rng = random.Random(7)
    many = judged(*((rng.random() < 0.5, rng.gauss(0, 1)) for _ in range(200)))
    many = [Judged(j.language, j.tuning, j.answerable, j.margin - j.answerable) for j in many]
    ranked = sorted(many, key=lambda j: -j.margin)
    precisions = []
    for position, one in enumerate(ranked, start=1):
        if not one.answerable:
            precisions.append(sum(not j.answerable for j in ranked[:position]) / position)
    assert no_answer.average_precision(many) == pytest.approx(sum(precisions) / len(precisions))


def test_equal_margins_are_never_split_by_a_threshold():
    assert no_answer.curve(judged((False, 1.0), (True, 1.0))) == [(0.5, 0.5, 1.0)]


def test_a_question_meets_its_own_text_and_another_articles():
    rows = [
        {"id": str(i), "title": f"t{i // 3}", "question": f"q{i}", "context": f"c{i // 3}", "language": "en"}
        for i in range(12)
    ]
    found = no_answer.pairs(rows, 8)
    assert len(found) == 16
    contexts = {f"q{row['id']}": row["context"] for row in rows}
    for pair in found:
        assert (pair["context"] == contexts[pair["question"]]) == pair["answerable"]
    assert {p["tuning"] for p in found} == {True, False}


def test_documents_of_the_reader_benchmark_have_the_length_they_claim(echo):
    text = reader.document_of(echo, 5_000, "Words and more words, again. ")
    assert len(echo.prepare(text).ids) == 5_000


@pytest.mark.slow
def test_the_no_answer_command_writes_figures_plot_and_threshold(tiny_qa, tmp_path, monkeypatch, shared_data):
    import shutil

    model = shutil.copytree(tiny_qa, tmp_path / "qa")
    command = ["no_answer", "--model_name_or_path", str(model), "--data_dir", str(shared_data / "xquad")]
    command += ["--language", "en", "--questions", "6", "--nr_concats", "1", "--output_dir", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", command)
    no_answer.main()
    assert not (model / "no_answer.json").exists()  # a trial changes no page
    monkeypatch.setattr(sys, "argv", [*command, "--write_threshold"])
    no_answer.main()
    report = json.loads((tmp_path / "docs" / "no_answer.json").read_text())
    assert report["held_out"]["questions"] + report["tuning"]["questions"] == 12
    assert (tmp_path / "docs" / "no_answer.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((model / "no_answer.json").read_text())["threshold"] == report["threshold"]


def test_the_page_lives_through_every_attack(page_server, tmp_path):
    tried = {attack.name: attack for attack in space_load.attacks(page_server.url, tmp_path)}
    assert all(attack.survived for attack in tried.values())
    expected = {
        "100 MB upload": "413",
        "zip bomb as docx": "unpacks to 210 MB",
        "PDF with 10,000 pages": "10,000 pages, more than 2,000",
        "markup in document and question": "shown as text",
        "file name with a path": "evil.txt",
        "control characters": "answered",
        "question of 200,000 characters": "the question has 200,000 characters",
        "document of 1,000,001 characters": "more than 1,000,000",
        "empty question": "the question is empty",
    }
    for name, part in expected.items():
        assert part in tried[name].reply, tried[name]
    for name in ("path of another file", "path upwards"):
        assert "answered" not in tried[name].reply, tried[name]
    assert space_load.kept(page_server.temporary) == 0


def test_many_clients_lose_nothing(page_server):
    figures = space_load.load(page_server.url, clients=6, seconds=2)
    assert (figures["lost"], figures["errors"]) == (0, [])
    assert figures["answers"] >= 6
    assert figures["p50"] <= figures["p99"] <= figures["max"]


@pytest.mark.parametrize("name", ["languages", "no_answer", "reader", "space_load"])
def test_help_names_an_example(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"example: python -m benchmarks.{name}" in done.stdout


def test_the_languages_are_drawn_and_told_the_best_first(tmp_path, monkeypatch, capsys):
    scores = {"xquad": {"de": {"exact_match": 1.0, "f1": 2.0}, "sv": {"exact_match": 3.0, "f1": 4.06}}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    command = ["languages", "--scores", str(tmp_path / "scores.json"), "--output", str(tmp_path / "plot.png")]
    monkeypatch.setattr(sys, "argv", command)
    languages.main()
    assert capsys.readouterr().out == "F1 by language: sv 4.1, de 2.0\n"
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_long_documents_are_read_in_fewer_rounds():
    assert [reader.rounds(length, 9) for length in (1_024, 4_096, 16_384, 65_536)] == [9, 9, 2, 2]
