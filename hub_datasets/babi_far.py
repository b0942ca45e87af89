"""`babi_far`: the facts of a bAbI story scattered, in order, through real text in any language.

bAbI's tasks 1, 2, 3 and 14 (one, two or three supporting facts, and times of the day) ask where somebody or something
is. Among real paragraphs the facts stand far apart, and a reader of short windows sees one at a time (the idea is
BABILong's: Kuratov et al. 2024, arXiv 2406.10149). Here the answer is a span, the word in the last supporting fact, and
`evidence` names the supporting facts in bAbI's order, which ends with the one that holds the answer.

A fact is put between two sentences of a paragraph; Thai, which marks no sentence, is parted at its spaces.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from foundation.cli import UserError

from .background import SEPARATOR, SPECIAL_TOKENS, Background
from .concat import Evidence, Row

TASKS = {
    1: "single-supporting-fact",
    2: "two-supporting-facts",
    3: "three-supporting-facts",
    14: "time-reasoning",
}
SHORTEST, LONGEST = 512, 16_384
FILES = {"train": "train", "validation": "test"}
# --data_dir may hold the files themselves, or the official archive unpacked.
FOLDERS = (".", "en-10k", "tasks_1-20_v1-2/en-10k", "en", "tasks_1-20_v1-2/en")
HOME = "https://research.facebook.com/downloads/babi/"

_BETWEEN = {"th": re.compile(r"\s+")}
_SENTENCES = re.compile(r"(?<=[.!?…;؟।])\s+|(?<=[。！？；])")


class Story(NamedTuple):
    """A question with the facts that come before it, in order; `supports` are places among them, the answer's last."""

    facts: list[str]
    question: str
    answer: str
    supports: list[int]


@dataclass(frozen=True)
class BabiFar:
    """What a user may choose; `check` raises a UserError that names the argument, the value and the mend.

    Args:
        language: of the real text; the facts are English.
        task: 1, 2, 3 or 14.
        tokens: of question and document together, at most; 512 to 16,384.
        data_dir: folder that holds bAbI's files.
        seed: of everything that is drawn.
    """

    language: str = "en"
    task: int = 1
    tokens: int | None = None
    data_dir: str | Path | None = None
    seed: int = 42

    def check(self) -> None:
        if self.task not in TASKS:
            raise UserError(f"task {self.task!r} is none of babi_far's: choose one of {', '.join(map(str, TASKS))}")
        if type(self.tokens) is not int or not SHORTEST <= self.tokens <= LONGEST:
            raise UserError(f"tokens must be a whole number from {SHORTEST} to {LONGEST:,}, but got {self.tokens!r}")
        if self.data_dir is None:
            raise UserError(f"babi_far is made of bAbI's files: give data_dir, the folder of those from {HOME}")

    def rows(self, background: Background, split: str, count: int) -> Iterator[Row]:
        """`count` rows; the one of a number is the same however many there are.

        A story whose facts take more than half of `tokens` is passed over.
        """
        assert self.tokens is not None and self.data_dir is not None
        stories = read_stories(find_file(self.data_dir, self.task, split))
        order = list(range(len(stories)))
        random.Random(f"babi_far-{self.task}-{split}-{self.seed}").shuffle(order)
        fitting = (
            story for story in map(stories.__getitem__, order) if self._needed(background, story) <= self.tokens // 2
        )
        for number, story in zip(range(count), fitting, strict=False):
            yield self._row(background, split, number, story)

    def _needed(self, background: Background, story: Story) -> int:
        return sum(background.cost(text + " ") for text in [*story.facts, story.question]) + SPECIAL_TOKENS

    def _row(self, background: Background, split: str, number: int, story: Story) -> Row:
        assert self.tokens is not None
        key = f"babi_far-{self.task}-{self.language}-{split}-{self.seed}-{number}"
        room = self.tokens - self._needed(background, story)
        excess = 0
        while excess <= room:
            # Every turn draws with the same key: only the last paragraphs fall away, and the facts keep their places.
            paragraphs = background.draw(random.Random(key), room - excess, None)
            context, spans = self._scatter(random.Random(key), paragraphs, story.facts)
            length = background.count(story.question) + background.count(context) + SPECIAL_TOKENS
            if length <= self.tokens:
                break
            excess += length - self.tokens
        evidence = [spans[place] for place in story.supports]
        within = _last_place(story.facts[story.supports[-1]], story.answer)
        assert within is not None, "read_stories has looked"
        return Row(
            key,
            f"bAbI {self.task}",
            context,
            story.question,
            [story.answer],
            [evidence[-1][0] + within],
            Evidence([span[0] for span in evidence], [span[1] for span in evidence]),
        )

    def _scatter(
        self, rng: random.Random, paragraphs: list[str], facts: list[str]
    ) -> tuple[str, list[tuple[int, int]]]:
        """The paragraphs with the facts in them, in order, and where each fact stands."""
        text = SEPARATOR.join(paragraphs)
        between = _BETWEEN.get(self.language, _SENTENCES)
        places = sorted(rng.choices([0, *(match.end() for match in between.finditer(text)), len(text)], k=len(facts)))
        parts: list[str] = []
        spans = []
        at = done = 0
        for place, fact in zip(places, facts, strict=True):
            ahead = text[done:place]
            if ahead and not ahead[-1].isspace():
                ahead += " "
            parts += [ahead, fact, " "]
            at += len(ahead)
            spans.append((at, at + len(fact)))
            at += len(fact) + 1
            done = place
        return "".join([*parts, text[done:]]).rstrip(), spans


def find_file(data_dir: str | Path, task: int, split: str) -> Path:
    """bAbI's file of a task: its train file for `train`, its test file for `validation`."""
    root = Path(data_dir).expanduser()
    name = f"qa{task}_{TASKS[task]}_{FILES[split]}.txt"
    for folder in FOLDERS:
        if (root / folder / name).is_file():
            return root / folder / name
    raise UserError(f"data_dir {str(data_dir)!r} has no {name}: unpack bAbI's files from {HOME} there")


@cache
def read_stories(path: Path) -> list[Story]:
    """Every question of a file in bAbI's format, with the facts before it.

    Raises:
        UserError: a line that is not in the format, or whose answer is not in its last supporting fact.
    """
    stories = []
    facts: dict[int, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            place, text = line.split(" ", 1)
            if place == "1":
                facts = {}
            if "\t" not in text:
                facts[int(place)] = text.strip()
                continue
            question, answer, supports = (part.strip() for part in text.split("\t"))
            places = [list(facts).index(int(support)) for support in supports.split()]
            story = Story(list(facts.values()), question, answer, places)
            if _last_place(story.facts[places[-1]], answer) is None:
                raise ValueError
        except (ValueError, IndexError):
            raise UserError(
                f"data_dir: line {number} of {str(path)!r} is not in bAbI's format (number, text, and of a question "
                "tab, answer, tab, numbers of its supporting lines, the last of which holds the answer): give the "
                "official files"
            ) from None
        stories.append(story)
    return stories


def _last_place(fact: str, answer: str) -> int | None:
    """Where the word `answer` stands last in `fact`."""
    places = [match.start() for match in re.finditer(rf"\b{re.escape(answer)}\b", fact)]
    return places[-1] if places else None
