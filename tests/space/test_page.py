"""The page in a real browser: what a visitor sees, on a wide and a narrow screen, by mouse and by keyboard."""

import contextlib
import csv
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from space import status
from space.documents import MAX_FILE_BYTES
from space.gallery import examples
from space.page import build_page, launch_options
from space.reader import ANSWERED, Progress, Reader, Reading
from space.words import spoken, words
from training.qa.answers import Answer

from .makers import encrypted_pdf, pdf
from .test_cards import HOSTILE

SCREENS = {"desktop": (1280, 900), "laptop": (1366, 657), "phone": (390, 844)}


class Visit:
    """One tab, with what went wrong in it."""

    def __init__(self, page: Any, url: str, query: str = ""):
        self.page, self.problems = page, list[str]()
        page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        page.on("response", lambda r: self.problems.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: (self.problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else self.problems.append(r.url))
        page.goto(url + query)
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

    def start(screen: str = "desktop", scheme: str = "light", locale: str = "en-US", query: str = "") -> Visit:
        width, height = SCREENS[screen]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale, accept_downloads=True
        )
        context.set_default_timeout(60_000)
        contexts.append(context)
        return Visit(context.new_page(), page_server.url, query)

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
        return Reading((found,), ANSWERED, 0.1, "en", (), 250_000, ((0, len(document.text)),), 1.0, 0.1, False)

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
    tab.page.click(".others summary")
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
    assert b"".join(kept) == b""  # gradio itself leaves an empty file
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
    requests = []
    tab.page.on("request", lambda request: requests.append(request.url))
    tab.page.set_input_files("input[type=file]", tmp_path / "big.txt")
    tab.page.wait_for_selector("#notice .problem")
    assert tab.text("#notice .problem") == "'big.txt' is larger than 20 MB: send a smaller file, or paste its text."
    assert not [url for url in requests if "upload" in url]
    assert tab.page.locator(".toast-body").count() == 0


