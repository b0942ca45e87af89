"""The thesis grid as data, and what runs it: with a stand-in for the launcher, and once for real on a tiny model."""

import copy
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch
import yaml

from foundation.cli import UserError
from foundation.files import write_atomically
from tests.conftest import ROOT
from training import grid as grid_command_line
from training.grids.launcher import processes_of
from training.grids.plan import CONFIGS, Narrowing, make_plan, parse_flags, read_grid, slug
from training.grids.results import mean_and_spread, read_published, write_results
from training.grids.run import _alone, check_settings, is_done, run_plan

from . import qa_tiny
from .launch import environment

# In the launcher's place: it notes the call, and writes the files that the entry point would write.
STAND_IN = """
import hashlib, json, os, pathlib, sys, time
words = sys.argv[1:]
flags = dict(zip(words[1:], [*words[2:], ""]))
folder = pathlib.Path(flags["--output_dir"])
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(words) + "\\n")
print("working on", folder, flush=True)
if os.environ.get("FAIL", "nothing") in str(folder):
    sys.exit(3)
folder.mkdir(parents=True, exist_ok=True)
if os.environ.get("HANG", "nothing") in str(folder):
    (folder / "checkpoint-1").mkdir(exist_ok=True)
    pathlib.Path(os.environ["CALLS"] + ".pid").write_text(str(os.getpid()))
    (folder / "checkpoint-1" / "run.json").write_text("{}")
    time.sleep(60)
if words[0].endswith("score.py"):
    value = int(hashlib.md5(str(folder).split("scores/")[1].encode()).hexdigest(), 16) % 1000 / 10
    each = {"exact_match": value / 2, "f1": value, "language_aware": {"exact_match": value, "f1": value}}
    scores = {"languages": {"en": each, "de": each}, "average": each}
    (folder / "scores.json").write_text(json.dumps(scores))
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """The launcher's words, and a function that gives the calls so far."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    launcher = [sys.executable, str(tmp_path / "stand_in.py")]
    return launcher, lambda: [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


def thesis(output_dir: Path = Path("runs/grid"), **want):
    return make_plan(read_grid("thesis"), output_dir, Narrowing(**want))


class TestThesisGrid:
    def test_every_run_of_its_readme(self) -> None:
        """The cells are those of the thesis's README (its headings, without "TODO TriviaQA")."""
        ran = {
            "SQuAD (512)": "RoBERTa Longformer RoBERTa-Long XLM-R XLM-Long",
            "SQ3 (512)": "RoBERTa Longformer RoBERTa-Long XLM-R XLM-Long",
            "SQ3 (4096)": "Longformer RoBERTa-Long XLM-Long",
            "XQuAD (512)": "RoBERTa XLM-R XLM-Long",
            "XQ3 (512)": "XLM-R XLM-Long",
            "XQ3 (4096)": "XLM-Long",
            "MLQA": "XLM-R XLM-Long",
        }
        plan = thesis()
        cells = {(score.column, score.model, score.seed) for score in plan.scores}
        seeds = (42, 1337, 1729, 165, 758241)
        assert cells == {(c, model, seed) for c, models in ran.items() for model in models.split() for seed in seeds}
        assert len(plan.scores) == 105

    def test_its_recipe(self) -> None:
        for step in thesis().steps:
            flags = step.flags
            if step.entry_point == "training/finetune.py":
                batch = flags["per_device_train_batch_size"] * flags["gradient_accumulation_steps"]
                assert (batch, flags["learning_rate"], flags["num_train_epochs"]) == (32, 3e-5, 3)
            if step.entry_point == "training/pretrain.py":
                batch = flags["per_device_train_batch_size"] * flags["gradient_accumulation_steps"]
                assert (batch, flags["max_steps"], flags["warmup_steps"], flags["max_pos"]) == (64, 6000, 500, 4096)

    def test_what_a_step_needs_comes_before_it(self) -> None:
        seen: set[Path] = set()
        plan = thesis()
        for step in plan.steps:
            assert set(step.needs) <= seen, step.title
            seen.add(step.folder)
        assert [step.entry_point for step in plan.steps].count("training/pretrain.py") == 2
        assert len(plan.steps) == len(seen) == 2 + 13 * 5 + 105

    def test_every_flag_is_one_of_the_entry_point(self) -> None:
        from training.finetuning.arguments import FinetuneArguments
        from training.pretraining.arguments import PretrainArguments
        from training.runs.arguments import make_parser
        from training.scoring.arguments import ScoreArguments

        parsers = {}
        kinds = {"finetune": FinetuneArguments, "pretrain": PretrainArguments, "score": ScoreArguments}
        for name, kind in kinds.items():
            parsers[f"training/{name}.py"] = make_parser(kind, prog=name, description="", example="")
        steps = thesis(max_train_samples=5, max_eval_samples=5, data_dir="/data").steps
        others = [make_plan(read_grid(name), Path("x"), Narrowing()).steps for name in ("small", "length")]
        for step in [*steps, *others[0], *others[1]]:
            options = parsers[step.entry_point]._option_string_actions
            assert {f"--{name}" for name in step.flags} <= set(options), step.title

    def test_a_column_may_train_each_model_its_own_way(self) -> None:
        plan = make_plan(read_grid("length"), Path("x"), Narrowing(seeds=[1]))
        trained = [step.flags for step in plan.steps if step.entry_point == "training/finetune.py"]
        assert [flags["model_name_or_path"] for flags in trained] == ["embedded", "embedded-long"]
        assert "long_fraction" not in trained[0] and trained[1]["long_fraction"] == 0.4
        assert {flags["max_train_samples"] for flags in trained} == {1200}
        few = make_plan(read_grid("length"), Path("x"), Narrowing(seeds=[1], max_train_samples=9)).steps[0]
        assert few.flags["max_train_samples"] == 9

    def test_published_figures_stand_under_cells_of_the_grid(self) -> None:
        columns = read_grid("thesis")["scoring"]["columns"]
        published = read_published()
        assert published["thesis"]["SQ3 (4096)"]["XLM-Long"] == [70.2, 77.3]
        for column, cells in published["thesis"].items():
            assert set(cells) <= set(columns[column]["models"])

    @pytest.mark.parametrize(
        ("want", "scores", "steps"),
        [
            ({"models": ["XLM-R"], "columns": ["squad"], "seeds": [42]}, 1, 2),
            ({"models": ["XLM-R"], "columns": ["SQuAD (512)", "xquad"], "seeds": [1, 2]}, 4, 6),
            ({"models": ["XLM-Long"], "columns": ["sq3"], "seeds": [42]}, 2, 5),
            ({"models": ["XLM-Long=org/long"], "columns": ["sq3-4096"], "seeds": [42]}, 1, 2),
        ],
    )
    def test_narrowing(self, want: dict, scores: int, steps: int) -> None:
        plan = thesis(**want)
        assert (len(plan.scores), len(plan.steps)) == (scores, steps)

    def test_own_checkpoint_data_and_flags(self) -> None:
        want = {"models": ["XLM-Long=org/long"], "columns": ["XQ3 (4096)"], "seeds": [7]}
        flags = {
            "finetune_flags": parse_flags("--bf16 --fp16 False", "x"),
            "score_flags": {"bf16": True, "do_lowercase": False},
        }
        finetune, score = thesis(**want, **flags, data_dir="/data", max_train_samples=9).steps
        words = finetune.arguments()
        assert words[:3] == ["training/finetune.py", "--model_name_or_path", "org/long"]
        assert words[words.index("--fp16") + 1] == "False" and "--bf16" in words
        assert words[words.index("--data_dir") + 1] == "/data/squad"
        assert words[words.index("--max_train_samples") + 1] == "9" and words[words.index("--seed") + 1] == "7"
        words = score.arguments()
        assert words[words.index("--data_dir") + 1] == "/data/xquad" and words[words.index("--nr_concats") + 1] == "3"
        assert "--bf16" in words and "--do_lowercase" not in words

    def test_a_data_set_by_its_own_name(self) -> None:
        grid = copy.deepcopy(read_grid("thesis"))
        grid["scoring"]["columns"]["MLQA"]["score"]["dataset"] = "trivia_qa"
        plan = make_plan(grid, Path("x"), Narrowing(columns=["trivia_qa"], seeds=[1]))
        assert {score.column for score in plan.scores} == {"MLQA"}

    def test_a_quotation_that_is_not_closed(self) -> None:
        with pytest.raises(UserError, match=r"--score_flags .* cannot be split into words"):
            parse_flags("--dataset 'xquad", "--score_flags")

    @pytest.mark.parametrize(
        ("want", "sentence"),
        [
            ({"models": ["XLM"]}, "--model 'XLM' is none of the grid's: RoBERTa"),
            ({"columns": ["squadd"]}, "--dataset 'squadd' is none of the grid's: SQuAD (512)"),
            ({"models": ["RoBERTa"], "columns": ["MLQA"]}, "have no run in common"),
        ],
    )
    def test_unknown_names(self, want: dict, sentence: str) -> None:
        with pytest.raises(UserError, match=re.escape(sentence)):
            thesis(**want)

    def test_bad_grids(self, tmp_path) -> None:
        with pytest.raises(UserError, match="neither a file nor one of length, small, thesis"):
            read_grid("big")
        (tmp_path / "a.yaml").write_text("seeds: [1]")
        with pytest.raises(UserError, match="has no 'models'"):
            read_grid(str(tmp_path / "a.yaml"))
        (tmp_path / "b.yaml").write_text("a: [")
        with pytest.raises(UserError, match="is not YAML"):
            read_grid(str(tmp_path / "b.yaml"))
        grid = yaml.safe_load((CONFIGS / "grid_small.yaml").read_text())
        column = grid["scoring"]["columns"]["Sample"]
        for broken, words in [
            ({"models": ["a"]}, "no table of names and values at models"),
            ({"models": {"a": {"pretrained": "x"}}}, "at pretraining.runs.x"),
            ({"finetuning": {"trainings": None}}, "at finetuning.trainings"),
            ({"scoring": {"columns": {"A": {**column, "score": 1}}}}, "at scoring.columns.A.score"),
            ({"scoring": {"columns": {"A": {**column, "models": "Embedded"}}}}, "column 'A' needs a list `models`"),
            ({"scoring": {"columns": {"A": {**column, "training": "x"}}}}, "from the training 'x', which is not in"),
        ]:
            (tmp_path / "c.yaml").write_text(yaml.safe_dump({**grid, **broken}))
            with pytest.raises(UserError, match=re.escape(words)):
                read_grid(str(tmp_path / "c.yaml"))
        with pytest.raises(UserError, match="'5' follows no flag"):
            parse_flags("5", "--finetune_flags")


def keep(output_dir: Path, settings: dict) -> None:
    """What a run does with its settings: check them against the folder's, then keep both."""
    write_atomically(output_dir / "grid.json", json.dumps(check_settings(output_dir, settings)))


class TestRunning:
    WANT = {"models": ["XLM-R=org/x"], "columns": ["squad", "xquad"], "seeds": [1, 2]}  # noqa: RUF012

    def test_runs_what_is_missing_and_no_more(self, stand_in, tmp_path) -> None:
        launcher, calls = stand_in
        plan = thesis(tmp_path / "grid", **self.WANT)
        assert run_plan(plan, tmp_path / "grid", launcher) == []
        assert [call[0] for call in calls()] == [str(ROOT / step.entry_point) for step in plan.steps]
        assert all(is_done(step) for step in plan.steps)
        done = json.loads((plan.steps[0].folder / "done.json").read_text())
        assert done["command"][2:] == calls()[0] and done["seconds"] >= 0
        assert run_plan(plan, tmp_path / "grid", launcher) == []
        assert len(calls()) == 6
        log = tmp_path / "grid" / "logs" / "squad-512_xlm-r_seed-1.log"
        assert log.read_text().startswith("working on")

    def test_a_token_reaches_the_step_and_no_file(self, stand_in, tmp_path) -> None:
        launcher, _ = stand_in
        grid = tmp_path / "grid"
        flags = parse_flags("--push_to_hub --hub-token hf_secret", "--finetune_flags")
        keep(grid, {"finetune_flags": flags})
        keep(grid, {"finetune_flags": {**flags, "hub-token": "hf_another"}})  # the token changes no figure
        plan = thesis(grid, models=["XLM-R=org/x"], columns=["squad"], seeds=[1], finetune_flags=flags)
        Path(launcher[1]).write_text(STAND_IN + 'print("token", os.environ.get("HF_TOKEN") == "hf_secret")\n')
        assert run_plan(plan, grid, launcher) == []
        assert "token True" in (grid / "logs" / "squad-512_xlm-r_seed-1.log").read_text()
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "stand_in.py"]
        assert {"grid.json", "done.json", "calls"} <= {path.name for path in files}
        assert not [path for path in files if b"hf_" in path.read_bytes()]

    def test_a_failure_stops_only_what_needs_it(self, stand_in, tmp_path, monkeypatch) -> None:
        launcher, calls = stand_in
        plan = thesis(tmp_path / "grid", **self.WANT)
        monkeypatch.setenv("FAIL", "squad-512/xlm-r/seed-1")
        troubles = run_plan(plan, tmp_path / "grid", launcher)
        assert len(troubles) == 3 and "ended with status 3" in troubles[0] and "not started" in troubles[1]
        assert sum(is_done(step) for step in plan.steps) == 3
        monkeypatch.delenv("FAIL")
        assert run_plan(plan, tmp_path / "grid", launcher) == []
        assert len(calls()) == 4 + 3

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_a_kill_costs_only_the_step_at_work(self, stand_in, tmp_path, monkeypatch, how) -> None:
        launcher, calls = stand_in
        grid = tmp_path / "grid"
        plan = thesis(grid, **self.WANT)
        code = (
            "import sys; from pathlib import Path; from tests.training.test_grid import thesis, TestRunning; "
            "from training.grids.run import run_plan; grid = Path(sys.argv[1]); "
            "run_plan(thesis(grid, **TestRunning.WANT), grid, sys.argv[2:])"
        )
        variables = {**os.environ, "HANG": "squad-512/xlm-r/seed-2"}
        process = subprocess.Popen([sys.executable, "-c", code, str(grid), *launcher], env=variables, cwd=ROOT)
        hanging = grid / "squad-512" / "xlm-r" / "seed-2" / "checkpoint-1" / "run.json"
        deadline = time.monotonic() + 120
        while not hanging.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        before = len(calls())
        process.send_signal(how)
        process.wait(timeout=60)
        if how == signal.SIGKILL:
            # The step outlives the killed run. A second run must not write into the same folder.
            with pytest.raises(UserError, match="still at work there"):
                run_plan(plan, grid, launcher)
            os.kill(int((tmp_path / "calls.pid").read_text()), signal.SIGKILL)
            time.sleep(0.5)
        assert run_plan(plan, grid, launcher) == []
        words = calls()[before]
        assert words[words.index("--resume_from_checkpoint") + 1] == "last"
        assert len(calls()) == before + 1 + sum(step.entry_point.endswith("score.py") for step in plan.steps) - (
            before - 2
        )
        assert not list(grid.glob("**/checkpoint-*"))  # checkpoints are only for resuming

    def test_a_kill_while_checkpoints_are_deleted_leaves_a_step_that_is_done(self, stand_in, tmp_path, monkeypatch):
        launcher, calls = stand_in
        plan = thesis(tmp_path / "grid", models=["XLM-R=org/x"], columns=["squad"], seeds=[1])
        mark = plan.steps[0].folder / "checkpoint-1" / "run.json"
        mark.parent.mkdir(parents=True)
        mark.write_text("{}")

        def killed(folder):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("training.grids.run.shutil.rmtree", killed)
            with pytest.raises(KeyboardInterrupt):
                run_plan(plan, tmp_path / "grid", launcher)
        assert is_done(plan.steps[0]) and mark.is_file()
        assert run_plan(plan, tmp_path / "grid", launcher) == []
        assert len(calls()) == 2 and not mark.parent.exists()  # only the score was still missing

    def test_what_is_left_without_a_checkpoint_is_begun_anew(self, stand_in, tmp_path) -> None:
        launcher, calls = stand_in
        plan = thesis(tmp_path / "grid", models=["XLM-R=org/x"], columns=["squad"], seeds=[1])
        plan.steps[0].folder.mkdir(parents=True)
        (plan.steps[0].folder / "config.json").write_text("{}")
        run_plan(plan, tmp_path / "grid", launcher)
        assert calls()[0][-1] == "--overwrite_output_dir" and "--overwrite_output_dir" not in calls()[1]

    def test_other_settings_are_refused(self, tmp_path) -> None:
        keep(tmp_path / "grid", {"max_train_samples": 5})
        keep(tmp_path / "grid", {"max_train_samples": 5})
        with pytest.raises(UserError, match="other settings \\(max_train_samples was 5, now 6\\)"):
            keep(tmp_path / "grid", {"max_train_samples": 6})
        (tmp_path / "mine").write_text("x")
        with pytest.raises(UserError, match="is not empty and holds no grid"):
            keep(tmp_path, {})

    def test_a_run_that_is_refused_leaves_the_settings(self, stand_in, tmp_path) -> None:
        launcher, _ = stand_in
        plan = thesis(tmp_path / "grid", models=["XLM-R=org/x"], columns=["squad"], seeds=[1])
        assert run_plan(plan, tmp_path / "grid", launcher, {"grid": {"seeds": [1]}}) == []
        before = (tmp_path / "grid" / "grid.json").read_bytes()
        with _alone(tmp_path / "grid"), pytest.raises(UserError, match="still at work there"):
            run_plan(plan, tmp_path / "grid", launcher, {"grid": {"seeds": [1, 2]}})
        assert (tmp_path / "grid" / "grid.json").read_bytes() == before
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes.txt").write_text("x")
        with pytest.raises(UserError, match="holds no grid"):
            run_plan(plan, tmp_path / "mine", launcher, {})
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
        assert run_plan(plan, tmp_path / "grid", launcher, {"grid": {"seeds": [1, 2]}}) == []
        assert json.loads((tmp_path / "grid" / "grid.json").read_text()) == {"grid": {"seeds": [1, 2]}}

    def test_a_grid_may_grow_but_not_change(self, tmp_path) -> None:
        """New columns, models and seeds are run beside what is done; what is done keeps its meaning."""
        grid = read_grid("length")
        keep(tmp_path / "grid", {"grid": grid})
        more = copy.deepcopy(grid)
        more["seeds"] = [7]
        more["models"]["third"] = "org/x"
        for column in more["scoring"]["columns"].values():
            column["models"].append("third")
            column["training"]["third"] = "short"
        more["scoring"]["columns"]["XQ3 x2"] = {**column, "score": {**column["score"], "nr_concats": 2}}
        keep(tmp_path / "grid", {"grid": more})
        keep(tmp_path / "grid", {"grid": grid})  # a grid may lose columns too
        more["scoring"]["columns"]["XQ3 x2"]["score"]["nr_concats"] = 4
        with pytest.raises(UserError, match=r"grid.scoring.columns.XQ3 x2.score.nr_concats was 2, now 4"):
            keep(tmp_path / "grid", {"grid": more})
        grid["finetuning"]["common"]["weight_decay"] = 0.1
        with pytest.raises(UserError, match=r"grid.finetuning.common.weight_decay was None, now 0.1"):
            keep(tmp_path / "grid", {"grid": grid})


