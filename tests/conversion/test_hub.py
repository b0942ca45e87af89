"""From the Hub, and to it, as a user does both; the Hub is the loopback one of tests/hub."""

import os
import subprocess
import sys

import pytest
import torch
import transformers
from huggingface_hub import ModelCard

from conversion import convert, publish
from conversion.verify import verify
from foundation import push
from foundation.cli import run

from .checkpoints import load_tensors, make_checkpoint, save_tensors

SMALL = ["--max_pos", "256", "--attention_window", "64"]
QUICK: dict = {"max_pos": 256, "attention_window": 64, "verify": False}
README = "---\nlicense: cc0-1.0\nlanguage:\n- sv\n---\nA source.\n"

# Run by somebody who has transformers and nothing of ours: any import of our packages fails.
STRANGER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("foundation", "conversion", "hub_datasets", "training", "space"):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Absent())
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer
model = AutoModel.from_pretrained("org/long-256")
reader = AutoModelForQuestionAnswering.from_pretrained("org/long-256")
tokenizer = AutoTokenizer.from_pretrained("org/long-256")
inputs = tokenizer("Räksmörgås. " * 30, truncation=True, return_tensors="pt")
print(type(model).__name__, type(reader).__name__, tokenizer.model_max_length)
print(float(model(**inputs).last_hidden_state.double().abs().sum()))
"""


@pytest.fixture(autouse=True)
def _client(loopback_hub, monkeypatch, tmp_path):
    loopback_hub.here(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(push, "FIRST_WAIT", 0.01)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in this process; gives its exit status, stdout and stderr."""

    def call(module, *flags):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, flags)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(module.main)
        seen = capsys.readouterr()
        return ended.value.code, seen.out, seen.err

    return call


@pytest.fixture
def source(tmp_path):
    folder = make_checkpoint(tmp_path / "source", "xlm-roberta", "ForQuestionAnswering", positions=128)
    (folder / "README.md").write_text(README)
    return folder


def upload(hub, folder, repo_id="org/source", **more):
    api = hub.api()
    api.create_repo(repo_id, **more)
    return api.upload_folder(folder_path=folder, repo_id=repo_id)


def test_from_the_hub_to_the_hub_to_a_stranger(loopback_hub, tmp_path, source, command):
    commit = upload(loopback_hub, source).oid
    push_flags = ["--push_to_hub", "--hub_model_id", "org/long-256", "--private"]
    code, out, err = command(
        convert,
        "--model_name_or_path",
        "org/source",
        "--revision",
        "main",
        "--output_dir",
        tmp_path / "long",
        *SMALL,
        *push_flags,
    )
    assert code == 0, err
    assert "org/long-256/commit/" in out

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
    about = ModelCard(card).data
    assert (about.license, about.base_model, about.language) == ("cc0-1.0", "org/source", ["sv"])
    for fact in ("# org/long-256", commit, "hidden states"):
        assert fact in card
    assert f"--model_name_or_path org/source --revision {commit}" in card
    assert loopback_hub.token not in out + err + "".join(map(str, pushed.values()))
    assert str(tmp_path) not in card + pushed["conversion_report.json"].decode()
    assert verify("org/source", "org/long-256").passed  # the card says how, and it takes only the two ids

    # A second push of the same folder makes no commit.
    code, out, _ = command(publish, tmp_path / "long", "--hub_model_id", "org/long-256")
    assert code == 0 and "holds these files already" in out
    assert len(loopback_hub.titles("model", "org/long-256")) == 2

    stranger = os.environ | loopback_hub.env(tmp_path / "stranger")
    seen = subprocess.run([sys.executable, "-c", STRANGER], env=stranger, capture_output=True, text=True, cwd=tmp_path)
    assert seen.returncode == 0, seen.stderr
    classes, number = seen.stdout.splitlines()
    assert classes == "LongformerModel LongformerForQuestionAnswering 256"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "long")
    inputs = tokenizer("Räksmörgås. " * 30, truncation=True, return_tensors="pt")
    with torch.no_grad():
        own = transformers.AutoModel.from_pretrained(tmp_path / "long")(**inputs).last_hidden_state
    assert float(number) == pytest.approx(float(own.double().abs().sum()), rel=1e-6)


def test_publish_names_the_repository_in_the_card(loopback_hub, tmp_path, source, command):
    convert.convert(str(source), tmp_path / "long", **QUICK)
    (tmp_path / "long" / ".env").write_text("HF_TOKEN=secret")
    (tmp_path / "long" / "optimizer.pt").write_bytes(b"x")
    for name in ("service-account.json", "notes.txt", "face.png"):
        (tmp_path / "long" / name).write_text("mine alone")
    code, _, err = command(publish, tmp_path / "long", "--hub_model_id", "tester/mine")
    assert code == 0, err
    pushed = loopback_hub.files("model", "tester/mine")
    card = pushed["README.md"].decode()
    assert "# tester/mine" in card and 'from_pretrained("tester/mine")' in card
    assert "without its proof" in card
    assert not {".env", "optimizer.pt", "service-account.json", "notes.txt", "face.png"} & pushed.keys()
    assert "# long" in (tmp_path / "long" / "README.md").read_text()  # the local folder stays as it was


def test_publish_refuses_another_folder(tmp_path, source, command):
    code, _, err = command(publish, source, "--hub_model_id", "tester/mine")
    assert code == 2 and "lacks conversion_report.json: give a folder that conversion.convert has written" in err


def test_sharded_source_on_the_hub(loopback_hub, tmp_path, source):
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(source)
    whole = load_tensors(source)
    (source / "model.safetensors").unlink()
    model.save_pretrained(source, max_shard_size="20KB")
    upload(loopback_hub, source)
    convert.convert("org/source", tmp_path / "long", **QUICK)
    assert load_tensors(tmp_path / "long")["qa_outputs.weight"].equal(whole["qa_outputs.weight"])


