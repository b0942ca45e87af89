"""Documents of a pre-training text: kept apart or joined, from folders and JSON lines; and words masked whole."""

import json
from itertools import islice

import datasets
import numpy as np
import pytest
from transformers import DataCollatorForLanguageModeling

from conversion.embedded import embedded_checkpoint
from foundation.cli import UserError
from tests.training import tiny
from training.pretraining.masking import Masker
from training.pretraining.packing import Packing, StreamedText, pack, word_starts
from training.pretraining.source import TextFile, TextTable, open_files

LINES = ["the river runs\n", "\n", "a sea of words where long texts meet short ones, and rivers\n", "over\n"]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.raw"
    path.write_text("".join(LINES), encoding="utf-8")
    return path


def _ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def _rows(packed):
    return [packed[i]["input_ids"].tolist() for i in range(len(packed))]


def test_line_by_line_no_sequence_holds_two_documents(file, tokenizer, tmp_path):
    packed = pack(TextFile(str(file)), tokenizer, 16, tmp_path / "pack", packing=Packing(line_by_line=True))
    expected = []
    for line in LINES:
        ids = _ids(tokenizer, line.strip("\n"))
        expected += [[0, *ids[at : at + 14], 2] for at in range(0, len(ids), 14)]
    assert _rows(packed) == expected and len({len(row) for row in expected}) > 2
    streamed = StreamedText(TextFile(str(file)), tokenizer, 16, 0, Packing(line_by_line=True))
    assert sorted(row["input_ids"].tolist() for row in islice(streamed, len(packed))) == sorted(expected)
    batch = Masker(tokenizer, 0)([packed[0], packed[1]])
    longest = max(map(len, expected[:2]))
    assert batch["input_ids"].shape == (2, longest)
    for row, ids in enumerate(expected[:2]):
        assert batch["attention_mask"][row].tolist() == [1] * len(ids) + [0] * (longest - len(ids))
        assert (batch["input_ids"][row, len(ids) :] == tokenizer.pad_token_id).all()
        assert (batch["labels"][row, len(ids) :] == -100).all()


def test_rows_are_documents_whatever_is_in_them(tokenizer, tmp_path):
    texts = ["one\n\ntwo " * 40, "three"]
    (tmp_path / "rows.jsonl").write_text("\n\n".join(json.dumps({"body": text, "id": 3}) for text in texts))
    table = TextTable(datasets.Dataset.from_dict({"text": texts}), "text", "rows")
    lines = open_files(str(tmp_path / "rows.jsonl"), "--train_file_path", "body")
    apart = [
        pack(each, tokenizer, 2048, tmp_path / name, packing=Packing(line_by_line=True))
        for name, each in (("table", table), ("lines", lines))
    ]
    wanted = [[0, *_ids(tokenizer, text), 2] for text in texts]
    assert _rows(apart[0]) == _rows(apart[1]) == wanted


@pytest.mark.parametrize("rows", [False, True])
def test_a_separator_stands_between_joined_documents(file, tokenizer, tmp_path, rows):
    source = TextFile(str(file))
    if rows:
        source = TextTable(datasets.Dataset.from_dict({"text": LINES}), "text", "rows")
    packed = pack(source, tokenizer, 8, tmp_path / "pack", packing=Packing(document_separator="</s>", count_bytes=True))
    parts = [_ids(tokenizer, line) for line in LINES]
    running = parts[0] + parts[1] + [2] + parts[2] + parts[3]
    if rows:  # a row without text makes no document
        running = parts[0] + [2] + parts[1] + [2] + parts[2] + [2] + parts[3] + [2]
    found = [i for row in _rows(packed) for i in row[1:-1]]
    assert found == running[: len(found)] and len(found) > len(running) - 6
    for i in range(len(packed)):
        row = packed[i]
        assert (row["n_bytes"][row["input_ids"] == 2] == 0).all()


def test_a_folder_is_its_files_in_order_and_small_ones_share_a_shard(tokenizer, tmp_path, capsys):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("the river")
    (folder / "b.raw").write_text("runs over\n")
    (folder / "deep/c.txt").write_text("a sea\n")
    (folder / "empty.txt").touch()
    (folder / "photo.png").write_bytes(b"\0")
    source = open_files(str(folder), "--train_file_path", "text")
    assert "1 files" in capsys.readouterr().err
    assert source.shards == 1
    assert [line for batch in source.read(0) for line in batch] == [
        "the river", "\n", "runs over\n", "\n", "a sea\n", "\n",
    ]  # fmt: skip
    before = source.digest()
    (folder / "deep/c.txt").write_text("a lake\n")
    assert open_files(str(folder), "--train_file_path", "text").digest() != before


