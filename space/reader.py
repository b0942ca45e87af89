"""The long-document reader: a question and a document in, answers with their places in the document out.

    from space.reader import load_reader
    reader = load_reader()                                  # the embedded model and the adapter shipped with it
    reading = reader.read(open("report.txt").read(), "Who signed the treaty?")
    reading.best.text, reading.best.start, reading.best.probability

The document is cut into overlapping windows of the model's full length; in each the question sees and is seen by every
token (Longformer's global attention), and answers are ranked jointly over all windows. Windows, spans and ranking are
those of training/score.py, so both give the same answers on the same model.
"""

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from foundation.cli import UserError
from space.calibration import UNMEASURED, Calibration, read_calibrations, worth_showing
from space.definitions import Definition, defined
from space.documents import MAX_CHARACTERS, clean
from space.language import differ, language, surroundings
from space.words import VisitorError
from training.qa.answers import Answer, best_answers
from training.qa.model import check_max_length, load_qa_model
from training.qa.precision import bfloat16_pays
from training.qa.predict import read_windows
from training.qa.windows import Document, Window, Windower, characters
from training.runs.origin import beside_model
from training.scoring.record import CALIBRATION, SCORES, of_xquad, read_scores

logger = logging.getLogger("space")

ADAPTER = Path(__file__).parent / "adapter"
EMBEDDED_LABEL = "multilingual-e5-small made long, with this project's adapter"
MAX_QUESTION_CHARACTERS = 1_000
MAX_QUESTION_TOKENS = 128
# Tokens that neighbouring windows share, score.py's default. Windows below 512 tokens share a quarter.
DOC_STRIDE = 128
# Spans that share the probability with "no answer", and the longest of them in tokens: score.py's defaults.
CANDIDATES = 20
MAX_ANSWER_TOKENS = 30
# Tokens of a batch, which has at least one window. So a long document needs no more memory than a short one.
BATCH_TOKENS = 4_096


@dataclass(frozen=True)
class Progress:
    """Windows read so far, and windows in all."""

    done: int
    total: int


# What a reading says of its best place. If the question is in another language than the document, a low score proves
# little, so the page never says ABSENT there.
ANSWERED, UNCERTAIN, ABSENT = "answered", "uncertain", "absent"


@dataclass(frozen=True)
class Reading:
    """What was found, and what it cost.

    Attributes:
        answers: places, best first, none overlapping a better one; empty only where the document has no token.
        verdict: "answered" where the best place is likelier than "not answered here"; else "absent" where question and
            document are in one language, and "uncertain" where they are not.
        null_probability: of "not answered here", beside the probabilities of the answers.
        language: of the document around its best place, as ISO 639 writes it; empty where there is no place.
        definitions: what the document says elsewhere of the best place's own words.
        tokens: tokens of the document.
        windows: character span [start, end) of the document part of each window.
        seconds: from question to answer, `tokenise_seconds` of it for the document's tokens.
        reused: the document came tokenised, from an earlier question. Nothing else can be reused: from the first
            layer on every token of the document has read the question.
    """

    answers: tuple[Answer, ...]
    verdict: str
    null_probability: float
    language: str
    definitions: tuple[Definition, ...]
    tokens: int
    windows: tuple[tuple[int, int], ...]
    seconds: float
    tokenise_seconds: float
    reused: bool

    @property
    def answered(self) -> bool:
        return self.verdict == ANSWERED

    @property
    def best(self) -> Answer | None:
        """The answer, None when the document does not answer."""
        return self.answers[0] if self.answered and self.answers else None


