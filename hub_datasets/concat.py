"""SQ3 and XQ3: the paragraphs of a SQuAD-format corpus joined into long documents, with every answer's offset right.

Plain Python without I/O. Published beside the loading scripts, so it imports the standard library only.

The rules (M. Sagen, Multilingual Longformer, 2021), in order:
  1. a paragraph is a run of neighbouring questions with the same context; `questions="first"` keeps its first question
     only, as the thesis did, `"all"` keeps every one;
  2. consecutive paragraphs form non-overlapping blocks of `nr_concats`; the remainder is a shorter last block;
  3. a block's contexts, joined by `separator`, are the context of each of its rows, and every `answer_start` moves by
     the length of what precedes.
The thesis let blocks run from one article into the next; with `within_articles` they stop at its end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

QUESTIONS = ("first", "all")
ON_BAD_SPAN = ("error", "repair", "drop")


class CorpusError(ValueError):
    """A file that cannot be used as it is: one sentence with the file, the place and the mend."""


class Question(NamedTuple):
    """One question and its gold answers; `answer_starts` count characters (Unicode code points) of the context."""

    id: str
    question: str
    texts: list[str]
    answer_starts: list[int]


class Paragraph(NamedTuple):
    """A context with its questions; `article` is the article's place in its file."""

    article: int
    title: str
    context: str
    questions: list[Question]


class Row(NamedTuple):
    """One row of the data set: SQuAD's columns, with the answers still apart."""

    id: str
    title: str
    context: str
    question: str
    texts: list[str]
    answer_starts: list[int]


@dataclass
class ConcatOptions:
    """What a user may choose; `check` raises a ValueError that names the argument, the value and the mend.

    Args:
        nr_concats: paragraphs a block, 1 or more.
        questions: "first" or "all" of each paragraph's questions.
        within_articles: whether a block ends with its article.
        separator: text put between the paragraphs of a block.
        on_bad_span: what to do with an answer that does not stand at its `answer_start`: "error", "repair" (move it to
            the nearest exact occurrence) or "drop".
    """

    nr_concats: int = 3
    questions: str = "first"
    within_articles: bool = False
    separator: str = ""
    on_bad_span: str = "error"

    def check(self) -> None:
        # type() and not isinstance(): True is an int, too.
        if type(self.nr_concats) is not int or self.nr_concats < 1:
            raise ValueError(f"nr_concats must be a whole number from 1 up, but got {self.nr_concats!r}: try 3")
        if self.questions not in QUESTIONS:
            raise ValueError(f"questions must be 'first' or 'all', but got {self.questions!r}")
        if type(self.within_articles) is not bool:
            raise ValueError(f"within_articles must be True or False, but got {self.within_articles!r}")
        if not isinstance(self.separator, str):
            raise ValueError(f"separator must be a string, but got {self.separator!r}: give '' for none")
        if self.on_bad_span not in ON_BAD_SPAN:
            raise ValueError(f"on_bad_span must be 'error', 'repair' or 'drop', but got {self.on_bad_span!r}")


def concatenate(paragraphs: Iterable[Paragraph], options: ConcatOptions) -> Iterator[Row]:
    """The rows of the long documents, in the file's order."""
    for block in _blocks(_runs(paragraphs, options.within_articles), options.nr_concats, options.within_articles):
        context = options.separator.join(run[0].context for run in block)
        offset = 0
        for run in block:
            for paragraph in run[:1] if options.questions == "first" else run:
                kept = paragraph.questions[:1] if options.questions == "first" else paragraph.questions
                for question in kept:
                    starts = [start + offset for start in question.answer_starts]
                    yield Row(question.id, paragraph.title, context, question.question, question.texts, starts)
            offset += len(run[0].context) + len(options.separator)


def _runs(paragraphs: Iterable[Paragraph], within_articles: bool) -> Iterator[list[Paragraph]]:
    """Neighbours that have the same context, without the paragraphs that nobody asks about."""
    run: list[Paragraph] = []
    for paragraph in paragraphs:
        if not paragraph.questions:
            continue
        same_article = not within_articles or (run and run[-1].article == paragraph.article)
        if run and not (same_article and run[-1].context == paragraph.context):
            yield run
            run = []
        run.append(paragraph)
    if run:
        yield run


