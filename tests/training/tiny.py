"""Small random Longformers and texts that pre-training tests share."""

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import LongformerConfig, LongformerForMaskedLM, PreTrainedTokenizerFast

from training.pretraining.trainer import with_global_projections

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SENTENCE = "the river runs over älvar and Höhlen 水 to a sea of words, where long texts meet short ones"


def text(characters: int, seed: int = 0) -> str:
    """Lines of random words in several scripts, with empty lines between paragraphs."""
    rng = random.Random(seed)
    words, lines = SENTENCE.split(), list[str]()
    size = 0
    while size < characters:
        line = " ".join(rng.choices(words, k=rng.randint(0, 12))) + "\n"
        lines.append(line)
        size += len(line)
    return "".join(lines)[:characters]


def tokenizer(vocab_size: int = 300, max_pos: int = 64) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on `text`."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        [text(20_000)], trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=SPECIALS, initial_alphabet=alphabet)
    )
    bpe.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False
    )
    names = {"bos": 0, "cls": 0, "pad": 1, "sep": 2, "eos": 2, "unk": 3, "mask": 4}
    tokens = {f"{name}_token": SPECIALS[index] for name, index in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=max_pos, **tokens)


def longformer(vocab_size: int = 300, max_pos: int = 64, dropout: float = 0.0, seed: int = 0) -> LongformerForMaskedLM:
    """A native Longformer in which every parameter is random, so that a mixed-up one shows."""
    config = LongformerConfig(
        vocab_size=vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        attention_window=16, max_position_embeddings=max_pos + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        type_vocab_size=1, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, layer_norm_eps=1e-5,
    )  # fmt: skip
    model = LongformerForMaskedLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


def checkpoint(folder: Path, max_pos: int = 64, dropout: float = 0.0) -> Path:
    """A checkpoint folder with model and tokenizer; the global projections are copies, as a conversion makes them."""
    tok = tokenizer(max_pos=max_pos)
    model = longformer(len(tok), max_pos, dropout)
    model.save_pretrained(folder, state_dict=with_global_projections(model.state_dict()))
    tok.save_pretrained(folder)
    return folder
