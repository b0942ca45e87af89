"""What one part of a dataset holds, and a digest that is equal for equal rows."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PartStatistics:
    """What one part holds at one nr_concats. Lengths are those of documents; tokens are None without a tokenizer."""

    part: str
    nr_concats: int
    rows: int
    documents: int
    mean_characters: float
    longest_characters: int
    mean_tokens: float | None
    longest_tokens: int | None
    fingerprint: str


class Fingerprint:
    """SHA-256 over rows in order, equal for the same rows however they were stored."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.rows = 0

    def update(self, row: dict[str, Any]) -> None:
        self._digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        self.rows += 1

    def __str__(self) -> str:
        return self._digest.hexdigest()


class CountedRows:
    """Rows on their way, counted and fingerprinted."""

    def __init__(self, rows: Iterable[Any], language: str | None) -> None:
        self._rows, self._language = rows, language
        self.fingerprint = Fingerprint()
        self.documents: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        for row in self._rows:
            # Rows of one document share one string, so `is` tells documents apart at no cost.
            if not self.documents or self.documents[-1] is not row.context:
                self.documents.append(row.context)
            answers = {"text": row.texts, "answer_start": row.answer_starts}
            record = {"id": row.id, "title": row.title, "context": row.context, "question": row.question}
            language = {} if self._language is None else {"language": self._language}
            self.fingerprint.update(record | {"answers": answers} | language)
            yield row

    def statistics(self, part: str, nr_concats: int, count_tokens: Any) -> PartStatistics:
        lengths = [len(document) for document in self.documents]
        tokens = count_tokens(self.documents) if count_tokens else None
        return PartStatistics(
            part,
            nr_concats,
            rows=self.fingerprint.rows,
            documents=len(lengths),
            mean_characters=sum(lengths) / len(lengths),
            longest_characters=max(lengths),
            mean_tokens=sum(tokens) / len(tokens) if tokens else None,
            longest_tokens=max(tokens) if tokens else None,
            fingerprint=str(self.fingerprint),
        )
