"""One reader for what people have: the same questions out of every kind of file, and one sentence for a bad one."""

import csv
import gzip
import io
import json
import os
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hub_datasets
from foundation.cli import UserError
from hub_datasets.concat import CorpusError
from hub_datasets.squad_format import read_parts

CONTEXTS = ("Ada bor i Malmö, \u2028sedan 1999-05-01.", 'Bo, "Bosse", bor i Lund;\nhan är 13 år.')
ROWS = [
    {"id": "2020-01-01T10:00:00", "title": "T", "context": CONTEXTS[0], "question": "När?",
     "answers": {"text": ["1999-05-01"], "answer_start": [CONTEXTS[0].index("1999")]}},
    {"id": "7", "title": "T", "context": CONTEXTS[0], "question": "Var, då?",
     "answers": {"text": ["Malmö", "i Malmö"], "answer_start": [10, 8]}},
    {"id": "8", "title": "1984", "context": CONTEXTS[1], "question": "Vem?",
     "answers": {"text": [], "answer_start": []}},
]  # fmt: skip


def objects(row: dict) -> dict:
    """The row with its answers as a list of objects."""
    pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    return {**row, "answers": [{"text": text, "answer_start": start} for text, start in pairs]}


def tree() -> list[dict]:
    questions = [{"id": row["id"], "question": row["question"], "answers": objects(row)["answers"]} for row in ROWS]
    first = {"title": "T", "paragraphs": [{"context": CONTEXTS[0], "qas": questions[:2]}]}
    return [first, {"title": "1984", "paragraphs": [{"context": CONTEXTS[1], "qas": questions[2:]}]}]


def dumped(value: object) -> bytes:
    # Half a surrogate pair cannot be written in UTF-8.
    return json.dumps(value, ensure_ascii="\\ud" in json.dumps(value)).encode()


def lines(rows: list[dict]) -> bytes:
    return b"\n".join(map(dumped, rows)) + b"\n\n"


