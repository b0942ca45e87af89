"""The whole thesis as one command: every model, data set, length and seed, or a part of it.

    python training/grid.py --list --model XLM-Long --seeds 42
    python training/grid.py --run --output_dir runs/grid --data_dir data --config_file training/configs/multi_gpu.yaml
    python training/grid.py --run --output_dir runs/part --model XLM-R --dataset squad xquad --seeds 42 1337 \\
        --max_train_samples 1000

--list prints the exact command of each run. --run runs those that are missing; after a kill or a failure the same
command goes on. Then results.md, results.csv, summary.csv and plots hold mean and spread over the seeds, in the shape
of the thesis's table, its published figures beside.
"""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from foundation.cli import UserError, run
from training.grids.launcher import processes_of
from training.grids.plan import Narrowing, Plan, chosen_models, make_plan, parse_flags, read_grid, shell_line
from training.runs.arguments import parse_alone

WHAT = ("list", "run", "aggregate")
# The class below has a flag `list`, which hides the type.
Words: TypeAlias = list[str]
Numbers: TypeAlias = list[int]


@dataclass
class GridArguments:
    """What to do, with which part of which grid, and what every run is told besides."""

    list: bool = field(default=False, metadata={"help": "Print each run's command and whether it is done."})
    run: bool = field(default=False, metadata={"help": "Run what is missing, then aggregate."})
    aggregate: bool = field(default=False, metadata={"help": "Only write the tables of what is done."})
    grid: str = field(
        default="thesis", metadata={"help": "A grid of training/configs (thesis, small, length), or a YAML file."}
    )
    output_dir: str = field(default="runs/grid", metadata={"help": "Folder of all runs and results."})
    model: Words | None = field(
        default=None, metadata={"help": "Only these; LABEL=CHECKPOINT puts another checkpoint under a label."}
    )
    dataset: Words | None = field(default=None, metadata={"help": "Only these columns, by label or by data set."})
    seeds: Numbers | None = field(default=None, metadata={"help": "Only these, or others than the grid's."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Fine-tune on this many examples."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Score this many questions a language."})
    data_dir: str | None = field(
        default=None,
        metadata={"help": "Folder with the official files in squad/, xquad/, mlqa/; without it the Hub is asked."},
    )
    config_file: str | None = field(default=None, metadata={"help": "accelerate launch configuration for every run."})
    pretrain_flags: str = field(
        default="", metadata={"help": "More flags for pretrain.py, or others.", "metavar": "'--flag value ...'"}
    )
    finetune_flags: str = field(
        default="", metadata={"help": "More flags for finetune.py, or others.", "metavar": "'--flag value ...'"}
    )
    score_flags: str = field(
        default="", metadata={"help": "More flags for score.py, or others.", "metavar": "'--flag value ...'"}
    )

    def check(self) -> None:
        given = [f"--{name}" for name in WHAT if getattr(self, name)]
        if len(given) != 1:
            what = "none of them came" if not given else f"{' and '.join(given)} came together"
            raise UserError(f"grid.py does one of --list, --run and --aggregate, and {what}: give one")


def main() -> None:
    arguments = read_command_line(sys.argv[1:])
    grid = read_grid(arguments.grid)
    wanted = _narrowing(arguments)
    plan = make_plan(grid, Path(arguments.output_dir), wanted)
    launch = ["launch", *(["--config_file", arguments.config_file] if arguments.config_file else [])]
    if arguments.list:
        print_commands(plan, ["accelerate", *launch])
        return
    output_dir = Path(arguments.output_dir).resolve()
    seeds = list(dict.fromkeys([*grid["seeds"], *(wanted.seeds or [])]))
    everything = make_plan(grid, output_dir, Narrowing(seeds=seeds))
    troubles: list[str] = []
    if arguments.run:
        from training.grids.run import run_plan

        launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch]
        settings = _settings(arguments, wanted, grid)
        troubles = run_plan(make_plan(grid, output_dir, wanted), output_dir, launcher, settings)
    aggregate(everything, output_dir, arguments.grid)
    if troubles:
        print("\n".join(troubles), file=sys.stderr)
        raise UserError(f"{len(troubles)} step(s) did not end well, see above: mend and give the same command again")


def read_command_line(argv: list[str]) -> GridArguments:
    """The flags of grid.py; raises UserError for one that is unknown, and for other than one thing to do."""
    return parse_alone(
        GridArguments,
        argv,
        prog="python training/grid.py",
        description="List or run a grid of fine-tunings and scores, and aggregate it over seeds.",
        example="  python training/grid.py --run --output_dir runs/part --model XLM-R --dataset xquad --seeds 42",
    )


def print_commands(plan: Plan, launch: list[str]) -> None:
    """A comment and a command for each step, in an order in which they can be run."""
    from training.grids.run import is_done

    for step in plan.steps:
        print(f"# {step.title} ({'done' if is_done(step) else 'missing'})")
        print(shell_line(launch, step))
    print(f"# {len(plan.steps)} steps, {len(plan.scores)} scores, {sum(map(is_done, plan.steps))} steps done")


def aggregate(plan: Plan, output_dir: Path, name: str) -> None:
    """Write the tables, and print the first one."""
    from training.grids.results import write_results

    path = write_results(plan.scores, output_dir, f"Grid: {name}")
    if path is None:
        print("no score is done yet: nothing to aggregate", file=sys.stderr)
        return
    print(path.read_text(encoding="utf-8"))
    print(f"written: {path}", file=sys.stderr)


def _narrowing(arguments: GridArguments) -> Narrowing:
    return Narrowing(
        models=arguments.model,
        columns=arguments.dataset,
        seeds=arguments.seeds,
        max_train_samples=arguments.max_train_samples,
        max_eval_samples=arguments.max_eval_samples,
        processes=processes_of(arguments.config_file),
        data_dir=str(Path(arguments.data_dir).resolve()) if arguments.data_dir else None,
        finetune_flags=parse_flags(arguments.finetune_flags, "--finetune_flags"),
        pretrain_flags=parse_flags(arguments.pretrain_flags, "--pretrain_flags"),
        score_flags=parse_flags(arguments.score_flags, "--score_flags"),
    )


def _settings(arguments: GridArguments, wanted: Narrowing, grid: dict[str, Any]) -> dict[str, Any]:
    """What decides the numbers and so must be the same for all runs of one output_dir."""
    decisive = {name: value for name, value in asdict(wanted).items() if name not in ("models", "columns", "seeds")}
    models, chosen = chosen_models(grid["models"], arguments.model)
    return {"grid": {**grid, "models": {label: models[label] for label in chosen}}, **decisive}


if __name__ == "__main__":
    run(main)
