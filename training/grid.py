"""The whole thesis as one command: every model, data set, length and seed, or a part of it.

    python training/grid.py --list --model XLM-Long --seeds 42
    python training/grid.py --run --output_dir runs/grid --data_dir data --config_file training/configs/multi_gpu.yaml
    python training/grid.py --run --output_dir runs/part --model XLM-R --dataset squad xquad --seeds 42 1337 \\
        --max_train_samples 1000

--list prints the exact command of each run. --run runs those that are missing; after a kill or a failure the same
command goes on. Then results.md, results.csv, summary.csv and plots hold mean and spread over the seeds, in the shape
of the thesis's table, its published figures beside.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from foundation.cli import UserError, command_parser, run
from training.grids.launcher import processes_of
from training.grids.plan import Narrowing, Plan, chosen_models, make_plan, parse_flags, read_grid, shell_line


def make_parser() -> argparse.ArgumentParser:
    """The command line of grid.py."""
    parser = command_parser(
        description="List or run a grid of fine-tunings and scores, and aggregate it over seeds.",
        example="python training/grid.py --run --output_dir runs/part --model XLM-R --dataset xquad --seeds 42",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="print each run's command and whether it is done")
    what.add_argument("--run", action="store_true", help="run what is missing, then aggregate")
    what.add_argument("--aggregate", action="store_true", help="only write the tables of what is done")
    add = parser.add_argument
    add("--grid", default="thesis", help="a grid of training/configs (thesis, small), or a YAML file")
    add("--output_dir", default="runs/grid", help="folder of all runs and results")
    add("--model", nargs="+", help="only these; LABEL=CHECKPOINT puts another checkpoint under a label")
    add("--dataset", nargs="+", help="only these columns, by label or by data set")
    add("--seeds", nargs="+", type=int, help="only these, or others than the grid's")
    add("--max_train_samples", type=int, help="fine-tune on this many examples")
    add("--max_eval_samples", type=int, help="score this many questions a language")
    add("--data_dir", help="folder with the official files in squad/, xquad/, mlqa/; without it the Hub is asked")
    add("--config_file", help="accelerate launch configuration for every run")
    add("--pretrain_flags", default="", metavar="'--flag value ...'", help="more flags for pretrain.py, or others")
    add("--finetune_flags", default="", metavar="'--flag value ...'", help="more flags for finetune.py, or others")
    add("--score_flags", default="", metavar="'--flag value ...'", help="more flags for score.py, or others")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    grid = read_grid(args.grid)
    want = _narrowing(args)
    plan = make_plan(grid, Path(args.output_dir), want)
    launch = ["launch", *(["--config_file", args.config_file] if args.config_file else [])]
    if args.list:
        print_commands(plan, ["accelerate", *launch])
        return
    output_dir = Path(args.output_dir).resolve()
    everything = make_plan(
        grid, output_dir, Narrowing(seeds=list(dict.fromkeys([*grid["seeds"], *(want.seeds or [])])))
    )
    troubles: list[str] = []
    if args.run:
        from training.grids.run import run_plan

        launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch]
        troubles = run_plan(make_plan(grid, output_dir, want), output_dir, launcher, _settings(args, want, grid))
    aggregate(everything, output_dir, args.grid)
    if troubles:
        print("\n".join(troubles), file=sys.stderr)
        raise UserError(f"{len(troubles)} step(s) did not end well, see above: mend and give the same command again")


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


def _narrowing(args: argparse.Namespace) -> Narrowing:
    return Narrowing(
        models=args.model,
        columns=args.dataset,
        seeds=args.seeds,
        max_train_samples=args.max_train_samples,
        max_eval_samples=args.max_eval_samples,
        processes=processes_of(args.config_file),
        data_dir=str(Path(args.data_dir).resolve()) if args.data_dir else None,
        finetune_flags=parse_flags(args.finetune_flags, "--finetune_flags"),
        pretrain_flags=parse_flags(args.pretrain_flags, "--pretrain_flags"),
        score_flags=parse_flags(args.score_flags, "--score_flags"),
    )


def _settings(args: argparse.Namespace, want: Narrowing, grid: dict) -> dict:
    """What decides the numbers and so must be the same for all runs of one output_dir."""
    decisive = {name: value for name, value in asdict(want).items() if name not in ("models", "columns", "seeds")}
    models, chosen = chosen_models(grid["models"], args.model)
    return {"grid": {**grid, "models": {label: models[label] for label in chosen}}, **decisive}


if __name__ == "__main__":
    run(main)
