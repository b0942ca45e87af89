"""The order of training examples: every one, whole updates, one length a batch, and the same on any split."""

from collections import Counter

import pytest

from training.runs.order import POOL, EpochSampler, LengthMixedSampler


@pytest.mark.parametrize(("examples", "multiple"), [(23, 4), (24, 4), (3, 16), (1000, 4), (10, 4)])
@pytest.mark.parametrize("kind", ["shuffled", "as they stand", "by length"])
def test_every_example_comes_and_some_once_more(examples, multiple, kind):
    if kind == "by length":
        sampler = LengthMixedSampler(list(range(examples)), 7, multiple, batch_size=4)
    else:
        sampler = EpochSampler(examples, 7, multiple, shuffled=kind == "shuffled")
    sampler.set_epoch(3)
    order = list(sampler)
    assert {epoch for epoch, _ in order} == {3} and list(sampler) == order
    drawn = Counter(index for _, index in order)
    assert len(sampler) == len(order) == -(-examples // multiple) * multiple
    assert set(drawn) == set(range(examples)) and max(drawn.values()) - min(drawn.values()) <= 1
    in_order = [number % examples for number in range(len(order))]
    assert ([index for _, index in order] == in_order) == (kind == "as they stand")


def test_a_batch_has_one_length_and_batches_come_in_any_order():
    lengths = [10, 200, 3000, 40] * (POOL * 3)
    order = [index for _, index in LengthMixedSampler(lengths, 0, 4, batch_size=4)]
    batches = [{lengths[place] for place in order[at : at + 4]} for at in range(0, len(order), 4)]
    assert sum(len(batch) == 1 for batch in batches) > 0.9 * len(batches)
    for at in range(0, len(batches), POOL):  # every part of the epoch has all lengths
        assert set().union(*batches[at : at + POOL]) == {10, 40, 200, 3000}


@pytest.mark.parametrize(
    "sampler", [lambda seed: EpochSampler(40, seed, 4), lambda seed: LengthMixedSampler(list(range(40)), seed, 4, 4)]
)
def test_an_epoch_and_a_seed_have_an_order_of_their_own(sampler):
    orders = []
    for seed, epoch in ((42, 0), (42, 1), (43, 0)):  # a stream seeded by seed + epoch would be the same for two of them
        given = sampler(seed)
        given.set_epoch(epoch)
        orders.append(tuple(index for _, index in given))
    assert len(set(orders)) == 3
