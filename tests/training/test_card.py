"""The card of a fine-tuned model and its push: what they say, and what they keep to themselves."""

import shlex
from types import SimpleNamespace

import pytest

from foundation.cli import explain
from training import finetune
from training.finetuning import card
from training.finetuning.arguments import FinetuneArguments
from training.pretraining import report as pretrain_report
from training.pretraining.arguments import PretrainArguments
from training.runs import pushing


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The card of a run that was started with the given words."""

    def write(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["finetune.py", *words])
        model = SimpleNamespace(config=SimpleNamespace(model_type="bert"))
        trainer = SimpleNamespace(model=model, state=SimpleNamespace(global_step=1), train_dataset=None)
        training_args = SimpleNamespace(output_dir=tmp_path / "out", hub_model_id=None, seed=1)
        return card.write_card(FinetuneArguments(), training_args, trainer, 64, {}).read_text()

    return write


@pytest.mark.parametrize(
    "given", [["--hub_token", "hf_secret"], ["--hub_token=hf_secret"], ["--hub-token", "hf_secret"]]
)
def test_the_command_in_the_card_is_that_of_the_run_without_the_token(written, given):
    text = written("--do_train", *given, "--data_files", "my file.json")
    assert "hf_secret" not in text and "hub" not in text.split("## Made by")[1]
    assert shlex.join(["--do_train", "--data_files", "my file.json"]) in text


def test_the_token_is_found_by_the_client_and_kept_in_no_training_arguments(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "another")
    training_args = SimpleNamespace(hub_token="hf_secret", push_to_hub=False)
    assert pushing.claim_push(training_args) is False
    assert training_args.hub_token is None and pushing.os.environ["HF_TOKEN"] == "hf_secret"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"hub_model_id": "a/b/c"}, "--hub_model_id 'a/b/c' is not a Hub id: give org/name"),
        ({"output_dir": "runs/my run"}, "--hub_model_id 'my run' is not a Hub id"),
        ({}, "no login was found: run `hf auth login`, or set HF_TOKEN"),
    ],
)
def test_a_push_that_cannot_be_is_refused_before_anything_is_loaded(monkeypatch, tmp_path, changed, sentence):
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
    flags = {
        "output_dir": tmp_path / "out",
        "model_name_or_path": tmp_path / "nowhere",
        "dataset": "nowhere",
        **changed,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr("sys.argv", ["finetune.py", "--do_train", "--push_to_hub", *words])
    with pytest.raises(Exception) as error:  # a missing login is the Hub client's own
        finetune.main()
    assert sentence in str(explain(error.value))


def test_a_push_goes_to_the_branch_that_is_named(loopback_hub, tmp_path, monkeypatch):
    loopback_hub.here(monkeypatch)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    training_args = SimpleNamespace(
        output_dir=tmp_path / "out", hub_model_id="org/tiny", hub_private_repo=None, hub_revision="dev"
    )
    pushing.publish(training_args, "a trial")
    assert "config.json" in loopback_hub.files("model", "org/tiny", "dev")
    assert "config.json" not in loopback_hub.files("model", "org/tiny")


def test_a_pre_training_card_links_to_what_is_on_the_hub_and_cites_what_was_written(tmp_path):
    scored = {"after": {"step": 3, "eval_loss": 2.5}}
    (tmp_path / "model").mkdir()
    for model, results, linked in [
        ("org/model", scored, True), ("roberta-base", {}, True),
        ("embedded-long", scored, False), (str(tmp_path / "model"), {}, False)
    ]:  # fmt: skip
        text = pretrain_report.card(PretrainArguments(model_name_or_path=model, train_file_path="a.raw"), results)
        assert (f"base_model: {model}\n" in text) == ("base_model" in text) == linked
        assert ("pretrain_results.json" in text) == ("after (step 3)" in text) == bool(results)
