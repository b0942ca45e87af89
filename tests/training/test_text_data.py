"""Packing: the same tokens and bytes as the whole text, resumed, shared, streamed; and the refusals."""

import json
import multiprocessing
import os
from itertools import islice

import datasets
import numpy as np
import pytest
from transformers import AutoTokenizer

from foundation.cli import UserError
from tests.training import tiny
from training.pretraining import packing as text_data
from training.pretraining.packing import PackedText, Packing, StreamedText, pack
from training.pretraining.source import TextFile, TextRows, TextTable


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.raw"
    path.write_text(tiny.text(20_000), encoding="utf-8")
    return path


def _tokens(packed):
    return np.concatenate([packed[i]["input_ids"][1:-1] for i in range(len(packed))])


def test_shards_joined_are_the_text(file):
    content = file.read_bytes()
    for size in (64, 1000, 7001, 1 << 20):
        source = TextFile(str(file), shard_bytes=size)
        pieces = [line for shard in range(source.shards) for batch in source.read(shard) for line in batch]
        assert "".join(pieces).encode() == content
    assert TextFile(str(file), shard_bytes=1000).shards == round(len(content) / 1000)


def test_a_text_without_line_ends_is_cut_between_characters(tmp_path):
    path = tmp_path / "one_line.txt"
    path.write_text("水älvar" * 30_000, encoding="utf-8")
    source = TextFile(str(path), shard_bytes=1001)
    assert source.shards > 200
    assert "".join("".join(batch) for n in range(source.shards) for batch in source.read(n)) == path.read_text()


def test_packed_sequences_are_the_running_text(file, tokenizer, tmp_path):
    packed = pack(TextFile(str(file)), tokenizer, 64, tmp_path / "pack")
    whole = [
        i for line in file.read_text().splitlines(True) for i in tokenizer(line, add_special_tokens=False).input_ids
    ]
    assert len(packed) == len(whole) // 62 > 50
    assert _tokens(packed).tolist() == whole[: len(packed) * 62]
    first = packed[0]["input_ids"]
    assert (first[0], first[-1], first.dtype) == (tokenizer.cls_token_id, tokenizer.sep_token_id, np.int32)
    assert packed[3, 1]["epoch"] == 3 and np.array_equal(packed[3, 1]["input_ids"], packed[1]["input_ids"])
    with pytest.raises(IndexError):
        packed[len(packed)]


def _embedded_tokenizer():
    embedded = pytest.importorskip("conversion.embedded")
    try:
        return AutoTokenizer.from_pretrained(embedded.embedded_checkpoint())
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", ["bpe", "xlm-r"])
def test_bytes_of_the_tokens_are_the_bytes_of_the_text(file, tokenizer, tmp_path, kind):
    tok = tokenizer if kind == "bpe" else _embedded_tokenizer()
    packed = pack(TextFile(str(file)), tok, 10, tmp_path / "pack", packing=Packing(count_bytes=True))
    rows = [packed[i]["n_bytes"] for i in range(len(packed))]
    assert all(row[0] == row[-1] == 0 for row in rows)
    total = sum(int(row.sum()) for row in rows)
    # Find by another way where in the text the last packed token ends.
    ends, position, count = [], 0, 0
    for line in file.read_text().splitlines(True):
        for _, end in tok(line, add_special_tokens=False, return_offsets_mapping=True).offset_mapping:
            ends.append(position + len(line[:end].encode()))
        position += len(line.encode())
        count += 1
    assert total == ends[len(packed) * 8 - 1] and total > 15_000 and count > 100


@pytest.mark.slow  # spawned processes import everything anew
def test_sharded_and_parallel_packing_do_not_depend_on_the_processes(file, tokenizer, tmp_path):
    source = TextFile(str(file), shard_bytes=5_000)
    one = pack(source, tokenizer, 64, tmp_path / "one")
    two = pack(source, tokenizer, 64, tmp_path / "two", num_proc=2)
    assert len(one.rows) == source.shards > 2
    assert np.array_equal(_tokens(one), _tokens(two))


