"""score.py as it is typed: scores, files, resumption, equality over processes, one sentence for each mistake."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
import torch
from accelerate import PartialState

from foundation.cli import UserError
from tests.training.launch import run
from training import score
from training.corpora.load import evenly
from training.qa import precision
from training.qa.windows import Windower
from training.scoring import metrics, record
from training.scoring import run as score_run
from training.scoring.arguments import ScoreArguments
from training.scoring.display import screen_table
from training.scoring.folder import identity
from training.scoring.scores import averages

from . import qa_tiny

SCRIPT = "training/score.py"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The models are tiny: more threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return qa_tiny.checkpoint(tmp_path_factory.mktemp("qa") / "model", "bert")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    """A corpus in three languages, named as XQuAD's files are; the pattern that finds it."""
    folder = tmp_path_factory.mktemp("corpus")
    for language, count in (("en", 3), ("de", 2), ("zh", 1)):
        qa_tiny.squad_file(folder / f"tiny.{language}.json", count)
    return str(folder / "tiny.*.json")


def words(model, output_dir, **changed) -> list[str]:
    values = {
        "model_name_or_path": model, "dataset": "file", "output_dir": output_dir, "max_length": 48, "doc_stride": 8,
        "batch_size": 4, "n_best": 5, "use_cpu": True, **changed,
    }  # fmt: skip
    given = []
    for name, value in values.items():
        if value is not None:
            given += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return given


def scored(model, output_dir, **changed) -> dict:
    """Run score.py in this process."""
    arguments = score.read_command_line(words(model, output_dir, **changed))
    return score_run.score_checkpoint(arguments, PartialState(cpu=True))


def without_seconds(content: dict) -> dict:
    languages = {name: {**each, "seconds": None} for name, each in content["languages"].items()}
    return {**content, "languages": languages, "command": None}


def test_every_language_and_the_average(model, corpus, tmp_path):
    result = scored(model, tmp_path / "out", data_files=corpus)
    assert list(result["languages"]) == ["de", "en", "zh"]
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == result
    for language, count in (("en", 18), ("de", 12), ("zh", 6)):
        gold = json.loads(Path(corpus.replace("*", language)).read_text())
        predictions = json.loads((tmp_path / "out" / language / "predictions.json").read_text())
        official = metrics.score("squad", gold, predictions)
        aware = metrics.score("language_aware", gold, predictions, language)
        each = result["languages"][language]
        assert each["questions"] == count == official["total"]
        assert (each["exact_match"], each["f1"]) == (official["exact_match"], official["f1"])
        assert each["language_aware"] == {"exact_match": aware["exact_match"], "f1": aware["f1"]}
        n_best = json.loads((tmp_path / "out" / language / "nbest.json").read_text())
        assert {key: found["n_best"][0]["text"] for key, found in n_best.items()} == predictions
        assert max(len(found["n_best"]) for found in n_best.values()) == 5
    assert result["average"]["f1"] == pytest.approx(fmean(each["f1"] for each in result["languages"].values()))
    assert 0 < result["average"]["f1"] < 100
    with (tmp_path / "out" / "scores.csv").open() as file:
        assert [line["language"] for line in csv.DictReader(file)] == ["de", "en", "zh", "average (3)"]
    for plot in ("scores.png", "by_length.png"):
        assert (tmp_path / "out" / plot).read_bytes().startswith(b"\x89PNG")
    assert "average (3)" in screen_table(result, "language")


def test_by_length(model, corpus, tmp_path):
    files = corpus.replace("*", "en")
    result = scored(model, tmp_path / "out", data_files=files, nr_concats=9, questions="all")
    (each,) = result["languages"].values()
    longer = scored(model, tmp_path / "longer", data_files=files, nr_concats=4)["languages"]["en"]["by_length"]
    assert [(part["above"], part["to"], part["questions"]) for part in each["by_length"]] == [(256, 512, 18)]
    assert [(part["above"], part["to"], part["questions"]) for part in longer] == [(0, 256, 18)]
    assert each["by_length"][0]["f1"] == pytest.approx(each["f1"])
    assert each["by_length"][0]["exact_match"] == pytest.approx(each["exact_match"])
    header, line = screen_table(result, "length").splitlines()
    assert header.split()[0] == "language" and line.split()[:3] == ["en", "256", "512"]


