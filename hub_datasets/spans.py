"""Answers that do not stand at their `answer_start`: found, moved, or left out, and every change listed.

Published beside the loading scripts: imports its siblings and the standard library only.
"""

import bisect
import json
import os
import re
import unicodedata
from typing import NamedTuple

from .concat import CorpusError, Paragraph

# In these scripts a match may begin and end anywhere. Most put no spaces between words; in Korean the endings of a word
# are written on to it, and answers leave them off.
_UNSPACED = re.compile("[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
                       "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uac00-\ud7a3]")  # fmt: skip
_UNCOUNTED = re.compile("P|Z|Cc|Cf")  # Unicode categories: punctuation, spaces, controls, invisible characters
_ASCII_SYMBOLS = "$+<=>^`|~"  # punctuation in ASCII, symbols in Unicode


class Change(NamedTuple):
    """One answer that did not stand where its file says: `new_start` is None where it was dropped."""

    id: str
    text: str
    answer_start: int
    new_text: str | None
    new_start: int | None

    def __str__(self) -> str:
        return f"{self.text!r:.80} at {self.answer_start} of question {self.id!r}"


def mend_spans(paragraphs: list[Paragraph], on_bad_span: str, source: str) -> tuple[list[Paragraph], list[Change], str]:
    """Make every answer stand at its offset: `context[start:start + len(text)] == text`, and text is not empty.

    "repair" moves an answer to the nearest exact occurrence of its text. "repair_or_drop" takes the nearest place that
    is equal up to white space, width, punctuation, case and Unicode form, and the text as it stands there; what has no
    such place is dropped. With an answer that is dropped a question goes that has no other (it would otherwise pass
    for an unanswerable one).

    Returns:
        The paragraphs, the changes, and a sentence about them ("" for none).

    Raises:
        CorpusError: naming `source`, the question's id, the offset and how many there are, for "error", and for
            "repair" when an answer occurs nowhere in its context.
    """
    changes: list[Change] = []
    lost_questions = 0
    mended: list[Paragraph] = []
    for paragraph in paragraphs:
        if _all_good(paragraph):
            mended.append(paragraph)
            continue
        place_of = _Places(paragraph.context, loosely=on_bad_span == "repair_or_drop")
        questions = []
        for question in paragraph.questions:
            texts, starts = [], []
            for text, start in zip(question.texts, question.answer_starts, strict=True):
                if not _is_good(paragraph.context, text, start):
                    found = None if on_bad_span == "drop" else place_of.nearest(text, start)
                    changes.append(Change(question.id, text, start, *(found or (None, None))))
                    if found is None:
                        continue
                    text, start = found
                texts.append(text)
                starts.append(start)
            if texts or not question.texts:
                questions.append(question._replace(texts=texts, answer_starts=starts))
            else:
                lost_questions += 1
        mended.append(paragraph._replace(questions=questions))
    if not changes:
        return paragraphs, [], ""
    dropped = [change for change in changes if change.new_start is None]
    if on_bad_span == "error":
        raise CorpusError(
            f"{source}: {_count(changes, 'not found at')} answer_start, the first is {changes[0]}: mend the file, or "
            "give on_bad_span='repair', 'repair_or_drop' or 'drop'"
        )
    if on_bad_span == "repair" and dropped:
        raise CorpusError(
            f"{source}: {_count(dropped, 'nowhere in')} context, so on_bad_span='repair' cannot place "
            f"{'it' if len(dropped) == 1 else 'them'}, the first is {dropped[0]}: mend the file, or give "
            "on_bad_span='repair_or_drop' or 'drop'"
        )
    moved = len(changes) - len(dropped)
    said = [f"moved {moved} answer(s) to the nearest {'' if on_bad_span == 'repair_or_drop' else 'exact '}occurrence"]
    said = said if moved else []
    if dropped:
        said.append(
            f"dropped {len(dropped)} answer(s) that do not stand at their answer_start, and with them "
            f"{lost_questions} question(s) left without an answer"
        )
    return mended, changes, f"{source}: {'; '.join(said)}, the first was {changes[0]}"


