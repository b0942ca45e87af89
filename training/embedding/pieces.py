"""Long texts as a short model reads them: cut into pieces of its length, one vector a piece."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from foundation.cli import UserError
from training.runs.alignment import tokens_of

from .model import prompt


def cut(text: str, tokenizer: Any, lengths: Iterator[int]) -> Iterator[str]:
    """Consecutive parts of `text`, each of as many tokens as `lengths` says next, and nothing left out between them."""
    starts = [start for start, _ in tokens_of(tokenizer, [text])[0][1]]
    at = 0
    while at < len(starts):
        following = at + next(lengths)
        end = starts[following] if following < len(starts) else len(text)
        if text[starts[at] : end].strip():
            yield text[starts[at] : end]
        at = following


def room(model: Any, part: str = "document") -> int:
    """Tokens of a text that `model` reads at once, beside its prompt and its special tokens."""
    taken = len(model.tokenizer(prompt(model, part) + "a")["input_ids"])
    if taken >= model.max_seq_length:
        raise UserError(f"a prompt of {taken} tokens leaves no room in the {model.max_seq_length} that the model reads")
    return model.max_seq_length - taken


def piece_vectors(model: Any, texts: Sequence[str], batch_size: int = 32, progress: bool = False) -> list[np.ndarray]:
    """For each text the unit vectors of its pieces, float32 (pieces, dimensions)."""
    length = room(model)
    pieces = [list(cut(text, model.tokenizer, iter(lambda: length, None))) or [text] for text in texts]
    flat = [piece for parts in pieces for piece in parts]
    vectors = vectors_of(model, flat, "document", batch_size, progress)
    ends = np.cumsum([len(parts) for parts in pieces])
    return np.split(vectors, ends[:-1])


def vectors_of(model: Any, texts: Sequence[str], part: str, batch_size: int = 32, progress: bool = False) -> np.ndarray:
    """Unit vectors of texts, each cut where the model's length ends: float32 (texts, dimensions)."""
    return model.encode(
        list(texts), prompt=prompt(model, part), batch_size=batch_size, show_progress_bar=progress,
        normalize_embeddings=True, convert_to_numpy=True,
    )  # fmt: skip


def mean(vectors: np.ndarray) -> np.ndarray:
    """The unit vector in the middle of a text's pieces."""
    middle = vectors.mean(axis=0)
    return middle / np.linalg.norm(middle)
