"""The page: a document, a question, and the answer in its place.

    python -m space.app                              # http://127.0.0.1:7860, the embedded model, no Hub needed
    SPACE_MODEL=org/xlm-long-qa python -m space.app  # any question-answering model: a Hub id or a folder

Importing this file loads no model and starts no server. Nothing that a visitor sends is kept: a file is deleted as
soon as its text is read, the document lives in the visitor's own browser, and the log holds counts and no text.
"""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from foundation.cli import UserError, command_parser, run
from space import cards, panel
from space.documents import MAX_CHARACTERS, MAX_FILE_BYTES, SUFFIXES, read_document
from space.documents import told as told_of
from space.forget import SESSIONS, forget
from space.gallery import examples
from space.limits import APP_KWARGS, QUEUE_LENGTH
from space.marks import document_html, page_of
from space.reader import Reader, Reading, load_reader
from space.sentences import sentence
from space.stops import Stops
from space.words import Words, chosen, words

logger = logging.getLogger("space")
HERE = Path(__file__).parent
EXAMPLES = examples()
# What the Ask and the Stop button show while a document is read, and otherwise.
BUSY = (gr.update(visible=False), gr.update(visible=True))
IDLE = (gr.update(visible=True), gr.update(visible=False))


def build_page(reader: Reader) -> gr.Blocks:
    """The page over a loaded reader; `launch_options()` holds what gradio takes at launch."""

    stops = Stops()

    def begin(request: gr.Request) -> None:
        if not stops.begin(request.session_hash):
            raise gr.Error("One question at a time: wait for the answer, or press Stop.", print_exception=False)

    def fail(request: gr.Request) -> tuple[Any, ...]:
        stops.end(request.session_hash)
        return cards.failed_html(in_language(request)), "", *IDLE

    def stop(request: gr.Request) -> None:
        stops.stop(request.session_hash)

    def leave(request: gr.Request) -> None:
        stops.end(request.session_hash)

    def wait(request: gr.Request) -> tuple[Any, ...]:
        return cards.waiting_html(in_language(request)), "", *BUSY

    def show_answer(document: str, question: str, name: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Read window by window, so that the visitor sees how far it is and can stop it."""
        session, say = request.session_hash, in_language(request)
        steps = reader.steps(document, question)
        reading = None
        try:
            while reading is None and not stops.stopped(session):
                try:
                    yield cards.progress_html(next(steps), say), "", *BUSY
                except StopIteration as end:
                    reading = end.value
        except UserError as error:
            logger.info("refused: %d characters of document, %d of question", len(document), len(question))
            yield cards.problem_html(str(error), say), "", *IDLE
            return
        finally:
            stops.end(session)
        if reading is None:
            logger.info("stopped")
            yield cards.stopped_html(say), "", *IDLE
            return
        log(reading)
        answer = cards.answer_html(reading, reader, document, question, name or say("your_text"), say)
        yield answer, document_html(document, cards.marks_of(reading), say, reading.language), *IDLE

    def answer_question(document: str, question: str, n_best: int = 5) -> dict[str, Any]:
        """Answer a question about a document.

        Returns `answered`, `verdict` ("answered"; "uncertain" where question and document are in different languages
        and the score is low; "absent"), `answer`, `start`, `end` (characters of the document as it was sent),
        `probability`, `null_probability` ("not answered here"), `n_best` (places with the same, their `sentence` and
        their `page`, where form feeds part the document's pages), `definitions` (what the document says elsewhere of
        the best place's words), `tokens`, `windows` and `seconds`.
        """
        for name, text in (("document", document), ("question", question)):
            if not isinstance(text, str):
                raise gr.Error(f"{name} is {type(text).__name__}: give a text", print_exception=False)
        if type(n_best) is not int or not 1 <= n_best <= 20:
            raise gr.Error(f"n_best is {n_best!r}: give a whole number from 1 to 20", print_exception=False)
        try:
            reading = reader.read(document, question, n_best=n_best)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        log(reading)
        return told(reading, document)

    with gr.Blocks(title="Ask a long document", delete_cache=(60, 120), analytics_enabled=False) as page:
        gr.HTML(panel.MASTHEAD, padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                example = gr.Radio(list(EXAMPLES), label="Try an example", elem_id="examples")
                document = gr.Textbox(
                    label="Document",
                    placeholder="Paste a text in any language, up to 1,000,000 characters, or open a file.",
                    lines=7,
                    max_lines=7,
                    elem_id="document",
                )
                with gr.Row(elem_id="file", equal_height=True):
                    upload = gr.UploadButton(
                        "Open a file",
                        variant="secondary",
                        size="md",
                        elem_id="open",
                        scale=0,
                    )
                    notice = gr.HTML(panel.FILE_HINT, elem_classes="notice", elem_id="notice", padding=False)
                name = gr.Textbox(visible="hidden", elem_id="name")
                question = gr.Textbox(
                    label="Question",
                    placeholder="Best in the document's language",
                    lines=1,
                    max_lines=4,
                    elem_id="question",
                )
                questions = gr.Radio(label="Questions to try", visible=False, elem_id="questions")
                ask_button = gr.Button("Ask", variant="primary", elem_id="ask")
                stop_button = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
            with gr.Column(scale=6, min_width=320):
                answer = gr.HTML(cards.empty_html(words()), elem_id="answer", padding=False)
                place = gr.HTML(elem_id="place", padding=False)
        with gr.Accordion("How it works, and what it is good for", open=False, elem_id="how"):
            gr.HTML(panel.how_it_works(reader))

        example.select(choose_example, example, [document, question, questions, notice, name], api_visibility="private")
        questions.select(lambda text: text, questions, question, queue=False, api_visibility="private")
        upload.upload(
            open_file,
            upload,
            [document, notice, upload, name],
            concurrency_limit=2,
            api_visibility="private",
        )
        outputs = [answer, place, ask_button, stop_button]
        # In the queue, because only there an error that begin raises shows as a message.
        asked = gr.on(
            [ask_button.click, question.submit], begin, None, None, concurrency_limit=None, api_visibility="private"
        ).success(
            wait,
            None,
            outputs,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        read = asked.success(
            show_answer,
            [document, question, name],
            outputs,
            concurrency_limit=1,
            concurrency_id="reader",
            show_progress="hidden",
            api_visibility="private",
        )
        read.success(None, None, None, js="() => window.showAnswer()")
        read.failure(fail, None, outputs, queue=False, api_visibility="private")
        stop_button.click(stop, None, None, queue=False, api_visibility="private")
        page.unload(leave)
        gr.api(answer_question, api_name="ask", concurrency_limit=1, concurrency_id="reader")
    page.queue(max_size=QUEUE_LENGTH)
    forget(page)
    return page


def choose_example(name: str) -> tuple[Any, ...]:
    """An example's text, its first question, its other questions, and its name."""
    example = EXAMPLES[name]
    text = example.text
    choices = gr.update(choices=list(example.questions), value=example.questions[0], visible=True)
    return text, example.questions[0], choices, panel.notice(example.title, f"{len(text):,} characters"), example.title


def open_file(path: str, request: gr.Request) -> tuple[Any, ...]:
    """The text of an uploaded file, which is deleted whatever happens."""
    name = Path(path).name
    try:
        file = read_document(path)
    except UserError as error:
        suffix = Path(name).suffix.lower()
        logger.info("refused a file: %s", suffix if suffix in SUFFIXES else "of another kind")
        return gr.update(), panel.problem(str(error)), None, gr.update()
    finally:
        Path(path).unlink(missing_ok=True)
    say = in_language(request)
    facts = [say("pages", count=say.number(file.pages))] if file.pages else []
    facts += [say("characters", count=say.number(len(file.text))), *told_of(file.notes, say)]
    return file.text, panel.notice(name, *facts), None, name


def in_language(request: gr.Request) -> Words:
    return chosen(request.headers.get("accept-language"))


def told(reading: Reading, document: str) -> dict[str, Any]:
    """A reading as the endpoint tells it."""
    places = []
    for answer in reading.answers:
        first, last = sentence(document, answer.start, answer.end)
        places.append(
            {
                "answer": answer.text,
                "start": answer.start,
                "end": answer.end,
                "probability": answer.probability,
                "sentence": document[first:last],
                "page": page_of(document, answer.start),
            }
        )
    best = reading.best
    nothing = {"answer": "", "start": None, "end": None, "probability": 0.0}
    return {
        "answered": reading.answered,
        "verdict": reading.verdict,
        **({key: places[0][key] for key in nothing} if best else nothing),
        "null_probability": reading.null_probability,
        "n_best": places,
        "definitions": [
            {"term": d.term, "text": document[d.start : d.end], "start": d.start, "end": d.end}
            for d in reading.definitions
        ],
        "tokens": reading.tokens,
        "windows": len(reading.windows),
        "seconds": round(reading.seconds, 3),
    }


def log(reading: Reading) -> None:
    """Counts and times; never a word of what was read."""
    logger.info(
        "read %d tokens in %d windows, %.2f s, %s",
        reading.tokens,
        len(reading.windows),
        reading.seconds,
        "answered" if reading.answered else "not answered",
    )


def launch_options() -> dict[str, Any]:
    """What gradio 6 takes at launch: looks, limits, and nothing that phones home or keeps a history."""
    return {
        "theme": panel.theme(),
        "css_paths": HERE / "page.css",
        "head": f"<script>{(HERE / 'page.js').read_text()}</script>",
        "js": "() => window.preparePage()",
        "max_file_size": MAX_FILE_BYTES,
        "state_session_capacity": SESSIONS,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "app_kwargs": APP_KWARGS,
    }


def check_port(host: str, port: int) -> None:
    """Say that the page cannot listen there before the model is loaded, which takes longer."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port} on --host {host} cannot be used ({error}): give another --port") from error


def main() -> None:
    parser = command_parser(
        description="Serve the page that answers questions about long documents.",
        example="SPACE_MODEL=org/xlm-long-qa python -m space.app --port 7861",
    )
    # Containers and Spaces set gradio's own two variables.
    host, port = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), os.environ.get("GRADIO_SERVER_PORT", "7860")
    parser.add_argument("--host", default=host, help="address to listen on; 0.0.0.0 for every network")
    parser.add_argument("--port", type=int, default=port, help="port to listen on")
    arguments = parser.parse_args()
    check_port(arguments.host, arguments.port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    reader = load_reader(os.environ.get("SPACE_MODEL") or None)
    logger.info("model %s, windows of %d tokens, %d characters at most", reader.name, reader.max_length, MAX_CHARACTERS)
    build_page(reader).launch(server_name=arguments.host, server_port=arguments.port, **launch_options())


if __name__ == "__main__":
    run(main)
