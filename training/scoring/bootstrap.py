"""Is the difference between two scores of the same questions more than chance?

Each question's two scores are subtracted, and the questions are drawn anew, with replacement, thousands of times: 95%
of the differences of the means lie in the interval (paired bootstrap: Efron and Tibshirani 1993, chapter 13; Koehn 2004
for scores of language models). It takes the questions for independent; several about one document are less than that.
"""

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000
NUMBERS_AT_ONCE = 5_000_000  # 40 MB of the questions' numbers


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], generator: np.random.Generator, draws: int = DRAWS
) -> dict[str, float]:
    """The number of `questions`, both means and their `difference` in percent, and its 95% interval `low`, `high`.

    Args:
        first, second: a score for each question, 0 to 1, in the same order.
    """
    pairs = 100 * np.array([first, second], dtype=float)
    differences = pairs[0] - pairs[1]
    count = len(differences)
    step = max(1, NUMBERS_AT_ONCE // count)
    means = [
        differences[generator.integers(count, size=(min(step, draws - done), count))].mean(axis=1)
        for done in range(0, draws, step)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return {
        "questions": count,
        "first": float(pairs[0].mean()),
        "second": float(pairs[1].mean()),
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
    }
