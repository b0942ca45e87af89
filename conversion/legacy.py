"""Old long checkpoints, saved by the notebooks of 2020 and 2021 as `roberta` or `xlm-roberta`.

They hold `query_global`, `key_global` and `value_global` beside the local projections and some 4,098 position rows, but
their `model_type` stayed that of their source, so Auto classes build full attention and drop the global projections
without a word. `convert` maps their tensors by the same table as any other source (conversion/families.py); here stand
what is told about them, and the model built by hand that the result is proven against.
"""

from collections.abc import Iterable
from typing import Any

from .checkpoint import Tensor, to_torch


def is_old_long(names: Iterable[str]) -> bool:
    """Whether these tensor names are those of a long checkpoint under a short model's name."""
    return any(".query_global." in name for name in names)


def describe(tensors: dict[str, Tensor], first: int) -> list[str]:
    """Sentences on what an old long checkpoint carried and what becomes of it; `first` is its first token's row."""
    notes = ["an old long checkpoint: its global projections, which Auto classes drop, are kept"]
    pairs = [(name, name.replace("_global.", ".")) for name in tensors if "_global." in name]
    if all(tensors[name].equals(tensors[local]) for name, local in pairs):
        notes.append("its global projections repeat the local ones: they were never trained apart")
    reserved = _positions(tensors)[:first].float()
    if not reserved.isfinite().all():
        notes.append(f"position rows 0 to {first - 1} held NaN or infinity, which padding spreads: zeros now")
    elif not reserved.any():
        notes.append(f"position rows 0 to {first - 1} are zeros, as saved; no token that counts reads them")
    return notes


def reserved_rows_are_finite(tensors: dict[str, Tensor], first: int) -> bool:
    """False where the rows below `first` were left as the memory held them (NaN there would spread from padding)."""
    return bool(_positions(tensors)[:first].float().isfinite().all())


def _positions(tensors: dict[str, Tensor]) -> Any:
    return to_torch(next(t for name, t in tensors.items() if name.endswith("position_embeddings.weight")))


def build_by_hand(tensors: dict[str, Tensor], config: Any, architecture: str, windows: list[int], dtype: Any) -> Any:
    """The Longformer that an old long checkpoint meant to be, in float32 after a cast to `dtype`.

    Built from the file's names alone ("roberta." read as "longformer."), without the table that `convert` uses, so that
    the two can be held against each other.
    """
    import torch
    import transformers

    state = {name.replace("roberta.", "longformer.", 1): to_torch(t).to(dtype).float() for name, t in tensors.items()}
    if architecture == "LongformerModel":
        state = {name.removeprefix("longformer."): value for name, value in state.items()}
    positions = next(value for name, value in state.items() if name.endswith("position_embeddings.weight"))
    positions[: config.pad_token_id + 1].nan_to_num_(0.0, 0.0, 0.0)
    fields = config.to_dict()
    for name in ("model_type", "architectures", "attention_window", "max_position_embeddings", "dtype"):
        fields.pop(name, None)
    model = getattr(transformers, architecture)(
        transformers.LongformerConfig(**fields, attention_window=windows, max_position_embeddings=len(positions))
    )
    missing, _ = model.load_state_dict(state, strict=False)
    tied = {"lm_head.decoder.weight", "lm_head.decoder.bias"}
    lost = [name for name in missing if name not in tied and "pooler" not in name]
    if lost:
        raise RuntimeError(f"a Longformer built by hand lacks {lost[:6]}")
    if "lm_head.decoder.weight" in missing:
        model.tie_weights()
    return model.to(torch.float32).eval()
