"""The arithmetic of the page's benchmarks, and the attacks against a live page."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import across_languages, languages, no_answer, reader, space_load, space_picture, waiting_threads
from benchmarks.no_answer import Judged
from foundation.cli import UserError
from space.calibration import Calibration
from training.qa.answers import Answer, Answers


def judged(
    case: str, *scores: float, null: float, right: int | None = None, languages: str = "same_language"
) -> Judged:
    """Spans with these scores at 0 to 5, 10 to 15 and so on, the one numbered `right` the gold one."""
    spans = [Answer("x", 10 * i, 10 * i + 5, score, 0.0) for i, score in enumerate(scores)]
    gold = None if right is None else (10 * right + 1, 10 * right + 4)
    return Judged(case, languages, 0, Answers(spans, null, 0.0), gold)


def drawn_from(truth: Calibration, count: int, half: int = 0) -> list[Judged]:
    """Scores and what was right, drawn from a known calibration."""
    rng, drawn = np.random.default_rng(3 + half), list[Judged]()
    while len(drawn) < count:
        scores, null = sorted(rng.normal(0, 6, 3), reverse=True), float(rng.normal(4, 6))
        chances = np.exp(np.array([*scores, null - truth.threshold]) / truth.temperature)
        right = int(rng.choice(4, p=chances / chances.sum()))
        if right == 3:
            drawn.append(judged(str(rng.choice(["rest of the article", "another article"])), *scores, null=null))
        else:
            drawn.append(judged("own article", *scores, null=null, right=right))
    return [replace(j, half=half) for j in drawn]


def test_the_fit_finds_the_temperature_and_threshold_that_made_the_scores():
    """In 4,000 draws it comes back within a tenth or so."""
    truth = Calibration(2.0, 3.0)
    drawn = drawn_from(truth, 4_000)
    sizes = {case: sum(j.case == case for j in drawn) for case in no_answer.CASES}
    with pytest.MonkeyPatch.context() as patch:  # weights as they were drawn
        patch.setattr(no_answer, "CASES", {case: size / len(drawn) for case, size in sizes.items()})
        fitted = no_answer.fit(drawn)
        rows = no_answer.reliability(no_answer.seen(drawn, fitted))
    assert fitted.threshold == pytest.approx(truth.threshold, abs=0.5)
    assert fitted.temperature == pytest.approx(truth.temperature, rel=0.15)
    for row in rows:
        assert row["places"] < 100 or row["right"] == pytest.approx(row["said"], abs=8)


def test_a_new_calibration_is_taken_only_where_the_held_out_halves_are_better_for_it():
    truth = Calibration(2.0, 3.0)
    halves = [judged for half in (0, 1) for judged in drawn_from(truth, 1_000, half)]
    sizes = {case: sum(j.case == case for j in halves) for case in no_answer.CASES}
    with pytest.MonkeyPatch.context() as patch:  # weights as they were drawn
        patch.setattr(no_answer, "CASES", {case: size / len(halves) for case, size in sizes.items()})
        bad = no_answer.report("m", {"same_language": Calibration(-9.0, 0.5)}, halves)
        fitted = Calibration(**bad["same_language"])
        best = no_answer.fit(halves)  # of all that is likeliest on both halves together
        good = no_answer.report("m", {"same_language": best}, halves)
        served = {t: no_answer.Halves([halves], [Calibration(t)]).figures()["served_well"] for t in range(-8, 9)}
        kind = Calibration(max(served, key=served.__getitem__), 0.5)  # serves most visitors and promises too much
        half_bad = no_answer.report("m", {"same_language": kind}, halves)
    assert bad["held_out"]["same_language"]["taken"] == "fitted"
    assert fitted.threshold == pytest.approx(truth.threshold, abs=1)
    part = half_bad["held_out"]["same_language"]
    assert part["taken"] == "temperature" and part["fitted"]["served_well"] < part["now"]["served_well"]
    assert part["temperature"]["served_well"] == part["now"]["served_well"]
    assert half_bad["same_language"]["threshold"] == kind.threshold
    assert half_bad["same_language"]["temperature"] == pytest.approx(truth.temperature, rel=0.15)
    part = good["held_out"]["same_language"]
    assert part["taken"] == "now" and Calibration(**good["same_language"]) == best
    assert part["reliability"] == part["reliability_now"] and "other_language" not in good


@pytest.mark.parametrize("add", [False, True])
def test_the_likelihood_is_that_of_the_places_that_the_page_shows(add):
    """Two of the spans overlap: they are one place, named by the better one, which alone says whether it is right."""
    spans = [Answer("x", start, start + 5, score, 0.0) for start, score in ((0, 3.0), (4, 2.0), (20, 1.0))]
    calibration = Calibration(0.5, 2.0, add)
    for gold in ((1, 3), (6, 8), (21, 22), None):
        case = "rest of the article" if gold is None else "own article"
        one = Judged(case, "same_language", 0, Answers(spans, 2.0, 0.0), gold)
        places, nothing = calibration.places(one.answers)
        share = nothing if gold is None else sum(p.probability for p in places if one.right(p))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(no_answer, "CASES", {case: 1.0})
            assert no_answer.likelihoods([one])(calibration) == pytest.approx(np.log(max(share, 1e-3)))


def test_what_is_judged_by_hand():
    four = [
        judged("own article", 5.0, 1.0, null=0.0, right=0),  # right
        judged("own article", 5.0, 1.0, null=0.0, right=1),  # wrong
        judged("own article", 1.0, 0.0, null=9.0, right=0),  # right, and refused
        judged("own article", 1.0, 0.0, null=9.0, right=1),  # wrong, and refused
    ]
    expected = {"questions": 4, "best_place_right": 50.0, "refused": 50.0, "refused_though_right": 25.0}
    assert no_answer.judge(no_answer.seen(four, Calibration())) == expected
    assert no_answer.judge(no_answer.seen(four, Calibration(threshold=20.0)))["refused"] == 0
    assert [r.well for r in no_answer.seen(four, Calibration())] == [True, False, False, False]
    half = [no_answer.Seen("own article", share, right, False, right) for share, right in ((0.9, True), (0.75, False))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(no_answer, "CASES", {"own article": 1.0})
        assert no_answer.calibration_error(half) == 42.5  # 10 and 75 points, half of the places each
    lacking = [judged("another article", 1.0, null=9.0), judged("another article", 9.0, null=1.0)]
    assert [r.well for r in no_answer.seen(lacking, Calibration())] == [True, False]


def test_each_question_meets_its_own_its_near_and_another_document_in_two_languages():
    def article(title: str) -> dict:
        return {
            "title": title,
            "paragraphs": [
                {"context": f"{title} {p} text", "qas": [{"question": f"{title} {p}?", "answers": [{"text": "text",
                 "answer_start": len(f"{title} {p} ")}]}]} for p in range(3)
            ],
        }  # fmt: skip

    articles = {name: [article(f"{name}{a}") for a in range(4)] for name in ("en", "sv", "de")}
    found = list(no_answer.pairs(articles, 6))
    assert len(found) == 3 * 6 * 6
    for pair in found:
        title, paragraph = pair.question[:-1].split()
        spoken = pair.context[:2]
        assert (spoken == pair.language) == (pair.languages == "same_language")
        own = f"{spoken}{title[2:]} {paragraph} text"
        assert (own in pair.context) == (pair.case == "own article") == (pair.gold is not None)
        assert (f"{spoken}{title[2:]} " in pair.context) == (pair.case != "another article")
        if pair.gold:
            start = pair.context.index(own) + len(own) - 4
            assert pair.gold == (start, start + 4)
    assert {pair.half for pair in found} == {0, 1}
    assert len({pair.question[2:] for pair in found}) > 10  # the languages ask different questions
    assert {pair.context[:2] for pair in found if pair.language == "en"} == {"en", "sv", "de"}


def test_documents_of_the_reader_benchmark_have_the_length_they_claim(echo):
    text = reader.document_of(echo, 5_000, "Words and more words, again. ")
    assert len(echo.prepare(text).ids) == 5_000


def test_a_question_meets_its_document_in_every_language():
    rows = [
        {"id": str(n), "language": language, "question": f"{language} {n}?", "context": f"{language}: {n}",
         "answers": {"text": [language], "answer_start": [0]}}
        for language in ("de", "zh")
        for n in range(4)
    ]  # fmt: skip
    pairs = across_languages.pairs_of(rows, 2)
    assert list(pairs) == [f"{n}|{d}|{q}" for n in (0, 2) for d in ("de", "zh") for q in ("de", "zh")]
    assert pairs["2|de|zh"] == {
        "id": "2|de|zh", "question": "zh 2?", "context": "de: 2", "answers": {"text": ["de"], "answer_start": [0]}
    }  # fmt: skip


def test_what_is_kept_across_languages_by_hand():
    asked = [
        across_languages.Asked("de", "de", 80.0, 60.0),
        across_languages.Asked("zh", "zh", 40.0, 40.0),
        across_languages.Asked("de", "zh", 50.0, 50.0),
        across_languages.Asked("zh", "de", 40.0, 0.0),
    ]
    found = across_languages.figures(asked)
    assert found["f1"] == {"de": {"de": 80.0, "zh": 50.0}, "zh": {"de": 40.0, "zh": 40.0}}
    assert (found["same_language_best"], found["other_language_best"], found["kept_across"]) == (60.0, 45.0, 75.0)
    assert (found["same_language_shown"], found["other_language_shown"]) == (50.0, 25.0)


def test_every_pair_of_languages_is_measured_drawn_and_kept(tiny_qa, tmp_path, monkeypatch, shared_data):
    output = tmp_path / "across.json"
    command = ["across", "--model_name_or_path", str(tiny_qa), "--data_dir", str(shared_data / "xquad")]
    command += ["--language", "en,de", "--questions", "2", "--output", str(output)]
    for paragraphs in ("2", "1"):
        monkeypatch.setattr(sys, "argv", [*command, "--nr_concats", paragraphs])
        across_languages.main()
    measured = json.loads(output.read_text())
    assert list(measured) == ["1", "2"]
    assert set(measured["1"]["f1"]) == set(measured["1"]["f1"]["de"]) == {"de", "en"}
    assert measured["2"]["questions"] == 2
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_answers_that_differ_under_bfloat16_are_counted(echo, monkeypatch):
    """Its readings in float32 know no Visby, which counts as another place and another verdict."""
    read = type(echo).read

    def forgetful(self, document, question, **options):
        return read(self, document if self.half else document.replace("Visby", "Lund"), question, **options)

    monkeypatch.setattr(type(echo), "read", forgetful)
    text = "It opened in Mem, and it closed in Visby."
    rows = [
        {"id": word, "context": text, "question": word, "answers": {"text": [word], "answer_start": [text.index(word)]}}
        for word in ("Mem", "Visby")
    ]
    found = reader.agreement(echo, rows, "en")
    assert (found["questions"], found["same_place"], found["same_verdict"]) == (2, 50.0, 50.0)
    assert (found["f1_float32"], found["f1_bfloat16"]) == (50.0, 100.0)


def test_answers_are_compared_without_timing_anew(tmp_path, monkeypatch):
    kept = {"machine": {"processor": "older"}, "rows": [{"tokens": 1}]}
    (tmp_path / "reader.json").write_text(json.dumps(kept))
    monkeypatch.setattr(reader, "agreements", lambda folder, languages, questions: [{"language": languages[1]}])
    command = ["reader", "--lengths", "", "--data_dir", "d", "--output", str(tmp_path / "reader.json")]
    monkeypatch.setattr(sys, "argv", command)
    reader.main()
    report = json.loads((tmp_path / "reader.json").read_text())
    assert {part: report[part] for part in kept} == kept
    assert report["answers"]["languages"] == [{"language": "de"}]


@pytest.mark.slow
def test_the_no_answer_command_writes_figures_plot_and_calibration(tiny_qa, tmp_path, monkeypatch, shared_data):
    import shutil

    from space.reader import load_reader

    model = shutil.copytree(tiny_qa, tmp_path / "qa")
    command = ["no_answer", "--model_name_or_path", str(model), "--data_dir", str(shared_data / "xquad")]
    command += ["--language", "en,de", "--questions", "4", "--output_dir", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", command)
    no_answer.main()
    assert not (model / "no_answer.json").exists()  # without the flag the page's file is not written
    monkeypatch.setattr(sys, "argv", [*command, "--write_calibration"])
    no_answer.main()
    report = json.loads((tmp_path / "docs" / "no_answer.json").read_text())
    for case in no_answer.LANGUAGES:
        assert set(report["held_out"][case]["cases"]) == set(no_answer.CASES)
    assert (tmp_path / "docs" / "no_answer.png").read_bytes().startswith(b"\x89PNG")
    reader = load_reader(str(model))
    assert reader.same == Calibration(**report["same_language"])
    assert reader.other == Calibration(**report["other_language"])


def test_the_page_lives_through_every_attack(page_server, tmp_path):
    tried = {attack.name: attack for attack in space_load.attacks(page_server.url, tmp_path)}
    assert all(attack.survived for attack in tried.values())
    expected = {
        "100 MB upload": "413",
        **{f"zip bomb as {kind}": "unpacks to 210 MB" for kind in ("docx", "odt", "epub", "xlsx")},
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
    figures = space_load.load(page_server.url, clients=6, seconds=2, long_characters=20_000)
    assert (figures["lost"], figures["errors"]) == (0, [])
    assert figures["answers"] >= 6
    assert figures["long_answers"] >= 1 and figures["long_tokens"] > 4_000
    assert figures["p50"] <= figures["p99"] <= figures["max"]


@pytest.mark.parametrize(
    "name", ["across_languages", "languages", "no_answer", "reader", "space_load", "space_picture", "waiting_threads"]
)
def test_help_names_an_example(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"example: python -m benchmarks.{name}" in " ".join(done.stdout.split())


def test_waiting_threads_are_timed_under_each_policy_quiet_and_busy(monkeypatch):
    running, seen = [], []
    monkeypatch.setattr(subprocess, "Popen", lambda command: running.append(command) or Worker(running))
    monkeypatch.setattr(waiting_threads, "read_once", lambda policy, tokens: seen.append(len(running)) or len(seen))
    rows = waiting_threads.measure(4_096, 2, 3)
    assert seen == [0, 0, 0, 3, 3, 3] * 2 and running == []
    medians = {(row["policy"], row["busy_processes"]): row["median_s"] for row in rows}
    passive, moment = waiting_threads.POLICIES[1:]
    quiet = {("unset", 0): 4, (passive, 0): 5, (moment, 0): 6}
    assert medians == {**quiet, ("unset", 3): 7, (passive, 3): 8, (moment, 3): 9}


class Worker:
    """A busy process that is none."""

    def __init__(self, running: list) -> None:
        self.running = running

    def kill(self) -> None:
        self.running.pop()

    def wait(self) -> None:
        pass


def test_the_languages_are_drawn_and_told_the_best_first(tmp_path, monkeypatch, capsys):
    measured = {"de": {"exact_match": 1.0, "f1": 2.0}, "sv": {"exact_match": 3.0, "f1": 4.06}}
    measured = {name: {"questions": 9, **score} for name, score in measured.items()}
    scores = {"run": {"dataset": "xquad"}, "languages": measured}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    command = ["languages", "--scores", str(tmp_path / "scores.json"), "--output", str(tmp_path / "plot.png")]
    monkeypatch.setattr(sys, "argv", command)
    languages.main()
    assert capsys.readouterr().out == "F1 by language: sv 4.1, de 2.0\n"
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_long_documents_are_read_in_fewer_rounds():
    assert [reader.rounds(length, 9) for length in (1_024, 4_096, 16_384, 65_536)] == [9, 9, 2, 2]


def test_a_machine_without_chromium_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    own = tmp_path / "chrome"
    playwright = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(own)))
    with pytest.raises(UserError, match=r"apt install chromium.*playwright install chromium"):
        space_picture.find_chromium(playwright)
    own.touch()
    assert space_picture.find_chromium(playwright) == str(own)


def test_a_picture_of_the_page_shows_the_answer(browser, page_server):
    picture = space_picture.take(browser, page_server.url, "gota-kanal", "Thomas Telford", (900, 600), "light", "sv-SE")
    assert picture.startswith(b"\x89PNG") and int.from_bytes(picture[16:20]) == 900
    assert not browser.contexts  # the tab is closed


def test_a_picture_of_an_unknown_example_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["space_picture", "--example", "moon"])
    with pytest.raises(UserError, match=r"--example 'moon' is none of eddystone, contract, "):
        space_picture.main()