def test_only_what_is_needed_is_fetched(loopback_hub, tmp_path, source):
    (source / "pytorch_model.bin").write_bytes(b"never read")
    (source / "onnx").mkdir()
    (source / "onnx" / "model.onnx").write_bytes(b"never read")
    upload(loopback_hub, source)
    before = len(loopback_hub.requests)
    convert.convert("org/source", tmp_path / "long", **QUICK)
    asked = [request for request in loopback_hub.requests[before:] if "/resolve/" in request]
    assert any("model.safetensors" in request for request in asked)
    assert not any("pytorch_model.bin" in request or "onnx" in request for request in asked)


def test_only_a_bin_file_on_the_hub(loopback_hub, tmp_path, source):
    tensors = load_tensors(source)
    (source / "model.safetensors").unlink()
    torch.save(tensors, source / "pytorch_model.bin")
    upload(loopback_hub, source)
    convert.convert("org/source", tmp_path / "long", **QUICK)
    assert load_tensors(tmp_path / "long")["qa_outputs.weight"].equal(tensors["qa_outputs.weight"])


def test_a_commit_is_read_as_a_whole(loopback_hub, tmp_path, source):
    first = upload(loopback_hub, source).oid
    tensors = load_tensors(source)
    save_tensors(source, {name: tensor + 1 for name, tensor in tensors.items()})
    loopback_hub.api().upload_folder(folder_path=source, repo_id="org/source")
    convert.convert("org/source", tmp_path / "old", revision=first, **QUICK)
    convert.convert("org/source", tmp_path / "new", **QUICK)
    assert load_tensors(tmp_path / "old")["qa_outputs.bias"].equal(tensors["qa_outputs.bias"])
    assert load_tensors(tmp_path / "new")["qa_outputs.bias"].equal(tensors["qa_outputs.bias"] + 1)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["org/never-was"], "does not exist, or is private and this login may not see it"),
        (["org/hidden"], "does not exist, or is private and this login may not see it"),
        (["org/source", "--revision", "v9"], "has no such revision: check --revision"),
        (["a name/with/too/many"], "not a Hub id and not a local folder"),
        (["org/source", "--push_to_hub"], "--push_to_hub needs --hub_model_id"),
        (["org/source", "--hub_model_id", "a b"], "is not a Hub id: give org/name"),
    ],
)
def test_refusals(loopback_hub, tmp_path, source, command, monkeypatch, flags, sentence):
    upload(loopback_hub, source)
    upload(loopback_hub, source, "org/hidden", private=True)
    monkeypatch.setenv("HF_TOKEN", loopback_hub.stranger_token)
    code, _, err = command(convert, "--output_dir", tmp_path / "long", *SMALL, "--model_name_or_path", *flags)
    assert code == 2
    assert sentence in err.splitlines()[-1]
    assert not (tmp_path / "long").exists()


def test_gated_source_without_a_login(loopback_hub, tmp_path, source, command, monkeypatch):
    upload(loopback_hub, source)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    loopback_hub.fail("(GET|HEAD) .*/resolve/", "status", times=50, status=403, headers={"X-Error-Code": "GatedRepo"})
    code, _, err = command(convert, "--model_name_or_path", "org/source", "--output_dir", tmp_path / "long", *SMALL)
    assert code == 2
    assert "is gated: accept its terms on the Hub and log in" in err.splitlines()[-1]


def test_a_missing_login_is_said_before_the_conversion_and_a_failing_hub_keeps_it(
    loopback_hub, tmp_path, source, command, monkeypatch
):
    convert_it = ["--model_name_or_path", source, "--output_dir", tmp_path / "long", *SMALL, "--no_verify"]
    flags = [*convert_it, "--push_to_hub", "--hub_model_id", "org/long-256"]
    with monkeypatch.context() as nobody:
        nobody.setenv("HF_TOKEN", "")
        nobody.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        code, _, err = command(convert, *flags)
    assert code == 2 and "no login was found" in err.splitlines()[-1] and not (tmp_path / "long").exists()
    loopback_hub.fail("POST .*/commit/", "status", times=99, status=403)
    code, _, err = command(convert, *flags)
    assert code == 2 and "org/long-256 was not pushed" in err.splitlines()[-1]
    assert (tmp_path / "long" / "model.safetensors").is_file()


def test_a_name_without_an_owner_is_the_login_s_everywhere(loopback_hub, tmp_path, source, command):
    flags = ["--output_dir", tmp_path / "long", *SMALL, "--no_verify", "--push_to_hub", "--hub_model_id", "mine"]
    code, out, err = command(convert, "--model_name_or_path", source, *flags)
    assert code == 0 and "tester/mine/commit/" in out, err
    assert "# tester/mine" in loopback_hub.files("model", "tester/mine")["README.md"].decode()
    code, out, _ = command(publish, tmp_path / "long", "--hub_model_id", "mine")
    assert code == 0 and "mine holds these files already" in out
    loopback_hub.repo("model", "tester/mine").private = False
    code, _, err = command(publish, tmp_path / "long", "--hub_model_id", "mine", "--private")
    assert code == 2 and "tester/mine exists and is public" in err


def test_a_lost_answer_makes_one_commit(loopback_hub, tmp_path, source, command):
    convert.convert(str(source), tmp_path / "long", **QUICK)
    loopback_hub.fail("POST .*/commit/", "lose", times=1)
    code, _, err = command(publish, tmp_path / "long", "--hub_model_id", "org/long-256")
    assert code == 0, err
    assert len(loopback_hub.titles("model", "org/long-256")) == 2
