"""A checkpoint as a sentence-transformers model: one vector a text.

A folder of sentence-transformers is loaded as it stands. Any other encoder gets mean pooling and normalisation, as the
E5 models have; and a Longformer a first token that every token sees and that sees every token (global attention).
Its source was trained with that token in sight of all, and loses much without it (docs/embeddings.md).
"""

import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from conversion.attention import use_fast_attention
from conversion.embedded import LONG_NAME, NAME
from conversion.modules import FIRST_TOKEN_GLOBAL
from conversion.named import resolve
from foundation.cli import UserError, one_line
from training.qa.model import reads_at_most
from training.runs.origin import beside_model

# The prefix of a text by its part in a search. sentence-transformers has these names for the parts.
E5_PROMPTS = {"query": "query: ", "document": "passage: "}
PARTS = tuple(E5_PROMPTS)


def library(name: str = "sentence_transformers") -> Any:
    """sentence-transformers or a module of it, which the extra `embeddings` brings; a UserError where it is not."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            "embeddings need sentence-transformers, which is not here: pip install '.[embeddings]'"
        ) from error


def load_embedder(
    name: str,
    *,
    revision: str | None = None,
    max_length: int | None = None,
    pooling: str = "mean",
    prompts: Mapping[str, str] | None = None,
    first_token_global: bool = True,
    fast_attention: bool = True,
    device: str | None = None,
    argument: str = "--model_name_or_path",
    config: Mapping[str, Any] | None = None,
) -> Any:
    """A `SentenceTransformer` in float32.

    Args:
        name: "embedded", "embedded-long", a folder or a Hub id.
        max_length: longer texts are cut at this many tokens; by default as many as the model reads.
        pooling: "mean" or "cls", where the checkpoint says nothing of it.
        prompts: of `PARTS`, in the place of the checkpoint's own; the embedded models have E5's.
        first_token_global: for a Longformer that is no folder of sentence-transformers.
        argument: what a sentence calls the name by.
        config: fields of the checkpoint's configuration to change.

    Raises:
        UserError: no such checkpoint, or a length that it does not read.
    """
    st = library()
    source = resolve(name)
    card = st.SentenceTransformerModelCardData(local_files_only=os.path.isdir(source))  # else the Hub is asked for it
    options = {"device": device, "model_card_data": card}
    try:
        with _quiet():
            embedded = name in (NAME, LONG_NAME)  # has modules, but without them all arguments of this call count
            if not embedded and beside_model(source, "modules.json", revision) is not None:
                model = st.SentenceTransformer(
                    source, revision=revision, trust_remote_code=False, config_kwargs=dict(config or {}), **options
                )
            else:
                modules = _modules(source, revision, pooling, first_token_global, dict(config or {}))
                model = st.SentenceTransformer(modules=modules, **options)
                model.prompts = dict(E5_PROMPTS) if embedded else dict.fromkeys(PARTS, "")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{argument} {name!r} cannot be loaded: {one_line(error)}") from error
    model.prompts.update(prompts or {})
    model.float()
    limit = reads_at_most(encoder(model))
    if max_length is not None and max_length > limit:
        raise UserError(f"--max_length {max_length} is above the {limit} tokens that {argument} {name!r} reads")
    model.max_seq_length = max_length or min(limit, model.max_seq_length or limit)
    return use_fast_attention(model) if fast_attention else model


def encoder(model: Any) -> Any:
    """The transformers model inside."""
    return model[0].model


def prompt(model: Any, part: str) -> str:
    """What stands before a text that plays `part` ("query" or "document") in a search."""
    names = {"query": ("query",), "document": ("document", "passage", "corpus")}[part]
    return next((model.prompts[name] for name in names if model.prompts.get(name)), "")


def _modules(source: str, revision: str | None, pooling: str, first_token_global: bool, config: dict[str, Any]) -> list:
    """Encoder, pooling and normalisation."""
    from transformers import AutoConfig

    parts = library("sentence_transformers.sentence_transformer.modules")
    long = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False).model_type == "longformer"
    options: dict[str, Any] = FIRST_TOKEN_GLOBAL if long and first_token_global else {}
    given = {"revision": revision, "trust_remote_code": False}
    first = parts.Transformer(
        source, config_kwargs={**given, **config}, model_kwargs=dict(given), processor_kwargs=dict(given), **options
    )
    for parameter in head(first.model):
        with torch.no_grad():
            parameter.zero_()  # it is not used; random values would change the saved file each time
    pooled = parts.Pooling(first.get_embedding_dimension(), pooling)
    return [first, pooled, parts.Normalize()]


def head(model: Any) -> list[torch.nn.Parameter]:
    """Parameters that no vector depends on: a classifier's head, or the pooler of BERT's kin."""
    unused = [module for name, module in model.named_modules() if name in ("classifier", "pooler")]
    return [parameter for module in unused for parameter in module.parameters()]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' table of the head that a checkpoint lacks, and without its note on global attention."""
    loggers = [logging.getLogger("transformers"), logging.getLogger("sentence_transformers")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
