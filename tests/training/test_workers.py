"""Work in processes of its own: in order, as asked for, the tools sent once."""

import os

import pytest

from foundation.cli import UserError
from training.runs.workers import AHEAD, in_workers


class Tools:
    """Counts how often it is packed up."""

    packed = 0

    def __init__(self, factor: int):
        self.factor = factor

    def __reduce__(self):
        type(self).packed += 1
        return type(self), (self.factor,)


def times(tools: Tools, item: int) -> tuple[int, int]:
    if item < 0:
        raise UserError(f"{item} is below 0")
    return tools.factor * item, os.getpid()


@pytest.mark.parametrize("num_proc", [1, 2])
def test_results_come_in_order_and_items_as_they_are_wanted(num_proc):
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    Tools.packed = 0
    results = in_workers(times, Tools(3), items(), num_proc)
    first = [next(results) for _ in range(20)]
    assert [result for result, _ in first] == [3 * item for item in range(20)]
    assert len(taken) <= 20 + AHEAD * num_proc
    assert Tools.packed <= num_proc and (num_proc == 1) == ({process for _, process in first} == {os.getpid()})
    results.close()


def test_a_mistake_in_a_worker_is_raised_here():
    with pytest.raises(UserError, match="-1 is below 0"):
        list(in_workers(times, Tools(3), iter([1, -1, 2]), 2))
