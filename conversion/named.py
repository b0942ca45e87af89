"""The names of checkpoints that need no Hub: `embedded` and `embedded-long`."""

import os
from pathlib import Path

from .convert import convert
from .embedded import LONG_NAME, NAME, embedded_checkpoint


def resolve(model_name_or_path: str | os.PathLike[str]) -> str:
    """`"embedded"` and `"embedded-long"` become the paths of those checkpoints; any other name or path stays."""
    name = os.fspath(model_name_or_path)
    named = {NAME: embedded_checkpoint, LONG_NAME: embedded_long_checkpoint}
    return str(named[name]()) if name in named else name


def embedded_long_checkpoint(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the embedded checkpoint converted to 4,096 tokens, beside it in the cache; made on the first call.

    It is there to answer questions: past token 512 nothing stands at the first 64 positions (`--tile_from 64`), and a
    token sees few others across the places where the positions begin again (`--attention_window 256`).
    """
    from filelock import FileLock

    source = embedded_checkpoint(cache_dir)
    target = source.with_name(f"{source.name}-long-4096-from-64-window-256")
    with FileLock(target.with_name(f".{target.name}.lock")):
        if not target.is_dir():
            convert(str(source), target, max_pos=4096, tile_from=64, attention_window=256)
    return target
