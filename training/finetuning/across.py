"""Questions in another language than their document's, where the same question is at hand in several."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from foundation.cli import UserError
from training.runs.randomness import Use, random_stream


class Questions:
    """The questions of some rows by what they ask; `others(row)` are those in other languages."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]):
        self._by_key: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for row in rows:
            self._by_key[question_key(row)][_languages(row)[1]] = row["question"]

    def others(self, row: Mapping[str, Any]) -> list[str]:
        """The same question in every language but its own and the document's."""
        found = self._by_key.get(question_key(row), {})
        return [found[language] for language in sorted(found.keys() - set(_languages(row)))]

    def count(self, rows: Iterable[Mapping[str, Any]], share: float) -> int:
        """How many of `rows` have others; UserError where none has."""
        count = sum(bool(self.others(row)) for row in rows)
        if not count:
            raise UserError(
                f"--cross_language {share} finds no question of the training in a second language: give files of one "
                "data set in several, named alike (de.mlqa.json, en.mlqa.json) and with the same ids, or leave it out"
            )
        return count


def ask_across(
    rows: Iterable[Mapping[str, Any]], questions: Questions, share: float, seed: int
) -> Iterator[Mapping[str, Any]]:
    """The rows, of which that share (of those that have others) asks in another language; documents and answers stay.

    It is drawn for every row that comes: anew each time a question comes, and once for all epochs, as its document is.
    """
    for number, row in enumerate(rows):
        rng = random_stream(seed, Use.QUESTION, number)
        others = questions.others(row) if rng.random() < share else []
        yield {**row, "question": others[rng.integers(len(others))]} if others else row


def question_key(row: Mapping[str, Any]) -> tuple[str, str]:
    """(source, id) of a row, the id without the source's name and the language's code in front: what is the same
    question in another language has the same."""
    source = row.get("source") or ""
    key = row["id"].removeprefix(f"{source}:")
    language = re.escape((row.get("language") or "").split(".")[0])
    return source, re.sub(rf"^{language}[-_.:/#]", "", key, flags=re.IGNORECASE) if language else key


def _languages(row: Mapping[str, Any]) -> tuple[str, str]:
    """(the document's, the question's): `de.en` is a German document with an English question."""
    document, _, question = (row.get("language") or "").partition(".")
    return document, question or document
