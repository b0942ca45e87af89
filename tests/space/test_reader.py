"""The reader: right places over many windows, refusals in a sentence, and the same answers as training/score.py."""

import gc
import itertools
import json
import re
from dataclasses import replace

import pytest
import torch

from foundation.cli import UserError
from space.calibration import Calibration
from space.gallery import examples
from space.reader import ABSENT, MAX_QUESTION_CHARACTERS, UNCERTAIN, Progress, Reader, load_reader
from training.qa.predict import predict

LONG = examples()["English, a book"].text


@pytest.mark.parametrize("word", ["accordion", "Meyerbeer", "Winkle", "Golden Square"])
def test_every_place_in_a_long_document_is_found(echo, word):
    reading = echo.read(LONG, word, n_best=20)
    assert len(reading.windows) > 100
    assert reading.answered
    assert reading.best.text == word
    places = [i for i in range(len(LONG)) if LONG.startswith(word, i)]
    found = [answer.start for answer in reading.answers if answer.text == word]
    assert set(found) <= set(places)
    assert len(found) == min(len(places), 20)


@pytest.mark.parametrize("name", list(examples()))
def test_spans_are_characters_of_the_document(echo, name):
    text = examples()[name].text
    words = re.findall(r"\w+", text)
    word = words[len(words) // 2][:12]
    reading = echo.read(text, word)
    for answer in reading.answers:
        assert text[answer.start : answer.end] == answer.text
    assert reading.best.text == word


def test_a_word_across_the_edge_of_two_windows_is_found(echo):
    document = "one two three four five six seven eight nine ten " * 40
    for offset in range(0, 120, 7):
        text = document[:offset] + " needle in hay " + document[offset:]
        reading = echo.read(text, "needle in hay")
        assert reading.best.start == text.index("needle")


def test_what_the_document_lacks_is_not_answered(echo):
    reading = echo.read(LONG, "zebra crossing")
    assert not reading.answered
    assert reading.best is None
    assert reading.answers  # the nearest places are still given
    assert reading.null_probability > max(answer.probability for answer in reading.answers)


def test_the_calibration_moves_the_decision_and_the_probabilities(echo):
    strict, lenient = Calibration(threshold=-10.0), Calibration(threshold=100.0)
    assert not Reader(echo.model, echo.windower, echo.name, strict, strict).read(LONG, "Meyerbeer").answered
    reading = Reader(echo.model, echo.windower, echo.name, lenient, lenient).read(LONG, "zebra crossing")
    assert reading.answered
    assert reading.null_probability < reading.best.probability


def test_off_the_question_s_language_nothing_is_said_not_to_be_there(echo):
    """Both calibrations say no; only where the languages agree is that the verdict."""
    strict = Calibration(threshold=-10.0)
    reader = Reader(echo.model, echo.windower, echo.name, strict, strict)
    swedish, english = examples()["Svenska"].text, examples()["English"].text
    assert reader.read(swedish, "When was the whole canal opened?").verdict == UNCERTAIN
    assert reader.read(swedish, "När öppnades hela kanalen för trafik?").verdict == ABSENT
    assert reader.read(english, "When was the first tower built there?").verdict == ABSENT


def test_answers_never_overlap_and_probabilities_are_shares(tiny_qa):
    reader = load_reader(str(tiny_qa))
    reading = reader.read(LONG[:6_000], "Who was it?", n_best=20)
    assert len(reading.answers) > 3
    ordered = sorted(reading.answers, key=lambda answer: answer.start)
    assert all(a.end <= b.start for a, b in itertools.pairwise(ordered))
    assert 0 < sum(a.probability for a in reading.answers) + reading.null_probability <= 1 + 1e-9
    assert [a.score for a in reading.answers] == sorted((a.score for a in reading.answers), reverse=True)


def test_same_answers_as_the_predictor_of_score(tiny_qa, shared_data):
    from hub_datasets.concat import ConcatOptions
    from training.corpora.load import load_qa

    reader = replace(load_reader(str(tiny_qa)), half=False)  # where bfloat16 pays, the page reads in it
    file = str(shared_data / "xquad" / "xquad.de.json")
    rows = load_qa("xquad", "validation", data_files=file, language="de", options=ConcatOptions(3)).select(range(4))
    predicted = predict(reader.model, reader.windower, rows, progress=False)
    for row in rows:
        reading = reader.read(row["context"], row["question"], n_best=20)
        expected = predicted[row["id"]]
        assert (reading.answers[0].start, reading.answers[0].end) == (expected.best.start, expected.best.end)
        assert reading.answers[0].score == pytest.approx(expected.best.score, abs=1e-4)
        places, nothing = Calibration().places(expected)
        assert reading.answers[0].probability == pytest.approx(places[0].probability, abs=1e-4)
        assert reading.null_probability == pytest.approx(nothing, abs=1e-4)
        assert {(a.start, a.end) for a in reading.answers} <= {(a.start, a.end) for a in expected.n_best}


@pytest.mark.parametrize(
    ("document", "question", "sentence"),
    [
        ("", "Who?", "the document is empty: paste a text, open a file or choose an example"),
        (" \n ", "Who?", "the document is empty"),
        ("x" * 1_000_001, "Who?", "the document has 1,000,001 characters, more than 1,000,000: split it into parts"),
        ("Text.", "", "the question is empty: write what you want to know"),
        ("Text.", "\x00 \n", "the question is empty"),
        ("Text.", "a" * 200_000, f"the question has 200,000 characters, more than {MAX_QUESTION_CHARACTERS:,}"),
        ("Text.", "a " * 100, "the question has 100 tokens, more than 64: ask in one sentence"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(echo, document, question, sentence):
    calls = echo.model.calls
    with pytest.raises(UserError) as error:
        echo.read(document, question)
    assert sentence in str(error.value)
    assert echo.model.calls == calls


def test_control_characters_and_half_surrogates_move_no_offset(echo):
    text = "a\x00b \ud800 c\x1b[31m needle \u202e end"
    reading = echo.read(text, "needle")
    assert text[reading.best.start : reading.best.end] == "needle"


def test_progress_is_told_before_every_batch_and_may_cancel(echo):
    seen: list[Progress] = []
    calls = echo.model.calls
    windows = len(echo.read(LONG, "accordion", on_progress=seen.append).windows)
    assert [(at.done, at.total) for at in seen] == [(done, windows) for done in range(0, windows, 32)]
    assert echo.model.calls - calls == len(seen)

    def stop(progress: Progress) -> None:
        if progress.done >= 32:
            raise InterruptedError

    calls = echo.model.calls
    with pytest.raises(InterruptedError):
        echo.read(LONG, "accordion", on_progress=stop)
    assert echo.model.calls - calls == 1


def test_a_second_question_reuses_the_tokens_and_the_reader_keeps_none(echo):
    prepared = echo.prepare(LONG)
    first, second = echo.read(LONG, "accordion"), echo.read(prepared, "accordion")
    assert (first.reused, second.reused) == (False, True)
    assert second.answers == first.answers
    assert second.tokenise_seconds < first.tokenise_seconds / 5
    assert echo.windower.document.cache_info().currsize == 0
    del prepared
    gc.collect()


def test_without_adapter_the_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("space.reader.ADAPTER", tmp_path / "none")
    with pytest.raises(UserError, match=r"train one with training/finetune\.py, or name a QA model in SPACE_MODEL"):
        load_reader()


def test_it_reads_on_the_accelerator_where_there_is_one(tiny_qa, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("meta"))
    monkeypatch.setattr("space.reader.bfloat16_pays", lambda device: device.type != "meta")
    assert load_reader(str(tiny_qa)).model.device.type == "meta"


@pytest.mark.parametrize("pays", [True, False])
def test_it_reads_in_bfloat16_where_that_was_measured_to_pay(tiny_qa, monkeypatch, pays):
    monkeypatch.setattr("space.reader.bfloat16_pays", lambda device: pays)
    reader, seen = load_reader(str(tiny_qa)), []
    reader.model.qa_outputs.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    reading = reader.read(LONG[:2_000], "Who was it?")
    assert reader.half == pays and set(seen) == {torch.bfloat16 if pays else torch.float32}
    assert not torch.is_autocast_enabled("cpu")
    whole = replace(reader, half=False).read(LONG[:2_000], "Who was it?")
    assert reading.answers[0].score == pytest.approx(whole.answers[0].score, rel=0.05)


def test_calibration_and_scores_come_from_beside_the_model(tiny_qa, tmp_path):
    import shutil

    folder = shutil.copytree(tiny_qa, tmp_path / "qa")
    plain = Calibration()
    assert (load_reader(str(folder)).same, load_reader(str(folder)).other) == (plain, plain)
    same, other = ({"threshold": t, "temperature": T, "add_wordings": False} for t, T in ((-1.5, 2.0), (3, 4)))
    measured = {"same_language": same, "other_language": other}
    (folder / "no_answer.json").write_text(json.dumps(measured))
    languages = {"sv": {"questions": 9, "exact_match": 50.0, "f1": 60.0}}
    (folder / "scores.json").write_text(json.dumps({"run": {"dataset": "xquad"}, "languages": languages}))
    reader = load_reader(str(folder))
    assert (reader.same, reader.other) == (Calibration(-1.5, 2.0), Calibration(3.0, 4.0))
    assert reader.scores == languages


@pytest.mark.slow
def test_a_million_characters_in_flat_memory(tiny_qa):
    import psutil

    reader = load_reader(str(tiny_qa))
    text = (LONG * 11)[:1_000_000]
    process = psutil.Process()
    sizes = []

    def note(progress: Progress) -> None:
        sizes.append(process.memory_info().rss)
        if progress.done >= 1_500:  # windows of 128 tokens; further ones show nothing new
            raise InterruptedError

    with pytest.raises(InterruptedError):
        reader.read(text, "Who?", on_progress=note)
    assert len(sizes) > 20
    assert max(sizes) - sizes[3] < 64 * 2**20
