"""One stream of random numbers for each use, so that no draw decides two things.

Two uses that count alike (the mixture its questions, the windows theirs) and share a seed draw the same numbers: what
made a document unanswerable would also choose its windows. So the use is a part of what a stream starts from, and this
is the only place of training that makes one.
"""

from enum import IntEnum

import numpy as np


class Use(IntEnum):
    """What is drawn. A number is given once and for all: another one would give other numbers for the same seed."""

    SAMPLE = 1  # which rows are trained on
    DOCUMENT = 2  # which other paragraphs a question's document has, and whether it has the answer's own
    NEGATIVE = 3  # which windows without an answer are kept
    POSITION = 4  # from which row of the position table on a window's document is read
    ORDER = 5  # in which order an epoch takes its examples
    MASK = 6  # which tokens are predicted, and what stands in their place
    SHARDS = 7  # in which order the shards of a stream of text are read
    BUFFER = 8  # how the sequences of a stream are shuffled
    CAP = 9  # which questions of a capped source are trained on
    QUESTION = 10  # which questions are asked in another language than their document's
    STRETCH = 11  # how many tokens the stretches have that an embedding learns from
    LOOK = 12  # which updates learn from the second look


def random_stream(seed: int, use: Use, *numbers: int) -> np.random.Generator:
    """The stream of one use and, within it, of `numbers`: of one use always as many (numpy fills up with zeros)."""
    return np.random.default_rng([seed, use, *numbers])
