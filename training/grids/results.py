"""Mean and spread over seeds of a grid's scores, in the shape of the thesis's tables, its published figures beside."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from foundation import plots, tables
from foundation.files import read_json, write_atomically
from training.scoring.record import SCORES

from .plan import CONFIGS, Score, slug

MEASURES = ("exact_match", "f1")


def write_results(scores: Iterable[Score], output_dir: Path, heading: str) -> Path | None:
    """Write results.md, results.csv (a line for each score and language), summary.csv and plots.

    Returns results.md, or None where no score is done.
    """
    found = [(score, content) for score in scores if (content := _read(score)) is not None]
    if not found:
        return None
    cells = _cells(found)
    published = read_published()["thesis"]
    columns = list(dict.fromkeys(score.column for score, _ in found))
    models = list(dict.fromkeys(score.model for score, _ in found))
    header, lines = thesis_table(cells, published, models, columns)
    parts = [f"# {heading}", "", TABLE_NOTE, "", tables.markdown(header, lines)]
    for column in columns:
        per_language = _language_table(found, column)
        if per_language:
            parts += ["", f"## {column}, F1 by language", "", tables.markdown(*per_language)]
        _plot(cells, published, models, column, output_dir)
    write_atomically(output_dir / "results.csv", tables.comma_separated(*_long_table(found)))
    write_atomically(output_dir / "summary.csv", tables.comma_separated(*_summary_table(cells, published)))
    return write_atomically(output_dir / "results.md", "\n".join(parts) + "\n")


TABLE_NOTE = (
    "Exact match / F1 in percent, mean over seeds ± standard deviation (number of seeds); in brackets what the thesis "
    "published (means of 5 seeds). Averages are over all languages that were scored, or over those that the column's "
    "`average` in the grid's file names: the thesis's grid has its 11 languages of XQuAD and XQ3, without Romanian."
)


def read_published() -> dict[str, Any]:
    """training/configs/published.yaml."""
    import yaml

    return yaml.safe_load((CONFIGS / "published.yaml").read_text(encoding="utf-8"))


def mean_and_spread(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1), which a single value does not have."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def thesis_table(
    cells: Mapping[tuple[str, str], Mapping[str, list[float]]],
    published: Mapping[str, Mapping[str, list[float]]],
    models: list[str],
    columns: list[str],
) -> tuple[list[str], list[list[tables.Cell]]]:
    """Models down, columns across; every cell with the thesis's own figures where it has them."""
    lines: list[list[tables.Cell]] = []
    for model in models:
        line: list[tables.Cell] = [model]
        for column in columns:
            cell = cells.get((column, model))
            thesis = published.get(column, {}).get(model)
            text = _cell(cell) if cell else "-"
            line.append(text + (f" [{thesis[0]:.1f} / {thesis[1]:.1f}]" if thesis else ""))
        lines.append(line)
    return ["trained on", *columns], lines


def _cell(values: Mapping[str, list[float]]) -> str:
    parts = []
    for measure in MEASURES:
        mean, spread = mean_and_spread(values[measure])
        parts.append(f"{mean:.1f}" + ("" if spread is None else f" ± {spread:.1f}"))
    return f"{' / '.join(parts)} ({len(values['f1'])})"


def _read(score: Score) -> dict[str, Any] | None:
    """scores.json of a score that is complete, else None."""
    if not (score.folder / "done.json").is_file():
        return None
    return read_json(score.folder / SCORES, "--output_dir", dict)


def _average(score: Score, content: Mapping[str, Any]) -> Mapping[str, Any]:
    return content.get(score.average, content["average"])


def _cells(found: list[tuple[Score, dict[str, Any]]]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """(column, model) to the values of each measure, one a seed."""
    cells: dict[tuple[str, str], dict[str, list[float]]] = {}
    for score, content in found:
        cell = cells.setdefault((score.column, score.model), {measure: [] for measure in MEASURES})
        for measure in MEASURES:
            cell[measure].append(_average(score, content)[measure])
    return cells


def _long_table(found: list[tuple[Score, dict[str, Any]]]) -> tuple[list[str], list[list[tables.Cell]]]:
    header = ["column", "model", "seed", "language", *MEASURES, *(f"language_aware_{name}" for name in MEASURES)]
    lines: list[list[tables.Cell]] = []
    for score, content in found:
        average = score.average if score.average in content else "average"
        named = {**content["languages"], average: content[average]}
        for language, result in named.items():
            values = [result[name] for name in MEASURES] + [result["language_aware"][name] for name in MEASURES]
            lines.append([score.column, score.model, score.seed, language, *values])
    return header, lines


def _summary_table(
    cells: Mapping[tuple[str, str], Mapping[str, list[float]]], published: Mapping[str, Mapping[str, list[float]]]
) -> tuple[list[str], list[list[tables.Cell]]]:
    header = ["column", "model", "seeds"]
    header += [f"{measure}_{what}" for measure in MEASURES for what in ("mean", "std", "thesis")]
    lines: list[list[tables.Cell]] = []
    for (column, model), values in cells.items():
        thesis = published.get(column, {}).get(model, [None, None])
        line: list[tables.Cell] = [column, model, len(values["f1"])]
        for measure, figure in zip(MEASURES, thesis, strict=True):
            line += [*mean_and_spread(values[measure]), figure]
        lines.append(line)
    return header, lines


def _language_table(
    found: list[tuple[Score, dict[str, Any]]], column: str
) -> tuple[list[str], list[list[tables.Cell]]] | None:
    """Mean F1 of each model in each language, None for a column with a single one."""
    by_model: dict[str, dict[str, list[float]]] = {}
    for score, content in found:
        if score.column == column:
            for language, result in content["languages"].items():
                by_model.setdefault(score.model, {}).setdefault(language, []).append(result["f1"])
    languages = list(dict.fromkeys(language for values in by_model.values() for language in values))
    if len(languages) < 2:
        return None
    lines: list[list[tables.Cell]] = [
        [model, *(fmean(values[language]) if language in values else None for language in languages)]
        for model, values in by_model.items()
    ]
    return ["model", *languages], lines


def _plot(
    cells: Mapping[tuple[str, str], Mapping[str, list[float]]],
    published: Mapping[str, Mapping[str, list[float]]],
    models: list[str],
    column: str,
    output_dir: Path,
) -> None:
    """F1 of each model in one column, ours and the thesis's."""
    with_scores = [model for model in models if (column, model) in cells]
    thesis = published.get(column, {})
    series: dict[str, list[float | None]] = {"ours": [fmean(cells[column, model]["f1"]) for model in with_scores]}
    if thesis:
        series["thesis"] = [thesis[model][1] if model in thesis else None for model in with_scores]
    plots.bars(output_dir / f"{slug(column)}.png", f"{column}: F1", with_scores, series)
