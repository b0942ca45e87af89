"""One scoring run: language after language, resumable, the same numbers on one process and on many.

<output_dir>/scores.json        the run, each language's scores, the averages; rewritten after every language
<output_dir>/[<lang>/]predictions.json, nbest.json
<output_dir>/scores.csv, by_length.csv, scores.png, by_length.png
"""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from foundation.files import read_json
from training.corpora.load import evenly, load_qa, metric_of
from training.corpora.options import concat_options
from training.corpora.sources import SOURCES, canonical_name, check_split, languages_of
from training.qa.answers import Answers
from training.qa.model import check_max_length, load_qa_model
from training.qa.precision import bfloat16_pays
from training.qa.predict import predict
from training.qa.windows import Document, Windower
from training.runs.arguments import warn_of_emulated_bfloat16
from training.runs.origin import beside_model

from .arguments import ReadArguments, ScoreArguments
from .display import write_tables
from .folder import open_folder
from .record import write_scores
from .report import save_answers
from .scores import averages, score_language
from .survey import say_what_is_cut

if TYPE_CHECKING:
    import datasets


def score_checkpoint(arguments: ScoreArguments, state: PartialState) -> dict[str, Any]:
    """Score every language that `arguments` ask for and that scores.json lacks.

    Args:
        state: accelerate's PartialState; its main process alone writes.

    Returns:
        The content of scores.json, on every process.
    """
    output_dir = Path(arguments.output_dir)
    languages = languages_to_score(arguments)
    arguments, scores = begin(arguments, state, partial(open_folder, output_dir, processes=state.num_processes))
    missing = [name for name in languages if name not in scores["languages"]]
    reader = Reader(arguments, scores["run"].get("model_name_or_path_commit"), state.device) if missing else None
    for number, language in enumerate(missing, start=1):
        if state.is_main_process:
            print(f"{arguments.dataset} {language} ({number} of {len(missing)})", file=sys.stderr)
        assert reader is not None
        answers, texts, result = reader.score(languages[language](), language)
        scores["languages"][language] = result
        scores |= averages({name: scores["languages"][name] for name in languages if name in scores["languages"]})
        if state.is_main_process:
            folder = output_dir / language if len(languages) > 1 else output_dir
            save_answers(folder, answers, texts)
            write_scores(output_dir, scores)
    if state.is_main_process:
        write_tables(output_dir, scores, arguments.dataset)
    state.wait_for_everyone()
    return scores


A = TypeVar("A", bound=ReadArguments)
T = TypeVar("T")


def begin(arguments: A, state: PartialState, open_output: Callable[[A], dict[str, Any]]) -> tuple[A, dict[str, Any]]:
    """What a run begins with, the same on every process: the arguments with `--bf16 auto` settled, and what
    `open_output` says of the output folder."""
    if arguments.bf16 == "auto":
        settled = by_main_process(state, lambda: "yes" if bfloat16_pays(state.device) else "no")
        arguments = replace(arguments, bf16=settled)
        if state.is_main_process:
            print(f"note: --bf16 auto: {settled}, as measured on {state.device.type}", file=sys.stderr)
    return arguments, by_main_process(state, partial(open_output, arguments))


def by_main_process(state: PartialState, find: Callable[[], T]) -> T:
    """What `find` returns on the main process, on every process: another might see what that one has just written."""
    found: list[Any] = [find() if state.is_main_process else None]
    broadcast_object_list(found)
    return found[0]