def parquet(rows: list[dict]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def table(rows: list[dict], delimiter: str = ",") -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def spelled(row: dict, spell) -> dict:
    return {**row, "answers": spell(row["answers"])}


def numbers_as_text(row: dict) -> dict:
    answers = {**row["answers"], "answer_start": [f"{n}" for n in row["answers"]["answer_start"]]}
    return {**row, "answers": answers}


FILES = {
    "a tree": dumped({"version": "1.1", "data": tree()}),
    "an array of articles": dumped(tree()),
    "an array of rows": dumped(ROWS),
    "an object with rows": dumped({"version": "x", "data": ROWS}),
    "JSON lines": lines(ROWS),
    "JSON lines, as datasets writes them": None,
    "lists of objects": lines([objects(row) for row in ROWS]),
    "whole numbers as text": lines([numbers_as_text(row) for row in ROWS]),
    "ids and titles as numbers": dumped(
        [{**row, "id": int(row["id"])} if row["id"].isdigit() else row for row in ROWS]
    ),
    "one gold as an object": lines([ROWS[0] | {"answers": objects(ROWS[0])["answers"][0]}, *ROWS[1:]]),
    "gzip": gzip.compress(lines(ROWS)),
    "gzip of a tree": gzip.compress(dumped({"data": tree()})),
    "a byte-order mark": b"\xef\xbb\xbf" + dumped(ROWS),
    "UTF-16": json.dumps({"data": tree()}, ensure_ascii=False).encode("utf-16"),
    "Parquet": parquet(ROWS),
    "Parquet of lists of objects": parquet([objects(row) for row in ROWS]),
    "CSV with JSON": table([spelled(row, json.dumps) for row in ROWS]),
    "TSV with JSON": table([spelled(row, json.dumps) for row in ROWS], "\t"),
    "CSV with semicolons": table([spelled(row, json.dumps) for row in ROWS], ";"),
    "CSV of pandas": datasets.Dataset.from_list(ROWS).to_pandas().to_csv(index=False).encode(),
    "CSV of datasets": None,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """FILES, with those that `datasets` itself writes, by its defaults."""
    folder = tmp_path_factory.mktemp("written")
    rows = datasets.Dataset.from_list(ROWS)
    rows.to_json(folder / "rows.json")
    rows.to_csv(folder / "rows.csv")
    written = {"JSON lines, as datasets writes them": "rows.json", "CSV of datasets": "rows.csv"}
    return {name: content or (folder / written[name]).read_bytes() for name, content in FILES.items()}


def flat(parts: list) -> list[dict]:
    """What was read, as rows again."""
    return [
        {"id": question.id, "title": paragraph.title, "context": paragraph.context, "question": question.question,
         "answers": {"text": question.texts, "answer_start": question.answer_starts}}
        for part in parts for paragraph in part.paragraphs for question in paragraph.questions
    ]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_same_questions_out_of_every_kind_of_file(files, name):
    assert flat(read_parts(files[name], "f", {})) == ROWS


@pytest.mark.parametrize("name", ["CSV with JSON", "gzip", "Parquet", "UTF-16"])
def test_the_loader_reads_them_too(files, name, tmp_path):
    (tmp_path / "f").write_bytes(files[name])
    call = {"data_files": str(tmp_path / "f"), "split": "train", "nr_concats": 1, "questions": "all"}
    assert hub_datasets.load_dataset("squad_long", **call, cache_dir=tmp_path / "cache").to_list() == ROWS


def test_flat_columns_of_one_answer():
    head = "question_id,body,question,text,answer_start\n"
    content = (head + f'1,"{CONTEXTS[0]}",Var?,Malmö,10\n2,"{CONTEXTS[0]}",Vem?,,\n').encode()
    rows = flat(read_parts(content, "f.csv", {"question_id": "id", "body": "context"}))
    assert [row["answers"] for row in rows] == [
        {"text": ["Malmö"], "answer_start": [10]},
        {"text": [], "answer_start": []},
    ]
    assert [row["id"] for row in rows] == ["1", "2"]


def test_an_unanswerable_question_may_have_no_answers():
    row = {"id": "1", "context": "c", "question": "?", "answers": None, "is_impossible": True}
    question = {"id": "1", "question": "?", "answers": None, "is_impossible": True}
    for content in (dumped([row]), dumped([{"paragraphs": [{"context": "c", "qas": [question]}]}])):
        assert flat(read_parts(content, "f", {}))[0]["answers"] == {"text": [], "answer_start": []}


def test_parts_are_apart_by_language():
    rows = [{**ROWS[0], "language": code} for code in ("sv", "en", "sv")]
    parts = read_parts(parquet(rows), "f", {})
    assert [(part.language, len(part.paragraphs)) for part in parts] == [("sv", 2), ("en", 1)]


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4))
def test_any_text_comes_back_as_it_stood(texts):
    rows = [
        {"id": f"{n}{key}", "title": "", "context": f"x{context}", "question": question,
         "answers": {"text": ["x"], "answer_start": [0]}}
        for n, (key, context, question) in enumerate(texts)
    ]  # fmt: skip
    for content in (lines(rows), dumped(rows), parquet(rows), table([spelled(row, json.dumps) for row in rows])):
        read = flat(read_parts(content, "f", {}))
        # csv cannot write a carriage return or a NUL so that its own reader gives it back.
        assert read == rows or (content[:3] == b"id," and any(c in f"{rows}" for c in ("\\r", "\\x00")))


def changed(column: str, value: object) -> bytes:
    return lines([ROWS[0], {**ROWS[1], column: value}])


def answer(**values: object) -> bytes:
    return changed("answers", {**{key: held[:1] for key, held in ROWS[1]["answers"].items()}, **values})


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("f.json", dumped(ROWS))
    return buffer.getvalue()


