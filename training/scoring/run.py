"""One scoring run: language after language, resumable, the same numbers on one process and on many.

<output_dir>/scores.json        the run, each language's scores, the averages; rewritten after every language
<output_dir>/[<lang>/]predictions.json, nbest.json
<output_dir>/scores.csv, by_length.csv, scores.png, by_length.png
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from foundation import plots, tables
from foundation.cli import UserError
from foundation.files import check_output_dir, write_atomically
from training.corpora.load import evenly, load_qa, metric_of
from training.corpora.options import concat_options
from training.corpora.sources import SOURCES, canonical_name, check_split, languages_of
from training.qa.answers import Answers
from training.qa.model import check_max_length, load_qa_model
from training.qa.predict import predict
from training.qa.windows import Windower
from training.runs.arguments import warn_of_emulated_bfloat16
from training.runs.checkpoints import contents
from training.runs.origin import beside_model

from .record import SCORES, read_scores, write_scores
from .report import save_answers
from .scores import averages, score_language
from .survey import say_what_is_cut

MEASURED = (SCORES, "no_answer.json")  # what is written beside a model after it was read, and decides no score
ANSWERS = ("predictions.json", "nbest.json")
WRITTEN = (SCORES, *ANSWERS, "scores.csv", "by_length.csv", "scores.png", "by_length.png")
# Neither decides an answer; the last three are length_report.py's.
NOT_PART_OF_THE_RUN = ("output_dir", "overwrite_output_dir", "by", "use_cpu", "windows", "draws", "seed")


def score_checkpoint(args: argparse.Namespace, state: Any) -> dict[str, Any]:
    """Score every language that `args` (of score.py) asks for and that scores.json lacks.

    Args:
        state: accelerate's PartialState; its main process alone writes.

    Returns:
        The content of scores.json, on every process.
    """
    output_dir = Path(args.output_dir)
    languages = languages_to_score(args)
    # The main process alone looks at the folder: another might already see what it has just written.
    held: list[Any] = [_open(output_dir, args, state.num_processes) if state.is_main_process else None]
    broadcast_object_list(held)
    scores: dict[str, Any] = held[0]
    missing = [name for name in languages if name not in scores["languages"]]
    reader = Reader(args, state.device) if missing else None
    for number, language in enumerate(missing, start=1):
        if state.is_main_process:
            print(f"{args.dataset} {language} ({number} of {len(missing)})", file=sys.stderr)
        assert reader is not None
        answers, texts, result = reader.score(languages[language](), language)
        scores["languages"][language] = result
        scores |= averages({name: scores["languages"][name] for name in languages if name in scores["languages"]})
        if state.is_main_process:
            folder = output_dir / language if len(languages) > 1 else output_dir
            save_answers(folder, answers, texts)
            write_scores(output_dir, scores)
    if state.is_main_process:
        _write_tables(output_dir, scores, args.dataset)
    state.wait_for_everyone()
    return scores


class Reader:
    """The model with its windows, and what it scores."""

    def __init__(self, args: argparse.Namespace, device: torch.device) -> None:
        self.args = args
        self.model, tokenizer = load_qa_model(
            args.model_name_or_path,
            adapter=args.adapter,
            revision=args.revision,
            fast_attention=not args.native_attention,
        )
        max_length = check_max_length(self.model, args.max_length)
        self.windower = Windower(tokenizer, max_length, args.doc_stride, args.max_question_length, args.do_lowercase)
        self.model.to(device)
        if args.bf16 and device.type == "cpu":
            warn_of_emulated_bfloat16()
        self.autocast = torch.autocast(device.type, torch.bfloat16) if args.bf16 else nullcontext()

    def read(self, rows: Any) -> tuple[dict[str, Answers], float]:
        """Answers by row id, and the seconds that they took."""
        start = time.perf_counter()
        with self.autocast:
            answers = predict(
                self.model,
                self.windower,
                rows,
                batch_size=self.args.batch_size,
                n_best=self.args.n_best,
                max_answer_length=self.args.max_answer_length,
            )
        return answers, time.perf_counter() - start

    def score(self, rows: Any, language: str) -> tuple[dict[str, Answers], dict[str, str], dict[str, Any]]:
        """Answers by row id, predictions by the id that the official script scores by, and scores of one language."""
        args = self.args
        if PartialState().is_main_process:
            say_what_is_cut(rows, self.windower, language)
        answers, seconds = self.read(rows)
        metric = metric_of(args.dataset, rows)
        threshold = null_threshold(args) if metric == "squad_v2" else 0.0
        scores, texts = score_language(metric, rows, answers, language, self._count_tokens, threshold)
        return answers, texts, {"metric": metric, **scores, "seconds": round(seconds, 2)}

    def _count_tokens(self, context: str) -> int:
        return len(self.windower.document(context).ids)


def languages_to_score(args: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """Language (or MLQA pair) to what loads its rows; a file or a Hub id is loaded at once and split by language."""
    name = canonical_name(args.dataset)
    if name in SOURCES and args.data_files is None:
        check_split(name, SOURCES[name], args.split)
        codes = languages_of(name, SOURCES[name], args.language)
        return {code: partial(_load, args, code) for code in codes}
    rows = _load(args, args.language, everything=True)
    by_language: dict[str, list[int]] = {}
    for number, code in enumerate(rows["language"]):
        by_language.setdefault(code, []).append(number)
    return {code: partial(evenly, rows.select(numbers), args.max_eval_samples) for code, numbers in by_language.items()}


def _load(args: argparse.Namespace, language: str | None, everything: bool = False) -> Any:
    rows = load_qa(
        args.dataset,
        args.split,
        data_files=args.data_files,
        data_dir=args.data_dir,
        language=language,
        config=args.dataset_config,
        options=concat_options(args.dataset, args, args.output_dir),
        making=args,
    )
    return rows if everything else evenly(rows, args.max_eval_samples)


def _open(output_dir: Path, args: argparse.Namespace, processes: int) -> dict[str, Any]:
    """What scores.json holds for this same run, or an empty start; a UserError for another run's folder."""
    this_run = identity(args)
    path = output_dir / SCORES
    if path.is_file():
        held = read_scores(path, "--output_dir")
        # Of another run, a start without any language is in nobody's way.
        if not args.overwrite_output_dir and (held["languages"] or held["run"] == this_run):
            check_same_run(this_run, held["run"], output_dir)
            return held
        _remove(output_dir)
    check_output_dir(output_dir, replace_flag=None)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    start = {"command": command, "processes": processes, "run": this_run, "languages": {}}
    write_scores(output_dir, start)
    return start