class Reader:
    """The model with its windows, and what it scores.

    Args:
        commit: of a model on the Hub, when the run began.
    """

    def __init__(self, arguments: ReadArguments, commit: str | None, device: torch.device) -> None:
        self.arguments = arguments
        self.model, tokenizer = load_qa_model(
            arguments.model_name_or_path,
            adapter=arguments.adapter,
            revision=commit or arguments.revision,
            fast_attention=arguments.fast_attention,
            second_look=arguments.second_look,
        )
        max_length = check_max_length(self.model, arguments.max_length)
        self.windower = Windower(
            tokenizer, max_length, arguments.doc_stride, arguments.max_question_length, arguments.do_lowercase
        )
        self.model.to(device)
        half = arguments.bf16 == "yes"
        if half and device.type == "cpu":
            warn_of_emulated_bfloat16()
        self.autocast = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()

    def read(self, rows: "datasets.Dataset", documents: Mapping[str, Document]) -> tuple[dict[str, Answers], float]:
        """Answers by row id, and the seconds that they took. `documents`: context to its document."""
        start = time.perf_counter()
        with self.autocast:
            answers = predict(
                self.model,
                self.windower,
                rows,
                batch_size=self.arguments.batch_size,
                n_best=self.arguments.n_best,
                max_answer_length=self.arguments.max_answer_length,
                documents=documents,
            )
        return answers, time.perf_counter() - start

    def score(
        self, rows: "datasets.Dataset", language: str
    ) -> tuple[dict[str, Answers], dict[str, str], dict[str, Any]]:
        """Answers by row id, predictions by the id that the official script scores by, and scores of one language."""
        if PartialState().is_main_process:
            say_what_is_cut(rows, self.windower, language)
        start = time.perf_counter()
        documents = self.windower.documents(rows["context"])
        answers, _ = self.read(rows, documents)
        seconds = time.perf_counter() - start
        metric = metric_of(self.arguments.dataset, rows)
        threshold = null_threshold(self.arguments) if metric == "squad_v2" else 0.0
        tokens = {text: len(document.ids) for text, document in documents.items()}
        scores, texts = score_language(metric, rows, answers, language, tokens.__getitem__, threshold)
        return answers, texts, {"metric": metric, **scores, "seconds": round(seconds, 2)}


def languages_to_score(arguments: ReadArguments) -> dict[str, Callable[[], "datasets.Dataset"]]:
    """Language (or MLQA pair) to what loads its rows; a file or a Hub id is loaded at once and split by language."""
    name = canonical_name(arguments.dataset)
    if name in SOURCES and arguments.data_files is None:
        check_split(name, SOURCES[name], arguments.split)
        codes = languages_of(name, SOURCES[name], arguments.language)
        return {code: partial(_load, arguments, code) for code in codes}
    rows = _load(arguments, arguments.language, everything=True)
    by_language: dict[str, list[int]] = {}
    for number, code in enumerate(rows["language"]):
        by_language.setdefault(code, []).append(number)
    return {
        code: partial(evenly, rows.select(numbers), arguments.max_eval_samples) for code, numbers in by_language.items()
    }


def _load(arguments: ReadArguments, language: str | None, everything: bool = False) -> "datasets.Dataset":
    rows = load_qa(
        arguments.dataset,
        arguments.split,
        data_files=arguments.data_files,
        data_dir=arguments.data_dir,
        language=language,
        config=arguments.dataset_config,
        options=concat_options(arguments.dataset, arguments, arguments.output_dir),
        making=arguments,
    )
    return rows if everything else evenly(rows, arguments.max_eval_samples)


def null_threshold(arguments: ReadArguments) -> float:
    """--null_threshold, or the one that finetune.py tuned and left in the checkpoint's eval_results.json, or 0."""
    if arguments.null_threshold is not None:
        return arguments.null_threshold
    name, revision = (
        (arguments.adapter, None) if arguments.adapter else (arguments.model_name_or_path, arguments.revision)
    )
    tuned = beside_model(name, "eval_results.json", revision)
    # An evaluation without unanswerable questions writes the file, but tunes no threshold.
    threshold = read_json(tuned, "the evaluation beside the model", dict).get("null_threshold") if tuned else None
    if threshold is None:
        print("note: no tuned null threshold beside the model, 0 is taken: give --null_threshold", file=sys.stderr)
        return 0.0
    return float(threshold)
