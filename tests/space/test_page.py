"""The page in a real browser: what a visitor sees, on a wide and a narrow screen, by mouse and by keyboard."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from space.documents import MAX_FILE_BYTES
from space.gallery import examples
from space.reader import Progress, Reader, Reading
from training.qa.answers import Answer

from .makers import encrypted_pdf, pdf
from .test_cards import HOSTILE

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}


class Visit:
    """One tab, with what went wrong in it."""

    def __init__(self, page: Any, url: str):
        self.page, self.problems = page, list[str]()
        page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: (self.problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else self.problems.append(r.url))
        page.goto(url)
        page.wait_for_selector("#ask")

    def ask(self, question: str, document: str | None = None) -> None:
        if document is not None:
            self.page.get_by_label("Document", exact=True).fill(document)
        self.page.get_by_label("Question", exact=True).fill(question)
        # The card of an earlier question stays until the new one comes: only a new one counts.
        self.page.evaluate("document.querySelectorAll('.card').forEach(card => card.classList.add('stale'))")
        self.page.click("#ask")
        self.page.wait_for_selector(":is(.card.found, .card.absent, .card.problem):not(.stale)")
        self.page.wait_for_selector("#ask:visible")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def marked(self, rank: int = 1) -> str:
        """The words under a mark, without the small number that CSS puts behind them."""
        return self.page.locator(f"#answer-{rank}").text_content()


@pytest.fixture
def visit(browser, page_server) -> Iterator[Any]:
    contexts = []

    def start(screen: str = "desktop", scheme: str = "light") -> Visit:
        width, height = SCREENS[screen]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        contexts.append(context)
        return Visit(context.new_page(), page_server.url)

    yield start
    for context in contexts:
        context.close()


def test_paste_ask_and_see_the_answer_in_its_place(visit):
    tab = visit()
    document = (
        "An opening line.\n\n" + "Filler words go on. " * 400 + "\n\nThe bridge was built by Ada Lovelace in 1899."
    )
    tab.ask("Ada Lovelace", document)
    assert tab.text(".answer") == "Ada Lovelace"
    assert tab.marked() == "Ada Lovelace"
    assert "The bridge was built by" in tab.page.locator("p:has(> #answer-1)").text_content()
    tab.page.wait_for_function(
        "() => { const box = (id) => document.getElementById(id).getBoundingClientRect();"
        " const frame = box('document-text'), mark = box('answer-1');"
        " return mark.top > frame.top && mark.bottom < frame.bottom; }"
    )
    assert "windows of up to 128" in tab.text(".cost")
    assert tab.problems == []


@pytest.mark.slow
def test_a_file_of_a_million_characters_is_shown_with_the_answer_in_its_place(visit, monkeypatch, tmp_path):
    """The reading itself is short-circuited: what is tested is that page and browser carry the document."""
    document = (" ".join(["Filler words go on."] * 20) + "\n\n") * 2_475 + "The needle lies here.\n\n"
    document += "x" * (1_000_000 - len(document))
    (tmp_path / "long.txt").write_text(document)
    start = document.index("needle")
    found = Answer("needle", start, start + 6, 1.0, 0.9)

    def steps(self, document, question, *, n_best=5):
        yield Progress(0, 1)
        return Reading((found,), True, 0.1, 250_000, ((0, len(document)),), 1.0, 0.1, False)

    monkeypatch.setattr(Reader, "steps", steps)
    tab = visit()
    tab.page.set_input_files("input[type=file]", tmp_path / "long.txt")
    tab.page.wait_for_function("() => document.querySelector('#notice').innerText.includes('1,000,000 characters')")
    tab.ask("needle")
    assert tab.marked() == "needle"
    tab.page.wait_for_function(
        "() => { const m = document.getElementById('answer-1').getBoundingClientRect();"
        " return m.top > 0 && m.bottom < innerHeight; }"
    )
    assert tab.problems == []


def test_the_next_best_answers_lead_to_their_places(visit):
    tab = visit()
    tab.ask("needle", "A needle. " + "hay " * 600 + "\n\nAnother needle. " + "straw " * 600 + "\n\nThe last needle.")
    rows = tab.page.locator(".candidates tbody tr")
    assert rows.count() == 4  # three places and "not answered here"
    tab.page.click('a[href="#answer-3"]')
    tab.page.wait_for_function(
        "() => { const m = document.getElementById('answer-3').getBoundingClientRect();"
        " return m.top > 0 && m.bottom < innerHeight; }"
    )
    assert tab.problems == []


def test_what_is_not_in_the_document_is_not_answered(visit):
    tab = visit()
    tab.ask("Where do the zebras sleep at night?", "A text about horses and donkeys, in English.")
    assert tab.text(".answer") == "Not answered here"
    assert tab.problems == []


def test_a_pdf_is_read_and_deleted(visit, page_server, tmp_path):
    tab = visit()
    pdf(tmp_path / "report.pdf", "The committee met in Uppsala.", "It closed in Visby.")
    tab.page.set_input_files("input[type=file]", tmp_path / "report.pdf")
    tab.page.wait_for_function("() => document.querySelector('#notice').innerText.includes('report.pdf')")
    assert "2 pages · 51 characters" in tab.text("#notice")
    tab.ask("Visby")
    assert tab.marked() == "Visby"
    assert tab.text(".card .to-page") == "page 2"
    kept = [path.read_bytes() for path in page_server.temporary.rglob("*") if path.is_file()]
    assert b"".join(kept) == b""  # gradio leaves an empty file of its own
    assert tab.problems == []


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: encrypted_pdf(folder / "locked.pdf", "secret"), "'locked.pdf' is protected by a password"),
        (lambda folder: pdf(folder / "scan.pdf", ""), "holds pictures of pages and no text: run text recognition"),
    ],
    ids=["encrypted", "scanned"],
)
def test_a_pdf_that_cannot_be_read_says_why(visit, tmp_path, make, sentence):
    tab = visit()
    tab.page.set_input_files("input[type=file]", make(tmp_path))
    tab.page.wait_for_selector("#notice .problem")
    assert sentence in tab.text("#notice .problem")
    tab.ask("horses", "A text about horses.")
    assert tab.marked() == "horses"
    assert tab.problems == []


def test_too_large_a_file_is_refused_before_it_travels(visit, tmp_path):
    tab = visit()
    with (tmp_path / "big.txt").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    tab.page.set_input_files("input[type=file]", tmp_path / "big.txt")
    toast = tab.page.locator(".toast-body")
    toast.wait_for()
    assert "size" in toast.inner_text().lower()


@pytest.mark.parametrize(
    ("document", "question", "sentence"),
    [
        ("", "Who?", "The document is empty: paste a text, open a file or choose an example."),
        ("A text.", " ", "The question is empty: write what you want to know."),
        ("A text.", "a" * 200_000, "The question has 200,000 characters, more than 1,000"),
    ],
)
def test_mistakes_are_said_in_place(visit, document, question, sentence):
    tab = visit()
    tab.ask(question, document)
    assert sentence in tab.text(".card.problem")
    assert tab.problems == []


def test_markup_in_document_and_question_is_text(visit):
    tab = visit()
    tab.ask("</textarea><script>alert(3)</script>", HOSTILE)
    tab.ask("onerror", HOSTILE + "\x00\x1b[31m \u202e reversed")
    assert tab.marked() == "onerror"
    assert HOSTILE in tab.page.locator("#document-text").inner_text().replace("onerror1", "onerror")
    assert tab.page.locator("#document-text :is(script, img, b)").count() == 0
    assert tab.problems == []


def test_arabic_runs_from_right_to_left_and_english_beside_it_does_not(visit):
    tab = visit("phone", "dark")
    tab.ask("الخزنة", examples()["العربية"].text + "\n\nA line in English.")
    assert tab.marked() == "الخزنة"
    paragraphs = tab.page.locator("#document-text p")
    directions = paragraphs.evaluate_all("ps => ps.map(p => getComputedStyle(p).direction)")
    assert set(directions[:-1]) == {"rtl"}
    assert directions[-1] == "ltr"
    assert tab.problems == []


def test_examples_and_their_questions_fill_the_fields(visit):
    tab = visit()
    for name in ("Svenska", "中文"):
        example = examples()[name]
        tab.page.get_by_label(name, exact=True).check(force=True)
        tab.page.get_by_label(example.questions[1]).check(force=True)
        tab.page.wait_for_function(
            "q => document.querySelector('#question textarea').value === q", arg=example.questions[1]
        )
        assert tab.page.get_by_label("Document", exact=True).input_value() == example.text
    assert tab.problems == []


def test_the_keyboard_alone_is_enough(visit):
    tab = visit()
    keyboard = tab.page.keyboard

    def tab_to(condition: str) -> None:
        for _ in range(30):
            keyboard.press("Tab")
            if tab.page.evaluate(f"() => {{ const e = document.activeElement; return {condition}; }}"):
                return
        pytest.fail(f"no way by Tab to {condition}")

    tab_to("e.type === 'radio'")
    keyboard.press("ArrowDown")
    tab.page.wait_for_function("() => document.querySelector('#document textarea').value.startsWith('Göta kanal')")
    tab_to("e.closest('#question')")
    keyboard.press("Control+A")
    keyboard.type("Thomas Telford")
    keyboard.press("Enter")
    tab.page.wait_for_selector(".card.found")
    assert tab.marked() == "Thomas Telford"
    tab_to("e.matches('.candidates a')")
    keyboard.press("Enter")
    assert tab.page.url.endswith("#answer-1")
    tab_to("e.id === 'document-text'")
    assert tab.problems == []


@contextlib.contextmanager
def held(echo: Any) -> Iterator[threading.Event]:
    """The model stands still at its second batch until the event is set."""
    gate, forward, first = threading.Event(), type(echo.model).forward, echo.model.calls + 1

    def slow(self, *args, **kwargs):
        if self.calls >= first:
            gate.wait(60)
        return forward(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(echo.model), "forward", slow)
        try:
            yield gate
        finally:
            gate.set()


def test_reading_shows_its_progress_and_can_be_stopped(visit, echo):
    tab = visit()
    book = examples()["English, a book"].text[:20_000]
    with held(echo) as gate:
        tab.page.get_by_label("Document", exact=True).fill(book)
        tab.page.get_by_label("Question", exact=True).fill("accordion")
        tab.page.click("#ask")
        tab.page.wait_for_selector("progress")
        tab.page.click("#stop")
        gate.set()
        tab.page.wait_for_function("() => document.querySelector('#answer').innerText.includes('Stopped')")
    calls = echo.model.calls
    tab.ask("Meyerbeer", "Not Chopin but Meyerbeer.")
    assert echo.model.calls == calls + 1, "the stopped reading went on"
    assert tab.problems == []


def test_a_second_question_does_not_disturb_the_first(visit, echo):
    tab = visit()
    with held(echo) as gate:
        tab.page.get_by_label("Document", exact=True).fill(examples()["English, a book"].text[:20_000])
        tab.page.get_by_label("Question", exact=True).fill("Offenbach")
        tab.page.click("#ask")
        tab.page.wait_for_selector("progress")
        tab.page.get_by_label("Question", exact=True).press("Enter")
        toast = tab.page.locator(".toast-body")
        toast.wait_for()
        assert "One question at a time" in toast.inner_text()
        gate.set()
        tab.page.wait_for_selector(".card.found")
    assert tab.marked() == "Offenbach"


def test_a_full_queue_is_said_in_the_browser(visit, page_server):
    tab = visit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_server.page._queue, "max_size", 0)
        tab.page.get_by_label("Document", exact=True).fill("Text.")
        tab.page.get_by_label("Question", exact=True).fill("Text")
        tab.page.click("#ask")
        toast = tab.page.locator(".toast-body")
        toast.wait_for()
        assert "currently busy" in toast.inner_text()
    tab.page.locator(".toast-close").click()
    tab.ask("Text", "Text.")
    assert tab.marked() == "Text"


@pytest.mark.parametrize(
    ("screen", "scheme"),
    [
        ("desktop", "light"),
        ("phone", "dark"),
        pytest.param("desktop", "dark", marks=pytest.mark.slow),
        pytest.param("phone", "light", marks=pytest.mark.slow),
    ],
)
def test_no_serious_accessibility_fault(visit, screen, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    tab = visit(screen, scheme)
    tab.page.get_by_label("Svenska", exact=True).check(force=True)
    tab.page.wait_for_selector("#questions:visible")
    tab.ask("Thomas Telford")
    tab.page.click("#how button")
    tab.page.wait_for_selector(".how")
    # Gradio puts its own footer and its hidden upload field on the page; everything else is ours.
    results = axe.Axe().run(tab.page).response
    serious = [
        f"{v['id']}: {v['help']} {[n['html'][:160] for n in v['nodes']]}"
        for v in results["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert len(results["passes"]) > 20
    assert serious == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = tab.page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(30, 33, 37)"
    assert dark == (scheme == "dark")
    assert tab.problems == []


def test_the_style_sheet_names_only_what_exists():
    import re

    from space import cards, panel

    room = Path(cards.__file__).parent
    sheet = (room / "page.css").read_text()
    code = "".join((room / f"{name}.py").read_text() for name in ("cards", "marks", "pictures", "panel", "app"))
    ours = set(re.findall(r"#([a-z][\w-]*)(?=[\s.:,{>])", re.sub(r"#[0-9a-f]{6}\b", "", sheet)))
    assert ours
    assert panel.MASTHEAD in code.replace("\\", "")
    assert {name for name in ours if f'"{name}"' not in code} == set()
