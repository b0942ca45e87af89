"""Small random QA models of several architectures, and SQuAD-format rows for them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import decoders, processors
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    LongformerConfig,
    LongformerForQuestionAnswering,
    ModernBertConfig,
    ModernBertForQuestionAnswering,
    XLMRobertaConfig,
    XLMRobertaForQuestionAnswering,
)

from .tiny import tokenizer as plain_tokenizer

POSITIONS = 64
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def tokenizer(pair: str = "<s> $A </s> </s> $B </s>") -> Any:
    """The byte-level BPE of `tiny` with RoBERTa's template for pairs."""
    tok = plain_tokenizer(max_pos=POSITIONS)
    tok.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tok.backend_tokenizer.decoder = decoders.ByteLevel()
    return tok


def model(architecture: str, vocab_size: int) -> Any:
    """A QA model with random weights; all of them read 64 tokens."""
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": vocab_size}
    if architecture == "bert":
        return BertForQuestionAnswering(BertConfig(**sizes, max_position_embeddings=POSITIONS))
    if architecture == "xlm-roberta":
        return XLMRobertaForQuestionAnswering(XLMRobertaConfig(**sizes, max_position_embeddings=POSITIONS + 2))
    if architecture == "modernbert":
        more = {"cls_token_id": 0, "sep_token_id": 2, "max_position_embeddings": POSITIONS}
        return ModernBertForQuestionAnswering(ModernBertConfig(**sizes, **more))
    return LongformerForQuestionAnswering(
        LongformerConfig(**sizes, attention_window=16, max_position_embeddings=POSITIONS + 2)
    )


def checkpoint(folder: Path, architecture: str = "longformer") -> Path:
    tok = tokenizer()
    model(architecture, len(tok)).save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


def articles(count: int = 4, paragraphs: int = 3) -> dict[str, Any]:
    """A SQuAD-format tree whose answer is the word after "over": no model knows it, and a tiny one can learn it."""
    words = ["river", "long", "short", "where", "words", "Höhlen", "水", "text", "meet", "and"]
    data = []
    for a in range(count):
        parts = []
        for p in range(paragraphs):
            number = a * paragraphs + p
            word = words[number % len(words)]
            context = f"the water runs over {word} to a sea {number}. It is älvar."
            start = context.index(word, len("the water runs over"))
            answers = [{"text": word, "answer_start": start}]
            qas = [
                {"id": f"q{number}-{n}", "question": q, "answers": answers}
                for n, q in enumerate(("over?", "runs over?"))
            ]
            parts.append({"context": context, "qas": qas})
        data.append({"title": f"article {a}", "paragraphs": parts})
    return {"version": "1.1", "data": data}


def squad_file(path: Path, count: int = 4, paragraphs: int = 3) -> Path:
    path.write_text(json.dumps(articles(count, paragraphs), ensure_ascii=False), encoding="utf-8")
    return path


def rows(count: int = 4, paragraphs: int = 3) -> list[dict[str, Any]]:
    """The same tree as flat rows."""
    return [
        {
            "id": qa["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": qa["question"],
            "answers": {name: [answer[name] for answer in qa["answers"]] for name in ("text", "answer_start")},
        }
        for article in articles(count, paragraphs)["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
