"""`terms`: a party is defined at the beginning of a long document, its duty stands at the end, and both are needed.

    Alvero, a company based in Lyon, is called the Carrier.
    ... many real paragraphs ...
    The Carrier shall deliver the documents within 30 days.

    Within how many days must the company from Lyon deliver the documents?

As in contracts, statutes and manuals. Every one of the parties has the same duty with another number, so that only the
chain place, role, duty leads to the answer, and who sees the duties alone is right in 1 of `parties` cases. With three
hops the place stands in a sentence of its own, and the chain is place, name, role, duty.

The sentences come from `terms_templates/LANGUAGE.json`, four wordings of each. They need no inflection of what is
filled in: companies have names in Latin letters, roles stand in the nominative, and numbers are those that every
language counts alike (20 to 99 in the last two digits, none ending in 1). Training and validation share no name, no
number and no paragraph; cities, roles and wordings are shared, the language being one.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from foundation.cli import UserError

from .background import SEPARATOR, SPECIAL_TOKENS, Background
from .concat import Evidence, Row

TEMPLATES = Path(__file__).with_name("terms_templates")
LANGUAGES = tuple(sorted(path.stem for path in TEMPLATES.glob("*.json")))
PARTIES = range(2, 7)
HOPS = (2, 3)
TRIES = 50

_STARTS = ["Al", "Bor", "Cal", "Dra", "El", "Fen", "Gar", "Hel", "Is", "Jor", "Kel", "Lun", "Mar", "Nor", "Or", "Pel",
           "Quin", "Rav", "Sol", "Tor", "Ul", "Ver", "Wes", "Yor", "Zan"]  # fmt: skip
_ENDS = ["vero", "dana", "mex", "tico", "ria", "nova", "lund", "tek", "sol", "vik", "bora", "gent", "mira", "paro",
         "dex"]  # fmt: skip
_NAMES = [start + end for start, end in product(_STARTS, _ENDS)]
# Other numbers change the words around them: Russian 21 and Arabic 3 the form of the noun, Romanian 19 drops "de".
_NUMBERS = [number for number in range(20, 1000) if number % 100 >= 20 and number % 10 != 1]


class Party(NamedTuple):
    """Who is based in `city`, is called `role` and owes `number`."""

    name: str
    city: str
    role: str
    number: int


@dataclass(frozen=True)
class Terms:
    """What a user may choose; `check` raises a UserError that names the argument, the value and the mend.

    Args:
        language: one of the 13 that have templates.
        parties: 2 to 6.
        hops: 2 (the definition names the place) or 3 (a sentence of its own does).
        tokens: of question and document together, at most; see `background.token_counter`.
        paragraphs: of the background, in place of `tokens`.
        seed: of everything that is drawn.
    """

    language: str = "en"
    parties: int = 3
    hops: int = 2
    tokens: int | None = None
    paragraphs: int | None = None
    seed: int = 42

    def check(self) -> None:
        if self.language not in LANGUAGES:
            raise UserError(
                f"language {self.language!r} has no templates of terms: choose one of {', '.join(LANGUAGES)}"
            )
        roles = len(templates(self.language)["roles"])
        if type(self.parties) is not int or self.parties not in PARTIES or self.parties > roles:
            most = min(PARTIES[-1], roles)
            raise UserError(f"parties must be a whole number from 2 to {most}, but got {self.parties!r}: try 3")
        if self.hops not in HOPS:
            raise UserError(f"hops must be 2 or 3, but got {self.hops!r}")

    def rows(self, background: Background, split: str, count: int) -> Iterator[Row]:
        """`count` rows; the one of a number is the same however many there are."""
        for number in range(count):
            yield self._row(background, split, number)

    def _row(self, background: Background, split: str, number: int) -> Row:
        key = f"terms-{self.language}-{split}-{self.seed}-{number}"
        for attempt in range(TRIES):
            rng = random.Random(f"{key}-{attempt}")
            # The first parties only show how much room the paragraphs have. The second are drawn so that the
            # paragraphs name none of their cities and numbers.
            question, sentences, chain = self._sentences(self._parties(rng, split, ""), f"{key}-{attempt}")
            paragraphs = background.draw(rng, self._room(background, [question, *sentences], attempt), self.paragraphs)
            parties = self._parties(rng, split, "\n".join(paragraphs))
            if parties is None:
                continue
            question, sentences, chain = self._sentences(parties, f"{key}-{attempt}")
            context, spans = self._lay(rng, paragraphs, sentences)
            if self.tokens is None or self._length(background, question, context) <= self.tokens:
                break
        else:
            raise UserError(
                f"background {background.source!r} names too many cities and numbers for {self.parties} parties that "
                "nothing else is mistaken for: give another file, fewer parties or a shorter length"
            )
        evidence = [spans[place] for place in chain]
        answer = str(parties[0].number)
        start = context.index(answer, evidence[-1][0])
        return Row(
            key,
            "terms",
            context,
            question,
            [answer],
            [start],
            Evidence([span[0] for span in evidence], [span[1] for span in evidence]),
        )

    def _parties(self, rng: random.Random, split: str, text: str) -> list[Party] | None:
        """As many as there are to be, none of whose names, cities and numbers is in `text`; None when that is too few.

        The first is the one that is asked for.
        """
        known = templates(self.language)
        taken = {int(digits) for digits in re.findall(r"\d+", text)}
        names = [name for name in _share(_NAMES, split) if name not in text]
        cities = [city for city in known["cities"] if city not in text]
        numbers = [number for number in _share(_NUMBERS, split) if number not in taken]
        if min(map(len, (names, cities, numbers))) < self.parties:
            return None
        # Two digits as often as three, as long as such numbers are left.
        short = [number for number in numbers if number < 100]
        drawn: list[int] = []
        while len(drawn) < self.parties:
            pool = [number for number in (short if rng.random() < 0.5 else numbers) if number not in drawn]
            drawn += rng.sample(pool, min(1, len(pool)))
        parts = (rng.sample(part, self.parties) for part in (names, cities, known["roles"]))
        return [Party(*values) for values in zip(*parts, drawn, strict=True)]

    def _sentences(self, parties: list[Party] | None, key: str) -> tuple[str, list[str], list[int]]:
        """The question, the sentences (definitions, then duties), and the numbers of those that the answer needs."""
        assert parties is not None, "without a text in the way there are always enough"
        known = templates(self.language)
        rng = random.Random(f"{key}-wording")
        duty = known["duties"][rng.choice(sorted(known["duties"]))]
        asked = parties[0]
        company = rng.choice(known["companies"]).format(city=asked.city)
        question = rng.choice(duty["asks"]).format(company=company)
        kinds = ("definitions",) if self.hops == 2 else ("places", "namings")
        first = [(party, kind) for party in parties for kind in kinds]
        rng.shuffle(first)
        last = list(parties)
        rng.shuffle(last)
        sentences = [rng.choice(known[kind]).format(**party._asdict()) for party, kind in first]
        for party in last:
            act = duty["act"].format(number=party.number)
            sentences.append(rng.choice(known["frames"]).format(role=party.role, act=act))
        chain = [first.index((asked, kind)) for kind in kinds] + [len(first) + last.index(asked)]
        return question, sentences, chain

    def _room(self, background: Background, sentences: list[str], spared: int) -> int | None:
        """Tokens that are left to the paragraphs, less `spared`."""
        if self.tokens is None:
            return None
        needed = sum(background.count(sentence + SEPARATOR) for sentence in sentences) + SPECIAL_TOKENS
        room = self.tokens - needed
        if room < min(background.lengths):
            raise UserError(
                f"tokens {self.tokens} is too short: question and evidence of {self.parties} parties take {needed}, "
                f"and a paragraph of the background {min(background.lengths)} or more: give more, or fewer parties"
            )
        return room - spared

    def _length(self, background: Background, question: str, context: str) -> int:
        return background.count(question) + background.count(context) + SPECIAL_TOKENS

    def _lay(
        self, rng: random.Random, paragraphs: list[str], sentences: list[str]
    ) -> tuple[str, list[tuple[int, int]]]:
        """The document, and where in it each of the sentences stands: definitions within its first third, duties within
        its last, each between two paragraphs."""
        size = [len(text) + len(SEPARATOR) for text in sentences]
        split = len(sentences) - self.parties
        definitions, duties = sum(size[:split]), sum(size[split:])
        before = [0]  # number of characters in the paragraphs before each place
        for paragraph in paragraphs:
            before.append(before[-1] + len(paragraph) + len(SEPARATOR))
        total = before[-1] + definitions + duties - len(SEPARATOR)
        early = [place for place, length in enumerate(before) if 3 * (length + definitions) <= total]
        late = [place for place, length in enumerate(before) if 3 * (length + definitions) >= 2 * total]
        if not early or not late:
            wanted = "paragraphs" if self.tokens is None else "tokens"
            raise UserError(
                f"{wanted} {getattr(self, wanted)} is too short: the definitions of {self.parties} parties at "
                f"{self.hops} hops do not fit into a third of it, or their duties: give more, or fewer parties"
            )
        places = sorted(rng.choices(early, k=split)) + sorted(rng.choices(late, k=self.parties))
        parts: list[str] = []
        spans = []
        at = 0
        todo = list(zip(places, sentences, strict=True))
        for place in range(len(paragraphs) + 1):
            while todo and todo[0][0] == place:
                sentence = todo.pop(0)[1]
                spans.append((at, at + len(sentence)))
                parts.append(sentence)
                at += len(sentence) + len(SEPARATOR)
            if place < len(paragraphs):
                parts.append(paragraphs[place])
                at += len(paragraphs[place]) + len(SEPARATOR)
        return SEPARATOR.join(parts), spans


@cache
def templates(language: str) -> dict[str, Any]:
    """The sentences of one language."""
    return json.loads((TEMPLATES / f"{language}.json").read_text(encoding="utf-8"))


def _share(values: list[Any], split: str) -> list[Any]:
    """Every second of them, for training or for everything else."""
    return values[0::2] if split == "train" else values[1::2]
