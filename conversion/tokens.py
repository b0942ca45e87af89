"""What a model takes from its tokenizer: ids that have embeddings, an id that pads, types for question and document.

Longformer numbers positions by `input_ids != pad_token_id`, as RoBERTa does, so a padding id that also stands in texts
shifts every position behind it. BERT counts all tokens; its long form needs a padding id that stands in no text.
"""

import re
from typing import TYPE_CHECKING

from foundation.cli import UserError

from .families import FAMILIES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

# Families whose question answering is trained with type 0 on the question and 1 on the document. The size of the type
# table does not tell: a RoBERTa may have two rows, a BERT made long has two, and both may be trained without types.
TYPED = ("bert", "albert", "electra", "roformer", "ernie", "big_bird", "convbert", "megatron-bert", "mobilebert",
         "nystromformer", "rembert", "squeezebert")  # fmt: skip

PADDING_TOKENS = ("[PAD]", "<pad>")


def check_vocabulary(tokenizer: "PreTrainedTokenizerBase", embeddings: int, name: str) -> None:
    """Refuse a tokenizer that gives ids without an embedding: the model dies at the first such token.

    Args:
        embeddings: rows of the model's word table.
        name: how the sentence calls the checkpoint.
    """
    ids = tokenizer.get_vocab()
    token = max(ids, key=ids.__getitem__, default="")
    if ids and ids[token] >= embeddings:
        raise UserError(
            f"the tokenizer of {name!r} has {ids[token] + 1:,} tokens and its model only {embeddings:,} embeddings"
            f" ({token!r} has none): they do not belong together; give the model its own tokenizer, or load it, call"
            " model.resize_token_embeddings(len(tokenizer)) and save both"
        )


def settle_padding(tokenizer: "PreTrainedTokenizerBase", config: "PreTrainedConfig", name: str) -> tuple[int, str]:
    """The `pad_token_id` of the long form, and what to tell of it ("" where nothing changes).

    A model that numbers positions by its padding id keeps that id, whatever its tokenizer pads with: padding itself is
    masked. Any other gets its tokenizer's padding id, if no text holds it. `tokenizer` gets another padding token where
    it has none, or one that does not fit, and a better one is in its vocabulary.

    Args:
        config: the source's.
        name: how a sentence calls the source.

    Raises:
        UserError: the tokenizer has no id that pads and stands in no text.
    """
    own, said = tokenizer.pad_token_id, config.pad_token_id
    had = "had no padding token" if own is None else f"padded with {tokenizer.pad_token!r}"
    if FAMILIES[config.model_type].positions_after_padding:
        if own == said:
            return said, ""
        if own is not None and stands_in_texts(tokenizer, said):
            return said, (
                f"config.json pads with id {said} and the tokenizer with id {own}: each is kept, since the source gives"
                f" no position to the tokens of id {said}"
            )
        choices = [_token(tokenizer, said)]
    else:
        if own is not None and not stands_in_texts(tokenizer, own):
            return own, ""
        choices = [_token(tokenizer, said), *PADDING_TOKENS]
    vocabulary = tokenizer.get_vocab()
    for token in choices:
        if token in vocabulary and not stands_in_texts(tokenizer, vocabulary[token]):
            tokenizer.pad_token = token
            return vocabulary[token], f"the tokenizer {had}: it pads with {token!r} now, which stands in no text"
    raise UserError(
        f"the tokenizer of {name!r} {had.replace('had', 'has').replace('padded', 'pads')}, and Longformer needs a"
        " padding token that stands in no text, since it gives padding no position: call"
        " tokenizer.add_special_tokens({'pad_token': '[PAD]'}) and model.resize_token_embeddings(len(tokenizer)), and"
        " save both"
    )


def stands_in_texts(tokenizer: "PreTrainedTokenizerBase", token_id: int) -> bool:
    """Whether a tokenised text may hold this id: a word, or a token with another part (end, separator, unknown)."""
    token = _token(tokenizer, token_id)
    parts = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")
    if token is None:
        return False
    return token in [getattr(tokenizer, part) for part in parts] or re.fullmatch(r"[<\[].+[>\]]", token) is None


def _token(tokenizer: "PreTrainedTokenizerBase", token_id: int | None) -> str | None:
    """The token of an id, None where the vocabulary has no such id."""
    if token_id is None or not 0 <= token_id < len(tokenizer):
        return None
    return next(iter(tokenizer.convert_ids_to_tokens([token_id])))


def document_token_type(config: "PreTrainedConfig") -> int:
    """The token type of a document beside its question: what the config says its head was trained with, else 1 for
    the families that are trained so and 0 for the others."""
    kept = getattr(config, "document_token_type", None)
    if kept is not None:
        return int(kept)
    return int(config.model_type in TYPED and config.type_vocab_size > 1)
