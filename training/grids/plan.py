"""A grid as data, and the runs that it stands for: their exact commands, folders and order.

<output_dir>/pretrained/<name>                        a long model
<output_dir>/<training>/<model>/seed-<seed>           a fine-tuned model
<output_dir>/scores/<column>/<model>/seed-<seed>      its scores
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundation.cli import UserError, one_line

CONFIGS = Path(__file__).parents[1] / "configs"
Flags = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One command of the grid. `needs` are the folders of the steps that must be done before it."""

    title: str
    entry_point: str
    flags: Flags
    folder: Path
    needs: tuple[Path, ...] = ()

    def arguments(self, more: Mapping[str, Any] | None = None) -> list[str]:
        """The entry point and its flags as words; `more` is for this time only (resume, overwrite).

        A flag that is on by default can be off: finetune.py and pretrain.py are told so; to score.py it is not given.
        """
        words = [self.entry_point]
        for name, value in {**self.flags, "output_dir": str(self.folder), **(more or {})}.items():
            if value is True:
                words.append(f"--{name}")
            elif value is not None and not (value is False and self.entry_point == "training/score.py"):
                words += [f"--{name}", str(value)]
        return words


@dataclass(frozen=True)
class Score:
    """One score of the grid: a cell of the table before it is averaged over seeds."""

    column: str
    model: str
    seed: int
    average: str
    folder: Path


@dataclass
class Plan:
    """All steps in an order in which they can run, and the scores that they give."""

    steps: list[Step] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)


@dataclass
class Narrowing:
    """What of the grid is wanted, and what every command of a kind is told besides.

    Args:
        models: labels of the grid; `label=checkpoint` puts another checkpoint (a folder or Hub id) under a label.
        columns: labels of columns or names of data sets.
        processes: of the launcher; the steps' accumulation is divided by it, so that an update stays what it was.
    """

    models: list[str] | None = None
    columns: list[str] | None = None
    seeds: list[int] | None = None
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    processes: int = 1
    data_dir: str | None = None
    finetune_flags: Flags = field(default_factory=dict)
    pretrain_flags: Flags = field(default_factory=dict)
    score_flags: Flags = field(default_factory=dict)


def read_grid(name: str) -> dict[str, Any]:
    """A grid of training/configs by name (`thesis`), or a YAML file by path."""
    import yaml

    path = CONFIGS / f"grid_{name}.yaml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        known = sorted(each.stem.removeprefix("grid_") for each in CONFIGS.glob("grid_*.yaml"))
        raise UserError(f"--grid {name!r} is neither a file nor one of {', '.join(known)}")
    try:
        grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"--grid {name!r} is not YAML: {one_line(error)}") from error
    missing = [key for key in ("seeds", "models", "finetuning", "scoring") if key not in (grid or {})]
    if missing:
        raise UserError(f"--grid {name!r} has no {missing[0]!r}: see training/configs/grid_thesis.yaml")
    _check(name, grid)
    return grid


def _check(name: str, grid: Mapping[str, Any]) -> None:
    """A UserError for the first entry that has not the shape of grid_thesis.yaml, or names what is not there."""

    def entry(place: str, of: Any, *keys: str) -> Any:
        for key in keys:
            place, of = f"{place}.{key}", of.get(key) if isinstance(of, Mapping) else None
        if not isinstance(of, Mapping):
            raise UserError(
                f"--grid {name!r} has no table of names and values at {place}: see {CONFIGS.name}/grid_thesis.yaml"
            )
        return of

    shared = grid["finetuning"].get("common") or {} if isinstance(grid["finetuning"], Mapping) else {}
    trainings = entry("finetuning", grid["finetuning"], "trainings")
    for label in trainings:
        entry("finetuning.trainings", trainings, label)
    for checkpoint in entry("models", grid["models"]).values():
        if isinstance(checkpoint, Mapping):
            entry("pretraining", grid.get("pretraining"), "runs", str(checkpoint.get("pretrained")))
    columns = entry("scoring", grid["scoring"], "columns")
    for label, column in columns.items():
        score = entry("scoring.columns", columns, label, "score")
        if "dataset" not in score or not isinstance(column.get("models"), list):
            raise UserError(f"--grid {name!r}: the column {label!r} needs a list `models` and a `dataset` in `score`")
        training = column.get("training")
        for model in column["models"]:
            wanted = training.get(model) if isinstance(training, Mapping) else training
            if wanted not in trainings or "dataset" not in {**shared, **trainings[wanted]}:
                raise UserError(
                    f"--grid {name!r}: the column {label!r} wants {model!r} from the training {wanted!r}, which is not "
                    "in finetuning.trainings with a `dataset`"
                )


def make_plan(grid: Mapping[str, Any], output_dir: Path, wanted: Narrowing) -> Plan:
    """The steps of `grid` that `wanted` asks for. Raises UserError for a model, column or seed that it lacks."""
    models, chosen = chosen_models(grid["models"], wanted.models)
    columns = _columns(grid["scoring"]["columns"], wanted.columns)
    seeds = wanted.seeds if wanted.seeds is not None else list(grid["seeds"])
    builder = _Builder(grid, output_dir, wanted, models)
    for label, column in columns.items():
        for model in column["models"]:
            if model not in models:
                raise UserError(f"column {label!r} names the model {model!r}, which is none of {', '.join(models)}")
            for seed in seeds if model in chosen else ():
                builder.add(label, column, model, seed)
    if not builder.plan.steps:
        raise UserError(
            f"--model {' '.join(wanted.models or ['(all)'])} and --dataset {' '.join(wanted.columns or ['(all)'])} "
            "have no run in common: see --list"
        )
    return builder.plan


