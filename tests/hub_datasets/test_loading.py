"""The loader and the scripts as files, on whichever generation of `datasets` runs these tests."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings

import hub_datasets
from foundation.cli import UserError
from hub_datasets import loading, squad_format
from tests.conftest import ROOT

from .trees import reference, trees

RUNS_SCRIPTS = int(datasets.__version__.split(".")[0]) < 4
by_script = pytest.mark.skipif(not RUNS_SCRIPTS, reason="datasets 4 and later run no scripts")
SAMPLE = ROOT / "hub_datasets" / "sample"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    datasets.disable_progress_bars()


@pytest.fixture
def load(tmp_path):
    def call(path, *arguments, **keywords):
        return hub_datasets.load_dataset(path, *arguments, cache_dir=tmp_path / "cache", **keywords)

    return call


def write(path, tree):
    path.write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")
    return path


def tiny(answer_start=0, text="Malmö", contexts=("Malmö. ", "Lund. ", "Ystad. ")):
    paragraphs = [
        {
            "context": context,
            "qas": [{"id": f"{n}", "question": "?", "answers": [{"text": text, "answer_start": answer_start}]}]
            if n == 0
            else [{"id": f"{n}", "question": "?", "answers": [], "is_impossible": True}],
        }
        for n, context in enumerate(contexts)
    ]
    return {"data": [{"title": "T", "paragraphs": paragraphs}]}


def test_xquad_by_files_all_languages_and_one(load, shared_data):
    files = sorted(str(file) for file in (shared_data / "xquad").glob("*.json"))
    every = load("xquad_long", data_files=files)
    assert set(every) == {"validation"} and every["validation"].num_rows == 12 * 240
    assert every["validation"].column_names == ["id", "title", "context", "question", "answers", "language"]
    assert len(every["validation"].unique("language")) == 12
    one = load("xquad_long", "ro", data_files=str(shared_data / "xquad" / "xquad.ro.json"), split="validation")
    assert list(one) == [row for row in every["validation"] if row["language"] == "ro"]
    streamed = load("xquad_long", "ro", data_files=str(shared_data / "xquad" / "xquad.ro.json"), streaming=True)
    assert list(streamed["validation"]) == list(one)


def test_squad_by_files_has_squads_own_features_and_any_split(load, shared_data):
    file = shared_data / "squad" / "train-v1.1-first44articles.json"
    loaded = load("squad_long", data_files={"train": file, "dev": [str(file)]}, nr_concats=12, questions="all")
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 11_877, "dev": 11_877}
    features = loaded["train"].features
    assert list(features) == ["id", "title", "context", "question", "answers"]
    assert features["answers"] == datasets.Features(squad_format.FEATURES)["answers"]
    first = load("squad_long", data_files=file, split="train[:2]", nr_concats=12, questions="all")
    assert list(first) == list(loaded["train"].select(range(2)))


def test_the_sample_loads_in_every_language(load):
    files = sorted(SAMPLE.glob("sample.*.json"))
    assert len(files) >= 5
    rows = load("xquad_long", data_files=files, split="validation", questions="all")
    assert sorted(rows.unique("language")) == [file.suffixes[0][1:] for file in files]


def test_unanswerable_questions_have_no_answers(load, tmp_path):
    rows = load("squad_long", data_files=write(tmp_path / "f.json", tiny()), split="train")
    assert [row["answers"] for row in rows][1:] == [{"text": [], "answer_start": []}] * 2
    assert rows[2]["context"] == "Malmö. Lund. Ystad. "


@settings(max_examples=12, deadline=None, derandomize=True)
@given(trees())
def test_generated_trees_through_datasets(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("tree")
    file = write(folder / "f.json", tree)
    options = {"nr_concats": 2, "questions": "all", "separator": "\r\n"}
    wanted = reference(tree, 2, "all", False, "\r\n")
    call = {"data_files": file, "split": "train", "cache_dir": folder / "cache", **options}
    if not wanted:
        with pytest.raises(UserError, match=r"f\.json gives no row"):
            hub_datasets.load_dataset("squad_long", **call)
    else:
        assert list(hub_datasets.load_dataset("squad_long", **call)) == wanted


def test_different_parameters_never_share_a_cache_entry(load, tmp_path):
    file = write(tmp_path / "f.json", tiny())
    seen = {}
    for options in (
        {},
        {"nr_concats": 1},
        {"nr_concats": 2},
        {"nr_concats": 1, "separator": " "},
        {"separator": " "},
        {"separator": "+"},
        {"separator": "%2B"},
        {"separator": "\n"},
        {"questions": "all"},
        {"within_articles": True},
        {"on_bad_span": "drop"},
    ):
        rows = load("squad_long", data_files=file, split="train", **options)
        seen[tuple(options.items())] = (rows.cache_files[0]["filename"], [row["context"] for row in rows])
    assert len({name for name, _ in seen.values()}) == len(seen)
    for options, (_, contexts) in seen.items():
        wanted = reference(
            tiny(), dict(options).get("nr_concats", 3), "first", False, dict(options).get("separator", "")
        )
        assert contexts == [row["context"] for row in wanted]
    again = load("squad_long", data_files=file, split="train", separator="+")
    assert again.cache_files[0]["filename"] == seen[("separator", "+"),][0]


def test_an_edited_file_is_read_anew(load, tmp_path):
    file = write(tmp_path / "f.json", tiny())
    assert load("squad_long", data_files=file, split="train")[0]["context"].startswith("Malmö. Lund.")
    write(file, tiny(contexts=("Malmö. ", "Kivik. ")))
    os.utime(file, ns=(1, 1))
    assert load("squad_long", data_files=file, split="train")[0]["context"] == "Malmö. Kivik. "


def test_edited_code_and_another_generation_get_entries_of_their_own(tmp_path, monkeypatch):
    code = tmp_path / "hub_datasets"
    shutil.copytree(Path(loading.__file__).parent, code)
    monkeypatch.setattr(loading, "__file__", str(code / "loading.py"))
    hashes = {loading._code_hash("3.6.0"), loading._code_hash("5.2.0")}
    for name in loading._CODE:
        with (code / name).open("a") as file:
            file.write("# edited\n")
        hashes.add(loading._code_hash("3.6.0"))
    assert len(hashes) == 2 + len(loading._CODE) and loading._code_hash("3.6.0") == loading._code_hash("3.6.1")


def test_what_was_mended_is_said(load, tmp_path, caplog, monkeypatch):
    file = write(tmp_path / "f.json", tiny(answer_start=5))
    monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)
    monkeypatch.setattr(squad_format.logger, "propagate", True)
    rows = load("squad_long", data_files=file, split="train", on_bad_span="repair")
    assert rows[0]["answers"]["answer_start"] == [0] and "moved 1 answer(s)" in caplog.text
    rows = load("squad_long", data_files=file, split="train", on_bad_span="drop")
    assert rows.num_rows == 2 and "dropped 1 answer(s)" in caplog.text and "1 question(s)" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "keywords", "sentence"),
    [
        (
            ("squad",),
            {},
            "path 'squad' is neither squad_long nor xquad_long nor terms nor babi_far nor a Hub id such as",
        ),
        (("xquad_long", "xx"), {}, "name 'xx' is no configuration of xquad_long: choose one of all, ar, de, el,"),
        (("xquad_long",), {"revision": "v2"}, "revision 'v2' is for Hub ids, and xquad_long comes with this package"),
        (("xquad_long",), {"nr_concats": 0}, "nr_concats must be a whole number from 1 up, but got 0: try 3"),
        (("xquad_long",), {"nr_concats": "three"}, "nr_concats must be a whole number from 1 up, but got 'three'"),
        (("squad_long",), {"separator": 3}, "separator must be a string, but got 3: give '' for none"),
        (("squad_long",), {"data_files": "nowhere.json"}, "data_files 'nowhere.json' is not a file: check the path"),
        (("squad_long",), {"data_files": []}, "data_files [] names no file: give one or more, or leave it out"),
        (
            ("squad_long",),
            {"data_files": "{tmp}/good.json", "split": "test"},
            "split 'test' is not in squad_long: choose",
        ),
        (
            ("squad_long",),
            {"data_files": "{tmp}/good.json", "split": "train+nope"},
            "split 'train+nope' is not in squad_long: choose",
        ),
        (
            ("squad_long",),
            {"data_files": "{tmp}/good.json", "split": "nope", "streaming": True},
            "split 'nope' is not in squad_long: ",
        ),
        (("squad_long",), {"data_files": {}}, "data_files {} names no file"),
        (("squad_long",), {"data_files": "{tmp}/none-*.json"}, "none-*.json' is not a file: check the path"),
        (
            ("squad_long",),
            {"data_files": "{tmp}/[bg]*.json", "num_proc": 2},
            "bad.json: 1 answer is not found at its answer_start",
        ),
        (("xquad_long",), {"data_files": "{tmp}/my_dev.json"}, "my_dev.json' does not say its language"),
        (("squad_long",), {"data_files": "{tmp}/bad.json"}, "bad.json: 1 answer is not found at its answer_start"),
        (("squad_long",), {"data_files": "{tmp}/broken.json"}, "broken.json is not JSON: "),
        (
            ("xquad_long",),
            {"data_files": "{tmp}/good.json"},
            "good.json' does not say its language, as xquad.de.json does",
        ),
    ],
)
def test_bad_input_is_one_sentence(load, tmp_path, arguments, keywords, sentence):
    write(tmp_path / "good.json", tiny())
    write(tmp_path / "my_dev.json", tiny())
    write(tmp_path / "bad.json", tiny(answer_start=3))
    (tmp_path / "broken.json").write_text('{"data": [')
    if isinstance(keywords.get("data_files"), str):
        keywords = keywords | {"data_files": keywords["data_files"].format(tmp=tmp_path)}
    with pytest.raises(UserError) as raised:
        load(*arguments, **keywords)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_an_unknown_keyword_is_refused(load):
    with pytest.raises(TypeError, match="nr_concat"):
        load("squad_long", nr_concat=3)


@by_script
def test_the_scripts_as_files(tmp_path, shared_data):
    call = {"trust_remote_code": True, "cache_dir": str(tmp_path)}
    file = str(shared_data / "xquad" / "xquad.en.json")
    script = str(ROOT / "hub_datasets" / "xquad_long.py")
    rows = datasets.load_dataset(script, "en", nr_concats=3, data_files=file, **call)["validation"]
    assert rows.num_rows == 240 and len(set(rows["context"])) == 80 and set(rows["language"]) == {"en"}
    streamed = datasets.load_dataset(script, "en", nr_concats=3, data_files=file, streaming=True, **call)
    assert list(streamed["validation"]) == list(rows)
    script = str(ROOT / "hub_datasets" / "squad_long.py")
    rows = datasets.load_dataset(script, data_files={"dev": file}, questions="all", **call)["dev"]
    assert rows.num_rows == 1_190
    with pytest.raises(ValueError, match=r"nr_concats must be .* 'three'"):
        datasets.load_dataset(script, data_files=file, nr_concats="three", **call)
    with pytest.raises(ValueError, match="'xx' not found"):
        datasets.load_dataset(str(ROOT / "hub_datasets" / "xquad_long.py"), "xx", **call)


@by_script
def test_a_source_beside_the_script_must_be_the_official_one(tmp_path, shared_data):
    folder = tmp_path / "xquad_long"
    (folder / "data").mkdir(parents=True)
    for name in ("xquad_long.py", *loading.SIBLINGS):
        shutil.copy(ROOT / "hub_datasets" / name, folder)
    source = shared_data / "xquad" / "xquad.en.json"
    shutil.copy(source, folder / "data")
    call = {"trust_remote_code": True, "cache_dir": str(tmp_path / "cache")}
    assert datasets.load_dataset(str(folder), "en", **call)["validation"].num_rows == 240
    (folder / "data" / "xquad.en.json").chmod(0o644)
    (folder / "data" / "xquad.en.json").write_bytes(source.read_bytes() + b"\n")
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as raised:
        datasets.load_dataset(str(folder), "en", nr_concats=2, **call)
    assert "differs from the official file" in str(raised.value.__cause__)
    own = {"data_files": str(folder / "data" / "xquad.en.json"), **call}
    assert datasets.load_dataset(str(folder), "en", nr_concats=2, **own)["validation"].num_rows == 240


def test_nothing_is_written_beside_the_folder_that_the_package_lies_in(tmp_path):
    home = tmp_path / "home"
    shutil.copytree(ROOT / "hub_datasets", home / "hub_datasets", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import hub_datasets; hub_datasets.load_dataset('squad_long', data_files='sample.sv.json')"
    python_path = f"{home}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": python_path}
    subprocess.run([sys.executable, "-c", code], cwd=home / "hub_datasets/sample", env=environment, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "home"]
