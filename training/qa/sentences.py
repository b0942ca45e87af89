"""Words and sentences around a span, in any script, for showing an answer in its place.

No model and no list of languages: a word is a run of letters, digits and marks; a sentence ends with its script's
sign. Where the signs leave a doubt the sentence is the longer one.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from functools import lru_cache

from training.corpora.normalise import UNSPACED

JOINERS = "\u200c\u200d"  # stand inside words of Persian and of Indian languages
CLOSING = r"[\"'”’»›)\]」』）】]*"
# These signs always end a sentence: Chinese and Japanese, Devanagari, Urdu, Armenian, Ethiopic, Burmese, Khmer, and
# Greek, whose question mark is mostly typed as a semicolon.
ALWAYS = rf"(?:[。！？｡।॥۔։።။។\u037e]|(?<=[\u0370-\u03ff\u1f00-\u1fff]);)+{CLOSING}\s*"
SPACED = rf"(?P<sign>[.!?…؟]+){CLOSING}\s+"  # these signs end a sentence only before a space
BLANK_LINE = r"[^\S\n]*\n\s*\n\s*"
THAI = r"(?<=[\u0e00-\u0eff])\s+(?=[\u0e00-\u0eff])"  # Thai and Lao have no full stop: a space parts clauses
LINE = r"(?P<line>\s*\n\s*)"
BREAK = re.compile("|".join([ALWAYS, SPACED, BLANK_LINE, THAI, LINE]))
# A full stop after one of these, an initial or a number of one or two digits ("3. Mai") may not end a sentence.
SHORT = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|st|nr|no|vol|fig|art|abs|co|inc|ltd|vs|ca|sr|sra|hr|bl|bzw|ул|г|им)|\b[^\W\d_]|\b\d{1,2})$",
    re.I,
)
HEADING = 50  # characters; a shorter line is a heading or a list entry, a wrapped line of prose is longer


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) widened to whole words; scripts without spaces are left as they are, but for marks on a letter."""
    while 0 < start < len(text) and _joined(text[start - 1], text[start]):
        start -= 1
    while 0 < end < len(text) and _joined(text[end - 1], text[end]):
        end += 1
    return start, end


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether [start, end) cuts no word."""
    return whole_words(text, start, end) == (start, end)


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Character span of the sentence, or sentences, that hold [start, end), without white space at its ends."""
    return _among(_boundaries(text), text, start, end)


def sentence_within(text: str, start: int, end: int, reach: int) -> tuple[int, int]:
    """`sentence_around` that looks no further than `reach` characters to either side, and remembers nothing of it."""
    before, after = max(0, start - reach), min(len(text), end + reach)
    near = text[before:after]
    first, last = _among(_boundaries.__wrapped__(near), near, start - before, end - before)
    return before + first, before + last


def _among(boundaries: list[int], text: str, start: int, end: int) -> tuple[int, int]:
    first = boundaries[bisect_right(boundaries, start) - 1]
    last = boundaries[bisect_left(boundaries, max(end, start + 1))]
    part = text[first:last]
    return first + len(part) - len(part.lstrip()), last - (len(part) - len(part.rstrip()))


def _joined(left: str, right: str) -> bool:
    """Whether no word ends between two neighbouring characters."""
    if unicodedata.category(right).startswith("M"):
        return True
    return _in_word(left) and _in_word(right) and not (UNSPACED.match(left) or UNSPACED.match(right))


def _in_word(character: str) -> bool:
    return character.isalnum() or character in JOINERS or unicodedata.category(character).startswith("M")


def _goes_on(following: str) -> bool:
    """Whether a letter begins no sentence; Georgian writes those in small letters too, and has no title case."""
    return following.islower() and following.title() != following


@lru_cache(maxsize=1)  # for the several answers of one document
def _boundaries(text: str) -> list[int]:
    """Where sentences begin, in order, and the end of the text."""
    found = [0]
    for match in BREAK.finditer(text):
        following = text[match.end() : match.end() + 1]
        if match["line"] and (_goes_on(following) or match.start() - text.rfind("\n", 0, match.start()) > HEADING):
            continue
        if match["sign"] in (".", "...", "…") and "\n\n" not in match[0]:
            before = text[max(0, match.start() - 10) : match.start()]
            if _goes_on(following) or (match["sign"] == "." and SHORT.search(before)):
                continue
        found.append(match.end())
    return found if found[-1] == len(text) else [*found, len(text)]