class TestProcesses:
    """How many processes `accelerate launch` will start: its own answer, by which the accumulation is divided."""

    @pytest.mark.parametrize(("config", "expected"), [("cpu", 1), ("gpu", 1), ("multi_gpu", 2), ("fsdp", 2)])
    def test_by_our_configurations(self, config, expected) -> None:
        assert processes_of(str(CONFIGS / f"{config}.yaml")) == expected

    def test_by_the_default_configuration_of_the_user(self, tmp_path, monkeypatch, capfd) -> None:
        """`accelerate launch` reads it; one process a GPU was assumed."""
        default = tmp_path / "default_config.yaml"
        monkeypatch.setattr("accelerate.commands.launch.default_config_file", str(default))
        monkeypatch.setattr("accelerate.commands.config.config_args.default_config_file", str(default))
        assert processes_of(None) == max(1, torch.cuda.device_count())
        default.write_text((CONFIGS / "multi_gpu.yaml").read_text().replace("num_processes: 2", "num_processes: 3"))
        assert processes_of(None) == 3
        # On one device the launcher starts one process, whatever the number says.
        default.write_text((CONFIGS / "cpu.yaml").read_text().replace("num_processes: 1", "num_processes: 4"))
        assert processes_of(None) == 1
        assert "accelerate launch" not in "".join(capfd.readouterr())

    @pytest.mark.parametrize(
        ("content", "words"), [(None, "is not a file"), ("distributed_type: 7", "is refused"), ("[", "is refused")]
    )
    def test_what_accelerate_refuses_is_one_sentence(self, tmp_path, content, words) -> None:
        if content is not None:
            (tmp_path / "x.yaml").write_text(content)
        with pytest.raises(UserError, match=words):
            processes_of(str(tmp_path / "x.yaml"))


