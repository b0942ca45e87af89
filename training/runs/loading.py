"""What goes wrong when a checkpoint is loaded, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from foundation.cli import UserError, one_line


@contextmanager
def explain_loading(model: str) -> Iterator[None]:
    """Turn what transformers raises while it loads `model`, as the user gave it, into a UserError."""
    try:
        yield
    except ImportError as error:  # config.json asks for a package, as for a quantisation or a kind of attention
        raise UserError(
            f"--model_name_or_path {model!r} asks for what this machine lacks ({one_line(error)}): take "
            "quantization_config or attn_implementation out of its config.json, or install what it needs"
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"--model_name_or_path {model!r} cannot be loaded ({one_line(error)}): give a folder, a Hub id, embedded "
            "or embedded-long"
        ) from error
