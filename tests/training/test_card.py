"""The card of a fine-tuned model and its push: what they say, and what they keep to themselves."""

import json
import shlex
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard

from foundation.cli import explain
from training import finetune
from training.finetuning import card
from training.finetuning.arguments import FinetuneArguments
from training.pretraining import report as pretrain_report
from training.pretraining.arguments import PretrainArguments
from training.runs import origin, pushing


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The card of a run that was started with the given words."""

    def write(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["finetune.py", *words])
        model = SimpleNamespace(config=SimpleNamespace(model_type="bert"))
        trainer = SimpleNamespace(model=model, state=SimpleNamespace(global_step=1), train_dataset=None)
        training_args = SimpleNamespace(output_dir=tmp_path / "out", hub_model_id=None, seed=1, do_train=True)
        return card.write_card(FinetuneArguments(), training_args, trainer, 64, {}).read_text()

    return write


@pytest.mark.parametrize(
    "given", [["--hub_token", "hf_secret"], ["--hub_token=hf_secret"], ["--hub-token", "hf_secret"]]
)
def test_the_command_in_the_card_is_that_of_the_run_without_the_token(written, given):
    text = written("--do_train", *given, "--data_files", "my file.json")
    assert "hf_secret" not in text and "hub" not in text.split("## Made by")[1]
    assert shlex.join(["--do_train", "--data_files", "my file.json"]) in text


def test_no_folder_of_a_source_is_published(written, tmp_path):
    (tmp_path / "de.mine.json").touch()
    folder = tmp_path / "secret"
    words = ["--data_files", f"{folder}/??.x.json:300", f"{folder}/fr.y.json:7", f"{tmp_path}/de.mine.json:5",
             "--dataset", f"terms:20:background={folder}/{{language}}.z.json:tokens=900", "file"]  # fmt: skip
    text = written("--do_train", *words)
    made = text.split("## Made by")[1]
    assert str(tmp_path) not in text and "secret" not in text
    assert "'??.x.json:300' fr.y.json:7 de.mine.json:5" in made
    assert "'terms:20:background={language}.z.json:tokens=900' file" in made


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
    with pytest.raises(Exception) as error:  # for a missing login the Hub's client raises its own type
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


def test_a_pre_training_card_links_to_what_is_on_the_hub_and_cites_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pretrain.py", "--train_file_path", str(tmp_path / "a.raw")])
    monkeypatch.setattr(origin, "beside_model", lambda *arguments: None)
    scored = {"after": {"step": 3, "eval_loss": 2.5}}
    (tmp_path / "model").mkdir()
    for number, (model, results, linked) in enumerate([
        ("org/model", scored, True), ("roberta-base", {}, True),
        ("embedded-long", scored, False), (str(tmp_path / "model"), {}, False)
    ]):  # fmt: skip
        args = SimpleNamespace(output_dir=tmp_path / str(number), hub_model_id=None, seed=1, do_train=True)
        path = pretrain_report.write_card(PretrainArguments(model, train_file_path="/home/me/a.raw"), args, results, 3)
        text = path.read_text()
        assert (f"base_model: {model}\n" in text) == ("base_model:" in text) == linked
        assert ("pretrain_results.json" in text) == ("after (step 3)" in text) == bool(results)
        assert ("model-index:" in text) == bool(results) and "a.raw" in text
        assert "/home/me" not in text and str(tmp_path) not in text


def test_a_card_has_its_base_s_licence_and_languages_and_the_hub_shows_its_scores(tmp_path, monkeypatch):
    """From the base's own card, the base of an adapter too; where the base lies on this machine stays out of it."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "README.md").write_text("---\nlicense: cc0-1.0\nlanguage: [sv, no]\nbase_model: org/first\n---\n")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    (adapter / "README.md").write_text("---\nlanguage: sv\n---\n")
    files = ["--data_files", str(tmp_path / "train.json"), f"--output_dir={tmp_path / 'out'}"]
    monkeypatch.setattr("sys.argv", ["finetune.py", "--do_train", "--model_name_or_path", str(adapter), *files])
    scores = {"eval_exact_match": 50.0, "eval_f1": 60.12346, "eval_total": 9, "eval_f1_sv": 61.0, "epoch": 1.0}
    for model, languages in ((base, ["sv", "no"]), (adapter, "sv")):
        arguments = FinetuneArguments(
            str(model),
            dataset=["squad"],
            eval_dataset="xquad",
            max_eval_samples=9,
            data_files=[str(tmp_path / "t.json")],
        )
        config = SimpleNamespace(model_type="bert")
        trainer = SimpleNamespace(
            model=SimpleNamespace(config=config), state=SimpleNamespace(global_step=1), train_dataset=None
        )
        args = SimpleNamespace(output_dir=tmp_path / "out", hub_model_id="org/x", seed=1, do_train=True)
        text = card.write_card(arguments, args, trainer, 64, scores).read_text()
        data = ModelCard(text).data
        assert (data.license, data.language, data.base_model) == ("cc0-1.0", languages, "org/first")
        found = {(r.dataset_type, r.dataset_config, r.metric_type): r.metric_value for r in data.eval_results}
        xquad = "google/xquad"
        assert found == {(xquad, None, "exact_match"): 50, (xquad, None, "f1"): 60.1235, (xquad, "sv", "f1"): 61}
        assert data.model_name == "org/x" and data.eval_results[0].dataset_args == {"max_eval_samples": 9}
        assert str(tmp_path) not in text and "--data_files train.json --output_dir=out" in text


def test_an_evaluation_leaves_the_card_of_the_training(written, tmp_path, monkeypatch):
    before = written("--do_train", "--max_steps", "7")
    monkeypatch.setattr("sys.argv", ["finetune.py", "--do_eval"])
    args = SimpleNamespace(output_dir=tmp_path / "out", hub_model_id=None, seed=2, do_train=False)
    arguments, scores = FinetuneArguments(dataset=["squad"]), {"exact_match": 1.0, "f1": 2.0, "total": 3}
    text = card.write_card(arguments, args, None, 64, scores).read_text()
    made = before.split("## Made by")[1].split("<!-- Written")[0]
    assert made in text and "--max_steps 7" in made and "| f1 | 2.00 |" in text and "not evaluated" not in text
    assert [result.metric_value for result in ModelCard(text).data.eval_results] == [1.0, 2.0]
    args.output_dir = tmp_path / "elsewhere"  # another folder than the model's: nothing was trained there
    assert card.write_card(arguments, args, None, 64, scores) is None and not args.output_dir.exists()
