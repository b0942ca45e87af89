"""The order of training windows: every window, whole updates, one length a batch, and the same on any split."""

from collections import Counter

import pytest

from training.qa_trainer import POOL, LengthMixedSampler


@pytest.mark.parametrize(("windows", "size"), [(23, 24), (24, 24), (3, 16), (1000, 1004)])
def test_every_window_comes_and_some_once_more(windows, size):
    sampler = LengthMixedSampler(list(range(windows)), size, batch_size=4, seed=7)
    drawn = Counter(sampler)
    assert len(sampler) == sum(drawn.values()) == size
    assert set(drawn) == set(range(windows)) and max(drawn.values()) - min(drawn.values()) <= 1


def test_a_batch_holds_one_length_and_batches_come_in_any_order():
    lengths = [10, 200, 3000, 40] * (POOL * 3)
    order = list(LengthMixedSampler(lengths, len(lengths), batch_size=4, seed=0))
    batches = [{lengths[place] for place in order[at : at + 4]} for at in range(0, len(order), 4)]
    assert sum(len(batch) == 1 for batch in batches) > 0.9 * len(batches)
    for at in range(0, len(batches), POOL):  # all lengths throughout, not long ones first
        assert set().union(*batches[at : at + POOL]) == {10, 40, 200, 3000}


def test_an_epoch_and_a_seed_have_an_order_of_their_own():
    sampler = LengthMixedSampler(list(range(40)), 40, batch_size=4, seed=0)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again and first != list(sampler)
    assert first != list(LengthMixedSampler(list(range(40)), 40, batch_size=4, seed=1))
