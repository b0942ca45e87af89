"""The model that the project ships: its languages, questions across them, long documents, and "not answered here"."""

import pytest

from space.gallery import examples
from space.reader import ADAPTER

# example, question, what a right answer holds
WITHIN = [
    ("English", "What burned down the second tower?", ("fire", "lantern")),
    ("English", "Who was the first man to build a tower on the Eddystone?", ("Winstanley",)),
    ("Svenska", "Hur många soldater grävde kanalen?", ("58 000",)),
    ("Svenska", "Vem lade fram planen 1806?", ("Baltzar von Platen", "von Platen")),
    ("Deutsch", "Wie viele Eier kann die Königin legen?", ("zweitausend",)),
    ("Español", "¿Para qué rey se construyó el Vasa?", ("Gustavo",)),
    ("Français", "De quelle ville Drais partit-il pour sa première sortie ?", ("Mannheim",)),
    ("العربية", "من هو الرحالة الذي زار البتراء سنة 1812؟", ("بوركهارت",)),
    ("Русский", "Какая река вытекает из Байкала?", ("Ангара",)),
    ("中文", "谁修建了都江堰？", ("李冰",)),
    ("Svenska, long", "När antogs förklaringen?", ("10 december 1948",)),
]
ACROSS = [
    ("English", "Vem byggde den första fyren?", ("Winstanley",)),
    ("Svenska", "When did Baltzar von Platen die?", ("1829",)),
    ("Svenska", "Wie lang ist der Kanal?", ("190",)),
    ("العربية", "How long is the Siq?", ("1200",)),
    ("Русский", "How deep is the lake?", ("1642",)),
    ("Русский", "Which island is the largest?", ("Ольхон",)),
    ("中文", "Who built Dujiangyan?", ("李冰",)),
    ("English", "¿Quién construyó el tercer faro?", ("Smeaton",)),
]


def right(reader, cases) -> list[str]:
    """Questions whose likeliest span holds one of the expected words."""
    found = []
    for name, question, words in cases:
        best = reader.read(examples()[name].text, question).answers[0].text
        if any(word in best for word in words):
            found.append(question)
    return found


@pytest.mark.slow
def test_it_answers_in_the_language_of_the_document(adapter_reader):
    answered = right(adapter_reader, WITHIN)
    assert len(answered) >= 0.7 * len(WITHIN), answered


@pytest.mark.slow
def test_it_answers_in_another_language_than_the_question(adapter_reader):
    answered = right(adapter_reader, ACROSS)
    assert len(answered) >= 0.5 * len(ACROSS), answered


def test_it_reads_windows_of_4096_and_one_swedish_answer_is_right(adapter_reader):
    assert adapter_reader.max_length == 4_096
    reading = adapter_reader.read(examples()["Svenska"].text, "Hur många soldater grävde kanalen?")
    assert "58 000" in reading.answers[0].text
    assert reading.answered


def test_the_adapter_is_small_and_its_card_has_its_scores(adapter_reader):
    assert (ADAPTER / "adapter_model.safetensors").stat().st_size <= 8 * 2**20
    card = (ADAPTER / "README.md").read_text()
    assert "XQuAD" in card
    assert "training/finetune.py" in card


@pytest.mark.slow
def test_another_articles_questions_are_mostly_not_answered_here(adapter_reader, shared_data):
    from benchmarks.no_answer import pairs
    from training.corpora.load import load_qa

    rows = load_qa("xquad", "validation", data_dir=str(shared_data / "xquad"), language="en").to_list()
    said = {True: [], False: []}
    for pair in pairs(rows, 24):
        said[pair["answerable"]].append(not adapter_reader.read(pair["context"], pair["question"]).answered)
    assert len(said[True]) == len(said[False]) == 24
    assert sum(said[False]) > sum(said[True]) + 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_documents_longer_than_a_window_are_answered_right(adapter_reader, shared_data):
    """XQ3 blocks of 30 English paragraphs, two windows each; none of this text was trained on."""
    from training.corpora.load import load_qa
    from training.scoring.metrics import score

    rows = load_qa(
        "xquad", "validation", data_dir=str(shared_data / "xquad"), language="en", nr_concats=30, questions="first"
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
    from space.app import build_page, launch_options

    page = build_page(adapter_reader)
    _, url, _ = page.launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, **launch_options())
    try:
        tab = browser.new_page()
        tab.goto(url)
        tab.get_by_label("Svenska", exact=True).check(force=True)
        tab.wait_for_selector("#questions:visible")
        tab.get_by_label("Question", exact=True).fill("Wie lang ist der Kanal?")
        tab.click("#ask")
        tab.wait_for_selector("#answer-1", timeout=60_000)
        assert "190" in tab.locator("#answer-1").text_content()
        tab.close()
    finally:
        page.close()
