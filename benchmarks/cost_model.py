"""What a pre-training run costs: arithmetic, memory, communication and time, from a model's sizes.

The counts are those of this project's code (fast attention, masked-only loss, frozen global projections), checked in
tests/training/test_cost_model.py against what torch counts and keeps. Times divide the counts by the rates of a
`Device`, so a time is as good as the rate. docs/scaling.md compares with runs and predicts others.
"""

from dataclasses import dataclass

PRODUCTS_OF_ATTENTION = 7  # scores and context in forward; five in backward, which computes the scores again


@dataclass(frozen=True)
class Model:
    """Sizes of an encoder; `ffn` is the width of the feed-forward layer."""

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    vocabulary: int
    positions: int = 4098

    @property
    def parameters(self) -> int:
        """Parameters of the MLM model, global projections included."""
        a_layer = 4 * self.hidden * (self.hidden + 1) + 3 * self.hidden * (self.hidden + 1)
        a_layer += 2 * self.hidden * self.ffn + self.ffn + self.hidden + 4 * self.hidden
        embeddings = (self.vocabulary + self.positions + 1) * self.hidden + 2 * self.hidden
        head = self.hidden * (self.hidden + 1) + 2 * self.hidden + self.vocabulary
        return self.layers * a_layer + embeddings + head

    @property
    def trained(self) -> int:
        """Parameters that get a gradient: all but the global projections."""
        return self.parameters - self.layers * 3 * self.hidden * (self.hidden + 1)


@dataclass(frozen=True)
class Device:
    """Rates that a device reaches in this work, not those on its data sheet: FLOP a second, bytes a second."""

    name: str
    flops: float
    link: float = 0.0  # bytes a second in one direction, to its peers in the machine
    network: float = 0.0  # bytes a second for each device, to other machines


XLMR_BASE = Model("XLM-R base", 12, 768, 3072, 12, 250_002)
XLMR_LARGE = Model("XLM-R large", 24, 1024, 4096, 16, 250_002)
ROBERTA_BASE = Model("RoBERTa base", 12, 768, 3072, 12, 50_265)


def keys_computed(length: int, window: int, on_cpu: bool) -> float:
    """Keys that a query is multiplied with, on average, of which window + 1 count.

    On a CPU blocks of `window` queries meet the keys up to half a window to either side, without the part beyond the
    ends; elsewhere blocks of half a window meet a span of one and a half, padded at the ends.
    """
    if on_cpu:
        return 2 * window - window * window / length if length > window else length
    return 1.5 * window


def training_flops(model: Model, length: int, window: int, *, masked: float = 0.15, on_cpu: bool = False) -> float:
    """FLOP of forward and backward for one sequence of `length` tokens; a multiply-add is two."""
    dense = 3 * model.layers * (8 * model.hidden**2 + 4 * model.hidden * model.ffn)
    keys = keys_computed(length, window, on_cpu)
    attention = PRODUCTS_OF_ATTENTION * model.layers * 2 * model.hidden * keys
    head = 3 * masked * (2 * model.hidden**2 + 2 * model.hidden * model.vocabulary)
    return length * (dense + attention + head)


def notebook_flops(model: Model, length: int, window: int) -> float:
    """The same by the notebook's way: logits of all positions, local attention over chunks that overlap by half
    (transformers' native code), its scores kept and not taken again."""
    dense = 3 * model.layers * (8 * model.hidden**2 + 4 * model.hidden * model.ffn)
    attention = 6 * model.layers * 2 * model.hidden * 2 * window
    head = 3 * (2 * model.hidden**2 + 2 * model.hidden * model.vocabulary)
    return length * (dense + attention + head)


def state_bytes(model: Model, shards: int = 1) -> float:
    """Weights, gradients and both Adam moments in float32; FSDP divides them by `shards`."""
    return (4 * model.parameters + 12 * model.trained) / shards


def activation_bytes(model: Model, tokens: int, *, mixed: bool = False, checkpointing: bool = False) -> float:
    """What forward keeps for backward, of `tokens` in one forward pass; `mixed` is bf16 or fp16 autocast.

    A layer keeps ten vectors of the hidden size and two of the feed-forward. Under autocast four of the ten stay
    float32 (around the LayerNorms). With activation checkpointing a layer keeps its input, and one at a time is whole.
    """
    a_layer = tokens * (28 * model.hidden + 4 * model.ffn if mixed else 40 * model.hidden + 8 * model.ffn)
    if not checkpointing:
        return model.layers * a_layer
    return model.layers * tokens * 4 * model.hidden + a_layer


def head_bytes(model: Model, chunk_elements: int = 1 << 25) -> float:
    """The masked-only loss: the gradient of the decoder beside the one that is accumulated, and a chunk of logits."""
    return 4 * model.vocabulary * model.hidden + 2 * 4 * chunk_elements


def ddp_bytes(model: Model, devices: int) -> float:
    """Bytes that each device sends an update: a ring's all-reduce of the float32 gradients, once an update."""
    return 2 * (devices - 1) / devices * 4 * model.trained


def fsdp_bytes(model: Model, devices: int, accumulation: int) -> float:
    """The same under FSDP: weights gathered twice (forward, backward) and gradients scattered in every part of it."""
    return accumulation * (devices - 1) / devices * 4 * (2 * model.parameters + model.trained)


def run_seconds(
    model: Model, device: Device, devices: int, *, length: int = 4096, window: int = 512, steps: int = 6000,
    sequences: int = 64, a_machine: int = 8,
) -> float:  # fmt: skip
    """Time of a run under DDP without overlap of arithmetic and communication: an upper bound for given rates."""
    on_cpu = device.name.startswith("CPU")
    accumulation = -(-sequences // devices)
    arithmetic = accumulation * training_flops(model, length, window, on_cpu=on_cpu) / device.flops
    if devices == 1:
        return steps * arithmetic
    rate = device.link if devices <= a_machine else device.network
    return steps * (arithmetic + ddp_bytes(model, devices) / rate)