def write_changes(changes: list[Change], folder: str, source: str) -> str:
    """List the changes, one JSON object a line, in `<folder>/<file's name>.changes.jsonl`; returns that path."""
    name = source if "://" not in source and os.path.exists(source) else source.replace("/", "--")
    path = os.path.join(folder, f"{os.path.basename(name)}.changes.jsonl")
    lines = [json.dumps(change._asdict(), ensure_ascii=False) + "\n" for change in changes]
    os.makedirs(folder or ".", exist_ok=True)
    part = f"{path}.{os.getpid()}.partial"
    with open(part, "w", encoding="utf-8") as file:
        file.writelines(lines)
    os.replace(part, path)
    return path


def _is_good(context: str, text: str, start: int) -> bool:
    return text != "" and start >= 0 and context.startswith(text, start)


def _all_good(paragraph: Paragraph) -> bool:
    # This repeats `_is_good`. Nearly every paragraph passes here, and a call for each answer takes four times as long.
    stands = paragraph.context.startswith
    for question in paragraph.questions:
        for text, start in zip(question.texts, question.answer_starts, strict=True):
            if not (text and start >= 0 and stands(text, start)):
                return False
    return True


class _Places:
    """Where a text stands in one context: exactly, or `loosely`, by what is left of both when they are folded."""

    def __init__(self, context: str, loosely: bool) -> None:
        self.context = context
        self.folded, self.starts, self.ends = _fold(context) if loosely else ("", [], [])

    def nearest(self, text: str, start: int) -> tuple[str, int] | None:
        """The text as it stands at the place nearest to `start`, and that place; of two equally near the earlier."""
        exact = _nearest_exact(self.context, text, start)
        places = [] if exact is None else [(abs(exact - start), exact, exact + len(text))]
        places += [(abs(first - start), first, end) for first, end in self._loose(_fold(text)[0])]
        if not places:
            return None
        _, first, end = min(places)
        return self.context[first:end], first

    def _loose(self, wanted: str) -> list[tuple[int, int]]:
        found = []
        at = self.folded.find(wanted) if wanted else -1
        while at >= 0:
            last = at + len(wanted) - 1
            first, end = self.starts[at], self.ends[last]
            whole_characters = bisect.bisect_left(self.starts, first) == at
            whole_characters = whole_characters and bisect.bisect_right(self.ends, end) == last + 1
            if whole_characters and not self._inside_a_word(first) and not self._inside_a_word(end):
                found.append((first, end))
            at = self.folded.find(wanted, at + 1)
        return found

    def _inside_a_word(self, place: int) -> bool:
        around = self.context[place - 1 : place + 1] if place else ""
        return len(around) == 2 and all(map(_is_of_a_word, around)) and not _UNSPACED.search(around)


def _is_of_a_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _fold(text: str) -> tuple[str, list[int], list[int]]:
    """What of a text counts, without white space, punctuation, width, case and Unicode form.

    Returns the characters that are left, and for each where the letter (with its combining marks) that it comes of
    starts and ends in `text`.
    """
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    first = 0
    while first < len(text):
        end = first + 1
        while end < len(text) and unicodedata.category(text[end]).startswith("M"):
            end += 1
        letter = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text[first:end]).casefold())
        kept = [c for c in letter if not (_UNCOUNTED.match(unicodedata.category(c)) or c in _ASCII_SYMBOLS)]
        folded += kept
        starts += [first] * len(kept)
        ends += [end] * len(kept)
        first = end
    return "".join(folded), starts, ends


def _nearest_exact(context: str, text: str, start: int) -> int | None:
    """The start of the occurrence of `text` nearest to `start` (the earlier of two equally near), None without one."""
    if not text:
        return None
    before = context.rfind(text, 0, max(start, 0) + len(text))
    after = context.find(text, max(start, 0))
    if before < 0 or after < 0:
        return max(before, after) if max(before, after) >= 0 else None
    return before if start - before <= after - start else after


def _count(changes: list[Change], where: str) -> str:
    whose = "answer is {} its" if len(changes) == 1 else "answers are {} their"
    return f"{len(changes)} {whose.format(where)}"
