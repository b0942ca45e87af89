"""Questions and answers as transformers' "question-answering" pipeline had them, which it dropped in 5.3.

    from training.qa import pipeline
    qa = pipeline("org/xlm-long-qa")
    qa(question="Where do I live?", context="My name is Wolfgang and I live in Berlin")
    # {"score": 0.92, "start": 34, "end": 40, "answer": "Berlin"}

A score is the old one: the probability of the start times that of the end, each a softmax over the document's tokens
and the first token of the input, which stands for "no answer"; spans that read the same are added up. Where a document
takes several windows, the softmax goes over all of them, so that a window without an answer claims none.
"""

import dataclasses
import difflib
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foundation.cli import UserError, one_line, short_repr

from .answers import Answers, Span, best_answers
from .model import check_max_length, load_qa_model
from .precision import bfloat16_pays
from .predict import read_windows
from .sentences import sentence_around, stands_alone, whole_words
from .windows import Document, Window, Windower

TASK = "question-answering"
CANDIDATES = 100  # spans kept of each window; all others together are too unlikely to change a score
DOC_STRIDE = 128
# Errors from the rooms below name flags. Here they are arguments with these names.
ARGUMENTS = {
    "--model_name_or_path": "model",
    "--max_question_length": "max_question_len",
    "--max_length": "max_seq_len",
    "--doc_stride": "doc_stride",
    "--adapter": "adapter",
}