def test_large_files_of_a_folder_keep_their_own_shards(tokenizer, tmp_path, monkeypatch):
    from training.pretraining import source as module

    monkeypatch.setattr(module, "SHARD_BYTES", 100)
    for name, size in (("a", 40), ("b", 50), ("c", 1000), ("d", 30)):
        (tmp_path / f"{name}.txt").write_text(f"{name} " * (size // 2))
    source = open_files(str(tmp_path), "--train_file_path", "text")
    read = ["".join(line for batch in source.read(shard) for line in batch) for shard in range(source.shards)]
    assert sum(shard.count("c ") for shard in read) == 500 and len(read) > 10
    assert read[0] == "a " * 20 + "\n" + "b " * 25 + "\n"
    assert "".join(read).endswith("d " * 15 + "\n")


def test_a_row_longer_than_the_look_ahead_is_never_cut(tokenizer, tmp_path):
    rows = ["x" * 200_000, "y", "z" * 300_000]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    source = open_files(str(tmp_path / "rows.jsonl"), "--train_file_path", "text")
    source = type(source)(source.path, shard_bytes=50_000)
    assert source.shards > 5
    read = [row for shard in range(source.shards) for batch in source.read(shard) for row in batch]
    assert read == [row + "\n" for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", '{"text": 3}', "holds 3, which is no text"),
        ("a.jsonl", '{"body": "x"}', "--text_column 'text' is not a column of a line of"),
        ("a.jsonl", "{", "is not JSON lines"),
        ("a.jsonl", '["x"]', "is not JSON lines of objects"),
        ("folder/a.md", "x", "is a folder without text"),
        ("folder/a.txt", "", "only empty files"),
    ],
)
def test_bad_texts_are_one_sentence(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    given = path.parent if name.startswith("folder") else path
    with pytest.raises(UserError, match=sentence):
        source = open_files(str(given), "--val_file_path", "text")
        list(source.read(0))


def test_bad_separators_are_one_sentence(file, tokenizer, tmp_path):
    with pytest.raises(UserError, match=r"--document_separator '<doc>' is no token of .* such as '</s>'"):
        pack(TextFile(str(file)), tokenizer, 8, tmp_path / "pack", packing=Packing(document_separator="<doc>"))


def test_a_pack_made_otherwise_is_refused(file, tokenizer, tmp_path):
    pack(TextFile(str(file)), tokenizer, 8, tmp_path / "pack", packing=Packing(whole_words=True))
    with pytest.raises(UserError, match="another whole_words"):
        pack(TextFile(str(file)), tokenizer, 8, tmp_path / "pack")


SPACED = "The river, long-winded (and älvar) runs  over\tstones; Высокая вода — schön."


@pytest.fixture(scope="module")
def real(tokenizer):
    return {"bpe": tokenizer, "xlm-r": _xlm_r()}


def _xlm_r():
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(embedded_checkpoint())
    except UserError as error:
        pytest.skip(str(error))


def test_words_are_those_of_the_librarys_collator(real):
    """Where offsets leave spaces out, as XLM-R's do, its words are runs of tokens that touch."""
    tok = real["xlm-r"]
    text = SPACED.replace("älvar", "åar")
    encoded = tok(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    offsets = np.array([encoded["offset_mapping"]])
    special = np.array([encoded["special_tokens_mask"]])
    words, _ = DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask(offsets, special)
    starts = word_starts(text, encoded["offset_mapping"][1:-1])
    assert np.cumsum(starts).tolist() == words[0][1:-1].tolist()
    assert starts.sum() == len(text.split()) < len(starts)
    # A token may be only the mark of a word's beginning. The library gives it a place that overlaps the next token.
    offsets = tok("and älvar", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert offsets[1:3] == [(4, 5), (4, 6)] and word_starts("and älvar", offsets).tolist() == [True, True, False, False]


def test_words_of_tokens_that_hold_the_space_before_them_and_of_scripts_without_spaces(real):
    tok = real["bpe"]
    encoded = tok(SPACED, add_special_tokens=False, return_offsets_mapping=True)
    assert word_starts(SPACED, encoded["offset_mapping"]).sum() >= len(SPACED.split())
    text = "我爱北京天安门 and 東京"
    encoded = real["xlm-r"](text, add_special_tokens=False, return_offsets_mapping=True)
    pieces = [text[start:end] for start, end in encoded["offset_mapping"] if end > start]
    assert word_starts(text, encoded["offset_mapping"]).sum() >= len([p for p in pieces if p.strip()]) - 1


@pytest.mark.parametrize("kind", ["bpe", "xlm-r"])
def test_words_are_masked_whole_and_as_often_as_asked(real, tmp_path, kind):
    tok = real[kind]
    path = tmp_path / "text.txt"
    path.write_text(tiny.text(60_000, 4))
    packed = pack(TextFile(str(path)), tok, 128, tmp_path / "pack", packing=Packing(whole_words=True))
    masker = Masker(tok, 1, 0.2)
    chosen, words = 0, 0
    kept = replaced = other = 0
    for number in range(len(packed)):
        row = packed[number]
        ids, labels = masker.mask(row["input_ids"], 0, row["word_starts"])
        starts = row["word_starts"] == 1
        starts[1] = True  # a sequence may begin inside a word
        word = np.cumsum(starts[1:-1])
        masked = labels[1:-1] != -100
        assert labels[0] == labels[-1] == -100
        for each in np.unique(word):
            of_word = masked[word == each]
            assert of_word.all() or not of_word.any()
            chosen, words = chosen + of_word[0], words + 1
        kept += int((ids[labels != -100] == labels[labels != -100]).sum())
        replaced += int((ids[labels != -100] == tok.mask_token_id).sum())
        other += int((labels != -100).sum())
    assert words > 2000 and chosen / words == pytest.approx(0.2, abs=0.03)
    assert replaced / other == pytest.approx(0.8, abs=0.03) and kept / other == pytest.approx(0.1, abs=0.03)
    # Without whole words the masks are as before.
    plain = masker.mask(packed[0]["input_ids"], 0)
    assert np.array_equal(plain[1], masker.mask(packed[0]["input_ids"], 0, np.ones(128))[1])
