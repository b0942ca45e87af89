"""The page itself: its fields, what each does, and what gradio is told.

Importing this file loads no model and starts no server. What belongs to the visitor alone, such as the text that an
example replaced and what was asked before, stays in the browser: `page.js` has it.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from space import panel, status
from space.asking import Asking
from space.documents import MAX_FILE_BYTES, SUFFIXES, read_document, told
from space.endpoint import answer_question
from space.forget import SESSIONS, forget
from space.gallery import examples
from space.limits import APP_KWARGS, QUEUE_LENGTH, READINGS
from space.looks import FRAME, theme
from space.pace import Pace
from space.reader import Reader
from space.stops import Stops
from space.turns import Turns, turns_of_this_machine
from space.words import VisitorError, Words, chosen, words

logger = logging.getLogger("space")
HERE = Path(__file__).parent
EXAMPLES = examples()
# The Ask and the Stop button, while a document is read and otherwise.
BUSY = (gr.update(visible=False), gr.update(visible=True))
IDLE = (gr.update(visible=True), gr.update(visible=False))


def build_page(reader: Reader, turns: Turns | None = None, pace: Pace | None = None) -> gr.Blocks:
    """The page over a loaded reader; `launch_options()` holds what gradio takes at launch.

    Args:
        pace: of a reading that was timed already; without one the first visitor is not told how long it will take.
    """

    stops = Stops()
    asking = Asking(reader, turns or turns_of_this_machine(), pace or Pace())
    i18n = panel.translations(reader)

    def begin(request: gr.Request) -> None:
        if not stops.begin(request.session_hash):
            say = in_language(request)
            raise gr.Error(say("busy"), title=say("failed"), print_exception=False)

    def fail(request: gr.Request) -> tuple[Any, ...]:
        stops.end(request.session_hash)
        return status.failed_html(in_language(request)), "", *IDLE

    def stop(request: gr.Request) -> str:
        stops.stop(request.session_hash)
        return status.stopping_html(in_language(request))

    def leave(request: gr.Request) -> None:
        stops.end(request.session_hash)

    def show_answer(document: str, question: str, name: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Read in turns, so that the visitor sees how far it is and can stop it."""
        session = request.session_hash
        stops.read(session)
        latest = ("", "")
        try:
            for card, place in asking.answer(
                document, question, name, in_language(request), lambda: stops.stopped(session)
            ):
                latest = card, place
                yield *latest, *BUSY
        finally:
            stops.end(session)
        yield *latest, *IDLE

    with gr.Blocks(title="Ask a long document", delete_cache=(60, 120), analytics_enabled=False) as page:
        gr.HTML(i18n("masthead_html"), padding=False)
        with gr.Row(equal_height=False, elem_id="sides"):
            with gr.Column(scale=5, min_width=320, elem_id="asking"):
                example = gr.Radio(
                    [(entry.label, entry.name) for entry in EXAMPLES.values()],
                    label=i18n("examples"),
                    elem_id="examples",
                )
                document = gr.Textbox(
                    label=i18n("document"),
                    placeholder=i18n("document_placeholder"),
                    lines=5,
                    max_lines=5,
                    elem_id="document",
                )
                with gr.Row(elem_id="file", equal_height=True):
                    upload = gr.UploadButton(str(i18n("open")), variant="secondary", size="md", elem_id="open", scale=0)
                    notice = gr.HTML(i18n("hint_html"), elem_classes="notice", elem_id="notice", padding=False)
                    back = gr.Button(i18n("back"), visible=False, size="sm", elem_id="back", scale=0)
                name = gr.Textbox(visible="hidden", elem_id="name")
                with gr.Row(elem_id="ask-row", equal_height=False):
                    question = gr.Textbox(
                        label=i18n("question"),
                        placeholder=i18n("question_placeholder"),
                        lines=1,
                        max_lines=6,
                        elem_id="question",
                        scale=1,
                    )
                    ask_button = gr.Button(i18n("ask"), variant="primary", elem_id="ask", scale=0, min_width=96)
                    stop_button = gr.Button(
                        i18n("stop"), variant="stop", visible=False, elem_id="stop", scale=0, min_width=96
                    )
                questions = gr.Radio(label=i18n("questions"), visible=False, elem_id="questions")
            with gr.Column(scale=6, min_width=320, elem_id="answering"):
                answer = gr.HTML(i18n("empty_html"), elem_id="answer", padding=False)
                place = gr.HTML(elem_id="place", padding=False)
        gr.HTML(i18n("history_html"), elem_id="history", padding=False)
        with gr.Accordion(i18n("how"), open=False, elem_id="how"):
            gr.HTML(i18n("how_html"))

        private: dict[str, Any] = {"api_visibility": "private"}
        cleared = [answer, place]
        # The browser itself puts the visitor's text aside. It is not sent here for that.
        example.select(None, [document, name], back, js="window.putAside", **private)
        example.select(choose_example, example, [document, question, questions, notice, name, *cleared], **private)
        questions.select(lambda text: text, questions, question, queue=False, **private)
        # A visitor who types a question has chosen none of the example's.
        question.input(None, None, questions, js="() => null", **private)
        document.input(None, [name], [name, notice, example, questions, *cleared], js="window.edited", **private)
        back.click(
            None, None, [document, name, back, notice, example, questions, *cleared], js="window.bringBack", **private
        )
        upload.upload(None, [document, name], back, js="window.putAside", **private)
        upload.upload(
            open_file,
            upload,
            [document, notice, upload, name, example, questions, *cleared],
            concurrency_limit=2,
            **private,
        )
        outputs = [answer, place, ask_button, stop_button]
        # In gradio's queue, because only there an error of `begin` is shown as a message.
        asked = gr.on([ask_button.click, question.submit], begin, None, None, concurrency_limit=None, **private)
        # No limit here, since space/turns.py lets readings take turns, window by window.
        read = asked.success(
            show_answer,
            [document, question, name],
            outputs,
            concurrency_limit=READINGS,
            concurrency_id="reader",
            show_progress="hidden",
            **private,
        )
        read.success(None, None, None, js="() => window.showAnswer()")
        read.failure(fail, None, outputs, queue=False, **private)
        stop_button.click(stop, None, answer, queue=False, **private)
        page.unload(leave)
        gr.api(answer_question(asking), api_name="ask", concurrency_limit=READINGS, concurrency_id="reader")
    page.queue(max_size=QUEUE_LENGTH)
    forget(page)
    return page


