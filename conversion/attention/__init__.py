"""Longformer attention, exact and faster than the native one: `use_fast_attention(model)`.

In the order to read them: `modules` (the classes that take the native ones' places), `banded` (the arithmetic on any
device), `banded_cpu` (the same, block by block, where memory is what costs), `banded_gpu` (the same in one kernel).
"""

from .modules import use_fast_attention, use_native_attention

__all__ = ["use_fast_attention", "use_native_attention"]
