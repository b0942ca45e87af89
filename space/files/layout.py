"""From the lines of printed pages back to paragraphs.

A PDF knows lines, not paragraphs: here lines are joined where a sentence goes on, words that a hyphen parts at a line's
end are mended, and running heads, running feet and page numbers, which would stand in the middle of sentences, go.
"""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import quantiles

PAGE = "\f"
# The lines at either edge of a page that may be a running head or foot. Such a line stands on so many pages at least,
# and on this share of them.
EDGE, REPEATED, SHARE = 2, 3, 0.3

_HYPHEN = re.compile(r"([^\W\d_]+)[-\u2010\u00ad]$")
_PARTED = re.compile(r"\b([^\W\d_]{2,})[-\u2010\u00ad] ([^\W\d_]{2,})\b")
_WORDS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ENDS = re.compile(r"[.!?:;。！？؟।…][\"'”’»)\]]*$")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uff00-\uffef、。]")
# Numbers and roman numerals change from page to page, so lines are compared without them.
_COUNT = re.compile(r"\d+|\b[ivxlcdm]{1,7}\b", re.IGNORECASE)


def join_pages(pages: Sequence[str]) -> str:
    """The text of a document whose pages hold lines; a form feed stands where one page ends.

    A sentence that goes on across the page's end is one sentence there too, with the form feed as its blank.
    """
    bare = [_lines(page) for page in pages]
    running = _running(bare)
    bodies = [_without(lines, running) for lines in bare]
    words = Counter(word.lower() for lines in bodies for line in lines for word in _WORDS.findall(line))
    usual = _usual([line for lines in bodies for line in lines])
    text = ""
    for number, lines in enumerate(bodies):
        page = _paragraphs(lines, words, usual)
        if not number:
            text = page
        elif text.strip(PAGE) and page and not text.endswith(PAGE) and _goes_on(text, page):
            glued = _unhyphened(text, page, words)
            first, rest = _first_word(page) if glued else ("", page)
            text = (glued or text) + first + PAGE + rest
        else:
            text += ("\n\n" if text.strip(PAGE) and not text.endswith(PAGE) else "") + PAGE + page
    return text


def _lines(page: str) -> list[str]:
    return [line.strip() for line in page.split("\n")]


def _running(pages: Sequence[Sequence[str]]) -> set[str]:
    """Heads and feet that repeat over the pages, with their numbers left out."""
    seen = Counter(key for lines in pages for key in {_key(line) for line in _edge(lines)})
    least = max(REPEATED, SHARE * sum(bool(any(lines)) for lines in pages))
    return {key for key, count in seen.items() if count >= least}


def _edge(lines: Sequence[str]) -> list[str]:
    full = [line for line in lines if line]
    return full[:EDGE] + full[-EDGE:] if len(full) > 2 * EDGE else full[:1] + full[1:][-1:]


def _key(line: str) -> str:
    return _COUNT.sub("#", line).casefold()


def _without(lines: Sequence[str], running: set[str]) -> list[str]:
    edge = {line for line in _edge(lines) if _key(line) in running}
    if not edge:
        return list(lines)
    full = [number for number, line in enumerate(lines) if line]
    ends = {*full[:EDGE], *full[-EDGE:]}
    return [line for number, line in enumerate(lines) if number not in ends or line not in edge]


def _usual(lines: Sequence[str]) -> float:
    """The length of a full line: that which one in five exceeds."""
    lengths = [len(line) for line in lines if line]
    return quantiles(lengths, n=5)[-1] if len(lengths) > 1 else 0.0


def _paragraphs(lines: Sequence[str], words: Counter[str], usual: float) -> str:
    """The lines of a page, joined where a sentence goes on; an empty line where a paragraph ends in a short one."""
    text = ""
    last = ""
    for line in lines:
        full = len(last) >= (0.9 if _ENDS.search(last) else 0.75) * usual
        if not line:
            text = text.rstrip("\n") + "\n\n" if text else ""
        elif not last:
            text += line
        elif glued := _unhyphened(text, line, words):
            text = glued + line
        elif full or line[0].islower():
            text += _blank(last, line) + line
        else:
            text += ("\n\n" if _ENDS.search(last) else "\n") + line
        last = line
    return _PARTED.sub(lambda parts: _rejoined(parts, words), text.strip("\n"))


def _blank(left: str, right: str) -> str:
    return "" if _UNSPACED.match(left[-1]) and _UNSPACED.match(right[0]) else " "


def _goes_on(text: str, page: str) -> bool:
    """Whether the sentence at the end of `text` goes on at the beginning of `page`."""
    return page[0].islower() or (bool(_UNSPACED.match(page[0])) and not _ENDS.search(text))


def _unhyphened(text: str, following: str, words: Counter[str]) -> str | None:
    """`text` for its last word to go on in `following`; None where no hyphen parts a word there.

    The hyphen goes, but where the document writes the word with it elsewhere, and not without.
    """
    first, second = _HYPHEN.search(text[-80:]), re.match(r"[^\W\d_]+", following)
    if first is None or second is None or not following[0].islower():
        return None
    left = first[1].lower()
    keep = words[f"{left}-{second[0].lower()}"] > words[left + second[0].lower()]
    return text if keep else text[:-1]


def _rejoined(parts: re.Match[str], words: Counter[str]) -> str:
    """`Gothen- burg`, as a line's end looks after a careless copy, where the document has the whole word elsewhere."""
    return parts[1] + parts[2] if words[(parts[1] + parts[2]).lower()] else parts[0]


def _first_word(page: str) -> tuple[str, str]:
    """The first word of a page with the signs on it, and what follows after a blank."""
    first = re.match(r"\S*", page)
    assert first is not None
    return first[0], page[first.end() :].removeprefix(" ")
