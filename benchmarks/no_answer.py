"""Do the page's percentages hold, and does "not answered here" mean something? Measured case by case.

    python -m benchmarks.no_answer --data_dir data/xquad --write_calibration

Each question meets three documents: its own article, the rest of that article without its paragraph (on the topic, yet
unanswerable), and another article; once in its own language and once in another one of the list. A temperature and a
threshold are fitted by likelihood, apart for questions in the document's language and in another: on either half of the
articles, to be judged on the other half, beside what the model has now; and on all of them for use, where that was
better. Where the new threshold serves fewer visitors well, the present one stays and the temperature alone is fitted.
Writes no_answer.json and no_answer.png into --output_dir; --write_calibration puts the two numbers of each case
beside the model, where space/reader.py looks.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foundation.cli import UserError, command_parser, run
from foundation.files import read_json, write_atomically
from space.calibration import UNMEASURED, Calibration, overlap

# The kinds of documents that a question is put to, and their weights: of four questions three can be answered.
CASES = {"own article": 0.75, "rest of the article": 0.125, "another article": 0.125}
LANGUAGES = {"same_language": "in the document's language", "other_language": "in another language"}
WAYS = ("fitted", "temperature", "now")
TEMPERATURES = np.geomspace(0.5, 12.0, 30)
THRESHOLDS = np.linspace(-16.0, 16.0, 129)
BINS = 5
CANDIDATES = 20  # spans that share what is not "no answer"'s, as in space/reader.py


@dataclass(frozen=True)
class Judged:
    """One question with one document: its `answers`, and the characters `gold` of the right one where there is one."""

    case: str
    languages: str
    half: int
    answers: Any
    gold: tuple[int, int] | None
    called_other: bool = False

    def right(self, answer: Any) -> bool:
        return self.gold is not None and answer.start < self.gold[1] and self.gold[0] < answer.end


@dataclass(frozen=True)
class Pair:
    """A question and a document, before they are read."""

    case: str
    languages: str
    language: str
    half: int
    question: str
    context: str
    gold: tuple[int, int] | None


def pairs(articles: dict[str, Any], count: int, paragraphs: int = 5) -> Iterator[Pair]:
    """`count` questions of each language, evenly spread, each with its six documents.

    Args:
        paragraphs: of a document at most, those next to the question's.
        articles: by language, [title, [paragraph]] with paragraphs as in SQuAD's files, the same in every language.
    """
    names = list(articles)
    for number, name in enumerate(names):
        places = [
            (a, p, q)
            for a, article in enumerate(articles[name])
            for p, paragraph in enumerate(article["paragraphs"])
            for q in range(len(paragraph["qas"]))
        ]
        for turn in range(min(count, len(places))):
            # Each language asks different questions: so there are more of them than if all asked the same.
            a, p, q = places[(turn * len(names) + number) * len(places) // (min(count, len(places)) * len(names))]
            question = articles[name][a]["paragraphs"][p]["qas"][q]
            # The other language changes from question to question, so that each language meets all others.
            other = names[(number + 1 + turn % max(len(names) - 1, 1)) % len(names)]
            for languages, spoken in (("same_language", name), ("other_language", other)):
                if languages == "other_language" and other == name:
                    continue
                there = articles[spoken]
                first = max(0, min(p - paragraphs // 2, len(there[a]["paragraphs"]) - paragraphs))
                own = [paragraph["context"] for paragraph in there[a]["paragraphs"][first:][:paragraphs]]
                elsewhere = there[(a + len(there) // 2) % len(there)]
                far = [paragraph["context"] for paragraph in elsewhere["paragraphs"][:paragraphs]]
                near = [x["context"] for i, x in enumerate(there[a]["paragraphs"]) if i != p][:paragraphs]
                gold = there[a]["paragraphs"][p]["qas"][q]["answers"][0]
                start = sum(len(text) + 2 for text in own[: p - first]) + gold["answer_start"]
                for case, texts in zip(CASES, (own, near, far), strict=True):
                    span = (start, start + len(gold["text"])) if texts is own else None
                    yield Pair(case, languages, name, a % 2, question["question"], "\n\n".join(texts), span)


def case_weights(those: Sequence["Judged | Seen"]) -> dict[str, float]:
    """What one of them counts, by its case, so that the cases together have the weights of `CASES`."""
    return {case: CASES[case] / size for case, size in Counter(each.case for each in those).items()}


def likelihoods(judged: Sequence[Judged]) -> Callable[[Calibration], float]:
    """The mean logarithm of the share that a calibration gives to what happened, each case by its weight in `CASES`."""
    scores, right, best = np.full((len(judged), CANDIDATES), -np.inf), *np.zeros((2, len(judged), CANDIDATES), bool)
    for row, j in enumerate(judged):
        places, _ = UNMEASURED.places(j.answers)
        for column, span in enumerate(j.answers.n_best):
            place = next(place for place in places if overlap(span, place))
            scores[row, column], right[row, column] = span.score, j.right(place)
            best[row, column] = (span.start, span.end) == (place.start, place.end)
    null = np.array([j.answers.null_score for j in judged])
    answerable = np.array([j.gold is not None for j in judged])
    weighting = case_weights(judged)
    weights = np.array([weighting[j.case] for j in judged])

    def likelihood(calibration: Calibration) -> float:
        moved, temperature = null - calibration.threshold, calibration.temperature
        top = np.maximum(scores.max(1), moved)
        spans = np.exp((scores - top[:, None]) / temperature) * (best | calibration.add_wordings)
        nothing = np.exp((moved - top) / temperature)
        hit = np.where(answerable, (spans * right).sum(1), nothing) / (spans.sum(1) + nothing)
        return float(weights @ np.log(np.maximum(hit, 1e-3)))

    return likelihood


def fit(judged: Sequence[Judged], thresholds: Iterable[float] = THRESHOLDS) -> Calibration:
    """Threshold and temperature under which what happened is likeliest."""
    tried = [Calibration(round(float(t), 3), round(float(T), 3)) for T in TEMPERATURES for t in thresholds]
    return max(tried, key=likelihoods(judged))


class Seen(NamedTuple):
    """What the page would show: the share of the best place, whether it is right, whether "no answer" is likelier.

    `well` is whether the visitor is served: the right place and no refusal, or a refusal where nothing is to be found.
    """

    case: str
    share: float
    right: bool
    refused: bool
    well: bool


def seen(judged: Sequence[Judged], calibration: Calibration) -> list[Seen]:
    read = []
    for j in judged:
        places, null = calibration.places(j.answers)
        right, refused = j.right(places[0]), null > places[0].probability
        well = refused if j.gold is None else right and not refused
        read.append(Seen(j.case, places[0].probability, right, refused, well))
    return read


def judge(read: Sequence[Seen]) -> dict[str, float]:
    """In percent: how often the best place is right, and how often "no answer" is likelier, right or wrong."""

    def percent(values: Sequence[bool]) -> float:
        return round(100 * sum(values) / max(len(values), 1), 1)

    return {
        "questions": len(read),
        "best_place_right": percent([r.right for r in read]),
        "refused": percent([r.refused for r in read]),
        "refused_though_right": percent([r.right and r.refused for r in read]),
    }


class Halves(NamedTuple):
    """Two halves of the articles, each with the calibration that it is judged by."""

    judged: Sequence[Sequence[Judged]]
    calibrations: Sequence[Calibration]

    def seen(self) -> list[Seen]:
        return [r for half, calibration in zip(*self, strict=True) for r in seen(half, calibration)]

    def figures(self) -> dict[str, float]:
        """The mean likelihood, and how often a visitor is served well, in percent; cases by their weights."""
        likelihood = np.mean([likelihoods(half)(calibration) for half, calibration in zip(*self, strict=True)])
        read = self.seen()
        well = sum(weight * np.mean([r.well for r in read if r.case == case]) for case, weight in CASES.items())
        return {"likelihood": round(float(likelihood), 3), "served_well": round(100 * float(well), 1)}


def reliability(read: Sequence[Seen]) -> list[dict[str, float]]:
    """Of the best places with a share in each fifth: how many, the mean share and how many are right, in percent.

    The kinds of documents count by their weights in `CASES`.
    """
    weighting = case_weights(read)
    rows = []
    for number in range(BINS):
        here = [r for r in read if number == min(int(BINS * r.share), BINS - 1)]
        weights = [weighting[r.case] for r in here]
        if here:
            said, right = (
                100 * float(np.average(x, weights=weights)) for x in zip(*[r[1:3] for r in here], strict=True)
            )
            rows.append(
                {"from": 100 * number // BINS, "places": len(here), "said": round(said, 1), "right": round(right, 1)}
            )
    return rows


def calibration_error(read: Sequence[Seen]) -> float:
    """By how many points what is said and what is right differ in the mean: ECE over tenths, cases by their weights."""
    weighting, gaps = case_weights(read), np.zeros(10)
    for r in read:
        gaps[min(int(10 * r.share), 9)] += weighting[r.case] * (r.share - r.right)
    return round(100 * float(np.abs(gaps).sum()), 1)


def read_all(
    model_name_or_path: str | None, articles: dict[str, Any], questions: int, paragraphs: int, batch_size: int
) -> tuple[str, dict[str, Calibration], list[Judged]]:
    """Read every pair with the model; its name, its present calibrations, and what was found."""
    from space.language import asked_from_another
    from space.reader import load_reader
    from training.qa.predict import predict

    reader = load_reader(model_name_or_path)
    asked = {str(number): pair for number, pair in enumerate(pairs(articles, questions, paragraphs))}
    rows = [{"id": key, "question": pair.question, "context": pair.context} for key, pair in asked.items()]
    found = predict(reader.model, reader.windower, rows, batch_size=batch_size)
    judged = []
    for key, pair in asked.items():
        best = found[key].n_best[0]
        called = asked_from_another(pair.question, pair.context, best.start, best.end)
        judged.append(Judged(pair.case, pair.languages, pair.half, found[key], pair.gold, called))
    return reader.name, dict(zip(LANGUAGES, (reader.same, reader.other), strict=True)), judged


def _articles(folder: Path, language: str) -> list[Any]:
    path = folder / f"xquad.{language}.json"
    if not path.is_file():
        raise UserError(f"--data_dir {str(folder)!r} holds no {path.name}: put XQuAD's official files there")
    articles: list[Any] = read_json(path, "--data_dir", dict)["data"]
    return articles


def report(name: str, now: dict[str, Calibration], judged: Sequence[Judged]) -> dict[str, Any]:
    """What no_answer.json holds: a calibration a case, and what the held-out halves say of it.

    Of "fitted", "temperature" (fitted, at the present threshold) and "now" the first one is taken that on the halves
    it was not fitted on is likelier than the present one and serves visitors no worse.
    """
    held_out: dict[str, Any] = {}
    calibrations: dict[str, Any] = {}
    for languages in LANGUAGES:
        those = [j for j in judged if j.languages == languages]
        if not those:
            continue
        present = now[languages]
        ways = {"fitted": fit, "temperature": partial(fit, thresholds=[present.threshold])}
        halves = [[j for j in those if j.half == half] for half in (0, 1)]
        # Each half is judged by the fit on the other one.
        judged_by = {way: Halves(halves, [fitted(half) for half in halves[::-1]]) for way, fitted in ways.items()}
        judged_by["now"] = Halves(halves, [present, present])
        figures = {way: each.figures() for way, each in judged_by.items()}
        likely, served = figures["now"]["likelihood"], figures["now"]["served_well"]
        better = [way for way in ways if figures[way]["likelihood"] > likely and figures[way]["served_well"] >= served]
        taken = better[0] if better else "now"
        calibrations[languages] = asdict(ways[taken](those) if better else present)
        read, before = judged_by[taken].seen(), judged_by["now"].seen()
        held_out[languages] = {
            **figures,
            "taken": taken,
            "cases": {case: judge([r for r in read if r.case == case]) for case in CASES},
            "cases_now": {case: judge([r for r in before if r.case == case]) for case in CASES},
            "calibration_error": calibration_error(read),
            "calibration_error_now": calibration_error(before),
            "reliability": reliability(read),
            "reliability_now": reliability(before),
            "called_another_language": round(100 * sum(j.called_other for j in those) / len(those), 1),
        }
    return {"model": name, "dataset": "xquad", **calibrations, "held_out": held_out}


def table(figures: dict[str, Any]) -> str:
    """Held-out figures, a line a case."""
    from foundation.tables import aligned

    columns = ("questions", "best_place_right", "refused", "refused_though_right")
    rows = [
        [LANGUAGES[languages], case, *(values[c] for c in columns)]
        for languages, part in figures["held_out"].items()
        for case, values in part["cases"].items()
    ]
    return aligned(["question", "document", *columns], rows)


def plot(figures: dict[str, Any], path: Path) -> None:
    """What is said against what holds: on the diagonal a percentage means what it says."""
    from matplotlib.figure import Figure

    from foundation import plots

    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    for axes, (languages, part) in zip(
        np.atleast_1d(figure.subplots(1, len(figures["held_out"]))), figures["held_out"].items(), strict=True
    ):
        axes.plot([0, 100], [0, 100], color="#bbb", linewidth=1)
        for key, label, color in (
            ("reliability_now", "before", "#9a6b00"),
            ("reliability", "calibrated", "#1f5f8b"),
        ):
            axes.plot([r["said"] for r in part[key]], [r["right"] for r in part[key]], "o-", color=color, label=label)
        axes.set(xlim=(0, 101), ylim=(0, 101), xlabel="said, %", ylabel="right, %", title=LANGUAGES[languages])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    plots.save(figure, path, dpi=110)


def main() -> None:
    parser = command_parser(
        description="Measure what the page's percentages and its “not answered here” are worth, and calibrate them.",
        example="python -m benchmarks.no_answer --data_dir data/xquad --output_dir runs/no_answer",
    )
    parser.add_argument("--model_name_or_path", help="QA model or adapter; by default the one shipped with the project")
    parser.add_argument("--data_dir", required=True, help="folder of XQuAD's official files")
    parser.add_argument("--language", default="en,de,es,ru,zh,ar", help="languages, with commas")
    parser.add_argument("--questions", type=int, default=24, help="questions a language, each with six documents")
    parser.add_argument("--paragraphs", type=int, default=5, help="paragraphs of a document")
    parser.add_argument("--batch_size", type=int, default=1, help="windows a batch")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs/no_answer"), help="for no_answer.json and no_answer.png"
    )
    parser.add_argument(
        "--write_calibration", action="store_true", help="also put it beside the model, where the page takes it"
    )
    arguments = parser.parse_args()
    from space.calibration import write_calibrations
    from space.reader import ADAPTER

    model = Path(arguments.model_name_or_path or ADAPTER)
    if arguments.write_calibration and not model.is_dir():
        raise UserError(f"--write_calibration needs the model's folder, and {str(model)!r} is none: leave it out")
    articles = {name: _articles(Path(arguments.data_dir), name) for name in arguments.language.split(",")}
    read = read_all(
        arguments.model_name_or_path, articles, arguments.questions, arguments.paragraphs, arguments.batch_size
    )
    figures = report(*read)
    print(table(figures))
    for languages, part in figures["held_out"].items():
        print(f"{languages}: {figures[languages]}, {part['called_another_language']}% called another language")
        print("  on held-out halves:", *(f"{way} {part[way]};" for way in WAYS), f"taken: {part['taken']}")
        print(f"  calibration error {part['calibration_error']} points, now {part['calibration_error_now']}")
    write_atomically(arguments.output_dir / "no_answer.json", json.dumps(figures, indent=1) + "\n")
    plot(figures, arguments.output_dir / "no_answer.png")
    if arguments.write_calibration:
        fitted = {languages: Calibration(**figures[languages]) for languages in LANGUAGES if languages in figures}
        write_calibrations(model, figures["dataset"], fitted)


if __name__ == "__main__":
    run(main)
