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
# The columns of a flat row. A file without objects, such as CSV, has `text` and `answer_start` in place of `answers`.
COLUMNS = ("id", "title", "context", "question", "answers", "text", "answer_start", "is_impossible", "language",
           "evidence")  # fmt: skip
ON_BAD_SPAN = ("error", "repair", "repair_or_drop", "drop")


class CorpusError(ValueError):
    """A file that cannot be used as it is: one sentence with the file, the place and the mend."""


class Evidence(NamedTuple):
    """Where the sentences stand that an answer needs: their first characters, and those after their last ones."""

    starts: list[int]
    ends: list[int]


class Question(NamedTuple):
    """One question and its gold answers; `answer_starts` count characters (Unicode code points) of the context."""

    id: str
    question: str
    texts: list[str]
    answer_starts: list[int]
    evidence: Evidence | None = None


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
    evidence: Evidence | None = None


@dataclass
class ConcatOptions:
    """What a user may choose; `check` raises a ValueError that names the argument, the value and the mend.

    Args:
        nr_concats: paragraphs a block, 1 or more.
        questions: "first" or "all" of each paragraph's questions.
        within_articles: whether a block ends with its article.
        separator: text put between the paragraphs of a block.
        on_bad_span: what to do with an answer that does not stand at its `answer_start`: "error", "repair",
            "repair_or_drop" or "drop" (see spans.py).
        changes_dir: folder for the list of what "repair_or_drop" changed, the current one by default.
        columns: names of a file's columns that are not SQuAD's, "question_id=id,body=context".
    """

    nr_concats: int = 3
    questions: str = "first"
    within_articles: bool = False
    separator: str = ""
    on_bad_span: str = "error"
    changes_dir: str = ""
    columns: str = ""

    def check(self) -> None:
        # isinstance() would let True pass, which is an int.
        if type(self.nr_concats) is not int or self.nr_concats < 1:
            raise ValueError(f"nr_concats must be a whole number from 1 up, but got {self.nr_concats!r}: try 3")
        if self.questions not in QUESTIONS:
            raise ValueError(f"questions must be 'first' or 'all', but got {self.questions!r}")
        if type(self.within_articles) is not bool:
            raise ValueError(f"within_articles must be True or False, but got {self.within_articles!r}")
        if not isinstance(self.separator, str):
            raise ValueError(f"separator must be a string, but got {self.separator!r}: give '' for none")
        if self.on_bad_span not in ON_BAD_SPAN:
            raise ValueError(
                f"on_bad_span must be 'error', 'repair', 'repair_or_drop' or 'drop', but got {self.on_bad_span!r}"
            )
        for name in ("changes_dir", "columns"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a string, but got {getattr(self, name)!r}: give '' for none")
        self.names()

    def names(self) -> dict[str, str]:
        """`columns` as a mapping from a file's names to SQuAD's."""
        pairs = [part.strip().partition("=") for part in self.columns.split(",") if part.strip()]
        for given, _, column in pairs:
            if not given or column not in COLUMNS:
                raise ValueError(
                    f"columns must be pairs THEIRS=OURS, with commas, OURS one of {', '.join(COLUMNS)}, but got "
                    f"{self.columns!r}: try question_id=id"
                )
        return {given: column for given, _, column in pairs}


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
                    evidence = question.evidence and _moved(question.evidence, offset)
                    yield Row(
                        question.id, paragraph.title, context, question.question, question.texts, starts, evidence
                    )
            offset += len(run[0].context) + len(options.separator)


def _moved(evidence: Evidence, offset: int) -> Evidence:
    return Evidence([start + offset for start in evidence.starts], [end + offset for end in evidence.ends])


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