def _blocks(runs: Iterable[list[Paragraph]], size: int, within_articles: bool) -> Iterator[list[list[Paragraph]]]:
    block: list[list[Paragraph]] = []
    for run in runs:
        if len(block) == size or (block and within_articles and block[-1][0].article != run[0].article):
            yield block
            block = []
        block.append(run)
    if block:
        yield block


def mend_spans(paragraphs: list[Paragraph], on_bad_span: str, source: str) -> tuple[list[Paragraph], str]:
    """Make every answer stand at its offset: `context[start:start + len(text)] == text`, and text is not empty.

    Returns the paragraphs and a sentence that says what was changed ("" for nothing). With "drop", bad answers go, and
    a question goes when it loses all its answers (it would otherwise pass for an unanswerable one). Raises CorpusError,
    naming `source`, the question's id, the offset and how many there are, for "error", and for "repair" when an answer
    occurs nowhere in its context.
    """
    bad: list[str] = []
    homeless: list[str] = []
    lost_questions = 0
    mended: list[Paragraph] = []
    for paragraph in paragraphs:
        if _all_good(paragraph):
            mended.append(paragraph)
            continue
        context = paragraph.context
        questions = []
        for question in paragraph.questions:
            texts, starts = [], []
            for text, start in zip(question.texts, question.answer_starts, strict=True):
                if not _is_good(context, text, start):
                    bad.append(f"{text!r:.80} at {start} of question {question.id!r}")
                    nearest = _nearest(context, text, start)
                    if nearest is None:
                        homeless.append(bad[-1])
                    if on_bad_span != "repair" or nearest is None:
                        continue
                    start = nearest
                texts.append(text)
                starts.append(start)
            if texts or not question.texts:
                questions.append(question._replace(texts=texts, answer_starts=starts))
            else:
                lost_questions += 1
        mended.append(paragraph._replace(questions=questions))
    if bad and on_bad_span == "error":
        raise CorpusError(
            f"{source}: {_count(bad)} not found at its answer_start, the first is {bad[0]}: "
            "mend the file, or give on_bad_span='repair' or 'drop'"
        )
    if homeless and on_bad_span == "repair":
        raise CorpusError(
            f"{source}: {_count(homeless)} nowhere in its context, so on_bad_span='repair' cannot place it, the first "
            f"is {homeless[0]}: mend the file, or give on_bad_span='drop'"
        )
    if not bad:
        return paragraphs, ""
    if on_bad_span == "repair":
        return mended, f"{source}: moved {len(bad)} answer(s) to the nearest exact occurrence, the first was {bad[0]}"
    return mended, (
        f"{source}: dropped {len(bad)} answer(s) that do not stand at their answer_start, and with them "
        f"{lost_questions} question(s) left without an answer; the first was {bad[0]}"
    )


def _is_good(context: str, text: str, start: int) -> bool:
    return text != "" and start >= 0 and context.startswith(text, start)


def _all_good(paragraph: Paragraph) -> bool:
    # `_is_good` written out: nearly every paragraph passes here, and a call for each answer takes four times as long.
    stands = paragraph.context.startswith
    for question in paragraph.questions:
        for text, start in zip(question.texts, question.answer_starts, strict=True):
            if not (text and start >= 0 and stands(text, start)):
                return False
    return True


def _nearest(context: str, text: str, start: int) -> int | None:
    """The start of the occurrence of `text` nearest to `start` (the earlier of two equally near), None without one."""
    if not text:
        return None
    before = context.rfind(text, 0, max(start, 0) + len(text))
    after = context.find(text, max(start, 0))
    if before < 0 or after < 0:
        return max(before, after) if max(before, after) >= 0 else None
    return before if start - before <= after - start else after


def _count(spans: list[str]) -> str:
    return f"{len(spans)} answer is" if len(spans) == 1 else f"{len(spans)} answers are"
