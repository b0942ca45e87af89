"""The two ways to compute the band against softmax over a square mask, written out; and what dropout does to it."""

from functools import partial

import pytest
import torch

from conversion.attention.banded import banded_attention, make_plan

REACH = 5


def tensors(length, batch=2, heads=2, width=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length, heads, width)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]


def square(query, key, value, mask, reach):
    """The definition: local queries see local keys within reach, and every global key once."""
    scores = torch.einsum("bihd,bjhd->bhij", query, key) / query.shape[-1] ** 0.5
    positions = torch.arange(query.shape[1])
    near = (positions[:, None] - positions).abs() <= reach
    sees = (near & (mask == 1)[:, None]) | (mask == 2)[:, None]
    weights = scores.masked_fill(~sees[:, None], -torch.inf).softmax(-1)
    context = torch.einsum("bhij,bjhd->bihd", weights.nan_to_num(), value)
    return context * (mask == 1)[:, :, None, None]


@pytest.mark.parametrize("way", ["walk", "product"])
@pytest.mark.parametrize("length", [1, 5, 6, 64, 65, 200])
@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_equal_the_definition(way, length, masked):
    query, key, value = tensors(length)
    mask = torch.randint(0, 3, (2, length), generator=torch.Generator().manual_seed(1)) if masked else None
    plan = make_plan(mask, (2, length), [REACH], torch.device("cpu"), way)
    results = []
    for context in (
        banded_attention(query, key, value, plan, REACH, 0.0),
        square(query, key, value, torch.ones(2, length) if mask is None else mask, REACH),
    ):
        weigh = torch.linspace(-1, 1, context.numel(), dtype=torch.float64).view_as(context)
        gradients = torch.autograd.grad((context * weigh).sum(), (query, key, value))
        results.append((context, *gradients))
    torch.testing.assert_close(*results, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", ["walk", "product"])
def test_a_global_token_in_padding_is_masked(way):
    mask = torch.tensor([[1, 2, 1, 1, 0, 0]]) * torch.tensor([[1, 1, 1, 1, 1, 0]])
    query, key, value = tensors(6, batch=1)
    plan = make_plan(mask, (1, 6), [REACH], torch.device("cpu"), way)
    context = banded_attention(query, key, value, plan, REACH, 0.0)
    torch.testing.assert_close(context, square(query, key, value, mask, REACH))
    assert plan.global_tokens.positions[plan.global_tokens.used].tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_strikes_at_its_rate_and_keeps_the_mean(dtype):
    # With equal scores and unit vectors as values, the output is the row of weights.
    length, p = 256, 0.1
    zeros = torch.zeros(1, length, 4, length, dtype=dtype)
    value = torch.eye(length, dtype=dtype)[None, :, None].expand(1, length, 4, length)
    mask = torch.ones(1, length, dtype=torch.long)
    mask[0, :3] = 2
    plan = make_plan(mask, (1, length), [length], torch.device("cpu"), "walk")
    torch.manual_seed(0)
    weights = banded_attention(zeros, zeros, value, plan, length, p)[0, 3:].float()
    share = (weights == 0).float().mean().item()
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / weights.numel()) ** 0.5)
    assert weights.mean().item() == pytest.approx(1 / length, rel=0.004)
    assert weights.max().item() == pytest.approx(1 / length / (1 - p), rel=0.01)
    again = banded_attention(zeros, zeros, value, plan, length, p)[0, 3:].float()
    assert (weights != again).any(), "every call draws anew"


def test_gradients_go_through_the_same_dropout():
    query, key, value = tensors(80, batch=1, heads=1, width=2)
    mask = torch.ones(1, 80, dtype=torch.long)
    mask[0, [0, 70]] = torch.tensor([2, 0])
    plan = make_plan(mask, (1, 80), [REACH], torch.device("cpu"), "walk")

    def attend(*inputs):
        torch.manual_seed(3)
        return banded_attention(*inputs, plan, REACH, 0.4)

    assert torch.autograd.gradcheck(attend, (query, key, value), fast_mode=True)


def test_second_derivatives_are_right():
    query, key, value = tensors(40, batch=2, heads=1, width=2)
    mask = torch.randint(0, 3, (2, 40), generator=torch.Generator().manual_seed(1))
    plan = make_plan(mask, (2, 40), [REACH], torch.device("cpu"), "walk")
    attend = partial(banded_attention, plan=plan, reach=REACH, dropout_p=0.0)
    assert torch.autograd.gradgradcheck(attend, (query, key, value), fast_mode=True)
    # A gradient of ones depends on nothing, so autograd passes on a constant.
    inner, outer = (
        torch.autograd.grad(
            [
                g.square().sum()
                for g in torch.autograd.grad(f(query, key, value).sum(), (query, key), create_graph=True)
            ],
            (query, key, value),
        )
        for f in (attend, partial(square, mask=mask, reach=REACH))
    )
    torch.testing.assert_close(inner, outer)


def test_second_derivatives_with_dropout_end_in_a_sentence():
    query, key, value = tensors(40)
    plan = make_plan(None, (2, 40), [REACH], torch.device("cpu"), "walk")
    context = banded_attention(query, key, value, plan, REACH, 0.1)
    with pytest.raises(RuntimeError, match="no second derivatives with dropout"):
        torch.autograd.grad(context.sum(), query, create_graph=True)
