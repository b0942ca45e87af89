"""The swapped attention against transformers' own, on the same model: outputs and every gradient."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import LongformerConfig, LongformerForMaskedLM, LongformerForQuestionAnswering, LongformerModel

from conversion.attention import use_fast_attention
from conversion.attention.modules import use_native_attention

PAD = 1


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(cls=LongformerModel, windows=(8, 32), dropout=0.0, heads=2, **kwargs):
    """A model whose every parameter, LayerNorms and biases too, is random: nothing can be swapped or skipped unseen."""
    torch.manual_seed(0)
    config = LongformerConfig(
        vocab_size=50,
        hidden_size=8 * heads,
        num_attention_heads=heads,
        num_hidden_layers=len(windows),
        intermediate_size=24,
        attention_window=list(windows),
        max_position_embeddings=400,
        pad_token_id=PAD,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **kwargs,
    )
    model = cls(config).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.4)
    return model


def make_inputs(length, batch=3, padding="none", which="first", seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 50, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    if padding == "right":
        mask[1, length // 2 :] = 0
        mask[-1, -1:] = 0
    elif padding == "left":
        mask[1, : length // 2] = 0
    elif padding == "row":
        mask[1] = 0
    elif padding == "holes":
        mask = (torch.rand(batch, length, generator=generator) < 0.8).long()
    positions = torch.arange(length).expand(batch, -1)
    chance = torch.rand(batch, length, generator=generator)
    is_global = {
        "none": positions < 0,
        "first": positions < 3,
        "scattered": (positions % 17 == 5),
        "by row": chance < torch.tensor([0.05, 0.3, 0.0])[:batch, None],
        "all": positions >= 0,
    }[which]
    return {
        "input_ids": ids.masked_fill(mask == 0, PAD),
        "attention_mask": mask,
        "global_attention_mask": is_global.long(),
    }


def outputs_and_gradients(model, inputs):
    """All hidden states, and the gradients by name, of the input embeddings too, of a loss that weighs every output."""
    model.zero_grad()
    inputs = dict(inputs)
    ids = inputs.pop("input_ids")
    embeds = model.get_input_embeddings()(ids)
    embeds.retain_grad()
    out = model(inputs_embeds=embeds, output_hidden_states=True, **inputs)
    last = out.last_hidden_state
    weigh = torch.linspace(-1, 1, last.numel(), dtype=last.dtype).view_as(last)
    (last * weigh).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return out.hidden_states, gradients | {"input": embeds.grad}


def assert_same(model, inputs):
    native_states, native_gradients = outputs_and_gradients(use_native_attention(model), inputs)
    fast_states, fast_gradients = outputs_and_gradients(use_fast_attention(model), inputs)
    for native, fast in zip(native_states, fast_states, strict=True):
        torch.testing.assert_close(fast, native, rtol=0, atol=1e-5)
    assert fast_gradients.keys() == native_gradients.keys()
    largest = max(gradient.abs().max().item() for gradient in native_gradients.values())
    for name, native in native_gradients.items():
        # The gradients of key biases are zero but for rounding. So the scale of the others is taken into account.
        allowed = 1e-4 * native.abs().max().item() + 1e-6 * largest
        difference = (fast_gradients[name] - native).abs().max().item()
        assert difference <= allowed, f"{name}: {difference:.2e} > {allowed:.2e}"


@pytest.mark.parametrize("which", ["none", "first", "scattered", "by row", "all"])
@pytest.mark.parametrize("padding", ["none", "right", "left", "row", "holes"])
def test_outputs_and_gradients_equal_the_native_ones(which, padding):
    assert_same(tiny(), make_inputs(150, padding=padding, which=which))


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 64, 65, 129, 300])
def test_any_length(length):
    assert_same(tiny(windows=(16, 4, 64)), make_inputs(length, batch=2, which="first"))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_drawn_shapes_windows_masks_and_globals(data):
    windows = data.draw(st.lists(st.sampled_from([4, 8, 16, 64]), min_size=1, max_size=3), label="windows")
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 200)), label="batch and length")
    seen, marked = (data.draw(st.floats(0, 1), label=label) for label in ("share unmasked", "share global"))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31), label="seed"))
    mask, is_global = ((torch.rand(shape, generator=generator) < share).long() for share in (seen, marked))
    ids = torch.randint(2, 50, shape, generator=generator)
    inputs = {"input_ids": ids, "attention_mask": mask, "global_attention_mask": is_global}
    assert_same(tiny(windows=windows, heads=data.draw(st.sampled_from([1, 3]), label="heads")), inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_half_precision_is_as_near_to_float32_as_native(dtype, autocast):
    """Relative errors over three draws: in all, fast's outputs stay within 1.1 of native's error, gradients in 1.5."""
    parts, errors = ("states", "query", "key", "value", "input"), {}
    for use in (use_native_attention, use_fast_attention):
        errors[use] = torch.zeros(len(parts))
        for seed in range(3):
            inputs = make_inputs(300, padding="right", which="first", seed=seed)
            states, exact = outputs_and_gradients(use_native_attention(tiny()), inputs)
            exact["states"] = states[-1]
            model = use(tiny() if autocast else tiny().to(dtype))
            with torch.autocast("cpu", dtype, enabled=autocast):
                states, got = outputs_and_gradients(model, inputs)
            got["states"] = states[-1]
            joined = [[torch.cat([x[n].flatten() for n in exact if part in n]) for x in (got, exact)] for part in parts]
            errors[use] += torch.tensor([((ours - ideal).norm() / ideal.norm()).item() for ours, ideal in joined]) / 3
    native, fast = errors[use_native_attention], errors[use_fast_attention]
    assert (fast <= native * torch.tensor([1.1, 1.5, 1.5, 1.5, 1.5])).all(), errors
    assert (fast <= torch.finfo(dtype).eps * torch.tensor([1.0, 5.0, 5.0, 5.0, 5.0])).all(), errors


@pytest.mark.parametrize("which", ["none", "by row"])
def test_hessian_vector_products_are_right(which):
    """Against differences of first gradients, which are held to the native ones above."""
    model, inputs = use_fast_attention(tiny()).double(), make_inputs(75, padding="right", which=which)
    parameters = [p for name, p in model.named_parameters() if "encoder" in name]
    along = [torch.linspace(-1, 1, p.numel(), dtype=p.dtype).view_as(p) for p in parameters]

    def gradients(create_graph=False):
        last = model(**inputs).last_hidden_state
        weigh = torch.linspace(-1, 1, last.numel(), dtype=last.dtype).view_as(last)
        options = {"create_graph": create_graph, "allow_unused": True, "materialize_grads": True}
        return torch.autograd.grad((last * weigh).sum(), parameters, **options)

    products = torch.autograd.grad(gradients(create_graph=True), parameters, along, materialize_grads=True)
    moved = []
    for step in (1e-5, -2e-5):
        torch._foreach_add_([p.data for p in parameters], along, alpha=step)
        moved.append(gradients())
    wanted = [(more - less) / 2e-5 for more, less in zip(*moved, strict=True)]
    size = torch.cat([w.flatten() for w in wanted]).norm()
    difference = torch.cat([(p - w).flatten() for p, w in zip(products, wanted, strict=True)]).norm()
    assert difference < 1e-6 * size


def test_input_ids_take_the_positions_of_the_native_code():
    model = tiny()
    for padding in ("none", "left", "holes"):
        inputs = make_inputs(75, padding=padding)
        native = use_native_attention(model)(**inputs)
        torch.testing.assert_close(use_fast_attention(model)(**inputs)[0], native[0], rtol=0, atol=1e-5)
    inputs = {"input_ids": inputs["input_ids"], "position_ids": torch.arange(75).flip(0).expand(3, -1) + 2}
    native = use_native_attention(model)(**inputs)
    torch.testing.assert_close(use_fast_attention(model)(**inputs)[0], native[0], rtol=0, atol=1e-5)


def test_the_forms_of_the_output_are_the_native_ones():
    inputs = make_inputs(40) | {"output_hidden_states": True}
    for cls in (LongformerModel, LongformerForMaskedLM, LongformerForQuestionAnswering):
        model = tiny(cls)
        for return_dict in (True, False):
            native = use_native_attention(model)(**inputs, return_dict=return_dict)
            fast = use_fast_attention(model)(**inputs, return_dict=return_dict)
            assert type(fast) is type(native) and len(fast) == len(native)
            torch.testing.assert_close(fast, native, rtol=0, atol=1e-4)
    without_pooler = LongformerModel(model.config, add_pooling_layer=False).eval()
    native = use_native_attention(without_pooler)(**inputs, return_dict=False)
    torch.testing.assert_close(use_fast_attention(without_pooler)(**inputs, return_dict=False), native)
    with pytest.raises(ValueError, match="input_ids or inputs_embeds"):
        without_pooler()


def test_forty_tokens_do_not_cost_a_window():
    model = tiny(windows=(128, 128))
    flops = []
    for use in (use_native_attention, use_fast_attention):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            use(model)(torch.full((1, 40), 7))
        flops.append(counter.get_total_flops())
    assert flops[1] < 0.33 * flops[0]


def test_output_attentions_runs_the_native_code_and_says_so(caplog):
    model, inputs = tiny(), make_inputs(40) | {"output_attentions": True}
    native = use_native_attention(model)(**inputs)
    import transformers.utils.logging as library

    library.warning_once.cache_clear()
    library.get_logger("transformers").propagate = True
    try:
        fast = use_fast_attention(model)(**inputs)
        use_fast_attention(model)(**inputs)
    finally:
        library.get_logger("transformers").propagate = False
    torch.testing.assert_close(fast, native)
    assert sum("native Longformer attention" in record.message for record in caplog.records) == 1


def test_only_the_model_passed_changes_and_the_swap_can_be_undone():
    model, other = tiny(LongformerForMaskedLM), tiny(LongformerForMaskedLM)
    before = {module: type(module) for module in model.modules()}
    parameters = dict(model.named_parameters())
    assert use_fast_attention(model) is model
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == {
        n: p.data_ptr() for n, p in parameters.items()
    }
    layers = len(model.longformer.encoder.layer)
    assert sum(type(module) is not kind for module, kind in before.items()) == 2 + 2 * layers
    assert [type(module) for module in other.modules()] == list(before.values())
    use_native_attention(model)
    assert all(type(module) is kind for module, kind in before.items())
    assert use_fast_attention(plain := torch.nn.Linear(2, 2)) is plain


@pytest.mark.parametrize("cls", [LongformerModel, LongformerForQuestionAnswering])
def test_what_is_saved_is_unchanged(cls, tmp_path):
    model = tiny(cls)
    use_native_attention(model).save_pretrained(tmp_path / "native")
    use_fast_attention(model).save_pretrained(tmp_path / "fast")
    files = sorted(path.name for path in (tmp_path / "native").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "fast").iterdir()) and files
    for name in files:
        assert (tmp_path / "fast" / name).read_bytes() == (tmp_path / "native" / name).read_bytes()


@pytest.mark.parametrize("first", ["spread", "swap"])
@pytest.mark.parametrize("cls", [LongformerModel, LongformerForQuestionAnswering])
def test_a_model_spread_over_devices_is_swapped_before_or_after(cls, first, tmp_path):
    """Here the second device is the disk: accelerate puts its own forward on every module, as on several GPUs."""
    from accelerate import dispatch_model

    inputs, model = make_inputs(75, padding="right"), tiny(cls)
    with torch.no_grad():
        expected = use_native_attention(model)(**inputs)[0]
        prefix = "" if cls is LongformerModel else "longformer."
        places = {prefix + name: "cpu" for name in ("embeddings", "encoder.layer.0", "pooler")} | {"qa_outputs": "cpu"}
        places = {name: place for name, place in places.items() if name in dict(model.named_modules())}
        places[f"{prefix}encoder.layer.1"] = "disk"
        steps = [use_fast_attention, lambda m: dispatch_model(m, places, offload_dir=tmp_path, force_hooks=True)]
        for step in steps if first == "swap" else reversed(steps):
            step(model)
        with FlopCounterMode(display=False) as counter:
            torch.testing.assert_close(model(**inputs)[0], expected, rtol=0, atol=1e-5)
        fast = counter.get_total_flops()
        use_native_attention(model)
        with FlopCounterMode(display=False) as counter:
            torch.testing.assert_close(model(**inputs)[0], expected, rtol=0, atol=0)
    assert fast < counter.get_total_flops()


def test_a_model_loaded_by_device_map_is_swapped(tmp_path):
    tiny().save_pretrained(tmp_path)
    inputs = make_inputs(75, padding="right")
    model = LongformerModel.from_pretrained(tmp_path, device_map={"": "cpu"}).eval()
    expected = model(**inputs)[0]
    torch.testing.assert_close(use_fast_attention(model)(**inputs)[0], expected, rtol=0, atol=1e-5)


def test_a_forward_that_something_else_replaced_is_refused_and_nothing_changes():
    model = tiny()
    kinds = [type(module) for module in model.modules()]
    attention = model.encoder.layer[1].attention.self
    plain = attention.forward
    attention.forward = lambda *args, **kwargs: plain(*args, **kwargs)
    with pytest.raises(ValueError, match="forward was replaced"):
        use_fast_attention(model)
    assert [type(module) for module in model.modules()] == kinds


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_a_traced_model_is_the_native_one():
    inputs = make_inputs(64)
    model = use_fast_attention(tiny(cls=LongformerForQuestionAnswering, windows=(16, 16)))
    with torch.no_grad():
        expected = model(**inputs)[0]
        model.config.return_dict = False
        traced = torch.jit.trace(model, example_kwarg_inputs=inputs)
        torch.testing.assert_close(traced(**inputs)[0], expected, rtol=0, atol=1e-5)


def test_copies_and_pickles_stay_fast():
    model, inputs = use_fast_attention(tiny()), make_inputs(40)
    expected = model(**inputs)[0]
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [type(m) for m in copied.modules()] == [type(m) for m in model.modules()]
        torch.testing.assert_close(copied(**inputs)[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(dropout, reentrant):
    inputs, model = make_inputs(150, padding="right"), use_fast_attention(tiny(dropout=dropout)).train()
    torch.manual_seed(1)
    _, expected = outputs_and_gradients(model, inputs)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    torch.manual_seed(1)
    _, gradients = outputs_and_gradients(model, inputs)
    torch.testing.assert_close(gradients, expected)


def test_adapters_on_the_projections_count():
    peft = pytest.importorskip("peft")
    targets = ["query", "key", "value", "query_global", "key_global", "value_global"]
    model = peft.get_peft_model(tiny(), peft.LoraConfig(target_modules=targets, r=2))
    for name, parameter in model.named_parameters():
        if "lora" in name:
            parameter.data.normal_(0, 0.5)
    inputs = make_inputs(75, padding="left", which="by row")
    plain = use_native_attention(tiny())(**inputs)[0]
    native = use_native_attention(model)(**inputs)[0]
    fast = use_fast_attention(model)(**inputs)[0]
    assert (native - plain).abs().max() > 0.1
    torch.testing.assert_close(fast, native, rtol=0, atol=1e-5)
    fast.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for name, p in model.named_parameters() if "lora" in name)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantised_projections_are_called_and_not_read(kind):
    """torchao keeps the class nn.Linear and puts a tensor of its own into it, which cannot be taken apart."""
    quantization = pytest.importorskip("torchao.quantization")
    config = {"int8": quantization.Int8WeightOnlyConfig, "int4": quantization.IntxWeightOnlyConfig}[kind]()
    model = use_native_attention(tiny(heads=4))
    quantization.quantize_(model, config)
    assert type(model.encoder.layer[0].attention.self.key_global) is torch.nn.Linear
    with torch.no_grad():
        inputs = make_inputs(75, padding="right", which="first")
        expected = model(**inputs)[0]
        torch.testing.assert_close(use_fast_attention(model)(**inputs)[0], expected, rtol=0, atol=1e-5)


class Quantised(torch.Tensor):
    """A weight as libraries for quantisation make them: nothing but a linear map can be done with it."""

    @staticmethod
    def __new__(cls, weight):
        return torch.Tensor._make_wrapper_subclass(cls, weight.shape, dtype=weight.dtype)

    def __init__(self, weight):
        self.scale = weight.abs().amax(1, keepdim=True) / 127
        self.whole = (weight / self.scale).round().to(torch.int8)

    def __tensor_flatten__(self):
        return ["scale", "whole"], None

    @staticmethod
    def __tensor_unflatten__(parts, context, size, stride):
        return Quantised(parts["whole"] * parts["scale"])

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.linear:
            return function(args[0], args[1].whole * args[1].scale, *args[2:])
        return super().__torch_function__(function, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(f"{function} of a quantised weight")


def test_projections_that_only_know_linear_maps_are_called():
    model = tiny()
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight = torch.nn.Parameter(Quantised(module.weight.data), requires_grad=False)
    inputs = make_inputs(75, padding="right", which="first")
    with torch.no_grad():
        expected = use_native_attention(model)(**inputs)[0]
        torch.testing.assert_close(use_fast_attention(model)(**inputs)[0], expected, rtol=0, atol=1e-5)


def test_the_feed_forward_in_slices_is_the_same(monkeypatch):
    monkeypatch.setattr("conversion.attention.modules._SLICE", 7)
    model, inputs = use_fast_attention(tiny()), make_inputs(75, padding="right")
    expected = model(**inputs)[0].detach()
    calls = []
    kind = type(model.encoder.layer[0].intermediate)
    plain = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: calls.append(x.shape[:-1].numel()) or plain(self, x))
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs)[0], expected, rtol=0, atol=1e-6)
        assert calls == ([7] * 32 + [1]) * 2, "225 tokens, two layers"
        calls.clear()
        seen = []
        for layer in model.encoder.layer:
            layer.output.dense.register_forward_hook(
                lambda module, args, output: seen.append(output.shape[:-1].numel())
            )
        torch.testing.assert_close(model(**inputs)[0], expected, rtol=0, atol=1e-6)
    assert seen == calls == [225, 225], "a hook sees the activations whole"


def test_hooks_on_the_projections_are_called():
    model, inputs = use_fast_attention(tiny()), make_inputs(40)
    expected = model(**inputs)[0]
    called = []
    for name in ("key_global", "value_global"):
        for layer in model.encoder.layer:
            getattr(layer.attention.self, name).register_forward_hook(lambda *_: called.append(1))
    torch.testing.assert_close(model(**inputs)[0], expected, rtol=0, atol=1e-5)
    assert len(called) == 4


def test_compiles_whole_without_a_mask():
    torch._dynamo.reset()
    model, inputs = use_fast_attention(tiny()), make_inputs(75)
    whole = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(whole(inputs["input_ids"])[0], model(inputs["input_ids"])[0], rtol=0, atol=1e-5)


def test_compiles_whole_with_masks_and_any_number_of_global_tokens():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = use_fast_attention(tiny())
    whole = torch.compile(model, backend="aot_eager", fullgraph=True)
    for padding, which in (("right", "first"), ("holes", "by row"), ("row", "none"), ("left", "all")):
        inputs = make_inputs(75, padding=padding, which=which)
        expected, outputs = model(**inputs)[0], whole(**inputs)[0]
        torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
        wanted, gradients = (
            torch.autograd.grad(x.square().mean(), model.encoder.parameters(), allow_unused=True)
            for x in (expected, outputs)
        )
        for want, gradient in zip(wanted, gradients, strict=True):
            # A graph for any number of global tokens uses their projections even for none.
            want = torch.zeros_like(gradient) if want is None else want
            torch.testing.assert_close(gradient, want, rtol=1e-4, atol=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_exports_with_any_length_and_any_global_tokens():
    class Encoder(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, global_attention_mask):
            return self.model(input_ids, attention_mask, global_attention_mask).last_hidden_state

    encoder = Encoder(use_fast_attention(tiny()))
    length = torch.export.Dim("length", min=2, max=390)
    batch = torch.export.Dim("batch", min=1, max=64)
    dims = ({0: batch, 1: length},) * 3
    example = tuple(make_inputs(75).values())
    # Deferred, since a check that holds at this length alone would refuse all others.
    program = torch.export.export(
        encoder, example, dynamic_shapes=dims, strict=False, prefer_deferred_runtime_asserts_over_guards=True
    ).module()
    for inputs in (make_inputs(150, 2, "right", "by row"), make_inputs(20, 3, "left", "none"), make_inputs(33)):
        expected = encoder(**inputs)
        torch.testing.assert_close(program(*inputs.values()), expected, rtol=0, atol=1e-5)


def test_distributed_data_parallel_sees_every_parameter_used(tmp_path):
    from torch import distributed

    inputs, model = make_inputs(75, padding="right", which="by row"), use_fast_attention(tiny()).train()
    model(**inputs).pooler_output.sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        torch.nn.parallel.DistributedDataParallel(model)(**inputs).pooler_output.sum().backward()
    finally:
        distributed.destroy_process_group()
    torch.testing.assert_close({name: parameter.grad for name, parameter in model.named_parameters()}, expected)


def test_more_tokens_than_positions_are_refused_in_a_sentence():
    """Before the lookup: on a GPU that would spoil all that follows in the process."""
    model = use_fast_attention(tiny())
    most = 400 - PAD - 1
    ids = torch.randint(2, 50, (2, most + 40))
    with pytest.raises(ValueError, match=f"{most + 40:,} tokens are more than the model's {most:,} positions"):
        model(ids)
    ids[:, most:] = PAD
    padded = model(ids, attention_mask=(ids != PAD).long())[0]
    short = model(ids[:, :most])[0]
    torch.testing.assert_close(padded[:, :most], short, rtol=0, atol=1e-5)
