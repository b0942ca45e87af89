"""Embedding models: what a vector is made of, how long texts are cut, and that training moves it where it should."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LongformerModel, XLMRobertaConfig, XLMRobertaModel

from conversion.convert import convert
from foundation.cli import UserError
from training.embed import main
from training.embedding.arguments import defaults
from training.embedding.documents import documents, pairs, stretches
from training.embedding.model import encoder, load_embedder, prompt
from training.embedding.pieces import cut, mean, piece_vectors, room, vectors_of

from . import qa_tiny, tiny

SentenceTransformer = pytest.importorskip("sentence_transformers").SentenceTransformer
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
    assert np.abs(vectors_of(model, texts, "document", 2) - expected).max() < 1e-5  # in a batch of two one is padded
    assert np.abs(by_hand(long, texts[0], not first_token) - expected[0]).max() > 1e-4
    # sentence-transformers loads the folder without any code of ours.
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


def test_stretches_are_of_every_length(short):
    tokenizer = AutoTokenizer.from_pretrained(short)
    rows = list(stretches(iter([tiny.text(60_000, 6)]), tokenizer, 16, 250, seed=1))
    lengths = [len(tokenizer(row["text"], add_special_tokens=False)["input_ids"]) for row in rows[:-1]]
    assert min(lengths) < 25 and max(lengths) > 200 and max(lengths) < 255
    below = np.mean([length < (16 * 250) ** 0.5 for length in lengths])
    assert 0.35 < below < 0.65  # half of the lengths are below the geometric mean of the limits
    again = list(stretches(iter([tiny.text(60_000, 6)]), tokenizer, 16, 250, seed=1))
    assert again == rows


def test_texts_of_every_kind_of_file(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    assert "".join(documents(str(tmp_path / "a.txt"), "text", "--x")) == "one\n\ntwo\n"
    (tmp_path / "a.jsonl").write_text('{"body": "one"}\n\n{"body": "two"}\n', encoding="utf-8")
    assert list(documents(str(tmp_path / "a.jsonl"), "body", "--x")) == ["one\n", "two\n"]
    squad = str(qa_tiny.squad_file(tmp_path / "squad.json"))
    contexts = [row["context"] for row in qa_tiny.rows()]
    assert list(documents(squad, "text", "--x")) == list(dict.fromkeys(contexts))
    found = list(pairs(squad, "--x"))
    assert [row["positive"] for row in found] == contexts and found[1]["anchor"] == "runs over?"
    (tmp_path / "bad.jsonl").write_text('{"question": "x", "context": 3}')
    for name, sentence in (
        ("bad.jsonl", "line 1, has no text under 'context'"), ("none.jsonl", "is not a file"),
        ("a.txt", "holds no pairs"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            list(pairs(str(tmp_path / name), "--x"))


@pytest.fixture
def embed(tmp_path, monkeypatch):
    """The command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def call(*words: object) -> None:
        monkeypatch.setattr("sys.argv", ["embed.py", *map(str, words), "--use_cpu", "--report_to", "none"])
        main()

    return call


def test_a_run_brings_documents_nearer_to_the_mean_of_their_pieces(short, long, tmp_path, embed):
    """From scratch to a folder that loads: the loss falls on text that was not trained on, and a resume goes on."""
    (tmp_path / "train.txt").write_text(tiny.text(12_000, 7), encoding="utf-8")
    (tmp_path / "val.txt").write_text(tiny.text(3_000, 8), encoding="utf-8")
    far = LongformerModel.from_pretrained(long)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in far.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    far.save_pretrained(tmp_path / "far")
    tiny.tokenizer(max_pos=256).save_pretrained(tmp_path / "far")
    words = [
        "--model_name_or_path", "far", "--teacher_name_or_path", str(short), "--train_file_path", "train.txt",
        "--val_file_path", "val.txt", "--max_length", "200", "--min_length", "60", "--do_train", "--do_eval",
        "--learning_rate", "1e-3", "--save_steps", "10", "--output_dir", "run", "--lr_scheduler_type", "constant",
    ]  # fmt: skip
    embed(*words, "--max_steps", 20)
    results = json.loads((tmp_path / "run/embed_results.json").read_text())
    assert results["loss_after"] < 0.8 * results["loss_before"]
    assert results["steps"] == 20
    teacher = load_embedder(str(short), device="cpu")
    text = tiny.text(500, 9)
    (pieces,) = piece_vectors(teacher, [text])
    before, after = (load_embedder(str(folder), device="cpu") for folder in (tmp_path / "far", tmp_path / "run"))
    assert type(encoder(after)).__name__ == "LongformerForSequenceClassification"
    near = [float(vectors_of(model, [text], "document")[0] @ mean(pieces)) for model in (before, after)]
    assert near[1] > near[0]
    embed(*words, "--max_steps", 22, "--resume_from_checkpoint")
    assert json.loads((tmp_path / "run/embed_results.json").read_text())["steps"] == 22