def test_a_kind_that_is_not_read_gets_the_pages_own_sentence(visit, tmp_path):
    tab = visit()
    (tmp_path / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0")
    tab.page.set_input_files("input[type=file]", tmp_path / "old.doc")
    tab.page.wait_for_selector("#notice .problem")
    assert "save it as .docx" in tab.text("#notice .problem")
    assert tab.page.locator(".toast-body").count() == 0
    assert tab.problems == []


def test_a_file_can_be_dropped_anywhere(visit):
    tab = visit()
    data = tab.page.evaluate_handle(
        "() => { const d = new DataTransfer();"
        " d.items.add(new File(['Dropped in Visby.'], 'note.txt', { type: 'text/plain' })); return d; }"
    )
    tab.page.dispatch_event("body", "dragenter", {"dataTransfer": data})
    assert tab.page.evaluate("getComputedStyle(document.body, '::after').content") == '"Drop the file to open it"'
    tab.page.dispatch_event("#answer", "drop", {"dataTransfer": data})
    tab.page.wait_for_function("() => document.querySelector('#document textarea').value === 'Dropped in Visby.'")
    assert tab.page.evaluate("document.body.classList.contains('dropping')") is False
    assert "note.txt" in tab.text("#notice")
    assert tab.problems == []


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
        tab.page.get_by_label(example.label).check(force=True)
        tab.page.get_by_label(example.questions[1]).check(force=True)
        tab.page.wait_for_function(
            "q => document.querySelector('#question textarea').value === q", arg=example.questions[1]
        )
        assert tab.page.get_by_label("Document", exact=True).input_value() == example.text
    tab.page.get_by_label("Question", exact=True).press("End")
    tab.page.get_by_label("Question", exact=True).type("?")
    tab.page.wait_for_function("() => !document.querySelector('#questions input:checked')")
    assert value(tab, "question") == f"{example.questions[1]}?"
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
    tab.page.wait_for_function("() => document.querySelector('#document textarea').value.startsWith('HARBOUR')")
    tab_to("e.closest('#document')")
    keyboard.press("Control+A")
    keyboard.insert_text(examples()["Svenska"].text)
    tab_to("e.closest('#question')")
    keyboard.press("Control+A")
    keyboard.type("Thomas Telford")
    keyboard.press("Enter")
    tab.page.wait_for_selector(".card.found")
    assert tab.marked() == "Thomas Telford"
    tab_to("e.matches('.others summary')")
    keyboard.press("Enter")
    tab_to("e.matches('.candidates a')")
    keyboard.press("Enter")
    assert tab.page.url.endswith("#answer-1")
    tab_to("e.id === 'document-text'")
    assert tab.problems == []


@contextlib.contextmanager
def held(echo: Any, batches: int = 1) -> Iterator[threading.Event]:
    """The model reads so many batches and then stands still until the event is set."""
    gate, forward, first = threading.Event(), type(echo.model).forward, echo.model.calls + batches

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


@pytest.mark.parametrize("language", spoken())
def test_what_is_said_meanwhile_is_said_in_each_language_and_fits_a_phone(visit, echo, tmp_path, language):
    say, tab = words(language), visit("phone", locale=language)
    book = examples()["English, a book"].text[:20_000]
    name, total = "long-name" * 9 + ".pdf", len(echo.read(book, "accordion").windows)

    def shown(text: str) -> None:
        """The card or notice says so, and neither leaves the screen nor hides a word."""
        tab.page.wait_for_function(
            "text => ['#answer .card', '#notice'].some(s => document.querySelector(s).innerText.includes(text))"
            " && document.documentElement.scrollWidth <= innerWidth"
            " && [...document.querySelectorAll('#answer *, #notice *, #ask, #stop')].every(e =>"
            " getComputedStyle(e).display === 'inline' || e.scrollWidth <= e.clientWidth + 1)",
            arg=text,
        )

    tab.page.set_input_files("input[type=file]", encrypted_pdf(tmp_path / name, "secret"))
    shown(say.whole("file_locked", name=f"'{name[:40]}…{name[-15:]}'"))
    assert tab.page.title() == say("title")
    for card, text in (
        (status.waiting_html(1_234, say), say("waiting", count=1_234)),
        (status.progress_html(Progress(1_233, 2_345), 3_000, say), say("reading", number=1_234, total=2_345)),
        (status.progress_html(Progress(1_233, 2_345), 45, say), say("left", time=say("seconds", count=45))),
        (status.failed_html(say), say("failed_hint")),
    ):
        tab.page.evaluate("card => (document.querySelector('#answer .card').outerHTML = card)", card)
        shown(text)
    with held(echo, batches=0) as gate:  # else the first window is read before the browser has drawn its card
        tab.page.locator("#document textarea").fill(book)
        tab.page.locator("#question textarea").fill("accordion")
        tab.page.click("#ask")
        shown(say("reading", number=1, total=total))
        tab.page.click("#stop")
        shown(say("stopping"))
        gate.set()
        shown(say("stopped_hint"))
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
    tab = visit(locale="sv-SE")
    tab.page.locator("#document textarea").fill("Text.")
    tab.page.locator("#question textarea").fill("Text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_server.page._queue, "max_size", 0)
        tab.page.click("#ask")
        toast = tab.page.locator(".toast-body")
        toast.wait_for()
        assert words("sv")("full") in toast.inner_text()
    tab.page.locator(".toast-close").click()
    tab.page.click("#ask")
    tab.page.wait_for_selector(".card.found")
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
    tab.page.get_by_label("Göta kanal · svenska").check(force=True)
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


# What belongs to the visitor alone


def value(tab: Visit, field: str) -> str:
    return tab.page.locator(f"#{field} textarea").input_value()


def chosen(tab: Visit, name: str) -> None:
    example = examples()[name]
    tab.page.get_by_label(example.label).check(force=True)
    tab.page.wait_for_function("t => document.querySelector('#document textarea').value === t", arg=example.text)


def test_an_edit_clears_the_answer_and_the_examples_questions(visit):
    tab = visit()
    chosen(tab, "Svenska")
    tab.ask("Thomas Telford")
    assert "Göta kanal" in tab.text(".asked")
    field = tab.page.get_by_label("Document", exact=True)
    field.press("End")
    field.type("x")
    tab.page.wait_for_selector(".card.empty")
    assert tab.page.locator("#document-text").count() == 0
    assert not tab.page.locator("#questions").is_visible()
    assert tab.page.locator("#examples input:checked").count() == 0
    assert tab.text("#notice") == "Göta kanal (edited)"
    tab.ask("Thomas Telford")
    assert tab.text(".asked") == "You asked about Göta kanal (edited): Thomas Telford"
    chosen(tab, "Svenska")  # choosing the example again restores its text
    tab.page.wait_for_selector(".card.empty")
    assert tab.problems == []


def test_an_example_takes_no_text_away_without_a_way_back(visit):
    tab = visit()
    tab.page.get_by_label("Document", exact=True).fill("My own text, typed by hand.")
    assert not tab.page.locator("#back").is_visible()
    chosen(tab, "Svenska")
    chosen(tab, "中文")  # a second example must not replace the visitor's text
    tab.page.click("#back")
    tab.page.wait_for_function("() => document.querySelector('#document textarea').value.startsWith('My own')")
    assert value(tab, "document") == "My own text, typed by hand."
    assert not tab.page.locator("#questions").is_visible() and not tab.page.locator("#back").is_visible()
    tab.ask("typed by hand")
    assert "You asked about your text" in tab.text(".asked")
    assert tab.problems == []


def test_several_questions_have_a_table_and_the_tab_a_history(visit, tmp_path):
    tab = visit()
    tab.ask("horses\n\nWhere do the zebras sleep at night?\ndonkeys", "A text about horses and donkeys, in English.")
    rows = tab.page.locator(".answers tbody tr")
    assert rows.count() == 3
    assert [rows.nth(i).locator("a").count() for i in range(3)] == [1, 0, 1]
    assert tab.marked(1) == "horses" and tab.marked(3) == "donkeys"
    tab.ask("=1+1", "Then =1+1 is written here.")
    items = tab.page.locator("#history-list li")
    assert items.count() == 4
    assert "=1+1" in items.nth(0).inner_text() and "donkeys" in items.nth(1).inner_text()
    with tab.page.expect_download() as saving:
        tab.page.click("[data-save=json]")
    kept = json.loads(Path(saving.value.path()).read_text())
    assert [row["question"] for row in kept] == ["horses", "Where do the zebras sleep at night?", "donkeys", "=1+1"]
    assert [row["verdict"] for row in kept][:3] == ["answered", "absent", "answered"]
    assert kept[0]["sentence"] == "A text about horses and donkeys, in English." and kept[0]["start"] == 13
    with tab.page.expect_download() as saving:
        tab.page.click("[data-save=csv]")
    table = list(csv.reader(Path(saving.value.path()).read_text("utf-8-sig").splitlines()))
    assert table[0][:3] == ["asked", "document", "question"] and len(table) == 5
    assert table[4][2] == "'=1+1"  # a spreadsheet must not take a visitor's words for a formula
    assert tab.problems == []


def test_an_answer_can_be_copied_with_its_sentence_and_place(visit):
    tab = visit()
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.ask("Visby", "It closed.\n\n\fThen it opened in Visby.")
    tab.page.click(".copy")
    tab.page.wait_for_function("() => document.querySelector('.copy').textContent === 'Copied'")
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == "Visby\nVisby\nThen it opened in Visby.\nyour text, page 2, 31–36"
    assert tab.problems == []


# What is seen


@pytest.mark.parametrize("screen", ["laptop", "desktop", "phone"])
def test_ask_is_above_the_fold_and_the_answer_in_view(visit, screen):
    tab = visit(screen)
    chosen(tab, "Svenska")
    if screen != "phone":
        box = tab.page.locator("#ask").bounding_box()
        assert box["y"] + box["height"] <= SCREENS[screen][1]
    tab.ask("hytterna")  # the last word of the document
    height = SCREENS[screen][1]
    tab.page.wait_for_function(
        "h => { const box = (s) => document.querySelector(s).getBoundingClientRect();"
        " const card = box('.card.found'), mark = box('#answer-1'), text = box('#document-text');"
        " return card.top >= -1 && card.top < h / 2 && mark.top > text.top && mark.bottom < text.bottom"
        " && (innerWidth < 960 || text.bottom <= h); }",
        arg=height,
    )
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.page.evaluate("document.activeElement.id") in ("ask", "question") or screen == "phone"
    assert tab.problems == []


@pytest.mark.parametrize(
    ("locale", "ask", "label"),
    [("sv-SE", "Fråga", "Dokument"), ("de-AT", "Fragen", "Dokument"), ("fr", "Demander", "Document"),
     ("es-PE", "Preguntar", "Documento"), ("zh-CN", "提问", "文档"), ("zh", "提问", "文档"),
     ("zh-HK", "提问", "文档"), ("fi-FI", "Ask", "Document")],
)  # fmt: skip
def test_the_page_speaks_the_browsers_language(visit, locale, ask, label):
    tab = visit(locale=locale)
    assert tab.text("#ask") == ask
    assert tab.page.evaluate("document.documentElement.lang") == (locale[:2] if locale != "fi-FI" else "en")
    tab.page.get_by_label(label, exact=True).fill("A text about horses.")
    tab.page.locator("#question textarea").fill("horses")
    tab.page.click("#ask")
    tab.page.wait_for_selector(".card.found")
    assert tab.text(".legend").split("\n")[0].strip() != "" and ("best place" in tab.text(".legend")) == (ask == "Ask")
    assert tab.problems == []


def test_fixed_parts_and_answers_are_in_the_first_of_the_browsers_languages_that_the_page_speaks(browser, page_server):
    context = browser.new_context()
    tab = context.new_page()
    agent = {"userAgent": tab.evaluate("navigator.userAgent"), "acceptLanguage": "fi,de,sv"}
    context.new_cdp_session(tab).send("Emulation.setUserAgentOverride", agent)
    visit = Visit(tab, page_server.url)
    assert visit.text("#ask") == "Fragen"
    tab.get_by_label("Dokument", exact=True).fill("A text about horses.")
    tab.get_by_label("Frage", exact=True).fill("horses")
    tab.click("#ask")
    assert "beste Stelle" in visit.text(".legend")
    assert visit.problems == []
    context.close()


def test_a_link_opens_an_example(visit):
    tab = visit(query="?example=Gota-Kanal")
    tab.page.wait_for_function("() => document.querySelector('#document textarea').value.startsWith('Göta kanal')")
    assert tab.problems == []


def test_the_head_has_description_and_icon_and_the_panels_fetch_what_is_there(visit):
    tab = visit()
    refused = []
    tab.page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    assert "million characters" in tab.page.locator("meta[name=description]").get_attribute("content")
    assert tab.page.request.get(tab.page.url + "favicon.ico").headers["content-type"].startswith("image/svg")
    tab.page.get_by_role("button", name="Use via API").click()
    tab.page.wait_for_selector("text=/ask")
    tab.page.wait_for_timeout(500)
    assert refused == [] and tab.problems == []


@contextlib.contextmanager
def behind(url: str, path: str) -> Iterator[str]:
    """A proxy that shows what is at `url` under `path`, beside an icon and a manifest of the host's own."""
    app = Starlette(routes=[Route(at, lambda request: JSONResponse({})) for at in ("/favicon.ico", "/manifest.json")])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))

    async def forward(request: Request) -> StreamingResponse:
        client = httpx.AsyncClient(timeout=60)
        headers = [(name, text) for name, text in request.headers.items() if name != "host"]
        there = client.build_request(
            request.method, url + request.path_params["rest"], params=request.query_params,
            headers=[*headers, ("x-forwarded-host", request.headers["host"])], content=await request.body(),
        )  # fmt: skip
        got = await client.send(there, stream=True)
        kept = {name: text for name, text in got.headers.items() if name != "transfer-encoding"}
        return StreamingResponse(got.aiter_raw(), got.status_code, kept, background=BackgroundTask(client.aclose))

    app.router.routes.append(Route(path + "/{rest:path}", forward, methods=["GET", "POST", "HEAD"]))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{path}/"
    finally:
        server.should_exit = server.force_exit = True  # do not wait for streams that a tab left open
        thread.join()


