"""From what a visitor asked to what is shown, step by step: waiting, reading, the answer or the answers.

One question a line. Each is read by itself, in turns with those of other visitors; the answers stand in one table.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator

from space import cards, status
from space.marks import document_html
from space.pace import Pace
from space.reader import Progress, Reader, Reading
from space.turns import Turns, Waiting, closing
from space.words import VisitorError, Words

logger = logging.getLogger("space")

MAX_QUESTIONS = 20


class Asking:
    """One reader, for all visitors."""

    def __init__(self, reader: Reader, turns: Turns, pace: Pace):
        self.reader, self.turns, self.pace = reader, turns, pace

    def answer(
        self, document: str, question: str, name: str, say: Words, stopped: Callable[[], bool]
    ) -> Iterator[tuple[str, str]]:
        """The card and the document as they are to be shown, again and again until the last."""
        questions = [line.strip() for line in question.splitlines() if line.strip()]
        try:
            readings = yield from self._read(document, questions, say, stopped)
        except VisitorError as refused:
            logger.info("refused: %d characters of document, %d of question", len(document), len(question))
            yield status.problem_html(refused.said(say), say), ""
        except InterruptedError:
            logger.info("stopped")
            yield status.stopped_html(say), ""
        else:
            name = name or say("your_text")
            if len(readings) == 1:
                card = cards.answer_html(readings[0], self.reader, document, questions[0], name, say)
                marks = cards.marks_of(readings[0])
            else:
                card = cards.answers_html(readings, document, questions, name, say)
                marks = cards.marks_of_all(readings)
            yield card, document_html(document, marks, say, readings[0].language)

    def _read(
        self, document: str, questions: list[str], say: Words, stopped: Callable[[], bool]
    ) -> Generator[tuple[str, str], None, list[Reading]]:
        self.reader.check_document(document)
        if not questions:
            raise VisitorError("mistake_no_question")
        if len(questions) > MAX_QUESTIONS:
            raise VisitorError("mistake_questions", count=len(questions), most=MAX_QUESTIONS)
        for question in questions:  # the last one too is judged before the first is read
            self.reader.checked(question)
        prepared = self.reader.prepare(document)  # takes a second for a long one, so nothing is refused after it
        expected = self.pace.expected(len(prepared.ids) * len(questions))
        readings: list[Reading] = []
        for number, question in enumerate(questions):
            began: float | None = None
            with closing(self.turns.run(self.reader.steps(prepared, question))) as steps:
                while len(readings) == number:
                    if stopped():
                        raise InterruptedError
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        readings.append(end.value)
                        log(end.value)
                        continue
                    if isinstance(step, Waiting):
                        yield status.waiting_html(step.before, say), ""
                        continue
                    began = began or time.monotonic()
                    whole = Progress(number * step.total + step.done, len(questions) * step.total)
                    yield status.progress_html(whole, _left(step, whole, time.monotonic() - began, expected), say), ""
            if began is not None:
                self.pace.note(len(prepared.ids), time.monotonic() - began)
        if stopped():  # during the last window
            raise InterruptedError
        return readings

    def read(self, document: str, question: str, n_best: int) -> Reading:
        """One reading in its turns, for the endpoint."""
        with closing(self.turns.run(self.reader.steps(document, question, n_best=n_best))) as steps:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    log(end.value)
                    return end.value


def _left(step: Progress, whole: Progress, elapsed: float, expected: float | None) -> float | None:
    """Seconds that are left: by this reading's own pace once a window is read, before by that of the last readings."""
    if step.done:
        return elapsed / step.done * (whole.total - whole.done)
    return expected and expected * (1 - whole.done / whole.total)


def log(reading: Reading) -> None:
    """Counts and times; never a word of what was read."""
    logger.info(
        "read %d tokens in %d windows, %.2f s, %s",
        reading.tokens,
        len(reading.windows),
        reading.seconds,
        reading.verdict,
    )
