"""Tiny random checkpoints of the four families, in the layouts that files in the wild have.

Every parameter holds distinct random values, LayerNorms and biases too: fresh ones are 1 and 0, so that a swapped or
lost tensor would pass unseen.
"""

import functools
import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

FAMILIES = ("roberta", "xlm-roberta", "camembert", "bert")
CLASSES = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert", "bert": "Bert"}
PREFIXES = {"roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta.", "bert": "bert."}

TEXTS = [
    "A short sentence about long documents.",
    "Räksmörgås och blåbär växer inte på träd.",
    "Der Fluß fließt über die Grenze, wo niemand wartet.",
    "La respuesta está al final del documento.",
    "Ответ находится в конце документа.",
    "文档很长，答案在最后。",
    "الجواب في نهاية الوثيقة.",
    "उत्तर दस्तावेज़ के अंत में है।",
]


@functools.cache
def _unigram(special: tuple[str, ...]) -> list[tuple[str, float]]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=list(special), unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    return [tuple(piece) for piece in json.loads(tokenizer.to_str())["model"]["vocab"]]


@functools.cache
def _bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


@functools.cache
def _wordpiece() -> dict[str, int]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    return json.loads(tokenizer.to_str())["model"]["vocab"]


def make_tokenizer(model_type: str):
    """A small tokenizer of the family's own class, with its own special ids."""
    if model_type == "roberta":
        vocab, merges = _bpe()
        return transformers.RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=512)
    if model_type == "bert":
        return transformers.BertTokenizer(vocab=_wordpiece(), do_lower_case=False, model_max_length=512)
    if model_type == "camembert":
        special = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>")
        return transformers.CamembertTokenizer(vocab=_unigram(special), model_max_length=512)
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    return transformers.XLMRobertaTokenizer(vocab=_unigram(special), model_max_length=512)


def fill(model: torch.nn.Module, seed: int = 0) -> None:
    """Distinct random values in every parameter: LayerNorm weights around 1, all else around 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator) * 0.25
        is_scale = "norm" in name.lower() and name.endswith("weight")
        parameter.data = values + 1 if is_scale else values


def make_checkpoint(
    folder: Path,
    model_type: str,
    head: str = "Model",
    *,
    positions: int = 512,
    tokenizer=None,
    seed: int = 0,
    **config,
) -> Path:
    """Write a checkpoint of `head` ("Model", "ForMaskedLM", …) as transformers saves it; returns `folder`.

    Args:
        positions: tokens that it reads (the table has the family's reserved rows beside them).
        config: fields that replace those of the tiny default (2 layers, width 32, 4 attention heads).
    """
    tokenizer = tokenizer or make_tokenizer(model_type)
    reserved = 0 if model_type == "bert" else tokenizer.pad_token_id + 1
    name = CLASSES[model_type]
    fields = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": positions + reserved,
        "type_vocab_size": 2 if model_type == "bert" else 1,
        "layer_norm_eps": 1e-12 if model_type == "bert" else 1e-5,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **config,
    }
    model = getattr(transformers, name + head)(getattr(transformers, name + "Config")(**fields))
    fill(model, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load_tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def save_tensors(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def edit_config(folder: Path, **fields) -> None:
    """Set fields of config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
