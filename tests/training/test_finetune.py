"""finetune.py as it is typed: it learns, saves, evaluates, refuses."""

import json
import re

import pytest

from foundation.cli import UserError
from tests.training.launch import run, succeed
from training.finetune import main

from . import qa_tiny

SCRIPT = "training/finetune.py"
STOPS = {"do_train": True, "early_stopping_patience": 2}
COMPARES = {"do_train": True, "eval_strategy": "epoch"}
PLATEAU = {**COMPARES, "lr_scheduler_type": "reduce_lr_on_plateau"}


def flags(model, data, output_dir, **changed) -> list[str]:
    values = {
        "model_name_or_path": model, "dataset": "file", "data_files": data, "eval_data_files": data,
        "output_dir": output_dir, "max_length": 48, "doc_stride": 8, "learning_rate": 3e-3, "num_train_epochs": 1,
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "logging_steps": 1, **changed,
    }  # fmt: skip
    words = []
    for name, value in values.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    return qa_tiny.checkpoint(folder / "model"), qa_tiny.squad_file(folder / "squad.json")


def test_it_learns_and_leaves_model_answers_scores_and_card(material, tmp_path):
    output = tmp_path / "out"
    more = {"num_train_epochs": 25, "do_train": True, "do_eval": True, "save_strategy": "no"}
    succeed(SCRIPT, flags(*material, output, **more), config="cpu.yaml")
    results = json.loads((output / "eval_results.json").read_text())
    assert results["total"] == 24 and results["f1"] > 80  # below 15 without training
    predictions = json.loads((output / "predictions.json").read_text())
    assert list(predictions) == [row["id"] for row in qa_tiny.rows()]
    n_best = json.loads((output / "nbest.json").read_text())
    assert n_best["q0-0"]["n_best"][0]["text"] == predictions["q0-0"]
    assert (output / "model.safetensors").is_file() and (output / "tokenizer.json").is_file()
    card = (output / "README.md").read_text()
    assert f"| f1 | {results['f1']:.2f} |" in card and "--num_train_epochs 25" in card and "pipeline_tag" in card
    # The saved model gives the same answers.
    again = tmp_path / "again"
    succeed(SCRIPT, flags(output, material[1], again, do_eval=True))
    assert (again / "predictions.json").read_bytes() == (output / "predictions.json").read_bytes()


def test_adapter_mixed_lengths_early_stop_and_best_model(material, tmp_path):
    more = {
        "lora_r": 4, "long_fraction": 0.5, "max_paragraphs": 4, "unanswerable_fraction": 0.2, "random_positions": 0.5,
        "group_by_length": True, "do_train": True, "do_eval": True, "evaluate_during_training": True,
        "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "load_best_model_at_end": True,
        "metric_for_best_model": "f1", "early_stopping_patience": 2, "max_eval_samples": 5, "num_train_epochs": 20,
    }  # fmt: skip
    stderr = succeed(SCRIPT, flags(*material, tmp_path / "out", **more))
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert "24 questions became" in stderr
    assert state["global_step"] < 20 * 6  # it has stopped early
    best = max(entry["eval_f1"] for entry in state["log_history"] if "eval_f1" in entry)
    results = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert results["total"] == 5 and results["f1"] == pytest.approx(best)
    assert (tmp_path / "out" / "adapter_model.safetensors").stat().st_size < 200_000


def test_held_out_articles_are_evaluated_and_never_trained_on(material, tmp_path):
    more = {"held_out_articles": 1, "do_train": True, "do_eval": True, "max_steps": 1}
    words = flags(*material, tmp_path / "out", **more)
    at = words.index("--eval_data_files")
    stderr = succeed(SCRIPT, words[:at] + words[at + 2 :])
    assert "18 questions became" in stderr
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert set(predictions) == {row["id"] for row in qa_tiny.rows() if row["title"] == "article 3"}


def test_languages_whose_ids_repeat_are_scored_each_by_itself(material, tmp_path):
    """The same ids in two languages, with other texts: what is saved says each language's own answers."""
    output = tmp_path / "out"
    words = flags(material[0], material[1], output, do_train=True, do_eval=True, max_steps=1, max_length=64)
    for name, values in {"--dataset": ["sample"], "--language": ["all"]}.items():
        at = words.index(name) if name in words else len(words)
        words[at : at + 2] = [name, *values]
    for name in ("--data_files", "--eval_data_files"):
        at = words.index(name)
        del words[at : at + 2]
    succeed(SCRIPT, words)
    results = json.loads((output / "eval_results.json").read_text())
    by_language = {name: value for name, value in results.items() if name.startswith("f1_")}
    assert set(by_language) == {"f1_de", "f1_en", "f1_es", "f1_fr", "f1_sv"} and results["total"] == 90
    assert results["f1"] == pytest.approx(sum(by_language.values()) / 5)
    answers = {code: json.loads((output / code / "predictions.json").read_text()) for code in ("sv", "en")}
    assert answers["sv"].keys() == answers["en"].keys() and answers["sv"] != answers["en"]