SECOND = "f, row 1 (line 2): "


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lines(ROWS[:1]) + '{"context": "Älvdalen"}'.encode("latin-1"), "f is not UTF-8: byte 0xc4 at offset"),
        (changed("context", None), f"{SECOND}context is null, not a text"),
        (changed("context", 3), f"{SECOND}context is 3, not a text"),
        (changed("question", None), f"{SECOND}question is null, not a text"),
        (changed("id", 1.5), f"{SECOND}id is 1.5, not a text"),
        (changed("id", None), f"{SECOND}id is null, not a text"),
        (changed("title", ["x"]), f"{SECOND}title is ['x'], not a text"),
        (changed("question", "\ud800x"), f"{SECOND}question holds half a surrogate pair"),
        (answer(answer_start=[None]), f"{SECOND}an answer_start of answers is null, not a whole number"),
        (answer(answer_start=["13a"]), f"{SECOND}an answer_start of answers is '13a', not a whole number"),
        (answer(answer_start=[1.5]), f"{SECOND}an answer_start of answers is 1.5, not a whole number"),
        (answer(answer_start=[True]), f"{SECOND}an answer_start of answers is True, not a whole number"),
        (answer(text=[None]), f"{SECOND}a text of answers is null, not a text"),
        (answer(answer_start=[]), f"{SECOND}answers has 1 text and 0 answer_start, not as many of both"),
        (changed("answers", "nowhere"), f"{SECOND}answers is 'nowhere', no object with text and answer_start"),
        (changed("answers", None), f"{SECOND}answers is null, no object with text and answer_start"),
        (lines(ROWS)[:-40], "f, row 2 (line 3): not JSON: "),
        (lines([{"id": "1"}, ROWS[0]]), "'f' has no column 'context' (it has id)"),
        (b"id,context\n1,x\n", "'f' has no column 'question' (it has id, context)"),
        (b"id,context,question,text\n1,x,?\n", "f, row 0 (line 2): not as many fields as the header has"),
        (b'id,context,question,text\n1,"x,?', "f, row 0 (line 2): not CSV: "),
        (parquet(ROWS)[:-9], "f cannot be read as Parquet ("),
        (gzip.compress(lines(ROWS))[:-20], "f is gzip that cannot be unpacked ("),
        (zipped(), "f is a zip archive: unpack or convert it"),
        (b"[3]\n", "data[0] is 3, not an object"),
        (dumped([ROWS[0], 3]), "f, row 1: 3 is no object"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_file_row_and_column(content, sentence):
    with pytest.raises(CorpusError) as raised:
        read_parts(content, "f", {})
    said = str(raised.value)
    assert sentence in said or (sentence == "data[0] is 3, not an object" and "the file is a list" in said)
    assert "\n" not in said and len(said) < 420


class TestTheLoader:
    """`hub_datasets.load_dataset`: names, splits, folders, and rows that are never stale."""

    @pytest.fixture
    def load(self, tmp_path):
        def call(path, *arguments, **keywords):
            return hub_datasets.load_dataset(path, *arguments, cache_dir=tmp_path / "cache", **keywords)

        return call

    def test_a_name_with_brackets(self, load, tmp_path):
        (tmp_path / "squad[1].json").write_bytes(FILES["a tree"])
        assert len(load("squad_long", data_files=str(tmp_path / "squad[1].json"), split="train", questions="all")) == 3

    @pytest.mark.parametrize("split", ["all", "my-split", "", "a b"])
    def test_a_split_that_cannot_be_one(self, load, tmp_path, split):
        (tmp_path / "f.json").write_bytes(FILES["a tree"])
        with pytest.raises(UserError, match=f"data_files names the split '{split}'"):
            load("squad_long", data_files={split: str(tmp_path / "f.json")})

    def test_a_folder(self, load, tmp_path):
        with pytest.raises(UserError, match=r"is a folder: give the files in it"):
            load("squad_long", data_files=str(tmp_path))

    def test_a_column_of_languages(self, load, tmp_path):
        file = tmp_path / "rows.parquet"
        file.write_bytes(parquet([{**ROWS[0], "language": "sv"}, {**ROWS[1], "language": "de"}]))
        rows = load("xquad_long", data_files=str(file), split="validation")
        assert [(row["id"], row["language"]) for row in rows] == [(ROWS[0]["id"], "sv"), ("7", "de")]
        assert load("xquad_long", "de", data_files=str(file), split="validation")["id"] == ["7"]
        with pytest.raises(UserError, match="gives no row"):
            load("xquad_long", "el", data_files=str(file))

    def test_columns_of_other_names(self, load, tmp_path):
        file = tmp_path / "rows.jsonl"
        file.write_bytes(lines([{**{k: v for k, v in row.items() if k != "id"}, "key": row["id"]} for row in ROWS]))
        call = {"data_files": str(file), "split": "train", "questions": "all"}
        assert load("squad_long", **call, columns="key=id")["id"] == [row["id"] for row in ROWS]
        with pytest.raises(UserError, match=r"no column 'id' .* name another by columns, THEIRS=id"):
            load("squad_long", **call)

    def test_a_file_replaced_with_its_time_kept(self, load, tmp_path):
        """As `cp -p`, rsync, tar and the layers of a container leave it: rows are of what the file holds."""
        file = tmp_path / "f.json"
        for question in ("Old?", "New?"):
            file.write_bytes(dumped([{**ROWS[0], "question": question}]))
            os.utime(file, ns=(10**18, 10**18))
            assert load("squad_long", data_files=str(file), split="train")["question"] == [question]

    def test_a_script_as_a_file_does_so_too(self, tmp_path):
        if int(datasets.__version__.split(".")[0]) >= 4:
            pytest.skip("datasets 4 and later run no scripts")
        file = tmp_path / "f.json"
        script = str(Path(hub_datasets.__file__).with_name("squad_long.py"))
        for question in ("Old?", "New?"):
            file.write_bytes(dumped([{**ROWS[0], "question": question}]))
            os.utime(file, ns=(10**18, 10**18))
            call = {"data_files": str(file), "split": "train", "trust_remote_code": True}
            assert datasets.load_dataset(script, **call, cache_dir=str(tmp_path / "c"))["question"] == [question]