class TestResults:
    def test_mean_and_spread(self) -> None:
        # 80, 82, 87: mean 83; deviations -3, -1, 4: (9 + 1 + 16) / 2 = 13.
        assert mean_and_spread([80.0, 82.0, 87.0]) == (83.0, pytest.approx(13**0.5))
        assert mean_and_spread([5.0]) == (5.0, None)

    def test_tables_and_plots(self, stand_in, tmp_path) -> None:
        launcher, _ = stand_in
        grid = tmp_path / "grid"
        plan = thesis(grid, models=["XLM-R=org/x"], columns=["squad", "xquad"], seeds=[1, 2, 3])
        assert write_results(plan.scores, grid, "Title") is None
        run_plan(plan, grid, launcher)
        path = write_results(thesis(grid, seeds=[1, 2, 3]).scores, grid, "Title")
        assert path is not None
        values = {
            score.seed: json.loads((score.folder / "scores.json").read_text())["average"]["f1"]
            for score in plan.scores
            if score.column == "SQuAD (512)"
        }
        f1 = f"{mean(values.values()):.1f} ± {stdev(values.values()):.1f}"
        text = path.read_text()
        assert "| trained on | SQuAD (512) | XQuAD (512) |" in text
        assert f"{f1} (3) [81.9 / 88.7]" in text and "[55.4 / 70.5]" in text
        assert "## XQuAD (512), F1 by language" in text and "| model | en | de |" in text
        with (grid / "summary.csv").open() as file:
            lines = {line["column"]: line for line in csv.DictReader(file)}
        assert float(lines["SQuAD (512)"]["f1_mean"]) == pytest.approx(mean(values.values()))
        assert float(lines["SQuAD (512)"]["f1_thesis"]) == 88.7
        with (grid / "results.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 2 * 3 * 3  # columns x seeds x (two languages and the average)
        for name in ("squad-512", "xquad-512"):
            assert (grid / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert not (grid / "mlqa.png").exists()

    def test_thesis_average_is_taken_where_all_languages_are(self, tmp_path) -> None:
        (score,) = thesis(tmp_path, models=["XLM-R"], columns=["xquad"], seeds=[1]).scores
        score.folder.mkdir(parents=True)
        aware = {"exact_match": 0.0, "f1": 0.0}
        averages = {
            "average": {"exact_match": 1.0, "f1": 2.0, "language_aware": aware},
            "average_without_ro": {"exact_match": 3.0, "f1": 4.0, "language_aware": aware},
        }
        (score.folder / "scores.json").write_text(json.dumps({"languages": {}, **averages}))
        (score.folder / "done.json").write_text("{}")
        path = write_results([score], tmp_path, "t")
        assert path is not None and "3.0 / 4.0 (1)" in path.read_text()


def grid_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "training/grid.py", *words]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)