@dataclass(frozen=True)
class Reader:
    """A question-answering model with its windows.

    Args:
        same, other: how its scores become percentages where the question is in the document's language, and where it
            is in another (benchmarks/no_answer.py measures them).
        scores: XQuAD exact_match and f1 in % by language, where they were measured.
        shipped: whether it is the project's own adapter.
        hub_id: of its model, where that is on the Hub.
        half: read in bfloat16, as `score.py --bf16`.
    """

    model: Any
    windower: Windower
    name: str
    same: Calibration = UNMEASURED
    other: Calibration = UNMEASURED
    scores: dict[str, dict[str, float]] | None = None
    shipped: bool = False
    hub_id: str = ""
    half: bool = False

    @property
    def max_length(self) -> int:
        return self.windower.max_length

    def check_document(self, document: str) -> None:
        """Refuse, before any work, a document that is empty or too long: VisitorError."""
        if len(document) > MAX_CHARACTERS:
            raise VisitorError("mistake_document", count=len(document), most=MAX_CHARACTERS)
        if not document.strip():
            raise VisitorError("mistake_no_document")

    def prepare(self, document: str) -> Document:
        """Tokenise a document once for many questions; nothing of it stays in the reader."""
        self.check_document(document)
        prepared = self.windower.document(clean(document))
        self.windower.document.cache_clear()
        return prepared

    def read(
        self,
        document: str | Document,
        question: str,
        *,
        n_best: int = 5,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reading:
        """Answer one question about one document.

        Args:
            document: up to 1,000,000 characters, or what `prepare` made of them.
            question: in any language of the model, up to 128 tokens.
            n_best: answers to return at most.
            on_progress: called before each batch of windows; may raise to cancel.

        Raises:
            VisitorError: an empty or too long document or question.
        """
        steps = self.steps(document, question, n_best=n_best)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return end.value
            if on_progress is not None:
                on_progress(progress)

    def steps(self, document: str | Document, question: str, *, n_best: int = 5) -> Generator[Progress, None, Reading]:
        """`read`, stopping before each batch of windows: who iterates no further cancels; it returns the Reading."""
        started = time.perf_counter()
        question = self.checked(question)
        reused = isinstance(document, Document)
        prepared = document if isinstance(document, Document) else self.prepare(document)
        tokenised = time.perf_counter()
        windows = list(self.windower.windows(question, prepared))
        found = []
        size, pad = max(1, BATCH_TOKENS // self.max_length), self.windower.tokenizer.pad_token_id
        for first in range(0, len(windows), size):
            yield Progress(first, len(windows))
            batch = windows[first : first + size]
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.half):
                found += read_windows(self.model, batch, pad, CANDIDATES, MAX_ANSWER_TOKENS).spans
        answers = best_answers(prepared, found, CANDIDATES)
        best = answers.best
        around = surroundings(prepared.text, best.start, best.end) if best else ""
        spoken = language(around) if best else ""
        foreign = bool(best) and differ(question, spoken)
        places, null = (self.other if foreign else self.same).places(answers)
        best_places = worth_showing(places, prepared.text)[:n_best]
        answered = bool(places) and places[0].probability >= null
        return Reading(
            answers=best_places,
            verdict=ANSWERED if answered else UNCERTAIN if foreign else ABSENT,
            null_probability=null,
            language=spoken,
            definitions=defined(prepared.text, best_places[0].start, best_places[0].end) if best_places else (),
            tokens=len(prepared.ids),
            windows=tuple(_part(window, prepared) for window in windows),
            seconds=time.perf_counter() - started,
            tokenise_seconds=tokenised - started,
            reused=reused,
        )

    def checked(self, question: str) -> str:
        """The question as the model gets it.

        Raises:
            VisitorError: it is empty or too long.
        """
        question = clean(question).strip()
        if not question:
            raise VisitorError("mistake_no_question")
        if len(question) > MAX_QUESTION_CHARACTERS:
            raise VisitorError("mistake_question", count=len(question), most=MAX_QUESTION_CHARACTERS)
        tokens = len(self.windower.tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
        if tokens > self.windower.max_question_length:
            raise VisitorError("mistake_tokens", count=tokens, most=self.windower.max_question_length)
        return question


def load_reader(model_name_or_path: str | None = None) -> Reader:
    """A reader for a QA checkpoint or adapter: a folder, a Hub id, by default the adapter shipped with this project.

    It reads on the accelerator where there is one, and in bfloat16 where that is faster. Its percentages are those
    measured for this model (no_answer.json beside it); without that file "no answer" and the best span are equally
    likely where their scores are equal.
    """
    if model_name_or_path is None and not ADAPTER.is_dir():
        raise UserError(
            f"no adapter at {str(ADAPTER)!r}: train one with training/finetune.py, or name a QA model in SPACE_MODEL"
        )
    name = model_name_or_path or str(ADAPTER)
    model, tokenizer = load_qa_model(name)
    if torch.accelerator.is_available():
        model.to(torch.accelerator.current_accelerator())
    measured = beside_model(name, CALIBRATION)
    same, other = read_calibrations(measured, "beside the model,") if measured else (UNMEASURED, UNMEASURED)
    max_length = check_max_length(model, None)
    doc_stride = min(DOC_STRIDE, max_length // 4)
    windower = Windower(tokenizer, max_length, doc_stride, MAX_QUESTION_TOKENS)
    shipped, here = name == str(ADAPTER), Path(name).exists()
    label = EMBEDDED_LABEL if shipped else Path(name).name if here else name
    hub_id = "" if here or "/" not in name else name
    half = bfloat16_pays(model.device)
    return Reader(model, windower, label, same, other, _scores(name), shipped, hub_id, half)


def _scores(name: str) -> dict[str, dict[str, float]] | None:
    """XQuAD's scores by language beside the model, None where there are none; what cannot be read is not shown."""
    path = beside_model(name, SCORES)
    try:
        return None if path is None else of_xquad(read_scores(path, "beside the model,"))
    except UserError as error:
        logger.warning("%s; the page shows no scores", error)
        return None


def _part(window: Window, document: Document) -> tuple[int, int]:
    """The characters of the document that a window reads."""
    if not window.document_length:
        return (0, 0)
    return characters(document, window.document_start, window.document_start + window.document_length - 1)
