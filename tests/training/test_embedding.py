"""Embedding models: what a vector is made of, how long texts are cut, and that training moves it where it should."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LongformerModel, XLMRobertaConfig, XLMRobertaModel

from conversion.convert import convert
from training.embedding.model import load_embedder, prompt
from training.embedding.pieces import cut, mean, piece_vectors, room, vectors_of

from . import tiny

pytest.importorskip("sentence_transformers")
SIZES = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 66, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """An XLM-R of 64 tokens in which every parameter is random."""
    folder = tmp_path_factory.mktemp("short") / "xlmr"
    model = XLMRobertaModel(XLMRobertaConfig(**SIZES), add_pooling_layer=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.save_pretrained(folder)
    tiny.tokenizer(max_pos=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def long(short, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "long"
    convert(str(short), folder, max_pos=256, attention_window=32)
    return folder


def by_hand(folder: Path, text: str, first_token: bool, length: int = 256) -> np.ndarray:
    """The mean of a native Longformer's states, with or without global attention on the first token."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), LongformerModel.from_pretrained(folder).eval()
    inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=length, return_token_type_ids=False)
    seen = torch.zeros_like(inputs["input_ids"])
    seen[0, 0] = int(first_token)
    with torch.no_grad():
        states = model(**inputs, global_attention_mask=seen).last_hidden_state[0]
    return torch.nn.functional.normalize(states.mean(0), dim=0).numpy()


@pytest.mark.parametrize("first_token", [True, False])
@pytest.mark.parametrize("fast", [True, False])
def test_the_first_token_is_global_natively(long, tmp_path, first_token, fast):
    model = load_embedder(str(long), first_token_global=first_token, fast_attention=fast, device="cpu")
    texts = [tiny.text(700, 1), tiny.text(40, 2)]
    expected = np.stack([by_hand(long, text, first_token) for text in texts])
    assert np.abs(vectors_of(model, texts, "document", 1) - expected).max() < 1e-5
    assert np.abs(vectors_of(model, texts, "document", 2) - expected).max() < 1e-5  # one of them padded
    assert np.abs(by_hand(long, texts[0], not first_token) - expected[0]).max() > 1e-4
    # Without a line of ours: the folder is all that sentence-transformers needs.
    model.save_pretrained(str(tmp_path))
    program = (
        "import sys, numpy; from sentence_transformers import SentenceTransformer;"
        "numpy.save(sys.argv[2], SentenceTransformer(sys.argv[1], device='cpu').encode([sys.argv[3]], batch_size=1))"
    )
    if fast:
        subprocess.run(
            [sys.executable, "-c", program, tmp_path, tmp_path / "v.npy", texts[0]], check=True, cwd=tmp_path
        )
        assert np.abs(np.load(tmp_path / "v.npy")[0] - expected[0]).max() < 1e-5


def test_a_conversion_says_what_its_vectors_need(long):
    """Where a user meets it: on the screen (the notes), and in the card."""
    words = "one vector for a whole text needs global attention on its first token"
    assert words in " ".join((long / "conversion_report.json").read_text().split())
    assert words in " ".join((long / "README.md").read_text().split())


def test_a_short_text_has_its_sources_vector(short, long):
    text = tiny.text(20, 3)
    of_source = vectors_of(load_embedder(str(short), device="cpu"), [text], "document")
    assert np.abs(vectors_of(load_embedder(str(long), device="cpu"), [text], "document") - of_source).max() < 1e-5


def test_the_head_that_is_never_asked_is_the_same_every_time(long, tmp_path):
    for name in ("a", "b"):
        load_embedder(str(long), device="cpu").save_pretrained(str(tmp_path / name))
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_a_folder_of_sentence_transformers_keeps_its_prompts_and_modules(short, tmp_path):
    model = load_embedder(str(short), pooling="cls", prompts={"query": "river ", "document": "words "}, device="cpu")
    model.save_pretrained(str(tmp_path))
    again = load_embedder(str(tmp_path), device="cpu")
    assert (prompt(again, "query"), prompt(again, "document")) == ("river ", "words ")
    assert again[1].pooling_mode == "cls"
    text = "the river runs"
    assert np.abs(vectors_of(again, [text], "query") - model.encode(["river " + text])).max() < 1e-6
    assert np.abs(vectors_of(again, [text], "query") - vectors_of(again, [text], "document")).max() > 1e-4


def test_cut_leaves_nothing_out(short):
    tokenizer, text = AutoTokenizer.from_pretrained(short), tiny.text(900, 4)
    for length in (1, 7, 50, 10_000):
        parts = list(cut(text, tokenizer, iter(lambda length=length: length, None)))
        assert "".join("".join(parts).split()) == "".join(text.split())
        assert max(len(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts) <= length + 2
    assert list(cut("  \n ", tokenizer, iter(lambda: 5, None))) == []


def test_pieces_fill_the_short_model_and_each_has_its_own_vector(short):
    model = load_embedder(str(short), prompts={"document": "words "}, device="cpu")
    texts = [tiny.text(900, 5), "the river"]
    found = piece_vectors(model, texts, batch_size=3)
    length = room(model)
    assert len(model.tokenizer("words " + "a")["input_ids"]) + length == 64
    parts = list(cut(texts[0], model.tokenizer, iter(lambda: length, None)))
    assert [len(vectors) for vectors in found] == [len(parts), 1] and len(parts) > 3
    assert np.abs(found[0][1] - model.encode(["words " + parts[1]])[0]).max() < 1e-6
    middle = mean(found[0])
    assert np.linalg.norm(middle) == pytest.approx(1) and middle @ found[0].sum(0) == pytest.approx(
        np.linalg.norm(found[0].sum(0))
    )
