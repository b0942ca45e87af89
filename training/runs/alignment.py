"""Where tokens stand in their text: a fast tokenizer says it, a slow one's tokens are matched with the text.

The tokens of a slow tokenizer (PhoBERT's, BERTweet's, Japanese BERT's) spell the text in its order, up to case,
accents, compatibility forms, white space, and unknown tokens. So text and tokens are folded alike, and each token is
found where the one before it ended. An unknown token stands for what lies between its known neighbours.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from foundation.cli import UserError, short_repr

Tokens = tuple[list[int], list[tuple[int, int]]]
# How tokenizers mark that a token continues a word or begins one.
MARKS_BEFORE, MARKS_AFTER = ("##", "▁"), ("@@", "</w>")
DROPPED = 16  # characters that a tokenizer may drop between two tokens, such as control characters


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> list[Tokens]:
    """For each text its token ids, without special ones, and the characters (start, end) of each token.

    Raises UserError where the tokens of a slow tokenizer do not spell the text.
    """
    if tokenizer.is_fast:
        encoded = tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False,
            return_offsets_mapping=True, verbose=False,
        )  # fmt: skip
        return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    found = []
    for text in texts:
        tokens = tokenizer.tokenize(text)
        found.append((tokenizer.convert_tokens_to_ids(tokens), align(text, tokens, tokenizer)))
    return found


def align(text: str, tokens: Sequence[str], tokenizer: Any) -> list[tuple[int, int]]:
    """The characters (start, end) of `text` that each token stands for; (n, n) for a token of marks alone."""
    letters, places = [], []
    for place, character in enumerate(text):
        folded = _fold(character)
        letters.append(folded)
        places += [place] * len(folded)
    folded_text = "".join(letters)
    places.append(len(text))
    spans: list[tuple[int, int]] = []
    at, unknown = 0, 0
    for token in tokens:
        if token == tokenizer.unk_token and not folded_text.startswith(_fold(token), at):
            unknown += 1
            continue
        first, size = _find(folded_text, token, at, unknown)
        if first < 0:
            near = text[places[at] : places[at] + 20]
            raise UserError(
                f"{type(tokenizer).__name__} has the token {token!r} where the text goes on with {short_repr(near)}: "
                "turn its normalisation off, or take a model with a tokenizer.json"
            )
        spans += _between(text, places, at, first, unknown)
        spans.append((places[first], _with_marks(text, places[first + size - 1] + 1)) if size else (places[first],) * 2)
        at, unknown = first + size, 0
    return spans + _between(text, places, at, len(folded_text), unknown)


def _find(folded_text: str, token: str, at: int, unknown: int) -> tuple[int, int]:
    """Where a token begins in the folded text, at or after `at`, and its length there; -1 where it does not."""
    reach = len(folded_text) if unknown else at + DROPPED
    spellings = [folded for folded in (_fold(_bare(token)), _fold(token)) if folded]
    # An unknown token stands for at least one character.
    found = [(folded_text.find(each, at + unknown, reach + len(each)), len(each)) for each in spellings]
    return min((pair for pair in found if pair[0] >= 0), default=(-1 if _fold(_bare(token)) else at, 0))


def _between(text: str, places: list[int], at: int, end: int, unknown: int) -> list[tuple[int, int]]:
    """The characters of `unknown` tokens in a row: a word or a character for each where the numbers agree, else all."""
    if not unknown:
        return []
    start = places[at]
    stop = _with_marks(text, places[end - 1] + 1) if end > at else start
    for parts in (r"\S+", r"\S"):
        found = [(start + part.start(), start + part.end()) for part in re.finditer(parts, text[start:stop])]
        if len(found) == unknown:
            return found
    return [(start, stop)] * unknown


def _with_marks(text: str, end: int) -> int:
    """The end of a token with the marks that follow, which no token spells."""
    while end < len(text) and not text[end].isspace() and not _fold(text[end]):
        end += 1
    return end


def _bare(token: str) -> str:
    """A token without the marks of its tokenizer."""
    for mark in MARKS_BEFORE:
        token = token.removeprefix(mark)
    for mark in MARKS_AFTER:
        token = token.removesuffix(mark)
    return token


def _fold(text: str) -> str:
    """Without case, accents, compatibility forms and white space."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter) and not letter.isspace())
