"""Whether bfloat16 pays on this machine: measured, not believed."""

import time

import torch

SIZE = (512, 1024, 1024)  # rows, inputs and outputs of the measured product, about as in an encoder's layers
REPEATS = 5
PAYS = 0.8  # share of the time in float32; a smaller gain is not worth a change in the figures


def bfloat16_pays(device: torch.device) -> bool:
    """Whether products under bfloat16 autocast take at most PAYS of their time in float32; measured in some 0.1 s."""
    # A processor without bfloat16 emulates it, which may take 88 times as long. So it is not measured there.
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    rows, inputs, outputs = SIZE
    linear = torch.nn.Linear(inputs, outputs, device=device)
    hidden = torch.ones(rows, inputs, device=device)
    half, single = (_seconds(linear, hidden, enabled) for enabled in (True, False))
    return half <= PAYS * single


@torch.inference_mode()
def _seconds(linear: torch.nn.Module, hidden: torch.Tensor, half: bool) -> float:
    """The shortest time of some, the first of which only warms up."""
    device = hidden.device
    times = []
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        for _ in range(1 + REPEATS):
            _wait(device)
            start = time.perf_counter()
            linear(hidden)
            _wait(device)
            times.append(time.perf_counter() - start)
    return min(times[1:])


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
