"""In which order the examples of an epoch come: by the seed and the epoch, the same however many processes share it."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from .randomness import Use, random_stream

POOL = 50  # batches sorted together: with more there is less padding, and the order is less random


class EpochSampler(Sampler):
    """(epoch, index) of all examples, repeated up to a multiple of one update.

    So that every optimizer step sees as many examples as any other, however they are split over processes, and
    accelerate has no batch of its own to fill. What an example draws anew in each epoch, it draws by the epoch.

    Args:
        examples: how many there are.
        multiple: examples of one update.
        shuffled: in random order, else as they stand.
    """

    def __init__(self, examples: int, seed: int, multiple: int, shuffled: bool = True):
        self.examples, self.seed, self.shuffled, self.epoch = examples, seed, shuffled, 0
        self.size = -(-examples // multiple) * multiple

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for index in self._order(random_stream(self.seed, Use.ORDER, self.epoch)).tolist():
            yield self.epoch, index

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        once = rng.permutation(self.examples) if self.shuffled else np.arange(self.examples)
        return np.resize(once, self.size)  # np.resize repeats from the start if `once` is shorter


class LengthMixedSampler(EpochSampler):
    """Examples of about one length share a batch, and the batches come in random order.

    Within pools of POOL random batches the examples are sorted by length and cut into batches, which are then shuffled.
    So an optimiser step sees all lengths, which transformers' `group_by_length` (sorted within a pool) does not give.
    """

    def __init__(self, lengths: Sequence[int], seed: int, multiple: int, batch_size: int):
        super().__init__(len(lengths), seed, multiple)
        self.lengths, self.batch_size = np.asarray(lengths), batch_size

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        order = super()._order(rng)
        batches: list[np.ndarray] = []
        for start in range(0, len(order), self.batch_size * POOL):
            pool = order[start : start + self.batch_size * POOL]
            pool = pool[self.lengths[pool].argsort(kind="stable")]
            batches += [pool[at : at + self.batch_size] for at in range(0, len(pool), self.batch_size)]
        return np.concatenate([batches[number] for number in rng.permutation(len(batches))])