def choose_example(name: str, request: gr.Request) -> tuple[Any, ...]:
    """An example's text, its first question, its questions, its name, and no answer any more."""
    example, say = EXAMPLES[name], in_language(request)
    text = example.text
    choices = gr.update(choices=list(example.questions), value=example.questions[0], visible=True)
    notice = panel.notice(example.title, say("characters", count=len(text)))
    return text, example.questions[0], choices, notice, example.title, status.empty_html(say), ""


def open_file(path: str, request: gr.Request) -> tuple[Any, ...]:
    """The text of an uploaded file, which is deleted whatever happens."""
    name, say = Path(path).name, in_language(request)
    try:
        file = read_document(path)
    except VisitorError as refused:
        suffix = Path(name).suffix.lower()
        logger.info("refused a file: %s", suffix if suffix in SUFFIXES else "of another kind")
        same = gr.update()
        return same, panel.problem(refused.said(say)), None, same, same, same, same, same
    finally:
        Path(path).unlink(missing_ok=True)
    facts = [say("pages", count=file.pages)] if file.pages and file.pages > 1 else []
    facts += [say("characters", count=len(file.text)), *told(file.notes, say)]
    hidden = gr.update(visible=False)
    return file.text, panel.notice(name, *facts), None, name, None, hidden, status.empty_html(say), ""


def in_language(request: gr.Request) -> Words:
    return chosen(request.headers.get("accept-language"))


def launch_options(reader: Reader) -> dict[str, Any]:
    """What gradio 6 takes at launch: looks, limits, and nothing that phones home or keeps a history."""
    about = {"limit": MAX_FILE_BYTES, "examples": [[e.name, e.key, e.title] for e in EXAMPLES.values()]}
    description = words()("lead").replace('"', "&quot;")
    icon = '<link rel="icon" href="favicon.ico">'  # a relative address, since a host may serve the page under a path
    head = f'{icon}<meta name="description" content="{description}"><style>{FRAME}</style>'
    return {
        "theme": theme(),
        "css_paths": HERE / "page.css",
        "head": f"{head}<script>window.about = {json.dumps(about)};{(HERE / 'page.js').read_text()}</script>",
        "js": "() => window.preparePage()",
        "i18n": panel.translations(reader),
        "favicon_path": HERE / "icon.svg",
        "max_file_size": MAX_FILE_BYTES,
        "max_threads": READINGS + 20,
        "state_session_capacity": SESSIONS,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "app_kwargs": APP_KWARGS,
    }