def _remove(output_dir: Path) -> None:
    """Remove what an earlier run wrote; a UserError, and nothing removed, when something else is there too."""
    # Of any language: a run that was killed has left answers that its scores.json does not know of.
    check_output_dir(output_dir, (*WRITTEN, *(f"*/{name}" for name in ANSWERS), "*.changes.jsonl"))
    for path in sorted(output_dir.rglob("*"), reverse=True):  # files before their folder
        path.rmdir() if path.is_dir() else path.unlink()


def check_same_run(this: dict[str, Any], other: dict[str, Any], output_dir: Path) -> None:
    different = [name for name in {**this, **other} if this.get(name) != other.get(name)]
    if different:
        name = different[0]
        raise UserError(
            f"--output_dir {str(output_dir)!r} holds another run's scores ({name} was {other.get(name)!r}, now "
            f"{this.get(name)!r}): choose another folder, or add --overwrite_output_dir"
        )


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that decides the numbers: the flags, the age of a model's files here, and what is in the data's."""
    run = {name: value for name, value in vars(args).items() if name not in NOT_PART_OF_THE_RUN}
    for name in ("model_name_or_path", "adapter", "short_model"):
        folder = Path(str(run.get(name)))
        if run.get(name) is not None and folder.is_dir():
            files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".json"))
            held = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
            run[f"{name}_files"] = [stamp for stamp in held if stamp[0] not in MEASURED]
    run["data"] = contents(_local_data(args))
    return json.loads(json.dumps(run))


def _local_data(args: argparse.Namespace) -> list[str]:
    """Paths and patterns of the files on this machine that the questions come from."""
    if args.data_files is not None:
        return [args.data_files]
    if Path(args.dataset).is_file():
        return [args.dataset]
    held = [f"{args.data_dir}/**/*.{ending}" for ending in ("json", "txt")] if args.data_dir else []
    background = args.background and args.background.replace("{language}", "*")
    if background:
        held.append(f"{background}/*.json" if Path(background).is_dir() else background)
    return held


def null_threshold(args: argparse.Namespace) -> float:
    """--null_threshold, or the one that finetune.py tuned and left in the checkpoint's eval_results.json, or 0."""
    if args.null_threshold is not None:
        return args.null_threshold
    name, revision = (args.adapter, None) if args.adapter else (args.model_name_or_path, args.revision)
    tuned = beside_model(name, "eval_results.json", revision)
    # An evaluation without unanswerable questions leaves the file but tunes none.
    threshold = json.loads(tuned.read_text(encoding="utf-8")).get("null_threshold") if tuned else None
    if threshold is None:
        print("note: no tuned null threshold beside the model, 0 is taken: give --null_threshold", file=sys.stderr)
        return 0.0
    return float(threshold)


