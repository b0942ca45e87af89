"""A question and a document as the windows that a model reads.

A document is tokenised once, whatever the number of questions about it. Each window is one sequence

    <s> question </s> [</s>] document part </s>

of at most `max_length` tokens; neighbouring windows share `doc_stride` document tokens (the meaning of `stride` in
the tokenizers library and of `doc_stride` in run_qa). The tokens before the document are its `prefix`: they get
Longformer's global attention (Longformer paper, section 3.1: question tokens for QA) and form no answer.
"""

import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from conversion.tokens import document_token_type
from foundation.cli import UserError
from training.runs.alignment import Tokens, tokens_of


@dataclass(frozen=True)
class Document:
    """A tokenised document: `ids` (n,) and the character span `offsets` (n, 2) of each token in `text`."""

    text: str
    ids: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Window:
    """One sequence that a model reads; document token t of the window is token `document_start + t` of its document."""

    input_ids: np.ndarray
    prefix_length: int
    document_start: int
    document_length: int

    def __len__(self) -> int:
        return len(self.input_ids)


class Windower:
    """Turns (question, document) into windows for one tokenizer.

    Args:
        max_length: tokens of a window, question and special tokens included.
        doc_stride: document tokens that neighbouring windows share.
        max_question_length: longer questions are cut at this many tokens.
        lowercase: tokenise lower-cased text; spans still refer to the text as given.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        doc_stride: int = 128,
        max_question_length: int = 128,
        lowercase: bool = False,
    ):
        if max_length < 16:
            raise UserError(f"--max_length {max_length} leaves no room for a document: give at least 16")
        if max_question_length < 1:
            raise UserError(
                f"--max_question_length {max_question_length} leaves nothing of a question: give at least 1"
            )
        if doc_stride < 0:
            raise UserError(f"--doc_stride {doc_stride} is negative: give 0 or more")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.doc_stride = doc_stride
        self.lowercase = lowercase
        # However long the question, about half of a window is left to the document.
        self.max_question_length = min(max_question_length, max_length // 2)
        self.document = lru_cache(maxsize=32)(self._document)
        self._before, self._between, self._after = self._template()

    @property
    def settings(self) -> tuple[int, int, int, bool]:
        """What it was made with, but for the tokenizer."""
        return self.max_length, self.doc_stride, self.max_question_length, self.lowercase

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets what it was made with, and not its cache."""
        return type(self), (self.tokenizer, *self.settings)

    def _template(self) -> tuple[list[int], list[int], list[int]]:
        """The special tokens before, between and after a pair, read off the tokenizer's own encoding of one."""
        if self.tokenizer.is_fast:
            pair = self.tokenizer("a", "b", return_token_type_ids=False)
            ids, sequences = pair["input_ids"], pair.sequence_ids(0)
        else:
            ids = self.tokenizer.build_inputs_with_special_tokens([-1], [-2])
            sequences = [{-1: 0, -2: 1}.get(token) for token in ids]
        question = [i for i, s in enumerate(sequences) if s == 0]
        document = [i for i, s in enumerate(sequences) if s == 1]
        return ids[: question[0]], ids[question[-1] + 1 : document[0]], ids[document[-1] + 1 :]

    def _tokens(self, text: str) -> Tokens:
        if self.lowercase:
            # Letter by letter, without those whose lower case has another length (İ), so that offsets stay right.
            text = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
        return tokens_of(self.tokenizer, [text])[0]

    def _document(self, text: str) -> Document:
        ids, offsets = self._tokens(text)
        return Document(text, np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int32).reshape(-1, 2))

    def documents(self, texts: Iterable[str]) -> dict[str, Document]:
        """Each distinct text to its document, tokenised once."""
        return {text: self._document(text) for text in dict.fromkeys(texts)}

    def cuts(self, question: str) -> bool:
        """Whether a question has more tokens than a window has room for."""
        return len(self._tokens(question)[0]) > self.max_question_length

    def prefix(self, question: str) -> list[int]:
        """Token ids of everything before the document."""
        ids = self._tokens(question)[0][: self.max_question_length]
        return [*self._before, *ids, *self._between]

    def windows(self, question: str, document: Document) -> Iterator[Window]:
        """All windows of one question over one document, in order; an empty document has one window."""
        prefix = self.prefix(question)
        room = self.max_length - len(prefix) - len(self._after)
        step = room - self.doc_stride
        if step <= 0:
            raise UserError(
                f"--doc_stride {self.doc_stride} is not smaller than the {room} document tokens of a window: "
                "lower --doc_stride or raise --max_length"
            )
        count = 1 + max(0, math.ceil((len(document.ids) - room) / step))
        for start in range(0, count * step, step):
            part = document.ids[start : start + room]
            ids = np.concatenate([prefix, part, self._after]).astype(np.int32)
            yield Window(ids, len(prefix), start, len(part))


def token_span(document: Document, start: int, end: int) -> tuple[int, int] | None:
    """First and last token of the characters [start, end), or None where no token covers them."""
    starts, ends = document.offsets[:, 0], document.offsets[:, 1]
    covering = np.flatnonzero((starts < end) & (ends > start) & (ends > starts))
    return (int(covering[0]), int(covering[-1])) if len(covering) else None


def characters(document: Document, first: int, last: int) -> tuple[int, int]:
    """The characters [start, end) of document tokens `first` to `last`, with the combining marks that follow.

    In text that is not composed (NFC) a token's offsets cover the "e" of "é" alone.
    """
    end = int(document.offsets[last, 1])
    while end < len(document.text) and unicodedata.category(document.text[end]).startswith("M"):
        end += 1
    return int(document.offsets[first, 0]), end


def collate(windows: Sequence[Window], model_config: Any, pad_token_id: int) -> dict[str, torch.Tensor]:
    """Pad windows to the longest and add the masks that the model's forward takes.

    Returns int64 tensors of shape (windows, tokens): `input_ids`, `attention_mask`, and where the architecture has
    them `token_type_ids` (1 on the document) and `global_attention_mask` (1 on the prefix).
    """
    width = max(map(len, windows))
    input_ids = torch.full((len(windows), width), pad_token_id, dtype=torch.long)
    for row, window in zip(input_ids, windows, strict=True):
        row[: len(window)] = torch.from_numpy(window.input_ids)
    positions = torch.arange(width)
    lengths = torch.tensor([len(window) for window in windows])[:, None]
    prefixes = torch.tensor([window.prefix_length for window in windows])[:, None]
    batch = {"input_ids": input_ids, "attention_mask": (positions < lengths).long()}
    if document_token_type(model_config):
        batch["token_type_ids"] = ((positions >= prefixes) & (positions < lengths)).long()
    if model_config.model_type == "longformer":
        batch["global_attention_mask"] = (positions < prefixes).long()
    return batch
