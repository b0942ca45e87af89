"""The model that the project ships: its languages, questions across them, long documents, and "not answered here"."""

import re
from collections import Counter

import pytest

from space.gallery import examples
from space.reader import ABSENT, ADAPTER, ANSWERED
from training.pack_adapter import pack
from training.scoring.record import SCORES, read_scores

# The answer to each question that the page offers. None: the document does not say.
ANSWERS = {
    "English": ("John Rudyerd", "forty-nine metres", "Henry Winstanley", None),
    "Svenska": ("58 000", "91,8 meter", "190 kilometer"),
    "Deutsch": ("zweitausend", "1817"),
    "Español": ("Gustavo Adolfo", "viento solar"),
    "Français": ("Mannheim", "10 août 1628"),
    "العربية": ("يوهان لودفيغ بوركهارت", "1200 متر"),
    "Русский": ("Ангара", "Ольхон"),
    "中文": ("李冰", "2000年"),
    "Svenska, long": ("10 december 1948", "Åtta"),
    "English, a book": ("an accordion", "master"),
    "English, a contract": ("the Expert", "twice the Fee", "fifteen years"),
    "English, a paper": ("34 seconds", "60.3"),
}
# These are short, and read in every run. The others are left to the slow tests.
SHORT = ("English", "Svenska", "العربية", "Русский", "中文")


def test_every_question_on_the_page_has_its_answer_pinned():
    assert {name: len(found) for name, found in ANSWERS.items()} == {
        name: len(example.questions) for name, example in examples().items()
    }


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in ANSWERS]
)
def test_every_question_on_the_page_is_answered_right(adapter_reader, name):
    example = examples()[name]
    document = adapter_reader.prepare(example.text)
    for question, expected in zip(example.questions, ANSWERS[name], strict=True):
        reading = adapter_reader.read(document, question)
        if expected is None:
            assert reading.verdict == ABSENT, question
        else:
            assert reading.answered and expected in reading.best.text, (question, reading.answers)


@pytest.mark.slow
def test_the_contracts_own_words_are_explained(adapter_reader):
    text = examples()["English, a contract"].text
    for question, term, said in (
        ("Who decides a dispute about depths, positions or analyses?", "Expert", "an independent hydrographer"),
        ("Up to what amount does the Surveyor compensate the Port?", "Fee", "Annex B"),
    ):
        (found,) = adapter_reader.read(text, question).definitions
        assert found.term == term and said in text[found.start : found.end]


def test_it_reads_windows_of_4096_and_one_swedish_answer_is_right(adapter_reader):
    assert adapter_reader.max_length == 4_096
    reading = adapter_reader.read(examples()["Svenska"].text, "Hur många soldater grävde kanalen?")
    assert "58 000" in reading.answers[0].text
    assert reading.answered


def test_the_shipped_folder_is_what_packing_it_writes_today(adapter_reader, tmp_path):
    card = (ADAPTER / "README.md").read_text()
    made_by = re.search(r"Made by\n\n```\n(.*?)\n```", card, flags=re.DOTALL)[1]
    about = re.search(r"its vocabulary\. (.*) It does not reason", card)[1]
    assert "training/finetune.py" in made_by and "in no training file" in about
    packed = pack(ADAPTER, read_scores(ADAPTER / SCORES, "--xquad"), made_by, tmp_path / "packed", about=about)
    for file in packed.iterdir():
        assert file.read_bytes() == (ADAPTER / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_another_articles_questions_are_not_answered_and_never_denied_across_languages(adapter_reader, shared_data):
    from benchmarks.no_answer import _articles, pairs

    articles = {name: _articles(shared_data / "xquad", name) for name in ("en", "de")}
    verdicts = Counter()
    for pair in pairs(articles, 12):
        if pair.case != "rest of the article":
            verdicts[pair.languages, pair.case, adapter_reader.read(pair.context, pair.question).verdict] += 1
    assert verdicts["same_language", "another article", ABSENT] >= 20
    assert verdicts["same_language", "own article", ANSWERED] >= 20
    assert not any(languages == "other_language" and verdict == ABSENT for languages, _, verdict in verdicts)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_documents_longer_than_a_window_are_answered_right(adapter_reader, shared_data):
    """XQ3 blocks of 30 English paragraphs, two windows each; none of this text was trained on."""
    from hub_datasets.concat import ConcatOptions
    from training.corpora.load import load_qa
    from training.scoring.metrics import score

    rows = load_qa(
        "xquad", "validation", data_dir=str(shared_data / "xquad"), language="en", options=ConcatOptions(30, "first")
    )
    rows = rows.select(range(0, len(rows), 10))
    predictions, windows = {}, []
    for row in rows:
        reading = adapter_reader.read(row["context"], row["question"])
        predictions[row["id"]] = reading.answers[0].text
        windows.append(len(reading.windows))
    assert min(windows) >= 2
    assert len(predictions) >= 20
    figures = score("squad", rows, predictions)
    assert figures["f1"] > 45, figures


@pytest.mark.slow
def test_in_the_browser_a_german_question_marks_swedish_words(adapter_reader, browser):
    from space.page import build_page, launch_options

    page = build_page(adapter_reader)
    _, url, _ = page.launch(
        server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, **launch_options(adapter_reader)
    )
    try:
        tab = browser.new_page()
        tab.goto(url)
        tab.wait_for_selector("#ask")  # the page is whole: what is clicked before is lost
        tab.get_by_label("Göta kanal · svenska").check(force=True)
        tab.wait_for_selector("#questions:visible")
        tab.get_by_label("Question", exact=True).fill("Wie lang ist der Kanal?")
        tab.click("#ask")
        tab.wait_for_selector("#answer-1", timeout=60_000)
        assert "190" in tab.locator("#answer-1").text_content()
        tab.close()
    finally:
        page.close()
