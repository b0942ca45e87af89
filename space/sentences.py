"""The sentence around a place, in any language."""

import re

# Signs that end a sentence; those of scripts without spaces end it by themselves. A full stop after a single letter or
# a number, as in "J. Smith" or "10. december", ends none, nor does one before a small letter or a bracket.
# A short line, where no small letter follows, is a heading or an entry of a list.
_END = re.compile(
    r"(?<![\s(][^\W\d])(?<!\b\d)(?<!\b\d\d)[.!?؟।…]+[\"'”’»)\]]*(?=\s(?!\s*[a-zß-öø-ÿа-я(]))|[。！？]+[”’」』）]*"
    r"|\n\s*\n|\n(?=\s*[-•*\d])|^[^\n]{0,45}\n(?![a-zß-öø-ÿа-я])",
    re.MULTILINE,
)
MAX_CHARACTERS = 320


def sentence(text: str, start: int, end: int, limit: int = MAX_CHARACTERS) -> tuple[int, int]:
    """Characters [first, last) of the sentence or sentences that hold [start, end), cut to about `limit` around it."""
    room = max(0, limit - (end - start)) // 2
    before, after = max(0, start - limit), min(len(text), end + limit)
    first = max((mark.end() for mark in _END.finditer(text, before, after) if mark.end() <= start), default=0)
    ending = _END.search(text, max(start, end - 1), after)
    last = max(end, ending.end() if ending else after)
    if not first:
        first = before
    if last - first > limit:
        first, last = max(first, _word(text, start - room, 1)), min(last, _word(text, end + room, -1))
    first += len(text[first:start]) - len(text[first:start].lstrip())
    return first, end + len(text[end:last].rstrip())


def _word(text: str, at: int, step: int) -> int:
    """The nearest gap between words on the way, at most 20 characters away; without gaps, the place itself."""
    at = min(max(at, 0), len(text))
    for position in range(at, at + 20 * step, step):
        if 0 < position < len(text) and text[position].isspace():
            return position
    return at