def chosen_models(known: Mapping[str, Any], wanted: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """(label to checkpoint with the user's own put in, labels that are wanted)."""
    models, chosen = dict(known), list(known)
    if wanted is not None:
        chosen = []
        for word in wanted:
            label, given, checkpoint = word.partition("=")
            if label not in known:
                raise UserError(f"--model {label!r} is none of the grid's: {', '.join(known)}")
            if given:
                models[label] = checkpoint
            chosen.append(label)
    return models, chosen


class _Builder:
    """Adds steps once, those that are needed before those that need them."""

    def __init__(self, grid: Mapping[str, Any], output_dir: Path, wanted: Narrowing, models: Mapping[str, Any]) -> None:
        self.grid, self.output_dir, self.wanted, self.models = grid, output_dir, wanted, models
        self.plan = Plan()
        self.made: set[Path] = set()

    def add(self, label: str, column: Mapping[str, Any], model: str, seed: int) -> None:
        training = column["training"]
        trained = self._finetune(training[model] if isinstance(training, Mapping) else training, model, seed)
        folder = self.output_dir / "scores" / slug(label) / slug(model) / f"seed-{seed}"
        flags = {
            "model_name_or_path": str(trained),
            **(self.grid["scoring"].get("common") or {}),
            **column["score"],
            "data_dir": self._data_dir(column["score"]["dataset"]),
            "max_eval_samples": self.wanted.max_eval_samples,
            **self.wanted.score_flags,
        }
        self._step(Step(f"{label} | {model} | seed {seed}", "training/score.py", flags, folder, (trained,)))
        self.plan.scores.append(Score(label, model, seed, column.get("average", "average"), folder))

    def _finetune(self, training: str, model: str, seed: int) -> Path:
        checkpoint = self.models[model]
        needs: tuple[Path, ...] = ()
        if isinstance(checkpoint, Mapping):
            needs = (self._pretrain(checkpoint["pretrained"]),)
            checkpoint = str(needs[0])
        own = {**(self.grid["finetuning"].get("common") or {}), **self.grid["finetuning"]["trainings"][training]}
        self._share(own, training)
        folder = self.output_dir / training / slug(model) / f"seed-{seed}"
        flags = {
            "model_name_or_path": checkpoint,
            **own,
            "seed": seed,
            "data_dir": self._data_dir(own["dataset"]),
            **({"max_train_samples": self.wanted.max_train_samples} if self.wanted.max_train_samples else {}),
            **self.wanted.finetune_flags,
        }
        self._step(Step(f"train {training} | {model} | seed {seed}", "training/finetune.py", flags, folder, needs))
        return folder

    def _pretrain(self, name: str) -> Path:
        folder = self.output_dir / "pretrained" / name
        pretraining = self.grid["pretraining"]
        flags = {**pretraining["runs"][name], **(pretraining.get("common") or {})}
        self._share(flags, name)
        flags |= self.wanted.pretrain_flags
        self._step(Step(f"pre-train {name}", "training/pretrain.py", flags, folder))
        return folder

    def _share(self, flags: Flags, name: str) -> None:
        """Divide the accumulation over the processes, each of which takes a batch of its own."""
        processes = self.wanted.processes
        if processes == 1:
            return
        steps = int(flags.get("gradient_accumulation_steps", 1))
        if steps % processes:
            raise UserError(
                f"--config_file starts {processes} processes, and the gradient_accumulation_steps {steps} of {name!r} "
                "cannot be shared among them: take another configuration, or mend the grid's"
            )
        flags["gradient_accumulation_steps"] = steps // processes

    def _step(self, step: Step) -> None:
        if step.folder not in self.made:
            self.made.add(step.folder)
            self.plan.steps.append(step)

    def _data_dir(self, dataset: str) -> str | None:
        folder = (self.grid.get("data_folders") or {}).get(dataset)
        return str(Path(self.wanted.data_dir) / folder) if self.wanted.data_dir and folder else None


def _columns(known: Mapping[str, Any], wanted: list[str] | None) -> dict[str, Any]:
    if wanted is None:
        return dict(known)
    chosen = []
    for word in wanted:
        exact = [label for label in known if slug(label) == slug(word)]
        found = exact or [label for label, column in known.items() if slug(word) == slug(column["score"]["dataset"])]
        if not found:
            raise UserError(f"--dataset {word!r} is none of the grid's: {', '.join(known)}")
        chosen += found
    return {label: column for label, column in known.items() if label in chosen}


def slug(label: str) -> str:
    """A label as the name of a folder: `SQ3 (512)` is `sq3-512`."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")


def parse_flags(text: str, argument: str) -> Flags:
    """`--bf16 --max_steps 5` as {"bf16": True, "max_steps": "5"}."""
    try:
        words = shlex.split(text)
    except ValueError as error:  # a quotation mark that is not closed
        raise UserError(f"{argument} {text!r} cannot be split into words ({error}): close it") from error
    flags: Flags = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            flags[name] = value or True
        elif name is None or flags[name] is not True:
            raise UserError(f"{argument} {text!r}: {word!r} follows no flag; give them as '--name value --name value'")
        else:
            flags[name] = False if word.lower() == "false" else word
    return flags


def shell_line(launch: Iterable[str], step: Step) -> str:
    """The step's command as one would type it."""
    return shlex.join([*launch, *step.arguments()])
