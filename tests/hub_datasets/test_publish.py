"""What publish builds, refuses, and leaves behind when the Hub fails; test_published.py loads the result."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foundation import push
from foundation.cli import UserError
from hub_datasets import publish
from hub_datasets.publishing import catalogue, readback
from tests.conftest import ROOT

REPO = "org/xquad_long"


@pytest.fixture
def here(loopback_hub, monkeypatch):
    """The loopback Hub of this process, without waits, and without the reading back that needs a process of its own."""
    loopback_hub.here(monkeypatch)
    monkeypatch.setattr(push, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(readback, "read_back", lambda *arguments: [])
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    return loopback_hub


@pytest.fixture
def run(here, tmp_path, shared_data):
    def call(**arguments):
        arguments = {
            "source_dir": shared_data / "xquad",
            "output_dir": tmp_path / "built",
            "nr_concats": [3],
        } | arguments
        return publish.publish("xquad_long", REPO, **arguments)

    return call


@pytest.fixture
def few_languages(monkeypatch):
    """Makes a run quick where the number of files is beside the point."""
    module = catalogue.builder_module("xquad_long")
    few = {language: module.SOURCES[language] for language in ("en", "zh")}
    monkeypatch.setattr(module, "SOURCES", few)


def metadata(readme: str) -> dict:
    return yaml.safe_load(readme.split("---\n")[1])


def test_the_cards_tell_what_was_computed(run, here, tmp_path):
    run(nr_concats=[24, 3, 3], private=True)
    main = here.files("dataset", REPO)["README.md"].decode()
    parquet = here.files("dataset", REPO, "parquet")["README.md"].decode()
    about = metadata(main)
    assert about["license"] == "cc-by-sa-4.0" and about["task_categories"] == ["question-answering"]
    assert len(about["language"]) == 12 and about["size_categories"] == ["1K<n<10K"]
    assert [config["config_name"] for config in about["configs"]] == ["all", *about["language"]]
    # With splits or features here `datasets` would skip the script's own checks.
    assert "dataset_info" not in about and not any("data_files" in config for config in about["configs"])
    configs = {config["config_name"]: config for config in metadata(parquet)["configs"]}
    assert len(configs) == 2 * 13 and configs["all.3"]["default"]
    assert configs["tr.24"]["data_files"] == [{"split": "validation", "path": "nr_concats-24/tr.parquet"}]
    assert "| en | 3 | 240 | 80 | 2,355 | 7,391 |" in main and "tokens" not in main
    assert main.count("\n| zh |") == 2 and "{{" not in main and "{%" not in main
    for digest in catalogue.builder_module("xquad_long").SOURCES.values():
        assert digest in main


@pytest.mark.usefixtures("few_languages")
def test_tokens_are_counted_with_a_tokenizer(tmp_path, shared_data, capsys):
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path / "words")
    arguments = {"source_dir": shared_data / "xquad", "nr_concats": [1], "dry_run": True}
    publish.publish("xquad_long", REPO, tokenizer=str(tmp_path / "words"), **arguments)
    data = json.loads((shared_data / "xquad" / "xquad.en.json").read_text())["data"]
    lengths = [len(p["context"].split()) for article in data for p in article["paragraphs"]]
    row = rf"\| en \| 1 \| 240 \| 240 \| 785 \| 3,326 \| {sum(lengths) / 240:.0f} \| {max(lengths)} \|"
    assert re.search(row, capsys.readouterr().out)
    with pytest.raises(UserError, match="--tokenizer 'nowhere/at/all' cannot be loaded"):
        publish.publish("xquad_long", REPO, tokenizer="nowhere/at/all", **arguments)


def test_a_dry_run_shows_all_and_touches_nothing(run, here, tmp_path, capsys):
    assert run(dry_run=True) is None
    output = capsys.readouterr().out
    assert "bytes  main/xquad_long.py" in output and "bytes  parquet/nr_concats-3/hi.parquet" in output
    assert "609,383 bytes  main/data/xquad.en.json" in output and "# XQ3 (long XQuAD)" in output
    assert here.requests == [] and not (tmp_path / "built").exists()


@pytest.mark.usefixtures("few_languages")
def test_the_script_is_named_like_its_repository_and_old_files_go(here, tmp_path, shared_data):
    call = {"source_dir": shared_data / "xquad", "output_dir": tmp_path / "built"}
    publish.publish("xquad_long", "tester/XQ-3", nr_concats=[1, 2], **call)
    assert "XQ-3.py" in here.files("dataset", "tester/XQ-3")
    publish.publish("xquad_long", "tester/XQ-3", nr_concats=[2], **call)
    names = here.files("dataset", "tester/XQ-3", "parquet")
    assert "nr_concats-2/en.parquet" in names and not any(name.startswith("nr_concats-1/") for name in names)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"nr_concats": [0]}, "--nr_concats must be whole numbers from 1 up, but got 0: try 1 3 12 24"),
        ({"nr_concats": []}, "--nr_concats names no number"),
        ({"source_dir": "/nowhere"}, "--source_dir '/nowhere' is not a folder"),
        ({"source_dir": str(ROOT / "docs")}, "lacks xquad.ar.json, xquad.de.json,"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(run, here, tmp_path, arguments, sentence):
    with pytest.raises(UserError) as raised:
        run(**arguments)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "built").exists() and here.store.repos == {}


@pytest.mark.parametrize("repo_id", ["xquad_long", "org/xquad.long", "org/a b", "a/b/c", "org/"])
def test_a_repository_that_cannot_hold_a_script_is_refused(repo_id):
    with pytest.raises(UserError, match=r"--repo_id .* try org/xquad_long"):
        publish.check_arguments(repo_id, [1])


def test_a_changed_source_is_refused(run, tmp_path, shared_data):
    changed = tmp_path / "changed"
    shutil.copytree(shared_data / "xquad", changed)
    (changed / "xquad.el.json").chmod(0o644)
    with (changed / "xquad.el.json").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(UserError, match=r"xquad\.el\.json differs from the official file"):
        run(source_dir=changed)
    assert not (tmp_path / "built").exists()


def test_a_repository_with_other_things_in_it_is_left_alone(run, here):
    api = here.api()
    api.create_repo(REPO, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="theses.csv", repo_id=REPO, repo_type="dataset")
    with pytest.raises(UserError, match=r"holds files of another kind \(theses\.csv\)"):
        run()
    assert here.files("dataset", REPO) == {"theses.csv": b"x"}


@pytest.mark.usefixtures("few_languages")
def test_another_data_set_is_not_replaced_and_its_owners_files_stay(run, here, monkeypatch):
    run()
    api = here.api()
    for branch in ("main", "parquet"):
        here_too = {"repo_id": REPO, "repo_type": "dataset", "revision": branch}
        api.upload_file(path_or_fileobj=b"found with it", path_in_repo="EVAL.md", **here_too)
    run(nr_concats=[1])
    assert here.files("dataset", REPO)["EVAL.md"] == b"found with it"
    assert here.files("dataset", REPO, "parquet")["EVAL.md"] == b"found with it"
    before = here.files("dataset", REPO)
    module = catalogue.builder_module("xquad_long")
    # Another data set whose script imports the same files.
    monkeypatch.setattr(module, "SOURCES", {"en": module.SOURCES["en"]})
    with pytest.raises(UserError, match=r"holds another data set \(data/xquad\.zh\.json\)"):
        run()
    assert here.files("dataset", REPO) == before


@pytest.mark.usefixtures("few_languages")
def test_a_private_repository_with_a_card_of_its_owners_stays_private(run, here):
    api = here.api()
    api.create_repo(REPO, repo_type="dataset", private=True)
    api.upload_file(path_or_fileobj=b"# Mine", path_in_repo="README.md", repo_id=REPO, repo_type="dataset")
    run()
    assert here.repo("dataset", REPO).private
    assert "xquad_long.py" in here.files("dataset", REPO)


@pytest.mark.usefixtures("few_languages")
def test_an_output_folder_with_other_things_in_it_is_left_alone(run, here, tmp_path):
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"holds what this command did not write \(thesis\.tex\)"):
        run()
    assert (tmp_path / "built" / "thesis.tex").read_text() == "years of work" and here.store.repos == {}


@pytest.mark.usefixtures("few_languages")
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_repository_keeps_its_visibility(run, here, there):
    here.api().create_repo(REPO, repo_type="dataset", private=there)
    if there:
        run()
        assert here.files("dataset", REPO)
    else:
        with pytest.raises(UserError, match="exists and is public"):
            run(private=True)
        assert here.files("dataset", REPO) == {}
    assert here.repo("dataset", REPO).private is there


@pytest.mark.usefixtures("few_languages")
def test_visibility(run, here):
    run(private=True)
    assert here.repo("dataset", REPO).private
    run()  # the repository was complete, so it stays as its owner set it
    assert here.repo("dataset", REPO).private
    here.store.repos.clear()
    run()
    assert not here.repo("dataset", REPO).private


WRITES = ["POST /api/repos/create", "POST .*/preupload/", "POST .*/commit/", "POST .*/branch/", "PUT .*/settings"]


@pytest.mark.usefixtures("few_languages")
@pytest.mark.parametrize("request_", WRITES)
@pytest.mark.parametrize("kind", ["status", "drop", "lose"])
def test_passing_faults_leave_one_commit_a_branch(run, here, request_, kind):
    fault = here.fail(request_, kind, times=2)
    run()
    assert fault.hits >= 1
    assert len(here.titles("dataset", REPO)) == len(here.titles("dataset", REPO, "parquet")) == 2
    assert not here.repo("dataset", REPO).private


@pytest.mark.usefixtures("few_languages")
@pytest.mark.parametrize("request_", [*WRITES[1:4], "POST .*/commit/parquet", "PUT .*/settings"])
@pytest.mark.parametrize("status", [401, 403, 412, 500])
def test_lasting_faults_leave_nothing_to_be_seen_and_the_next_run_finishes(run, here, tmp_path, request_, status):
    fault = here.fail(request_, "status", times=10_000, status=status)
    with pytest.raises((UserError, OSError)) as raised:
        run()
    if "settings" not in request_:  # the command line explains it as any error of the Hub
        assert isinstance(raised.value, UserError) and "\n" not in str(raised.value) and "is kept" in str(raised.value)
    assert (tmp_path / "built" / "main" / "README.md").is_file()
    for (_, repo_id), repo in here.store.repos.items():
        assert repo_id == REPO and repo.private
    fault.times = 0
    run()
    assert len(here.titles("dataset", REPO)) == len(here.titles("dataset", REPO, "parquet")) == 2
    assert not here.repo("dataset", REPO).private
    assert not list(tmp_path.glob(".built*"))


def command(hub, folder, *arguments, cwd=ROOT, environment=None):
    variables = {**os.environ, **hub.env(folder), **(environment or {})}
    variables.pop("PYTHONPATH", None)
    run = [sys.executable, "-m", "hub_datasets.publish", *arguments]
    return subprocess.run(run, cwd=cwd, env=variables, capture_output=True, text=True, timeout=280)


def test_faults_while_it_is_read_back_are_waited_out(loopback_hub, tmp_path, shared_data):
    """Through the real client, in a process of its own."""
    faults = [
        loopback_hub.fail("POST .*/commit/main", "lose"),
        loopback_hub.fail("GET /datasets/org/xquad_long/resolve/.*json", "status", status=500),
        loopback_hub.fail("GET /datasets/org/xquad_long/resolve/.*xquad_long.py", "drop"),
        loopback_hub.fail("GET /datasets/org/xquad_long/resolve/.*parquet", "truncate"),
    ]
    done = command(
        loopback_hub, tmp_path, "--dataset", "xquad_long", "--repo_id", REPO, "--nr_concats", "3",
        "--source_dir", str(shared_data / "xquad"), "--output_dir", str(tmp_path / "built"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2,880 rows as built") == 2 and done.stdout.rstrip().endswith("is public")
    assert [fault.hits for fault in faults if "parquet" not in fault.pattern.pattern] == [1, 1, 1]


def test_the_command_line_ends_in_one_sentence(loopback_hub, tmp_path, shared_data):
    done = command(
        loopback_hub, tmp_path, "--dataset", "xquad_long", "--repo_id", "stranger/thing", "--nr_concats", "1",
        "--source_dir", str(shared_data / "xquad"), "--output_dir", str(tmp_path / "built"),
    )  # fmt: skip
    assert done.returncode == 2
    assert re.search(r"^error: stranger/thing was not pushed: .*403.* is kept", done.stderr.splitlines()[-1])


def test_squad_is_published_too(loopback_hub, tmp_path, datasets_3):
    """With a small stand-in for the 35 MB of SQuAD: the package's copy names its checksums."""
    package, sources = tmp_path / "hub_datasets", tmp_path / "squad"
    for room in (Path(publish.__file__).parent, Path(push.__file__).parent):
        shutil.copytree(room, tmp_path / room.name, ignore=shutil.ignore_patterns("__pycache__"))
    sources.mkdir()
    script = (package / "squad_long.py").read_text()
    for split, (name, digest) in catalogue.builder_module("squad_long").SOURCES.items():
        paragraphs = [
            {
                "context": f"{split} {n} is a paragraph. ",
                "qas": [
                    {
                        "id": f"{split}{n}",
                        "question": "?",
                        "answers": [{"text": "is", "answer_start": len(f"{split} {n} ")}],
                    }
                ],
            }
            for n in range(50 if split == "train" else 20)
        ]
        content = json.dumps({"data": [{"title": split, "paragraphs": paragraphs}]}).encode()
        (sources / name).write_bytes(content)
        script = script.replace(digest, hashlib.sha256(content).hexdigest())
    (package / "squad_long.py").write_text(script)
    done = command(
        loopback_hub, tmp_path, "--dataset", "squad_long", "--repo_id", "org/sq3", "--nr_concats", "2", "7",
        "--source_dir", str(sources), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '70 rows as built  datasets.load_dataset("org/sq3", "squad.7", revision="parquet")' in done.stdout
    assert (tmp_path / "outputs" / "hub_datasets" / "org--sq3" / "main" / "sq3.py").is_file()
    environment = loopback_hub.env(tmp_path, token=None) | {"HF_HOME": str(tmp_path / "fresh")}
    code = 'print(load_dataset("org/sq3", nr_concats=2, trust_remote_code=True)["train"][1])'
    row = datasets_3.run(code, tmp_path / "elsewhere", environment)
    assert "'context': 'train 0 is a paragraph. train 1 is a paragraph. '" in row and "'answer_start': [32]" in row