def test_a_killed_packing_goes_on_where_it_was(file, tokenizer, tmp_path, monkeypatch):
    source = TextFile(str(file), shard_bytes=5_000)
    straight = pack(source, tokenizer, 64, tmp_path / "straight")
    write = text_data._write_shard
    written = []

    def failing(tools, shard):
        if shard == 2 and not written.count("again"):
            raise KeyboardInterrupt
        written.append(shard)
        write(tools, shard)

    monkeypatch.setattr(text_data, "_write_shard", failing)
    with pytest.raises(KeyboardInterrupt):
        pack(source, tokenizer, 64, tmp_path / "pack")
    assert written == [0, 1]
    written.append("again")
    resumed = pack(source, tokenizer, 64, tmp_path / "pack")
    assert written == [0, 1, "again", *range(2, source.shards)]
    assert np.array_equal(_tokens(resumed), _tokens(straight))
    assert not list((tmp_path / "pack").glob("*.partial"))


def test_a_finished_pack_is_not_made_again(file, tokenizer, tmp_path, monkeypatch):
    pack(TextFile(str(file)), tokenizer, 64, tmp_path / "pack")
    monkeypatch.setattr(text_data, "_write_missing_shards", lambda *a: pytest.fail("packed twice"))
    pack(TextFile(str(file)), tokenizer, 64, tmp_path / "pack")
    # A call that pads and truncates leaves its settings in the tokenizer. It still counts as the same tokenizer.
    tokenizer(["a", "a b c"], padding=True, truncation=True, max_length=2)
    pack(TextFile(str(file)), tokenizer, 64, tmp_path / "pack")


def test_rows_without_a_text_are_empty_lines_and_others_are_refused(tokenizer, capsys):
    rows = datasets.Dataset.from_dict({"text": ["a river", None, "", "runs\n"], "number": [1, 2, None, 4]})
    assert list(TextTable(rows, "text", "rows").read(0)) == [["a river\n", "\n", "\n", "runs\n"]]
    assert capsys.readouterr().err == "note: 1 rows of rows have no text: they are read as empty lines\n"
    streamed = TextRows(rows.to_iterable_dataset(), "text", "rows")
    assert list(streamed.read(0)) == [["a river\n", "\n", "\n", "runs\n"]]
    for table in (TextTable(rows, "number", "rows"), TextRows(rows.to_iterable_dataset(), "number", "rows")):
        with pytest.raises(UserError, match=r"rows, row 0: --text_column 'number' holds 1, which is no text"):
            list(table.read(0))


def _pack_in_process(path, folder, counter):
    write = text_data._write_shard

    def counting(*arguments):
        with counter.get_lock():
            counter.value += 1
        write(*arguments)

    text_data._write_shard = counting
    pack(TextFile(path, shard_bytes=5_000), tiny.tokenizer(), 64, folder)