def test_a_run_that_was_cut_short_goes_on(model, corpus, tmp_path, monkeypatch):
    whole = scored(model, tmp_path / "whole", data_files=corpus)
    real, seen = score_run.predict, []

    def predict(*args, **kwargs):
        seen.append(len(args[2]))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(score_run, "predict", predict)
    with pytest.raises(KeyboardInterrupt):
        scored(model, tmp_path / "out", data_files=corpus)
    held = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert list(held["languages"]) == ["de", "en"]
    resumed = scored(model, tmp_path / "out", data_files=corpus)
    assert seen == [12, 18, 6, 6]  # only zh was read again
    assert without_seconds(resumed) == without_seconds(whole)
    again = scored(model, tmp_path / "out", data_files=corpus)
    assert len(seen) == 4 and again == resumed
    for language in ("de", "en", "zh"):
        for name in ("predictions.json", "nbest.json"):
            path = Path(language) / name
            assert (tmp_path / "out" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_a_kill_between_a_language_s_answers_and_its_scores(model, corpus, tmp_path, monkeypatch):
    real = record.write_atomically

    def write(target, content):
        if '"de"' in content:
            raise KeyboardInterrupt
        return real(target, content)

    monkeypatch.setattr(record, "write_atomically", write)
    for output_dir in (tmp_path / "on", tmp_path / "anew"):
        with pytest.raises(KeyboardInterrupt):
            scored(model, output_dir, data_files=corpus)
        assert (output_dir / "de" / "predictions.json").is_file()
        assert json.loads((output_dir / "scores.json").read_text())["languages"] == {}
    monkeypatch.undo()
    assert set(scored(model, tmp_path / "on", data_files=corpus)["languages"]) == {"de", "en", "zh"}
    files = corpus.replace("*", "en")
    assert set(scored(model, tmp_path / "anew", data_files=files)["languages"]) == {"en"}
    assert not (tmp_path / "anew" / "de").exists()


def test_two_processes_give_the_same(model, corpus, tmp_path):
    more = {"data_files": corpus}
    one = scored(model, tmp_path / "one", **more)
    result = run(SCRIPT, words(model, tmp_path / "two", use_cpu=None, **more), config="multi_gpu.yaml")
    assert result.returncode == 0, result.stderr
    two = json.loads((tmp_path / "two" / "scores.json").read_text())
    assert two["processes"] == 2 and one["processes"] == 1
    assert without_seconds({**two, "processes": 1}) == without_seconds(one)
    for language in ("de", "en", "zh"):
        for name in ("predictions.json", "nbest.json"):
            path = Path(language) / name
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert result.stdout.count("average (3)") == 1


class TestFolders:
    def test_another_run(self, model, corpus, tmp_path):
        files = corpus.replace("*", "zh")
        scored(model, tmp_path / "out", data_files=files)
        before = (tmp_path / "out" / "scores.json").read_bytes()
        with pytest.raises(UserError, match=r"holds another run's scores \(n_best was 5, now 3\)"):
            scored(model, tmp_path / "out", data_files=files, n_best=3)
        assert (tmp_path / "out" / "scores.json").read_bytes() == before
        scored(model, tmp_path / "out", data_files=files, n_best=3, overwrite_output_dir=True)
        assert json.loads((tmp_path / "out" / "scores.json").read_text())["run"]["n_best"] == 3

    def test_a_retrained_checkpoint_is_another_run(self, model, corpus, tmp_path):
        files = corpus.replace("*", "zh")
        (tmp_path / "model").mkdir()
        for path in model.iterdir():
            (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
        scored(tmp_path / "model", tmp_path / "out", data_files=files)
        (tmp_path / "model" / "no_answer.json").write_text("{}")  # measured later; the model is the same
        scored(tmp_path / "model", tmp_path / "out", data_files=files)
        weights = tmp_path / "model" / "model.safetensors"
        os.utime(weights, (1, 1))  # another time of change, as after a copy; the model is the same
        scored(tmp_path / "model", tmp_path / "out", data_files=files)
        changed = bytearray(weights.read_bytes())
        changed[-1] ^= 1
        weights.write_bytes(changed)
        os.utime(weights, (1, 1))
        with pytest.raises(UserError, match=r"another run's scores \(model_name_or_path_files was"):
            scored(tmp_path / "model", tmp_path / "out", data_files=files)

    def test_a_retrained_base_of_an_adapter_is_another_run(self, tmp_path):
        base, adapter = tmp_path / "base", tmp_path / "adapter"
        base.mkdir()
        adapter.mkdir()
        (base / "model.safetensors").write_bytes(b"one")
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
        arguments = ScoreArguments(model_name_or_path=str(adapter), output_dir=str(tmp_path / "out"))
        before = identity(arguments)
        assert identity(arguments) == before
        (base / "model.safetensors").write_bytes(b"two")
        assert identity(arguments) != before

    def test_other_data_under_the_same_name_is_another_run(self, model, tmp_path):
        data = qa_tiny.squad_file(tmp_path / "tiny.en.json", 1)
        assert scored(model, tmp_path / "out", data_files=data)["languages"]["en"]["questions"] == 6
        qa_tiny.squad_file(tmp_path / "tiny.en.json", 2)
        with pytest.raises(UserError, match=r"holds another run's scores \(data was"):
            scored(model, tmp_path / "out", data_files=data)

    def test_a_start_that_failed_is_in_nobodys_way(self, model, corpus, tmp_path):
        with pytest.raises(UserError, match="cannot be loaded"):
            scored(tmp_path / "misspelt", tmp_path / "out", data_files=corpus)
        assert len(scored(model, tmp_path / "out", data_files=corpus)["languages"]) == 3

    def test_overwriting_leaves_what_score_did_not_write(self, model, corpus, tmp_path):
        scored(model, tmp_path / "out", data_files=corpus)
        (tmp_path / "out" / "notes.txt").write_text("mine")
        with pytest.raises(UserError, match=r"did not write \(notes\.txt\)"):
            scored(model, tmp_path / "out", data_files=corpus, n_best=3, overwrite_output_dir=True)
        assert (tmp_path / "out" / "scores.json").is_file() and (tmp_path / "out" / "notes.txt").is_file()
        (tmp_path / "out" / "notes.txt").unlink()
        anew = scored(model, tmp_path / "out", data_files=corpus, n_best=3, overwrite_output_dir=True)
        assert anew["run"]["n_best"] == 3 and list(anew["languages"]) == ["de", "en", "zh"]
        n_best = json.loads((tmp_path / "out" / "de" / "nbest.json").read_text())
        assert max(len(found["n_best"]) for found in n_best.values()) == 3

    def test_what_is_not_ours_is_never_removed(self, model, corpus, tmp_path):
        (tmp_path / "mine.txt").write_text("precious")
        with pytest.raises(UserError, match="exists and is not empty"):
            scored(model, tmp_path, data_files=corpus, overwrite_output_dir=True)
        assert (tmp_path / "mine.txt").read_text() == "precious"

    def test_a_scores_file_of_somebody_else(self, model, corpus, tmp_path):
        (tmp_path / "scores.json").write_text("[1]")
        with pytest.raises(UserError, match=r"holds a list, an object was expected"):
            scored(model, tmp_path, data_files=corpus)

    def test_a_model_that_moved_on_the_hub_is_another_run(self, corpus, tmp_path, loopback_hub, monkeypatch):
        """A branch is a name: what a run began with is the commit that it named, and that is what is loaded."""
        loopback_hub.here(monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        api = loopback_hub.api()
        api.create_repo("org/qa")
        qa_tiny.checkpoint(tmp_path / "model", "bert")
        commit = api.upload_folder(repo_id="org/qa", folder_path=tmp_path / "model").oid
        files, loaded = corpus.replace("*", "zh"), []
        real = score_run.load_qa_model
        monkeypatch.setattr(score_run, "load_qa_model", lambda *a, **k: loaded.append(k["revision"]) or real(*a, **k))
        run = scored("org/qa", tmp_path / "out", data_files=files)["run"]
        assert run["model_name_or_path_commit"] == commit and loaded == [commit] and run["revision"] is None
        scored("org/qa", tmp_path / "out", data_files=files)  # it is the same run, so nothing is done again
        assert len(loaded) == 1
        (tmp_path / "model" / "generation_config.json").write_text("{}")
        api.upload_folder(repo_id="org/qa", folder_path=tmp_path / "model")
        with pytest.raises(UserError, match=r"another run's scores \(model_name_or_path_commit was"):
            scored("org/qa", tmp_path / "out", data_files=files)


class TestOtherMetrics:
    def test_trivia_qa_by_question(self, model, shared_data, tmp_path):
        result = scored(model, tmp_path, dataset="trivia_qa", data_dir=shared_data / "triviaqa", batch_size=64)
        predictions = json.loads((tmp_path / "predictions.json").read_text())
        gold = json.loads((shared_data / "triviaqa" / "qa" / "wikipedia-dev.json").read_text())
        official = metrics.score("triviaqa", gold, predictions)
        assert set(predictions) == {"tc_33", "tc_40"} and result["languages"]["en"]["questions"] == 2
        assert result["languages"]["en"]["f1"] == official["f1"]
        n_best = json.loads((tmp_path / "nbest.json").read_text())
        best = max(
            (key for key in n_best if key.startswith("tc_40")), key=lambda key: n_best[key]["n_best"][0]["score"]
        )
        assert predictions["tc_40"] == n_best[best]["n_best"][0]["text"]

    def test_a_sample_of_trivia_qa_is_of_questions_with_all_their_documents(self):
        from datasets import Dataset

        rows = Dataset.from_dict({"id": list("abcdefg"), "question_id": ["1", "1", "1", "2", "3", "3", "4"]})
        assert evenly(rows, 2)["id"] == ["a", "b", "c", "e", "f"]
        assert evenly(rows, 4)["id"] == evenly(rows, None)["id"] == list("abcdefg")
        assert evenly(rows.remove_columns("question_id"), 2)["id"] == ["a", "d"]

    def test_unanswerable_questions(self, model, tmp_path):
        tree = qa_tiny.articles(2)
        for article in tree["data"]:
            article["paragraphs"][0]["qas"][0]["answers"] = []
        path = tmp_path / "dev.json"
        path.write_text(json.dumps(tree))
        never = scored(model, tmp_path / "never", data_files=path, null_threshold=1e9)["languages"]["en"]
        always = scored(model, tmp_path / "always", data_files=path, null_threshold=-1e9)["languages"]["en"]
        assert (never["metric"], never["questions"], never["NoAns_total"]) == ("squad_v2", 12, 2)
        assert (never["NoAns_f1"], always["NoAns_f1"], always["HasAns_f1"]) == (0, 100, 0)
        assert never["best_f1"] == always["best_f1"] >= max(never["f1"], always["f1"])
        assert set(json.loads((tmp_path / "always" / "predictions.json").read_text()).values()) == {""}

    def test_threshold_tuned_by_finetune(self, model, tmp_path, capsys):
        tree = qa_tiny.articles(1)
        tree["data"][0]["paragraphs"][0]["qas"][0]["answers"] = []
        (tmp_path / "dev.json").write_text(json.dumps(tree))
        (tmp_path / "model").mkdir()
        for path in model.iterdir():
            (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "model" / "eval_results.json").write_text('{"null_threshold": -1000000.0}')
        result = scored(tmp_path / "model", tmp_path / "out", data_files=tmp_path / "dev.json")["languages"]["en"]
        assert (result["null_threshold"], result["NoAns_f1"]) == (-1e6, 100)
        assert "no tuned null threshold" not in capsys.readouterr().err
        (tmp_path / "model" / "eval_results.json").write_text('{"f1": 80.0, "f1_de": 80.0, "f1_en": 80.0}')
        result = scored(tmp_path / "model", tmp_path / "none", data_files=tmp_path / "dev.json")["languages"]["en"]
        assert result["null_threshold"] == 0
        assert "no tuned null threshold beside the model, 0 is taken" in capsys.readouterr().err

    def test_mlqa(self, model, shared_data, tmp_path):
        result = scored(
            model, tmp_path, dataset="mlqa", data_dir=shared_data / "mlqa", language="de", max_eval_samples=9
        )
        gold = json.loads((shared_data / "mlqa" / "dev-context-de-question-de.json").read_text())
        predictions = json.loads((tmp_path / "predictions.json").read_text())
        for article in gold["data"]:
            for paragraph in article["paragraphs"]:
                paragraph["qas"] = [qa for qa in paragraph["qas"] if qa["id"] in predictions]
        assert result["languages"]["de"]["f1"] == metrics.score("mlqa", gold, predictions, "de")["f1"]
        assert len(predictions) == 9


def test_averages_as_xtreme_and_as_the_thesis():
    names = ["ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"]
    same = {"exact_match": 10.0, "f1": 20.0}
    languages = {name: {**same, "language_aware": dict(same)} for name in names}
    languages["ro"] = {"exact_match": 22.0, "f1": 80.0, "language_aware": {"exact_match": 10.0, "f1": 32.0}}
    result = averages(languages)
    assert result["average"] == {
        "languages": 12, "exact_match": 11.0, "f1": 25.0, "language_aware": {"exact_match": 10.0, "f1": 21.0}
    }  # fmt: skip
    assert result["average_without_ro"] == {"languages": 11, **same, "language_aware": same}
    assert "average_without_ro" not in averages({name: languages[name] for name in names[:-1]})
    pairs = averages({"de.de": languages["de"], "de.en": languages["ro"], "en": languages["en"]})
    assert (pairs["average_same_language"]["languages"], pairs["average_cross_language"]["f1"]) == (2, 80.0)


class TestPrecision:
    def test_auto_is_settled_by_a_measurement_and_kept(self, model, corpus, tmp_path, monkeypatch, capsys):
        files = corpus.replace("*", "zh")
        for pays, settled in ((True, "yes"), (False, "no")):
            monkeypatch.setattr(score_run, "bfloat16_pays", lambda device, pays=pays: pays)
            result = scored(model, tmp_path / settled, data_files=files, bf16="auto")
            assert result["run"]["bf16"] == settled
            assert f"--bf16 auto: {settled}" in capsys.readouterr().err
            assert scored(model, tmp_path / settled, data_files=files, bf16=settled) == result  # the same run
        half, whole = (json.loads((tmp_path / name / "nbest.json").read_text()) for name in ("yes", "no"))
        assert half.keys() == whole.keys() and half != whole

    def test_what_is_emulated_is_not_waited_for(self, monkeypatch):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
        monkeypatch.setattr(precision, "_seconds", lambda *_: pytest.fail("measured"))
        assert not precision.bfloat16_pays(torch.device("cpu"))

    @pytest.mark.parametrize(("half", "pays"), [(0.5, True), (0.79, True), (0.9, False), (40.0, False)])
    def test_the_times_decide(self, monkeypatch, half, pays):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
        monkeypatch.setattr(precision, "_seconds", lambda linear, hidden, enabled: half if enabled else 1.0)
        assert precision.bfloat16_pays(torch.device("cpu")) is pays

    def test_both_are_really_timed(self):
        linear, hidden = torch.nn.Linear(8, 8), torch.ones(4, 8)
        seen = []
        linear.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        assert all(precision._seconds(linear, hidden, enabled) > 0 for enabled in (True, False))
        assert set(seen) == {torch.bfloat16, torch.float32}


def test_documents_are_tokenised_once(model, corpus, tmp_path, monkeypatch):
    """Paragraphs that return after others went through a small cache three times."""
    tokenised = []
    real = Windower._document

    def once(self, text):
        tokenised.append(text)
        return real(self, text)

    monkeypatch.setattr(Windower, "_document", once)
    scored(model, tmp_path / "out", data_files=corpus.replace("*", "en"))
    assert len(tokenised) == len(set(tokenised)) == 9


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (["--native_attention"], "fast_attention", False),
        (["--bf16"], "bf16", "yes"),
        (["--bf16", "auto"], "bf16", "auto"),
        ([], "bf16", "no"),
        (["--within_articles"], "within_articles", True),
        (["--use_cpu", "False"], "use_cpu", False),
        ([], "dataset", "xquad"),
    ],
)
def test_flags(given, name, value):
    assert getattr(score.read_command_line(["--model_name_or_path", "x", "--output_dir", "y", *given]), name) == value


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--output_dir", "y"], "--model_name_or_path"),
        (["--model_name_or_path", "x", "--output_dir", "y", "--bf16", "often"], "often"),
        (["--model_name_or_path", "x", "--output_dir", "y", "--batch_sise", "4"], "did you mean --batch_size"),
    ],
)
def test_flags_that_are_wrong_are_one_sentence(given, sentence):
    with pytest.raises(UserError, match=sentence):
        score.read_command_line(given)


