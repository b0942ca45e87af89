"""Scores of an evaluation, and the files that hold them."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from foundation.files import write_atomically
from training.corpora.load import metric_of
from training.corpora.trivia_qa import best_documents
from training.qa.answers import Answers

from .metrics import score

if TYPE_CHECKING:
    import datasets


def best_null_threshold(rows: "datasets.Dataset", answers: Mapping[str, Answers]) -> float:
    """The null margin above which "no answer" gives the best F1 on `rows` (SQuAD 2.0's official sweep).

    Where answering nothing is best the script says 0, below every probability; a margin may be below 0 itself.
    """
    texts = {key: found.text() for key, found in answers.items()}
    margins = {key: found.null_margin for key, found in answers.items()}
    scores = score("squad_v2", rows, texts, na_probs=margins, na_prob_thresh=float("inf"))
    nothing_answered = 100.0 * scores.get("NoAns_total", 0) / scores["total"]
    return scores["best_f1_thresh"] if scores["best_f1"] > nothing_answered else min(margins.values()) - 1


def score_answers(
    dataset: str, rows: "datasets.Dataset", answers: Mapping[str, Answers], language: str
) -> tuple[dict[str, float], dict[str, str]]:
    """Scores of one language by the official metric of `dataset`, and the texts that were scored.

    SQuAD 2.0's are taken at the threshold tuned on these same rows. Of a pair such as `de.en` the first counts.
    """
    metric = metric_of(dataset, rows)
    if metric == "triviaqa":
        rows, answers = best_documents(rows, answers)
    threshold = best_null_threshold(rows, answers) if metric == "squad_v2" else None
    texts = {key: found.text(threshold) for key, found in answers.items()}
    scores = score(metric, rows, texts, language.split(".")[0])
    return (scores if threshold is None else {**scores, "null_threshold": threshold}), texts


def over_languages(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The scores of the only language; of several their means, the sum of `total`, and each language's F1.

    The null threshold is a mean too, of the languages that have one: a checkpoint keeps one for all.
    """
    if len(scores) == 1:
        return dict(*scores.values())

    def of(name: str) -> list[float]:
        return [each[name] for each in scores.values() if name in each]

    means = {name: fmean(of(name)) for name in ("exact_match", "f1", "null_threshold") if of(name)}
    by_language = {f"f1_{language}": each["f1"] for language, each in scores.items()}
    return {**means, "total": sum(of("total")), **by_language}


def score_names(dataset: str, rows: "datasets.Dataset") -> list[str]:
    """Of what an evaluation of `rows` gives, the scores in which more is better."""
    languages = list(dict.fromkeys(rows["language"]))
    names = ["f1", "exact_match"]
    if len(languages) > 1:
        return [*names, *(f"f1_{language}" for language in languages)]
    if metric_of(dataset, rows) != "squad_v2":
        return names
    has_answer = {bool(answers["text"]) for answers in rows["answers"]}
    parts = [name for name, there in (("HasAns", True), ("NoAns", False)) if there in has_answer]
    return [*names, "exact", "best_f1", "best_exact", *(f"{part}_{of}" for part in parts for of in ("f1", "exact"))]


def save_answers(folder: Path, answers: Mapping[str, Answers], texts: Mapping[str, str]) -> None:
    """Write predictions.json, as the official scripts read it, and nbest.json with spans and probabilities."""
    write_atomically(folder / "predictions.json", json.dumps(texts, ensure_ascii=False, indent=1))
    n_best = {key: found.to_json() for key, found in answers.items()}
    write_atomically(folder / "nbest.json", json.dumps(n_best, ensure_ascii=False))


def save_evaluation(
    folder: Path,
    answers: Mapping[str, Mapping[str, Answers]],
    texts: Mapping[str, Mapping[str, str]],
    scores: Mapping[str, float],
) -> None:
    """Write each language's answers and eval_results.json, and print the scores as a table."""
    plain = {name.removeprefix("eval_"): value for name, value in scores.items()}
    for language in answers:
        save_answers(folder / language if len(answers) > 1 else folder, answers[language], texts[language])
    write_atomically(folder / "eval_results.json", json.dumps(plain, indent=2))
    for name, value in plain.items():
        print(f"{name:<24}{value:>10.2f}")
