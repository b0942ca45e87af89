"""The page's endpoint for programs: /ask."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from foundation.cli import UserError
from space.asking import Asking
from space.marks import page_of
from space.reader import Reading
from space.sentences import sentence


def answer_question(asking: Asking) -> Callable[..., dict[str, Any]]:
    """The endpoint over one reader."""

    def ask(document: str, question: str, n_best: int = 5) -> dict[str, Any]:
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
            return told(asking.read(document, question, n_best), document)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return ask


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
    nothing = {"answer": "", "start": None, "end": None, "probability": 0.0}
    return {
        "answered": reading.answered,
        "verdict": reading.verdict,
        **({key: places[0][key] for key in nothing} if reading.best else nothing),
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
