"""terms and babi_far on the Hub: Parquet files and a computed card, read back; what is not ours is left alone."""

import io
import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml

from foundation import push
from foundation.cli import UserError
from hub_datasets import publish
from hub_datasets.publishing import readback
from tests.conftest import ROOT

REPO = "org/terms"
SAMPLE = str(ROOT / "hub_datasets" / "sample" / "sample.{language}.json")


@pytest.fixture
def here(loopback_hub, monkeypatch):
    """The loopback Hub of this process, without the reading back that needs a process of its own."""
    loopback_hub.here(monkeypatch)
    monkeypatch.setattr(push, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(readback, "read_back_made", lambda *arguments: [])
    return loopback_hub


def made(tmp_path, **more):
    dataset = more.pop("dataset", "terms")
    call = {"languages": ["de", "en"], "tokens": [512, 1024], "background": SAMPLE, "rows": 5,
            "output_dir": tmp_path / "built"} | more  # fmt: skip
    return publish.publish_made(dataset, REPO, **call)


def test_the_card_tells_what_was_computed(here, tmp_path):
    made(tmp_path, parties=2)
    files = here.files("dataset", REPO)
    names = {f"data/{language}.{tokens}.validation.parquet" for language in ("de", "en") for tokens in (512, 1024)}
    assert set(files) == {"README.md", *names}
    card = files["README.md"].decode()
    about = yaml.safe_load(card.split("---\n")[1])
    assert about["language"] == ["de", "en"] and about["size_categories"] == ["n<1K"]
    configs = {config["config_name"]: config for config in about["configs"]}
    assert list(configs) == ["de.512", "de.1024", "en.512", "en.1024"] and configs["de.512"]["default"]
    assert configs["en.1024"]["data_files"] == [{"split": "validation", "path": "data/en.1024.validation.parquet"}]
    rows = pq.read_table(io.BytesIO(files["data/en.1024.validation.parquet"])).to_pylist()
    sizes = [len(row["context"]) for row in rows]
    apart = [max(row["evidence"]["end"]) - min(row["evidence"]["start"]) for row in rows]
    line = f"| en.1024 | validation | 5 | {sum(sizes) / 5:,.0f} | {max(sizes):,} | {sum(apart) / 5:,.0f} |"
    assert line in card and "{{" not in card and "{%" not in card
    assert '`{"parties": 2, "rows": 5}`' in card and str(tmp_path) not in card and str(ROOT) not in card
    assert not here.repo("dataset", REPO).private


def test_a_train_split_has_paragraphs_of_its_own(here, tmp_path, shared_data):
    train = str(shared_data / "multilingual" / "{language}.mlqa-dev.json")
    made(tmp_path, languages=["de"], tokens=[512], train_background=train)
    assert {name for name in here.files("dataset", REPO) if name.startswith("data/")} == {
        "data/de.512.validation.parquet", "data/de.512.train.parquet"
    }  # fmt: skip


def test_babi_far_is_published_by_the_same_call(here, tmp_path, shared_data):
    made(tmp_path, dataset="babi_far", languages=["de"], tokens=[512], task=2, data_dir=str(shared_data / "babi"))
    files = here.files("dataset", REPO)
    rows = pq.read_table(io.BytesIO(files["data/de.512.validation.parquet"])).to_pylist()
    assert len(rows) == 5 and all(len(row["evidence"]["start"]) == 2 for row in rows)
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["language"] == ["de", "en"]
    assert "bAbI's facts (Weston et al. 2015) are CC BY 3.0" in card
    assert '`{"rows": 5, "task": 2}`' in card and str(shared_data) not in card


def test_what_is_somebody_elses_is_left_alone(here, tmp_path):
    api = here.api()
    api.create_repo(REPO, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="theses.csv", repo_id=REPO, repo_type="dataset")
    with pytest.raises(UserError, match=r"holds files of another kind \(theses\.csv\)"):
        made(tmp_path)
    assert here.files("dataset", REPO) == {"theses.csv": b"x"}


def test_the_same_again_makes_no_commit(here, tmp_path, capsys):
    made(tmp_path)
    before = here.titles("dataset", REPO)
    capsys.readouterr()
    made(tmp_path)
    assert here.titles("dataset", REPO) == before
    assert "nothing changed, no commit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"languages": ["fi"]}, "language 'fi' has no templates of terms"),
        ({"languages": ["de", "de"]}, "--language de,de and --tokens [512, 1024] must name each once"),
        ({"tokens": [40]}, "tokens 40 is too short"),
        ({"task": 2}, "task 2 is not for terms"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(here, tmp_path, more, sentence):
    with pytest.raises(UserError) as raised:
        made(tmp_path, **more)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "built").exists() and here.store.repos == {}


def test_the_command_publishes_and_reads_back(loopback_hub, tmp_path):
    command = [sys.executable, "-m", "hub_datasets.publish", "--dataset", "terms", "--repo_id", REPO, "--language",
               "de,sv", "--tokens", "512", "--rows", "4", "--background", SAMPLE,
               "--output_dir", str(tmp_path / "built")]  # fmt: skip
    variables = {**os.environ, **loopback_hub.env(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    for language in ("de", "sv"):
        assert f'4 rows as built  datasets.load_dataset("{REPO}", "{language}.512", split="validation")' in done.stdout
    assert done.stdout.rstrip().endswith(f"/datasets/{REPO} is public")
    load = (
        "import datasets, json\n"
        f"rows = datasets.load_dataset({REPO!r}, 'sv.512', split='validation')\n"
        "print(json.dumps(rows[0]['evidence']))\n"
    )
    done = subprocess.run([sys.executable, "-c", load], env=variables, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    evidence = json.loads(done.stdout.splitlines()[-1])
    assert evidence.keys() == {"start", "end"} and len(evidence["start"]) == 2