def language_table(scores: dict[str, Any]) -> tuple[list[str], list[list[tables.Cell]]]:
    """Header and rows: a line for each language and each average."""
    header = ["language", "questions", "EM", "F1", "EM aware", "F1 aware", "seconds"]
    lines = [(name, each, each["questions"], each["seconds"]) for name, each in scores["languages"].items()]
    lines += [
        (_average_name(name, each), each, None, None) for name, each in scores.items() if name.startswith("average")
    ]
    return header, [
        [
            name,
            questions,
            each["exact_match"],
            each["f1"],
            each["language_aware"]["exact_match"],
            each["language_aware"]["f1"],
            seconds,
        ]
        for name, each, questions, seconds in lines
    ]


def length_table(scores: dict[str, Any]) -> tuple[list[str], list[list[tables.Cell]]]:
    """Header and rows: a line for each language and class of context length, in the model's own tokens."""
    header = ["language", "tokens above", "up to", "mean", "questions", "EM", "F1"]
    keys = ("above", "to", "mean_tokens", "questions", "exact_match", "f1")
    return header, [
        [language, *(each[key] for key in keys)]
        for language, result in scores["languages"].items()
        for each in result["by_length"]
    ]


def _average_name(name: str, average: dict[str, Any]) -> str:
    return f"{name.replace('_', ' ')} ({average['languages']})"


def _write_tables(output_dir: Path, scores: dict[str, Any], dataset: str) -> None:
    """The tables as CSV and as plots."""
    write_atomically(output_dir / "scores.csv", tables.comma_separated(*language_table(scores)))
    write_atomically(output_dir / "by_length.csv", tables.comma_separated(*length_table(scores)))
    languages = scores["languages"]
    plots.bars(
        output_dir / "scores.png",
        f"{dataset}: {_average_name('average', scores['average'])} F1 {scores['average']['f1']:.1f}",
        list(languages),
        {
            "exact match": [each["exact_match"] for each in languages.values()],
            "F1": [each["f1"] for each in languages.values()],
            "F1, language-aware": [each["language_aware"]["f1"] for each in languages.values()],
        },
    )
    by_length = {
        name: ([part["mean_tokens"] for part in each["by_length"]], [part["f1"] for part in each["by_length"]])
        for name, each in languages.items()
    }
    plots.lines(
        output_dir / "by_length.png", f"{dataset}: F1 by context length", "tokens of the context", by_length, "F1"
    )