class TestCommand:
    def test_list_prints_commands_that_can_be_typed(self) -> None:
        result = grid_command("--list", "--model", "XLM-R", "--dataset", "xquad", "--seeds", "42")
        assert result.returncode == 0
        lines = result.stdout.splitlines()
        assert lines[0] == "# train squad-512 | XLM-R | seed 42 (missing)"
        assert lines[1].startswith(
            "accelerate launch training/finetune.py --model_name_or_path FacebookAI/xlm-roberta-base"
        )
        assert lines[-1] == "# 2 steps, 1 scores, 0 steps done"

    def test_a_mistake_is_one_sentence(self) -> None:
        result = grid_command("--list", "--model", "GPT")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("error: --model 'GPT'") and len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ([], "does one of --list, --run and --aggregate, and none of them came"),
            (["--list", "--run"], "and --list and --run came together"),
            (["--list", "--seed", "42"], r"unknown argument '--seed': did you mean --seeds\?"),
        ],
    )
    def test_one_thing_at_a_time(self, words: list[str], sentence: str) -> None:
        with pytest.raises(UserError, match=sentence):
            grid_command_line.read_command_line(words)

    def test_a_small_grid_for_real(self, tmp_path) -> None:
        """One fine-tuning and one score by the real entry points, on a tiny model; the second call runs nothing."""
        model = qa_tiny.checkpoint(tmp_path / "model", "bert")
        grid = yaml.safe_load((ROOT / "training" / "configs" / "grid_small.yaml").read_text())
        columns = grid["scoring"]["columns"]
        columns["Sample"]["score"] = {"dataset": "sample", "language": "en,sv", "max_length": 64, "doc_stride": 8}
        grid["finetuning"]["trainings"]["sample"] |= {"max_length": 64, "doc_stride": 8}
        grid["finetuning"]["common"] |= {"lora_r": 0, "max_steps": 2}
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(grid))
        words = ["--run", "--grid", str(tmp_path / "tiny.yaml"), "--output_dir", str(tmp_path / "out"), "--seeds", "42"]
        words += ["--model", f"Embedded={model}", "--dataset", "Sample", "--max_train_samples", "8"]
        words += ["--config_file", "training/configs/cpu.yaml"]
        result = grid_command(*words)
        assert result.returncode == 0, result.stderr[-3000:]
        assert re.search(r"\| Embedded \| \d+\.\d / \d+\.\d \(1\) \|", result.stdout)
        again = grid_command(*words)
        assert "2 of 2 steps are done" in again.stderr and again.stdout == result.stdout
        settings = grid_command(*words, "--max_eval_samples", "3")
        assert settings.returncode == 2 and "holds a grid with other settings" in settings.stderr

    @pytest.mark.slow
    @pytest.mark.timeout(1800)
    def test_the_small_grid_on_the_embedded_model(self, tmp_path) -> None:
        words = ["--run", "--grid", "small", "--output_dir", str(tmp_path / "out"), "--max_train_samples", "8"]
        result = grid_command(*words, "--config_file", "training/configs/cpu.yaml")
        assert result.returncode == 0, result.stderr[-3000:]
        assert len(re.findall(r"\(2\)", (tmp_path / "out" / "results.md").read_text())) == 3
        assert "12 of 12 steps are done" in grid_command(*words, "--config_file", "training/configs/cpu.yaml").stderr


def test_the_help_names_every_grid() -> None:
    help_ = grid_command_line.GridArguments.__dataclass_fields__["grid"].metadata["help"]
    named = set(re.search(r"\((.+)\)", help_)[1].split(", "))  # type: ignore[index]
    assert named == {path.stem.removeprefix("grid_") for path in CONFIGS.glob("grid_*.yaml")}


def test_slug() -> None:
    assert [slug(label) for label in ("SQ3 (512)", "XLM-R", "Sample x3")] == ["sq3-512", "xlm-r", "sample-x3"]


def test_the_documentation_has_a_command_for_every_cell() -> None:
    page = (ROOT / "docs" / "finetuning.md").read_text(encoding="utf-8")
    commands = re.findall(r"`python training/grid\.py --run --model (\S+) --dataset \"?([^\"`]+)\"?`", page)
    cells = {(score.model, score.column) for score in thesis().scores}
    assert sorted(commands) == sorted(cells)
