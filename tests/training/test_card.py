"""The card of a fine-tuned model and its push: what they say, and what they keep to themselves."""

import shlex
from types import SimpleNamespace

import pytest

from training import card
from training.finetune_arguments import FinetuneArguments


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
    assert card.claim_push(training_args) is False
    assert training_args.hub_token is None and card.os.environ["HF_TOKEN"] == "hf_secret"