def test_it_works_under_a_path_of_another_host(browser, echo, tmp_path):
    page = build_page(echo)
    _, own, _ = page.launch(
        server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, root_path="/long/ask", **launch_options(echo)
    )
    context = browser.new_context(locale="en-US")
    try:
        with behind(own, "/long/ask") as url:
            tab = Visit(context.new_page(), url, "?example=gota-kanal")
            tab.page.wait_for_function("() => document.querySelector('#document textarea').value.startsWith('Göta')")
            tab.ask("Thomas Telford")
            assert tab.marked() == "Thomas Telford"
            (tmp_path / "note.txt").write_text("It closed in Visby.")
            tab.page.set_input_files("input[type=file]", tmp_path / "note.txt")
            tab.page.wait_for_function("() => document.querySelector('#document textarea').value.endsWith('Visby.')")
            tab.page.click("#how button")
            tab.page.wait_for_selector(".how")
            for link in (links := tab.page.locator(".how a:not([href^=http])")).all():
                assert tab.page.request.get(link.evaluate("a => a.href")).ok
            assert links.count() >= 1
            assert tab.page.locator("link[rel=icon]").evaluate("link => link.href") == f"{url}favicon.ico"
            assert tab.problems == []
            context.close()
    finally:
        page.close()


def test_groups_have_legends_and_questions_run_in_their_own_direction(visit):
    tab = visit()
    chosen(tab, "العربية")
    tab.page.wait_for_selector("#questions:visible")
    legends = tab.page.locator("fieldset legend").all_text_contents()
    assert [legend.strip() for legend in legends] == ["Try an example", "Questions to try"]
    assert (
        tab.page.evaluate("getComputedStyle(document.querySelector('#question textarea')).unicodeBidi") == "plaintext"
    )
    tab.ask("الخزنة")
    assert tab.page.locator("#document-text").get_attribute("lang") == "ar"
    assert tab.problems == []


def test_the_style_sheet_names_only_what_exists():
    import re

    from space import page as page_module

    room = Path(page_module.__file__).parent
    sheet = (room / "page.css").read_text()
    code = "".join(file.read_text() for file in [*room.glob("*.py"), room / "page.js"])
    ours = set(re.findall(r"#([a-z][\w-]*)(?=[\s.:,{>])", re.sub(r"#[0-9a-f]{6}\b", "", sheet)))
    assert ours
    assert {name for name in ours if f'"{name}"' not in code} == set()