class TestBadInput:
    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"max_length": 65}, "--max_length 65 is above the 64 tokens"),
            ({"model_name_or_path": "/nowhere"}, "--model_name_or_path '/nowhere' cannot be loaded"),
            ({"adapter": "/nowhere"}, "--adapter '/nowhere'"),
            ({"data_files": "no.json"}, "--data_files 'no.json' is not a file"),
            ({"dataset": "xquad", "split": "train", "data_files": None}, "no split 'train'"),
            ({"dataset": "xquad", "language": "sv", "data_files": None}, "--language 'sv' is none of"),
        ],
    )
    def test_one_sentence_and_nothing_written(self, model, corpus, tmp_path, changed, sentence):
        changed = {"data_files": corpus, **changed}
        with pytest.raises(UserError) as error:
            scored(changed.pop("model_name_or_path", model), tmp_path / "out", **changed)
        assert sentence in str(error.value)
        assert not (tmp_path / "out" / "zh").exists()

    def test_no_question_answering_head(self, corpus, tmp_path):
        from transformers import AutoModelForMaskedLM, BertConfig

        qa_tiny.tokenizer().save_pretrained(tmp_path / "mlm")
        sizes = {**qa_tiny.SIZES, "vocab_size": 300, "max_position_embeddings": 64}
        AutoModelForMaskedLM.from_config(BertConfig(**sizes)).save_pretrained(tmp_path / "mlm")
        with pytest.raises(UserError, match="has no question-answering head: fine-tune it first"):
            scored(tmp_path / "mlm", tmp_path / "out", data_files=corpus)

    def test_at_the_command_line(self, model, tmp_path):
        command = [sys.executable, SCRIPT, *words(model, tmp_path / "out", data_files="x", batch_size=0)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "error: --batch_size 0 is below 1: give a whole number from 1 up\n"
        assert not (tmp_path / "out").exists()
