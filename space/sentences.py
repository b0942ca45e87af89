"""The sentence around a place, short enough for a row of a table."""

from training.qa.sentences import sentence_within

MAX_CHARACTERS = 320


def sentence(text: str, start: int, end: int, limit: int = MAX_CHARACTERS) -> tuple[int, int]:
    """Characters [first, last) of the sentence or sentences that hold [start, end), cut to about `limit` around it."""
    first, last = sentence_within(text, start, end, limit)
    if last - first > limit:
        room = max(0, limit - (end - start)) // 2
        first, last = max(first, _word(text, start - room, 1)), min(last, _word(text, end + room, -1))
        first += len(text[first:start]) - len(text[first:start].lstrip())
        last = end + len(text[end:last].rstrip())
    return first, last


def _word(text: str, at: int, step: int) -> int:
    """The nearest gap between words on the way, at most 20 characters away; without gaps, the place itself."""
    at = min(max(at, 0), len(text))
    for position in range(at, at + 20 * step, step):
        if 0 < position < len(text) and text[position].isspace():
            return position
    return at