def test_the_best_checkpoint_is_kept_however_its_folder_is_written(material, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from training.runs.checkpoints import MarkCheckpoints

    monkeypatch.chdir(tmp_path)
    for step in (1, 2, 3):
        (tmp_path / "out" / f"checkpoint-{step}").mkdir(parents=True)
    mark = MarkCheckpoints({})
    args = SimpleNamespace(output_dir="./out", save_total_limit=1, should_save=True)
    mark.on_train_begin(args, None, None)
    mark.on_save(args, SimpleNamespace(global_step=3, best_model_checkpoint="./out/checkpoint-1"), None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoint-1", "checkpoint-3"]


def test_a_mistake_beside_overwrite_costs_no_checkpoint(material, tmp_path):
    checkpoint = tmp_path / "out" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    words = flags(*material, tmp_path / "out", do_train=True, overwrite_output_dir=True)
    words[words.index("--data_files") + 1] = "none.json"
    done = run(SCRIPT, words)
    assert done.returncode == 2 and "'none.json' is not a file" in done.stderr and checkpoint.is_dir()


def test_unanswerable_questions_get_a_tuned_threshold(material, tmp_path):
    tree = qa_tiny.articles()
    for article in tree["data"][:2]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"].append(
                {"id": paragraph["qas"][0]["id"] + "-x", "question": "sea?", "answers": [], "is_impossible": True}
            )
    data = tmp_path / "v2.json"
    data.write_text(json.dumps(tree), encoding="utf-8")
    # SQuAD 1.1's official script refuses unanswerable questions. But the rows decide, and not the name.
    more = {"do_train": True, "do_eval": True, "num_train_epochs": 15, "dataset": "squad"}
    succeed(SCRIPT, flags(material[0], data, tmp_path / "out", **more))
    results = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert results["total"] == 30 and "null_threshold" in results and results["NoAns_total"] == 6
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert any(text == "" for text in predictions.values())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "nothing to do"),
        ({"do_train": True, "max_length": 4096}, "--max_length 4096 is above the 64 tokens"),
        ({"do_eval": True, "data_files": "nowhere.json", "eval_data_files": "nowhere.json"}, "nowhere.json"),
        ({"do_train": True, "doc_stride": 60}, "--doc_stride 60"),
        ({"do_train": True, "long_fraction": 2}, "--long_fraction 2"),
        ({"do_train": True, "held_out_articles": 9}, "--held_out_articles 9"),
        ({"do_train": True, "nr_concats": 0}, "nr_concats"),
        ({"do_train": True, "nr_concats": 3, "held_out_articles": 1}, "needs --within_articles"),
        ({"do_train": True, "dataset": "sq3", "held_out_articles": 1}, "needs --within_articles"),
        ({"do_train": True, "dataset": "org/squad_long", "held_out_articles": 1}, "needs --within_articles"),
        ({"do_train": True, "distil_length": 4096}, "--distil_length 4096 is above the 64 tokens"),
        (STOPS, "--early_stopping_patience compares evaluations"),
        ({**STOPS, "metric_for_best_model": "f1"}, "and --eval_strategy epoch or steps"),
        ({**STOPS, "eval_strategy": "epoch"}, "give --metric_for_best_model f1"),
        ({**COMPARES, "save_strategy": "best"}, "--save_strategy best compares evaluations"),
        ({**COMPARES, "load_best_model_at_end": True}, "--metric_for_best_model 'loss'"),
        ({**COMPARES, "lr_scheduler_type": "reduce_lr_on_plateau"}, "--metric_for_best_model 'loss'"),
        ({**PLATEAU, "metric_for_best_model": "accuracy"}, "--metric_for_best_model 'accuracy'"),
        ({**PLATEAU, "metric_for_best_model": "f1"}, """--lr_scheduler_kwargs '{"mode": "max"}'"""),
        ({"do_train": True, "lora_alpha": 8}, "--lora_alpha 8 is of a new adapter: give --lora_r too"),
        ({"do_train": True, "random_positions": 7}, "--random_positions 7.0 is not a share"),
        ({"do_train": True, "dropout": -1}, "--dropout -1.0 is not a share"),
        ({**COMPARES, "metric_for_best_model": "exact"}, "'exact' is no score of this evaluation, which gives f1, ex"),
        ({**COMPARES, "metric_for_best_model": "f1_sv"}, "'f1_sv' is no score of this evaluation"),
        ({"do_train": True, "train_sampling_strategy": "batch_rebalance"}, "give group_by_length"),
        ({"do_train": True, "no_such_flag": 1}, "--no_such_flag"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(material, tmp_path, monkeypatch, changed, words):
    monkeypatch.setattr("sys.argv", ["finetune.py", *flags(*material, tmp_path / "out", **changed)])
    with pytest.raises(UserError, match=re.escape(words)):
        main()
    assert not (tmp_path / "out").exists()


def test_a_mistake_ends_with_status_2(material, tmp_path):
    done = run(SCRIPT, flags(*material, tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == "error: nothing to do: give --do_train, --do_eval or both"


def test_pushes_model_and_card_in_one_commit(material, tmp_path, loopback_hub):
    more = {"do_train": True, "do_eval": True, "max_steps": 2, "push_to_hub": True, "hub_model_id": "org/tiny-qa"}
    environment = {**loopback_hub.env(tmp_path), "HF_HUB_OFFLINE": "0"}
    succeed(SCRIPT, flags(*material, tmp_path / "out", **more), **environment)
    api = loopback_hub.api()
    files = set(api.list_repo_files("org/tiny-qa"))
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= files
    assert not any(name.endswith((".bin", ".pt")) or "checkpoint" in name for name in files)
    assert "Fine-tuned model and its card" in api.list_repo_commits("org/tiny-qa")[0].title