@dataclass(frozen=True)
class Options:
    """How questions are answered; each may be given to `pipeline`, for every call, and to a call.

    Attributes:
        top_k: answers to return at most; with 1 a question's result is a dictionary, else a list, best first.
        doc_stride: document tokens that neighbouring windows share, by default 128 or a third of a short window.
        max_answer_len: longest answer, in tokens.
        max_seq_len: tokens of a window, question included, by default as many as the model reads.
        max_question_len: longer questions are cut at this many tokens.
        handle_impossible_answer: let "no answer" compete: an empty answer with its own score.
        align_to_words: widen an answer to whole words. Scripts without spaces between words keep the model's edges.
        batch_size: windows that go through the model at once.
        sentence: add the sentence around the answer, `{"start", "end", "text"}`.
        places: add every place of the document where the same answer stands, `[{"start", "end"}, ...]`.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    batch_size: int = 1
    sentence: bool = False
    places: bool = False

    def __post_init__(self) -> None:
        for name, least in (("top_k", 1), ("max_answer_len", 1), ("batch_size", 1), ("max_question_len", 1),
                            ("max_seq_len", 16), ("doc_stride", 0)):  # fmt: skip
            value = getattr(self, name)
            if value is None and name in ("max_seq_len", "doc_stride"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{name}={short_repr(value)} is no whole number from {least} up")

    def but(self, given: Mapping[str, Any]) -> "Options":
        """The same options, but for those given; None keeps what stands."""
        names = [each.name for each in fields(self)]
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, ["question", "context", *names], n=1)
                hint = f"did you mean {near[0]}?" if near else f"it takes question, context, {', '.join(names)}"
                raise UserError(f"the pipeline has no argument {name!r}: {hint}")
        return dataclasses.replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclass
class _Reading:
    """What the windows of one document gave: candidates, and each token's best logits, those of "no answer" last."""

    document: Document
    unread: int
    found: list[tuple[list[Span], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logits = np.full((2, len(self.document.ids) + 1), -np.inf, dtype=np.float64)

    def add(self, window: Window, logits: np.ndarray, spans: list[Span], null: float) -> None:
        """Take in one window's candidates and its logits (2, tokens), of starts and of ends."""
        if all(null < other for _, other in self.found):  # `best_answers` takes the least of them too
            self.logits[:, -1] = logits[:, 0]
        part = self.logits[:, window.document_start : window.document_start + window.document_length]
        np.maximum(part, logits[:, window.prefix_length : window.prefix_length + window.document_length], out=part)
        self.found.append((spans, null))
        self.unread -= 1

    def answers(self) -> tuple[Answers, float]:
        """All candidates, best first, and the logarithm that turns the score of one into its probability."""
        most = self.logits.max(axis=1)
        normaliser = most + np.log(np.exp(self.logits - most[:, None]).sum(axis=1))
        return best_answers(self.document, self.found, len(self.found) * CANDIDATES), float(normaliser.sum())


class QuestionAnswering:
    """A model that takes questions about documents; made by `pipeline`."""

    def __init__(self, model: Any, tokenizer: Any, options: Options, half: bool = False) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        self.half = half
        self._windower = lru_cache(maxsize=4)(self._make_windower)

    def __call__(self, *examples: Any, question: Any = None, context: Any = None, **options: Any) -> Any:
        """Answer one question or many.

        Args:
            examples: dictionaries with `question` and `context`, objects with `question_text` and `context_text` (such
                as a SquadExample), a list of either, an iterator of either, or a question and a context as two strings.
            question, context: a string each, or lists of one length; one of them may stay a string.
            options: of `Options`.

        Returns:
            Of one question a dictionary `{"score", "start", "end", "answer"}`, where context[start:end] is the answer,
            or a list of them, best first (see `top_k`). Of several questions the list of that. Of an iterator an
            iterator, which reads as it is asked.

        Raises:
            UserError: an argument that cannot be used.
        """
        wanted = self.options.but(options)
        given = _examples(examples, question, context)
        if isinstance(given, Iterator):
            return self._results(map(_pair, given), wanted)
        results = list(self._results(iter([_pair(example) for example in given]), wanted))
        return results[0] if len(results) == 1 else results

    def _results(self, pairs: Iterator[tuple[str, str]], options: Options) -> Iterator[Any]:
        for reading in self._readings(pairs, options):
            found = _named(reading, options)
            yield found[0] if len(found) == 1 else found

    def _readings(self, pairs: Iterator[tuple[str, str]], options: Options) -> Iterator[_Reading]:
        """Read question after question; windows of several share a batch."""
        windower = self._windower(options.max_seq_len, options.doc_stride, options.max_question_len)
        waiting: deque[_Reading] = deque()
        batch: list[tuple[_Reading, Window]] = []
        for question, context in pairs:
            document = windower.document(context)
            with _own_names():
                windows = list(windower.windows(question, document))
            waiting.append(_Reading(document, len(windows)))
            for window in windows:
                batch.append((waiting[-1], window))
                if len(batch) == options.batch_size:
                    self._read(batch, options.max_answer_len)
                    batch = []
            while waiting and not waiting[0].unread:
                yield waiting.popleft()
        if batch:
            self._read(batch, options.max_answer_len)
        yield from waiting

    def _read(self, batch: list[tuple[_Reading, Window]], max_answer_len: int) -> None:
        windows = [window for _, window in batch]
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.half):
            found = read_windows(self.model, windows, self.tokenizer.pad_token_id, CANDIDATES, max_answer_len)
        logits = torch.stack([found.start_logits, found.end_logits], dim=1).float().cpu().numpy()
        for (reading, window), rows, (spans, null) in zip(batch, logits, found.spans, strict=True):
            reading.add(window, rows, spans, null)

    def _make_windower(self, max_seq_len: int | None, doc_stride: int | None, max_question_len: int) -> Windower:
        with _own_names():
            length = check_max_length(self.model, max_seq_len)
            stride = min(DOC_STRIDE, length // 3) if doc_stride is None else doc_stride
            return Windower(self.tokenizer, length, stride, max_question_len)


def pipeline(
    task: Any = None,
    model: Any = None,
    *,
    tokenizer: Any = None,
    adapter: str | None = None,
    revision: str | None = None,
    device: Any = None,
    bf16: Any = False,
    **options: Any,
) -> QuestionAnswering:
    """A question-answering model, ready to be asked; takes the place of transformers' function of this name.

    Args:
        task: "question-answering", as transformers had it, or at once the model.
        model: a checkpoint or a LoRA adapter, by folder or Hub id; or a loaded model, with its `tokenizer`.
        adapter: a LoRA adapter to merge into the model.
        revision: branch, tag or commit of a model on the Hub.
        device: "cpu", "cuda:0", a torch.device, a number of an accelerator, or -1 for the CPU; by default the
            accelerator where there is one. A loaded model stays where it is unless told.
        bf16: read in bfloat16: True, False or "auto", where that is faster (measured, as in `score.py --bf16 auto`).
        options: of `Options`, for every call that does not say otherwise.

    Raises:
        UserError: no such model, no question-answering head, or an argument that cannot be used.
    """
    wanted = Options().but(options)
    if bf16 not in (True, False, "auto"):
        raise UserError(f"bf16={short_repr(bf16)} is none: give True, False or 'auto'")
    if model is None and task != TASK:
        task, model = TASK, task
    if task not in (TASK, None):
        raise UserError(f"task={short_repr(task)} is not {TASK!r}: leave it out, and name the model alone")
    if model is None:
        raise UserError("no model was named: give a folder or a Hub id, as in pipeline('space/adapter')")
    if isinstance(model, str | Path):
        with _own_names():
            loaded, own_tokenizer = load_qa_model(str(model), adapter=adapter, revision=revision)
        tokenizer = tokenizer or own_tokenizer
        device = _device(device)
    else:
        loaded = model
        device = None if device is None else _device(device)
    if tokenizer is None:
        raise UserError(f"a loaded model ({type(model).__name__}) comes without its tokenizer: give tokenizer=...")
    if device is not None:
        try:
            loaded.to(device)
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"device={str(device)!r} cannot be used: {one_line(error)}") from error
    half = bfloat16_pays(loaded.device) if bf16 == "auto" else bool(bf16)
    return QuestionAnswering(loaded.eval(), tokenizer, wanted, half)


def _device(device: Any) -> torch.device:
    try:
        if device is None:
            return torch.accelerator.current_accelerator() or torch.device("cpu")
        if isinstance(device, int):
            return torch.device("cpu") if device < 0 else torch.device(device)
        return torch.device(device)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise UserError(f"device={short_repr(device)} is none: give 'cpu', 'cuda:0', a number or -1") from error


@contextmanager
def _own_names() -> Iterator[None]:
    """Sentences of the rooms below name flags of commands: say them by the names that stand here."""
    try:
        yield
    except UserError as error:
        sentence = str(error)
        for flag, name in ARGUMENTS.items():
            sentence = sentence.replace(flag, name)
        raise UserError(sentence) from error


def _examples(examples: tuple[Any, ...], question: Any, context: Any) -> Iterable[Any]:
    """The examples of one call as a list, or the iterator that was given."""
    if examples and (question is not None or context is not None):
        raise UserError("examples and question=, context= exclude each other: give one or the other")
    if examples:
        if len(examples) == 2 and all(isinstance(each, str) for each in examples):
            return [{"question": examples[0], "context": examples[1]}]
        given = examples[0] if len(examples) == 1 else list(examples)
        if isinstance(given, Iterator):
            return given
        several = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
        return list(given) if several else [given]
    if question is None or context is None:
        missing = "question" if question is None else "context"
        raise UserError(f"no {missing} was given: the pipeline takes question=... and context=..., or examples")
    lengths = {len(each) for each in (question, context) if not isinstance(each, str) and hasattr(each, "__len__")}
    if len(lengths) > 1:
        raise UserError(
            f"question holds {len(question)} and context {len(context)}: give lists of one length, or one string"
        )
    count = lengths.pop() if lengths else 1
    columns = [[each] * count if isinstance(each, str) or not hasattr(each, "__len__") else each
               for each in (question, context)]  # fmt: skip
    return [{"question": q, "context": c} for q, c in zip(*columns, strict=True)]


def _pair(example: Any) -> tuple[str, str]:
    """(question, context) of one example, checked."""
    pair: tuple[Any, Any]
    if isinstance(example, Mapping):
        pair = example.get("question"), example.get("context")
    elif hasattr(example, "question_text") and hasattr(example, "context_text"):
        pair = example.question_text, example.context_text
    else:
        raise UserError(
            f"{short_repr(example)} is no example: give a dictionary with 'question' and 'context', both strings"
        )
    for name, text in zip(("question", "context"), pair, strict=True):
        if not isinstance(text, str):
            raise UserError(f"the {name} of an example is {short_repr(text)}: give a string")
        if not text.strip():
            raise UserError(f"the {name} of an example is empty: give a text")
    return pair


def _named(reading: _Reading, options: Options) -> list[dict[str, Any]]:
    """The `top_k` answers of one question as dictionaries, best first."""
    text = reading.document.text
    answers, normaliser = reading.answers()
    merged: dict[str, dict[str, Any]] = {}
    for answer in answers.n_best:
        start, end = (
            whole_words(text, answer.start, answer.end) if options.align_to_words else (answer.start, answer.end)
        )
        new = {"score": 0.0, "start": start, "end": end, "answer": text[start:end]}
        merged.setdefault(text[start:end].lower(), new)["score"] += math.exp(answer.score - normaliser)
    if options.handle_impossible_answer or not merged:  # a text without tokens has no other answer
        merged[""] = {"score": math.exp(answers.null_score - normaliser), "start": 0, "end": 0, "answer": ""}
    best = sorted(merged.values(), key=lambda answer: -answer["score"])[: options.top_k]
    for each in best:
        _show(each, text, options)
    return best


def _show(answer: dict[str, Any], text: str, options: Options) -> None:
    """Add what `sentence` and `places` ask for; the empty answer stands nowhere."""
    if options.places:
        same = re.finditer(f"(?=({re.escape(answer['answer'])}))", text, re.IGNORECASE) if answer["answer"] else ()
        spans = [match.span(1) for match in same]
        answer["places"] = [
            {"start": start, "end": end}
            for start, end in spans
            if not options.align_to_words or stands_alone(text, start, end)
        ]
    if options.sentence:
        for each in [answer, *answer.get("places", ())]:
            start, end = sentence_around(text, each["start"], each["end"])
            each["sentence"] = {"start": start, "end": end, "text": text[start:end]} if answer["answer"] else None