def test_processes_that_want_one_pack_take_turns(file, tmp_path):
    context = multiprocessing.get_context("fork")
    counter = context.Value("i", 0)
    processes = [
        context.Process(target=_pack_in_process, args=(str(file), tmp_path / "pack", counter)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert counter.value == TextFile(str(file), shard_bytes=5_000).shards


def test_the_default_folder_is_named_by_the_content(file, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folders = {pack(TextFile(str(file)), tokenizer, length).folder for length in (32, 64, 64)}
    assert len(folders) == 2 and all(folder.is_relative_to(tmp_path / "home") for folder in folders)
    file.write_text(file.read_text() + "more\n")
    assert pack(TextFile(str(file)), tokenizer, 64).folder not in folders


@pytest.mark.parametrize("what", ["length", "tokenizer", "text"])
def test_a_pack_of_something_else_is_refused_and_kept(file, tokenizer, tmp_path, what):
    folder = tmp_path / "pack"
    pack(TextFile(str(file)), tokenizer, 64, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if what == "text":
        file.write_text("other text. " * 500)
    other = tiny.tokenizer(vocab_size=280) if what == "tokenizer" else tokenizer
    with pytest.raises(UserError, match=f"another {what}.*: give another folder"):
        pack(TextFile(str(file)), other, 32 if what == "length" else 64, folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04\x00\x00binary", "is not text"),
        ("ja och nej, även så. ".encode("latin1") * 100, "is not UTF-8 at byte 12"),
        ("hej ".encode("utf-16") * 100, "is not text"),
        (b"too short", "fewer tokens than one sequence of 64"),
        (b"a" * (1 << 17) + b"\0", "is not text"),
        (None, "is not a file"),
    ],
)
def test_unusable_text_is_one_sentence(tmp_path, tokenizer, content, sentence):
    path = tmp_path / "wiki.raw"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        pack(TextFile(str(path), "--val_file_path"), tokenizer, 64, tmp_path / "pack")
    assert sentence in str(error.value) and str(error.value).startswith(f"--val_file_path '{path}'")
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_is_no_encoders_is_refused(file, tokenizer, tmp_path):
    other = tiny.tokenizer()
    other.cls_token = None
    with pytest.raises(UserError, match=r"no \[CLS\]"):
        pack(TextFile(str(file)), other, 64, tmp_path / "pack")


def test_hub_rows_are_packed_like_a_file(file, tokenizer, tmp_path):
    lines = file.read_text().splitlines()
    table = TextTable(datasets.Dataset.from_dict({"text": lines}), "text", "split 'train'", shard_rows=50)
    assert table.shards > 3
    rows = pack(table, tokenizer, 64, tmp_path / "rows")
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines) + "\n")
    assert sum(rows.rows) > 50
    first = _tokens(PackedText(rows.folder))[: rows.rows[0] * 62]
    assert np.array_equal(first, _tokens(pack(TextFile(str(path)), tokenizer, 64, tmp_path / "file"))[: len(first)])
    with pytest.raises(UserError, match="--text_column 'body' is not a column of split 'train': choose from text"):
        TextTable(table.dataset, "body", "split 'train'")


def test_a_stream_holds_the_packed_sequences_in_an_order_of_the_seed(file, tokenizer, tmp_path):
    source = TextFile(str(file))
    packed = pack(source, tokenizer, 64, tmp_path / "pack")
    once = {packed[i]["input_ids"].tobytes() for i in range(len(packed))}
    rows = islice(StreamedText(source, tokenizer, 64, 5), 2 * len(packed))
    stream = [(row["epoch"], row["input_ids"].tobytes()) for row in rows]
    assert {ids for epoch, ids in stream if epoch == 0} == {ids for epoch, ids in stream if epoch == 1} == once
    again = [row["input_ids"].tobytes() for row in islice(StreamedText(source, tokenizer, 64, 5), len(packed))]
    assert again == [ids for _, ids in stream[: len(packed)]]
    assert again != [row["input_ids"].tobytes() for row in islice(StreamedText(source, tokenizer, 64, 6), len(packed))]


def test_a_streamed_hub_dataset(file, tokenizer):
    dataset = datasets.Dataset.from_dict({"text": file.read_text().splitlines()}).to_iterable_dataset()
    stream = StreamedText(TextRows(dataset, "text", "split 'train'"), tokenizer, 64, 0)
    assert len({row["input_ids"].tobytes() for row in islice(stream, 60)}) > 50


def test_a_stream_that_is_too_short_is_refused_rather_than_endless(tmp_path, tokenizer):
    path = tmp_path / "short.txt"
    path.write_text("too short\n")
    with pytest.raises(UserError, match="fewer tokens than one sequence of 64"):
        next(iter(StreamedText(TextFile(str(path)), tokenizer, 64, 0)))


def test_reading_maps_a_bounded_number_of_shards(file, tokenizer, tmp_path):
    packed = pack(TextFile(str(file), shard_bytes=500), tokenizer, 16, tmp_path / "pack")
    assert len(packed.rows) > 2 * text_data.OPEN_SHARDS
    for i in range(len(packed)):
        packed[i]
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("only Linux shows what is mapped")
    with open("/proc/self/maps") as maps:
        mapped = {line.split()[-1] for line in maps if str(tmp_path) in line}
    assert 0 < len(mapped) <= text_data.OPEN_SHARDS
    assert json.loads((tmp_path / "pack" / "pack.json").read_text())["rows"] == packed.rows
