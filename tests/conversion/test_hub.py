"""From the Hub, and to it, as a user does both; the Hub is the loopback one of tests/hub."""

import os
import subprocess
import sys

import pytest

from conversion.convert import convert

from .checkpoints import load_tensors, make_checkpoint, save_tensors

SMALL = ["--max_pos", "256", "--attention_window", "64"]
README = "---\nlicense: cc0-1.0\nlanguage:\n- sv\n---\nA source.\n"

# What somebody runs who has transformers and nothing of ours: any import of our packages would fail.
STRANGER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("conversion", "hub_datasets", "training", "space"):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Absent())
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer
model = AutoModel.from_pretrained("org/long-256")
reader = AutoModelForQuestionAnswering.from_pretrained("org/long-256")
tokenizer = AutoTokenizer.from_pretrained("org/long-256")
inputs = tokenizer("Räksmörgås. " * 30, return_tensors="pt")
print(type(model).__name__, type(reader).__name__, tokenizer.model_max_length)
print(float(model(**inputs).last_hidden_state.double().abs().sum()))
"""


def command(*flags, env, module="conversion.convert"):
    return subprocess.run([sys.executable, "-m", module, *flags], env=os.environ | env, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def _client(loopback_hub, monkeypatch):
    loopback_hub.here(monkeypatch)


@pytest.fixture
def source(tmp_path):
    folder = make_checkpoint(tmp_path / "source", "xlm-roberta", "ForQuestionAnswering", positions=128)
    (folder / "README.md").write_text(README)
    return folder


def upload(hub, folder, repo_id="org/source", **more):
    api = hub.api()
    api.create_repo(repo_id, **more)
    return api.upload_folder(folder_path=folder, repo_id=repo_id)


def test_from_the_hub_to_the_hub_to_a_stranger(loopback_hub, tmp_path, source):
    commit = upload(loopback_hub, source).oid
    env = loopback_hub.env(tmp_path / "me")
    push = ["--push_to_hub", "--hub_model_id", "org/long-256", "--private"]
    arguments = ["--model_name_or_path", "org/source", "--revision", "main", "--output_dir", str(tmp_path / "long")]
    done = command(*arguments, *SMALL, *push, env=env)
    assert done.returncode == 0, done.stderr
    assert "org/long-256/commit/" in done.stdout

    pushed = loopback_hub.files("model", "org/long-256")
    local = {path.name: path.read_bytes() for path in (tmp_path / "long").iterdir()}
    assert {name: content for name, content in pushed.items() if name != ".gitattributes"} == local
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "README.md",
        "conversion_report.json",
    } <= pushed.keys()
    assert len(loopback_hub.titles("model", "org/long-256")) == 2  # the repository's own first one, and ours
    assert loopback_hub.repo("model", "org/long-256").private

    card = pushed["README.md"].decode()
    for fact in ("license: cc0-1.0", 'base_model: "org/source"', '["sv"]', "# org/long-256", commit, "hidden states"):
        assert fact in card
    assert f"--model_name_or_path org/source --revision {commit}" in card
    everything = done.stdout + done.stderr + "".join(map(str, pushed.values()))
    assert loopback_hub.token not in everything
    assert str(tmp_path) not in card + pushed["conversion_report.json"].decode()

    stranger = loopback_hub.env(tmp_path / "stranger")
    seen = subprocess.run(
        [sys.executable, "-c", STRANGER], env=os.environ | stranger, capture_output=True, text=True, cwd=tmp_path
    )
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout.splitlines()[0] == "LongformerModel LongformerForQuestionAnswering 256"

    # A second push of the same folder makes no commit.
    again = command(str(tmp_path / "long"), "--hub_model_id", "org/long-256", env=env, module="conversion.publish")
    assert again.returncode == 0 and "holds these files already" in again.stdout
    assert len(loopback_hub.titles("model", "org/long-256")) == 2


def test_publish_names_the_repository_in_the_card(loopback_hub, tmp_path, source):
    convert(str(source), tmp_path / "long", max_pos=256, attention_window=64, verify=False)
    (tmp_path / "long" / ".env").write_text("HF_TOKEN=secret")
    (tmp_path / "long" / "optimizer.pt").write_bytes(b"x")
    done = command(
        str(tmp_path / "long"),
        "--hub_model_id",
        "tester/mine",
        env=loopback_hub.env(tmp_path),
        module="conversion.publish",
    )
    assert done.returncode == 0, done.stderr
    pushed = loopback_hub.files("model", "tester/mine")
    card = pushed["README.md"].decode()
    assert "# tester/mine" in card and 'from_pretrained("tester/mine")' in card
    assert "without its proof" in card
    assert not {".env", "optimizer.pt"} & pushed.keys()
    assert "# long" in (tmp_path / "long" / "README.md").read_text()  # the local folder stays as it was


def test_sharded_source_on_the_hub(loopback_hub, tmp_path, source, monkeypatch):
    import transformers

    model = transformers.AutoModelForQuestionAnswering.from_pretrained(source)
    whole = load_tensors(source)
    (source / "model.safetensors").unlink()
    model.save_pretrained(source, max_shard_size="20KB")
    upload(loopback_hub, source)
    done = command(
        "--model_name_or_path",
        "org/source",
        "--output_dir",
        str(tmp_path / "long"),
        *SMALL,
        env=loopback_hub.env(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert load_tensors(tmp_path / "long").keys() > {"qa_outputs.weight"} and "qa_outputs.weight" in whole


def test_only_what_is_needed_is_fetched(loopback_hub, tmp_path, source):
    (source / "pytorch_model.bin").write_bytes(b"never read")
    (source / "onnx").mkdir()
    (source / "onnx" / "model.onnx").write_bytes(b"never read")
    upload(loopback_hub, source)
    before = len(loopback_hub.requests)
    done = command(
        "--model_name_or_path",
        "org/source",
        "--output_dir",
        str(tmp_path / "long"),
        *SMALL,
        env=loopback_hub.env(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    asked = loopback_hub.requests[before:]
    assert any("model.safetensors" in request for request in asked)
    assert not any("pytorch_model.bin" in request or "onnx" in request for request in asked)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--model_name_or_path", "org/never-was"], "does not exist, or is private and this login may not see it"),
        (["--model_name_or_path", "org/hidden"], "does not exist, or is private and this login may not see it"),
        (["--model_name_or_path", "org/source", "--revision", "v9"], "has no such revision: check --revision"),
        (["--model_name_or_path", "a name/with/too/many"], "not a Hub id and not a local folder"),
        (["--model_name_or_path", "org/source", "--push_to_hub"], "--push_to_hub needs --hub_model_id"),
        (["--model_name_or_path", "org/source", "--hub_model_id", "a b"], "is not a Hub id: give org/name"),
    ],
)
def test_refusals(loopback_hub, tmp_path, source, flags, sentence):
    upload(loopback_hub, source)
    upload(loopback_hub, source, "org/hidden", private=True)
    env = loopback_hub.env(tmp_path) | {"HF_TOKEN": loopback_hub.stranger_token}
    done = command(*flags, "--output_dir", str(tmp_path / "long"), *SMALL, env=env)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr.splitlines()[-1]
    assert not (tmp_path / "long").exists()


def test_gated_source_without_a_login(loopback_hub, tmp_path, source):
    upload(loopback_hub, source)
    loopback_hub.fail("GET|HEAD .*/resolve/", "status", times=50, status=403, headers={"X-Error-Code": "GatedRepo"})
    env = loopback_hub.env(tmp_path)
    env.pop("HF_TOKEN", None)
    done = command("--model_name_or_path", "org/source", "--output_dir", str(tmp_path / "long"), *SMALL, env=env)
    assert done.returncode == 2, done.stderr
    assert "is gated: accept its terms on the Hub and log in" in done.stderr.splitlines()[-1]


def test_push_without_a_login_keeps_the_folder(loopback_hub, tmp_path, source):
    env = loopback_hub.env(tmp_path)
    env["HF_TOKEN"] = ""
    push = ["--push_to_hub", "--hub_model_id", "org/long-256"]
    done = command("--model_name_or_path", str(source), "--output_dir", str(tmp_path / "long"), *SMALL, *push, env=env)
    assert done.returncode == 2
    assert "no login was found" in done.stderr.splitlines()[-1]
    assert (tmp_path / "long" / "model.safetensors").is_file()


def test_a_lost_answer_makes_one_commit(loopback_hub, tmp_path, source):
    convert(str(source), tmp_path / "long", max_pos=256, attention_window=64, verify=False)
    loopback_hub.fail("POST .*/commit/", "lose", times=1)
    done = command(
        str(tmp_path / "long"),
        "--hub_model_id",
        "org/long-256",
        env=loopback_hub.env(tmp_path),
        module="conversion.publish",
    )
    assert done.returncode == 0, done.stderr
    assert len(loopback_hub.titles("model", "org/long-256")) == 2


def test_tensors_that_changed_on_the_hub_are_seen(loopback_hub, tmp_path, source):
    """A branch that moves between the config and the weights would mix two commits: the first one is kept."""
    first = upload(loopback_hub, source).oid
    tensors = load_tensors(source)
    save_tensors(source, {name: tensor + 1 for name, tensor in tensors.items()})
    loopback_hub.api().upload_folder(folder_path=source, repo_id="org/source")
    done = command(
        "--model_name_or_path",
        "org/source",
        "--revision",
        first,
        "--output_dir",
        str(tmp_path / "long"),
        *SMALL,
        env=loopback_hub.env(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert load_tensors(tmp_path / "long")["qa_outputs.bias"].equal(tensors["qa_outputs.bias"])
