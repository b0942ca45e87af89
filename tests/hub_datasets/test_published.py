"""What a stranger types works: XQ3 published to the loopback Hub, loaded by both generations in fresh processes."""

import json
import os
import re
import subprocess
import sys

import pytest

from hub_datasets.concat import ConcatOptions, concatenate
from hub_datasets.loading import SIBLINGS
from hub_datasets.squad_format import read_paragraphs
from tests.conftest import ROOT

REPO = "org/xquad_long"
LANGUAGES = ["ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"]
THREE_SIX = "DatasetDict({{\n    validation: Dataset({{\n        features: {}\n        num_rows: {}\n    }})\n}})\n"
COLUMNS = "['id', 'title', 'context', 'question', 'answers', 'language'],"
ROWS = """
import json
for row in rows:
    print(json.dumps([row["id"], row["language"], row["context"], row["answers"]]))
"""


def publish(hub, folder, shared_data, *arguments, environment=None):
    command = [sys.executable, "-m", "hub_datasets.publish", "--dataset", "xquad_long", "--repo_id", REPO]
    command += ["--source_dir", str(shared_data / "xquad"), "--output_dir", str(folder / "built"), *arguments]
    variables = {**os.environ, **hub.env(folder), **(environment or {})}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def published(module_hub, tmp_path_factory, shared_data):
    """The Hub after `python -m hub_datasets.publish`, and what that printed."""
    folder = tmp_path_factory.mktemp("publish")
    done = publish(module_hub, folder, shared_data, "--nr_concats", "1", "3")
    assert done.returncode == 0, done.stderr
    return module_hub, done.stdout, folder


@pytest.fixture
def anonymous(published, tmp_path):
    """The environment of somebody who is not logged in."""
    environment = published[0].env(tmp_path, token=None)
    del environment["HF_HOME"]
    return environment


def expected(shared_data, language, **options):
    file = shared_data / "xquad" / f"xquad.{language}.json"
    rows = concatenate(read_paragraphs(file.read_bytes(), file.name), ConcatOptions(**options))
    return [[r.id, language, r.context, {"text": r.texts, "answer_start": r.answer_starts}] for r in rows]


def loaded(output):
    return [json.loads(line) for line in output.splitlines()]


def test_it_says_what_it_did_and_is_public_at_the_end(published):
    hub, output, _ = published
    assert re.search(r"^main: http.*/commit/\w+$", output, re.MULTILINE)
    assert "2,880 rows as built" in output and output.rstrip().endswith("/datasets/org/xquad_long is public")
    # Ours, and the Hub's own first one.
    assert len(hub.titles("dataset", REPO)) == len(hub.titles("dataset", REPO, "parquet")) == 2
    assert not hub.repo("dataset", REPO).private
    names = set(hub.files("dataset", REPO))
    sources = {f"data/xquad.{language}.json" for language in LANGUAGES}
    assert names == {"README.md", "xquad_long.py", *SIBLINGS, *sources}
    assert not [name for name in hub.files("dataset", REPO, "parquet") if name.endswith(".py")]


def test_a_second_run_makes_no_commit(published, shared_data):
    hub, _, folder = published
    before = dict(hub.repo("dataset", REPO).branches)
    done = publish(hub, folder, shared_data, "--nr_concats", "1", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nothing changed, no commit") == 2
    assert hub.repo("dataset", REPO).branches == before


def test_the_literal_call(published, anonymous, tmp_path, datasets_3):
    environment = anonymous | {"HF_DATASETS_TRUST_REMOTE_CODE": "1"}
    output = datasets_3.run(f'print(load_dataset("{REPO}", nr_concats=3))', tmp_path, environment)
    assert output == THREE_SIX.format(COLUMNS, 2880)


def test_the_script_gives_the_rows_of_any_parameter(anonymous, tmp_path, datasets_3, shared_data):
    code = f"""
call = dict(nr_concats=7, questions="all", within_articles=True, separator="\\n", trust_remote_code=True)
rows = list(load_dataset("{REPO}", "th", split="validation", **call))
assert rows == list(load_dataset("{REPO}", "th", split="validation", streaming=True, **call))
for wrong in ("three", 0):
    try:
        load_dataset("{REPO}", nr_concats=wrong, trust_remote_code=True)
    except ValueError as error:
        assert str(error) == f"nr_concats must be a whole number from 1 up, but got {{wrong!r}}: try 3"
    else:
        raise AssertionError(wrong)
"""
    options = {"nr_concats": 7, "questions": "all", "within_articles": True, "separator": "\n"}
    output = datasets_3.run(code + ROWS, tmp_path, anonymous)
    assert loaded(output) == expected(shared_data, "th", **options)


def test_the_parquet_branch_on_both_generations(anonymous, tmp_path, generation, shared_data):
    code = f"""
rows = [*load_dataset("{REPO}", "en.3", revision="parquet")["validation"]]
rows += load_dataset("{REPO}", revision="parquet", split="validation")
file = load_dataset("parquet", data_files="hf://datasets/{REPO}@parquet/nr_concats-1/vi.parquet")
assert file["train"].num_rows == 240
"""
    every = [row for language in LANGUAGES for row in expected(shared_data, language, nr_concats=3)]
    wanted = expected(shared_data, "en", nr_concats=3) + every
    assert loaded(generation.run(code + ROWS, tmp_path, anonymous)) == wanted


def test_our_own_call_on_both_generations(anonymous, tmp_path, generation, shared_data):
    code = f"""
import hub_datasets
rows = list(hub_datasets.load_dataset("{REPO}", "de", split="validation", nr_concats=5))
streamed = hub_datasets.load_dataset("{REPO}", "de", split="validation", nr_concats=5, streaming=True)
assert rows == list(streamed)
"""
    output = generation.run(code + ROWS, tmp_path, anonymous, with_ours=True)
    assert loaded(output) == expected(shared_data, "de", nr_concats=5)


def test_datasets_5_refuses_the_script_and_publishes_all_the_same(
    published, anonymous, tmp_path, datasets_5, shared_data
):
    with pytest.raises(AssertionError, match=r"Dataset scripts are no longer supported, but found xquad_long\.py"):
        datasets_5.run(f'load_dataset("{REPO}", nr_concats=3)', tmp_path, anonymous)
    hub, _, folder = published
    path = {"PYTHONPATH": os.pathsep.join(map(str, datasets_5.path))}
    done = publish(hub, folder, shared_data, "--nr_concats", "1", "3", environment=path)
    assert done.returncode == 0, done.stderr
    assert 'hub_datasets.load_dataset("org/xquad_long", nr_concats=3)' in done.stdout
    assert done.stdout.count("nothing changed, no commit") == 2
