"""Is the difference between two scores of the same questions more than chance?

Each question's two scores are subtracted, and the questions are drawn anew, with replacement, thousands of times: 95%
of the differences of the means lie in the interval (paired bootstrap: Efron and Tibshirani 1993, chapter 13; Koehn 2004
for scores of language models). Questions about one document tell less than as many about several: where it is said
which document each is about, whole documents are drawn (Davison and Hinkley 1997, section 3.8).
"""

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000
NUMBERS_AT_ONCE = 5_000_000  # drawn numbers of questions in memory: 40 MB


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    generator: np.random.Generator,
    draws: int = DRAWS,
    documents: Sequence[int] | np.ndarray | None = None,
) -> dict[str, float]:
    """The number of `questions`, both means and their `difference` in percent, and its 95% interval `low`, `high`.

    Args:
        first, second: a score for each question, 0 to 1, in the same order.
        documents: which document each question is about, any numbers; without them every question has its own.
    """
    pairs = 100 * np.array([first, second], dtype=float)
    differences = pairs[0] - pairs[1]
    if documents is None:
        sums, sizes = differences, np.ones(len(differences))
    else:
        _, numbers = np.unique(documents, return_inverse=True)
        sums, sizes = np.bincount(numbers, weights=differences), np.bincount(numbers).astype(float)
    count = len(sums)
    step = max(1, NUMBERS_AT_ONCE // count)
    means = []
    for done in range(0, draws, step):
        drawn = generator.integers(count, size=(min(step, draws - done), count))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return {
        "questions": len(differences),
        "first": float(pairs[0].mean()),
        "second": float(pairs[1].mean()),
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
    }