def test_pairs_are_learned_by_the_librarys_own_loss(long, tmp_path, embed, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("sentence_transformers.base.model_card.get_model_info", asked.append)
    squad = qa_tiny.squad_file(tmp_path / "squad.json")
    embed(
        "--model_name_or_path", long, "--objective", "pairs", "--train_file_path", squad, "--max_length", 128,
        "--do_train", "--max_steps", 2, "--query_prompt", "over ", "--output_dir", "run",
    )  # fmt: skip
    model = load_embedder(str(tmp_path / "run"), device="cpu")
    assert prompt(model, "query") == "over "
    moved = encoder(model).state_dict()["longformer.encoder.layer.0.attention.self.key_global.weight"]
    assert not torch.equal(
        moved, LongformerModel.from_pretrained(long).state_dict()["encoder.layer.0.attention.self.key_global.weight"]
    )
    assert "älvar" not in (tmp_path / "run/README.md").read_text()  # the card quotes no text of the training
    assert not asked  # the Hub knows nothing of a folder


def paired(path: Path, count: int, seed: int) -> list[dict[str, str]]:
    """Documents of words, and questions of three of them in another language, which stand in no document."""
    rng = np.random.default_rng(seed)
    own, other = [[f"{a}{b}" for a in first for b in "aeo"] for first in ("bdfgk", "lmprt")]
    rows = []
    for _ in range(count):
        document = rng.choice(len(own), 4, replace=False)
        words = " ".join(own[number] for number in [*document, *rng.choice(document, 4)])
        rows.append({"question": " ".join(other[number] for number in document[:3]), "context": words})
    path.write_text("\n".join(map(json.dumps, rows)))
    return rows


def found(folder: Path, rows: list[dict[str, str]]) -> float:
    """Recall at 1 of the rows' documents."""
    model = load_embedder(str(folder), device="cpu")
    questions, contexts = (
        vectors_of(model, [row[name] for row in rows], part)
        for name, part in (("question", "query"), ("context", "document"))
    )
    return float(((questions @ contexts.T).argmax(axis=1) == np.arange(len(rows))).mean())


def test_pairs_teach_to_find_documents_that_were_not_trained_on(long, tmp_path, embed):
    paired(tmp_path / "train.jsonl", 800, 1)
    held_back = paired(tmp_path / "val.jsonl", 64, 2)
    embed(
        "--model_name_or_path", long, "--objective", "pairs", "--train_file_path", "train.jsonl", "--val_file_path",
        "val.jsonl", "--do_train", "--do_eval", "--max_length", 64, "--max_steps", 60,
        "--per_device_train_batch_size", 32, "--per_device_eval_batch_size", 32, "--mini_batch_size", 32,
        "--learning_rate", 5e-3, "--temperature", 0.05, "--dropout", 0, "--output_dir", "run",
    )  # fmt: skip
    results = json.loads((tmp_path / "run/embed_results.json").read_text())
    assert results["loss_after"] < results["loss_before"] - 0.5
    assert found(tmp_path / "run", held_back) > 3 * max(found(long, held_back), 1 / 64)


def test_a_map_teaches_to_find_documents_and_leaves_the_model_alone(long, tmp_path, embed, monkeypatch):
    paired(tmp_path / "train.jsonl", 800, 1)
    held_back = paired(tmp_path / "val.jsonl", 64, 2)
    read: list[str] = []
    encode = SentenceTransformer.encode
    monkeypatch.setattr(
        SentenceTransformer, "encode", lambda self, texts, **how: read.extend(texts) or encode(self, texts, **how)
    )
    words = [
        "--model_name_or_path", long, "--objective", "pairs", "--train", "map", "--train_file_path", "train.jsonl",
        "--val_file_path", "val.jsonl", "--do_train", "--do_eval", "--max_length", 64, "--learning_rate", 1e-2,
        "--per_device_eval_batch_size", 64, "--temperature", 0.05, "--mini_batch_size", 32, "--save_steps", 60,
        "--lr_scheduler_type", "constant",
    ]  # fmt: skip
    embed(*words, "--max_steps", 120, "--output_dir", "run")
    of_data = {text for name in ("train", "val") for text in (tmp_path / f"{name}.jsonl").read_text().split('"')}
    read = [text for text in read if text in of_data]  # the card has examples of its own
    assert len(read) == len(set(read)) > 800  # the model reads each text once
    results = json.loads((tmp_path / "run/embed_results.json").read_text())
    assert results["loss_after"] < results["loss_before"] - 0.5
    assert found(tmp_path / "run", held_back) > 3 * max(found(long, held_back), 1 / 64)
    before, after = (load_embedder(str(folder), device="cpu") for folder in (long, tmp_path / "run"))
    for name, tensor in encoder(before).state_dict().items():
        assert torch.equal(tensor, encoder(after).state_dict()[name]), name
    assert [type(module).__name__ for module in after] == ["Transformer", "Pooling", "Dense", "Normalize"]
    matrix = after[2].linear.weight.detach().numpy()
    text = tiny.text(20, 3)
    by_matrix = matrix @ vectors_of(before, [text], "document")[0]
    vector = SentenceTransformer(str(tmp_path / "run"), device="cpu").encode([text])[0]
    assert np.abs(vector - by_matrix / np.linalg.norm(by_matrix)).max() < 1e-5
    # Cut short and resumed it is the same; a second training goes on with the map that is there.
    embed(*words, "--max_steps", 60, "--output_dir", "resumed")
    embed(*words, "--max_steps", 120, "--output_dir", "resumed", "--resume_from_checkpoint")
    assert np.array_equal(load_embedder(str(tmp_path / "resumed"), device="cpu")[2].linear.weight.detach(), matrix)
    embed(*words, "--max_steps", 1, "--output_dir", "again", "--model_name_or_path", "run")
    again = load_embedder(str(tmp_path / "again"), device="cpu")
    assert len(again) == 4 and 0 < np.abs(again[2].linear.weight.detach().numpy() - matrix).max() < 0.1


def test_a_map_has_defaults_of_its_own():
    assert defaults(["--train", "map"])["learning_rate"] == 1e-4 and defaults(["--do_train"])["learning_rate"] == 2e-5


def test_a_push_is_one_commit_of_a_folder_that_loads_and_names_no_path(
    long, tmp_path, embed, loopback_hub, monkeypatch
):
    loopback_hub.here(monkeypatch)
    squad = qa_tiny.squad_file(tmp_path / "squad.json")
    embed(
        "--model_name_or_path", long, "--objective", "pairs", "--train_file_path", squad, "--max_length", 64,
        "--do_train", "--max_steps", 1, "--output_dir", "run", "--push_to_hub", "--hub_model_id", "org/e5-long",
    )  # fmt: skip
    commits = loopback_hub.api().list_repo_commits("org/e5-long")
    assert sum(commit.title.startswith("Embeddings of whole documents") for commit in commits) == 1
    files = set(loopback_hub.api().list_repo_files("org/e5-long"))
    assert {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "embed_results.json"} <= files
    assert not any("checkpoint" in name or name == "training_args.bin" for name in files)
    of_hub, of_folder = (load_embedder(name, device="cpu") for name in ("org/e5-long", str(tmp_path / "run")))
    assert np.array_equal(*(vectors_of(model, ["a river"], "document") for model in (of_hub, of_folder)))
    for name in ("README.md", "embed_results.json"):
        assert str(tmp_path.parent) not in (tmp_path / "run" / name).read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--train_file_path", "x"], "nothing to do: give --do_train"),
        (["--do_train", "--train_file_path", "x", "--dropout", "1"], "--dropout 1.0 is no probability"),
        (["--do_train", "--train_file_path", "x", "--temperature", "0"], "--temperature 0.0 is not between"),
        (["--do_train"], "no text: give --train_file_path"),
        (["--do_train", "--train_file_path", "x", "--train", "map", "--dropout", "0"], "--dropout has no part in"),
        (
            ["--do_train", "--train_file_path", "x", "--train", "map", "--dataloader_num_workers", "2"],
            "--dataloader_num_workers 2 has no part in",
        ),
        (["--do_train", "--train_file_path", "x", "--train", "head"], "--train: invalid choice: 'head'"),
        (
            ["--do_train", "--train_file_path", "x", "--min_length", "8"],
            "--min_length 8 and --max_length 4096 are no range",
        ),
        (["--do_train", "--train_file_path", "none.txt"], "'none.txt' is not a file"),
        (
            ["--do_train", "--train_file_path", "t.txt", "--max_length", "300"],
            "--max_length 300 is above the 256 tokens",
        ),
        (
            ["--do_train", "--objective", "pairs", "--train_file_path", "b.jsonl", "--max_length", "99"],
            "line 1, has no",
        ),
        (["--do_train", "--train_file_path", "t.txt", "--max_length", "99", "--min_length", "20"], "--teacher_name"),
    ],
)
def test_bad_input_is_one_sentence(long, tmp_path, embed, words, sentence):
    (tmp_path / "t.txt").write_text(tiny.text(2000, 1))
    (tmp_path / "b.jsonl").write_text('{"question": 1, "context": "x"}')
    # A folder that does not say of which model it was made.
    shutil.copytree(long, tmp_path / "model", ignore=shutil.ignore_patterns("conversion_report.json"))
    with pytest.raises(UserError, match=sentence):
        embed("--model_name_or_path", "model", "--output_dir", "run", *words)
    assert not (tmp_path / "run").exists()
