"""Where a document says what its own words mean: "the Expert" answers little until one reads who that is.

Found by how contracts, laws and reports write it, in quotation marks of any kind: `"Expert" means ...`, `the surveyors
Hall & Co. (the "Expert")`, and without them a heading of its own, `Expert: ...`, in a part that is called definitions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from space.sentences import sentence

_OPEN, _CLOSE = "\"“”„«»「『《‘'", "\"“”«»」』》’'"
_TERM = rf"[{_OPEN}][ \u00a0]?(?P<term>[^\W\d_](?:[^\n{_OPEN}{_CLOSE}]|(?<=\w)['’](?=\w)){{0,59}}?)[ \u00a0]?[{_CLOSE}]"
# The words after a term that a text defines, in this order of languages: en, sv/da/no, de, nl, fr, es/pt, it, fi, pl,
# ro, ru/uk, el, ar, hi, vi, zh, ja, ko, th, tr.
_VERBS = (
    "(?:shall |will )?(?:means?|mean|refers? to|denotes?|includes?|has the meaning|have the meaning)",
    "(?:avser|avses|betyder|betecknar|innebär|menas|forstås|betegner|betyr)",
    "(?:bedeutet|bezeichnet|meint|umfasst|bezeichnen|sind|ist)",
    "(?:betekent|betreft)",
    "(?:désigne(?:nt)?|signifie(?:nt)?|s['’]entend)",
    "(?:significa(?:rá|n)?|designa|se refiere a|se entiende|se entenderá|refere-se a)",
    "(?:si intende|indica)",
    "(?:tarkoittaa)",
    "(?:oznacza(?:ją)?)",
    "(?:înseamnă|desemnează)",
    "(?:означа(?:ет|ют|є)|понимается|—|–)",
    "(?:σημαίνει|νοείται)",
    "(?:يعني|تعني|يقصد|يُقصد|تشير|يشير)",
    "(?:का अर्थ|का मतलब|से अभिप्राय)",
    "(?:có nghĩa|nghĩa là|là)",
    "(?:系指|是指|指的是|指|意为|意指)",
    "(?:とは|をいう|を意味)",
    "(?:란|이란|라 함은|이라 함은)",
    "(?:หมายความว่า|หมายถึง)",
    "(?:anlamına|ifade eder)",
)
_MEANS = re.compile(
    rf"{_TERM}\s{{0,3}}(?:\([^()\n]{{0,40}}\)\s?)?(?:{'|'.join(_VERBS)})(?!\w)"
    rf"|{_TERM.replace('term', 'unspaced')}\s?(?:系指|是指|指|とは|란|이란)",
    re.IGNORECASE,
)
# In brackets: (the "X"), (hereinafter the "X"), （以下简称“X”）.
_NAMED = re.compile(rf"[(（\[][^()（）\[\]\n]{{0,60}}?{_TERM}[^()（）\[\]\n]{{0,40}}[)）\]]")
# As a line in a list of definitions: Expert: ..., Expert – ...
_LISTED = re.compile(
    r"^[ \t*•-]{0,4}(?P<term>[^\W\d_][^\n:.]{1,58}?)\*{0,2}[ \t]*(?::|：| [–—] )(?=[ \t]*\S)", re.MULTILINE
)
_HEADING = re.compile(
    r"^[^\w\n]{0,4}[\d.]{0,6}[^\w\n]{0,4}(?:definitions?|defined terms|definitioner|begriffsbestimmungen|definitionen|"
    r"définitions?|definiciones|definizioni|definições|definities|määritelmät|definicje|определения|термины|ορισμοί|"
    r"تعريفات|تعاريف|定义|定義|用語)\b[^\n]{0,40}$",
    re.MULTILINE | re.IGNORECASE,
)
# At most so many characters of a list, lists, and definitions are read: a document may hold nothing else.
LISTED_WITHIN, PARTS, MOST = 6_000, 3, 2_000


@dataclass(frozen=True)
class Definition:
    """`document[start:end]` is the sentence that says what `term` means."""

    term: str
    start: int
    end: int


def definitions(text: str) -> Iterator[Definition]:
    """Every definition of a document, in no order that matters."""
    for pattern in (_MEANS, _NAMED):
        for match in pattern.finditer(text):
            term = next(value for value in match.groups() if value)
            yield Definition(_bare(term), *sentence(text, match.start(), match.end()))
    for heading in islice(_HEADING.finditer(text), PARTS):
        for match in _LISTED.finditer(text, heading.end(), heading.end() + LISTED_WITHIN):
            yield Definition(_bare(match["term"]), *sentence(text, match.start("term"), match.end()))


def defined(text: str, start: int, end: int, limit: int = 2) -> tuple[Definition, ...]:
    """What the document says elsewhere of the terms in its own characters [start, end), longest terms first.

    A definition at the place itself tells nothing new and is left out, and so is a term within a longer one.
    """
    answer = text[start:end]
    found: dict[str, Definition] = {}
    for definition in sorted(islice(definitions(text), MOST), key=lambda d: (-len(d.term), d.start)):
        spoken = _spoken(definition.term, answer)
        apart = definition.end <= start or definition.start >= end
        if spoken and apart and not any(definition.term in longer for longer in found):
            found[definition.term] = definition
    return tuple(found.values())[:limit]


def _bare(term: str) -> str:
    """Without an article before a capital, as in «le Vendeur»."""
    first, _, rest = term.strip().partition(" ")
    return rest if len(first) <= 4 and first.islower() and rest[:1].isupper() else term.strip()


def _spoken(term: str, answer: str) -> bool:
    """Whether the answer speaks of the term: as a word of its own, or with an ending of up to three letters on it."""
    ending = r"\w{0,3}(?!\w)" if (len(term) > 3 and term.isascii()) or _spaced(term) else ""
    return re.search(rf"(?<!\w){re.escape(term)}{ending}" if _spaced(term) else re.escape(term), answer) is not None


def _spaced(term: str) -> bool:
    """Whether the term's script parts its words by spaces."""
    return not re.search(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]", term)
