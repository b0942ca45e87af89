"""The way of accelerators on a CPU, by FlexAttention's plain arithmetic: the same mask, blocks and gradients."""

import copy
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import flex_attention as library

from conversion.attention import modules, use_fast_attention, use_native_attention
from conversion.attention.banded_gpu import make_block_mask, trouble

from . import test_attention as on_cpu
from .test_attention import assert_same, make_inputs, one_thread, outputs_and_gradients, tiny  # noqa: F401


@pytest.fixture(scope="module")
def compilations():
    """Counts the graphs, which run as they are."""
    return CompileCounterWithBackend("aot_eager")


@pytest.fixture(autouse=True)
def the_kernels_way(monkeypatch, compilations):
    kernel = torch.compile(
        library.flex_attention, dynamic=True, fullgraph=True, backend=compilations, recompile_limit=64
    )
    monkeypatch.setattr(library, "_validate_device", lambda *tensors: None)  # it refuses gradients on a CPU
    monkeypatch.setattr("conversion.attention.banded_gpu._kernel", lambda: kernel)
    monkeypatch.setattr(modules, "_choose", lambda *arguments: "kernel")


@pytest.mark.parametrize("reach", [5, 64, 100, 256])
@pytest.mark.parametrize("length", [1, 64, 129, 500, 1100])
def test_blocks_hold_what_is_visible_and_no_more(reach, length):
    mask = torch.randint(0, 3, (3, length), generator=torch.Generator().manual_seed(reach), dtype=torch.int8)
    mask[1], mask[2, length // 4 :] = 1, 1
    blocks = make_block_mask(mask, reach)
    size = blocks.BLOCK_SIZE[0]
    count = blocks.kv_indices.shape[-1]
    positions = torch.arange(length)
    near = (positions[:, None] - positions).abs() <= reach
    visible = (near & (mask == 1)[:, None]) | (mask == 2)[:, None] | torch.eye(length, dtype=torch.bool)
    beyond = count * size - length

    def by_block(queries_beyond):
        padded = torch.nn.functional.pad(visible, (0, beyond))
        padded = torch.nn.functional.pad(padded, (0, 0, 0, beyond), value=queries_beyond)
        return padded.view(3, count, size, count, size).transpose(2, 3).flatten(3)

    some, every = by_block(False).any(-1), by_block(True).all(-1)

    def listed(numbers, indices):
        places = torch.arange(count).expand_as(indices) < numbers[..., None]
        return torch.zeros(indices.shape).scatter(-1, indices.long(), places.float()).bool()[:, 0]

    full = listed(blocks.full_kv_num_blocks, blocks.full_kv_indices)
    part = listed(blocks.kv_num_blocks, blocks.kv_indices)
    assert torch.equal(full & some, every & some)
    assert not (full & part).any() and not (some & ~(full | part)).any()
    assert ((full | part) & ~some).sum() <= 2 * count * 3, "a block too many at most at the ends of a band"
    index = torch.meshgrid(torch.arange(3), positions, positions, indexing="ij")
    assert torch.equal(blocks.mask_mod(index[0], torch.tensor(0), index[1], index[2]), visible)


@pytest.mark.parametrize("which", ["none", "first", "scattered", "by row", "all"])
@pytest.mark.parametrize("padding", ["none", "right", "left", "row", "holes"])
def test_outputs_and_gradients_equal_the_native_ones(which, padding):
    assert_same(tiny(), make_inputs(150, padding=padding, which=which))


@pytest.mark.parametrize("length", [1, 2, 33, 64, 65, 129, 300])
def test_any_length(length):
    assert_same(tiny(windows=(16, 4, 128)), make_inputs(length, batch=2, which="first"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_half_precision_is_as_near_to_float32_as_native(dtype, autocast):
    on_cpu.test_half_precision_is_as_near_to_float32_as_native(dtype, autocast)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(reentrant):
    on_cpu.test_gradient_checkpointing_changes_nothing(0.0, reentrant)


def test_three_graphs_at_most_serve_fifty_random_shapes(compilations):
    torch._dynamo.reset()
    compilations.clear()
    draw = torch.Generator().manual_seed(0)
    model = use_fast_attention(tiny(windows=(64, 512))).train()
    for number in range(50):
        batch, length = (int(torch.randint(1, most, (), generator=draw)) for most in (4, 390))
        which = ("none", "first", "scattered")[number % 3]
        inputs = make_inputs(length, 3, ("none", "right", "holes", "left")[number % 4], which, seed=number)
        model(**{name: rows[:batch] for name, rows in inputs.items()})[0].sum().backward()
    # The two windows have blocks of two sizes.
    assert 1 <= compilations.frame_count <= 2 * 3


@pytest.mark.parametrize("mask", [False, True])
def test_the_whole_model_compiles_in_one_graph(mask):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = use_fast_attention(tiny())
    whole = torch.compile(model, backend="aot_eager", fullgraph=True)
    for padding, which in (("right", "first"), ("holes", "by row"), ("left", "scattered")):
        inputs = make_inputs(150, padding=padding, which=which)
        inputs = inputs if mask else {"input_ids": inputs["input_ids"]}
        expected, outputs = model(**inputs)[0], whole(**inputs)[0]
        torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
        wanted, gradients = (
            torch.autograd.grad(
                x.square().mean(), model.encoder.parameters(), allow_unused=True, materialize_grads=True
            )
            for x in (expected, outputs)
        )
        torch.testing.assert_close(gradients, wanted, rtol=1e-4, atol=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3


@pytest.mark.parametrize("way", ["walk", "kernel", "product"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_compiled_modules_compute_the_same(monkeypatch, way, dropout):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(modules, "_choose", lambda *arguments: way)
    monkeypatch.setattr(modules, "_COMPILED", {"dynamic": True, "backend": counter})
    model = tiny(dropout=dropout).eval()
    for number, length in enumerate((150, 75, 300, 129, 200)):
        inputs = make_inputs(length, 2 + number % 2, ("right", "left", "holes")[number % 3], "first", seed=number)
        _, expected = outputs_and_gradients(use_native_attention(model), inputs)
        assert not any(module._compiled_call_impl for module in model.modules())
        _, gradients = outputs_and_gradients(use_fast_attention(model, compile=True), inputs)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4 * expected["input"].abs().max())
    assert 1 <= counter.frame_count <= 2 * 3, "two at most for each of the three kinds of module"


def test_compiled_modules_can_be_checkpointed_copied_and_saved(monkeypatch, tmp_path):
    monkeypatch.setattr(modules, "_COMPILED", {"dynamic": True, "backend": "aot_eager"})
    model = use_fast_attention(tiny(), compile=True).train()
    inputs = make_inputs(150, padding="right")
    _, expected = outputs_and_gradients(model, inputs)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    _, gradients = outputs_and_gradients(model, inputs)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-5)
    copied = copy.deepcopy(model)
    torch.testing.assert_close(copied(**inputs)[0], model(**inputs)[0], rtol=0, atol=1e-5)
    model.save_pretrained(tmp_path)
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "orig_mod" in name]


def test_distributed_data_parallel_sees_every_parameter_used(tmp_path):
    on_cpu.test_distributed_data_parallel_sees_every_parameter_used(tmp_path)


def test_second_derivatives_end_in_an_error():
    query = torch.randn(1, 80, 2, 8, requires_grad=True)
    context = modules.banded_attention(
        query, query, query, modules.make_plan(None, (1, 80), [4], query.device, "kernel"), 4, 0.0
    )
    with pytest.raises(RuntimeError, match="create_graph"):
        (first,) = torch.autograd.grad(context.sum(), query, create_graph=True)
        torch.autograd.grad(first.square().sum(), query)


def test_dropout_is_never_left_out(monkeypatch):
    """Asked for the kernel with dropout, the band is computed with dropout."""
    length, p = 128, 0.25
    zeros = torch.zeros(1, length, 2, length)
    value = torch.eye(length)[None, :, None].expand(1, length, 2, length)
    plan = modules.make_plan(None, (1, length), [length], zeros.device, "kernel")
    weights = modules.banded_attention(zeros, zeros, value, plan, length, p)
    assert (weights == 0).float().mean().item() == pytest.approx(p, abs=0.02)
    assert (modules.banded_attention(zeros, zeros, value, plan, length, 0.0) > 0).all()


def test_what_decides_between_kernel_and_product(monkeypatch, caplog):
    monkeypatch.undo()  # back to the real choice
    import transformers.utils.logging as log

    monkeypatch.setattr(log.get_logger("transformers"), "propagate", True)
    log.warning_once.cache_clear()
    card = torch.device("cuda", 0)
    hidden = SimpleNamespace(device=card, dtype=torch.float32)

    def layer(dropout=0.0, training=True, device=card):
        weight = SimpleNamespace(weight=SimpleNamespace(device=device))
        return SimpleNamespace(dropout=dropout, training=training, query=weight, num_heads=2, head_dim=8)

    for layers, reason, way, sentence in (
        ([layer(0.1)], None, "product", "no dropout on attention weights"),
        ([layer(0.1, training=False)], None, "kernel", None),
        ([layer()], None, "kernel", None),
        ([layer()], "no Triton", "product", "does not work here (no Triton)"),
        ([layer(), layer(device=torch.device("cuda", 1))], None, "product", None),
    ):
        caplog.clear()
        log.warning_once.cache_clear()
        monkeypatch.setattr(modules, "trouble", lambda *arguments, reason=reason: reason)
        assert modules._choose(layers, hidden) == way
        assert [sentence in record.getMessage() for record in caplog.records] == ([True] if sentence else [])
    assert modules._choose([layer()], torch.empty(1)) == "walk"
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert modules._choose([layer()], torch.empty(1)) == "product"


def test_a_device_without_the_kernel_is_told_why(monkeypatch):
    trouble.cache_clear()
    assert trouble(torch.device("cpu"), torch.float32, 2, 8) == "there is no kernel for cpu"

    def broken():
        raise RuntimeError("Cannot find a working triton installation\nand more lines")

    monkeypatch.setattr("conversion.attention.banded_gpu._kernel", broken)
    monkeypatch.setattr("conversion.attention.banded_gpu.ACCELERATORS", ("cpu",))
    reason = trouble(torch.device("cpu"), torch.float32, 2, 16)
    assert reason == "RuntimeError: Cannot find a working triton installation"
    trouble.cache_clear()
