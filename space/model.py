"""Is what SPACE_MODEL names a model at all? Asked before anything is loaded, so that a wrong name is said at once."""

import re
from pathlib import Path

from foundation.cli import UserError

SECONDS = 5


def check_space_model(name: str) -> str | None:
    """The name as it was given; None for the project's own adapter.

    Raises:
        UserError: no such folder, no such repository on the Hub, or no way to ask it.
    """
    from conversion.embedded import LONG_NAME, NAME

    if not name or name in (NAME, LONG_NAME) or Path(name).is_dir():
        return name or None
    if Path(name).is_file() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise UserError(f"SPACE_MODEL {name!r} is no folder and no id of the Hub: give one such as org/xlm-long-qa")
    if not _cached(name):
        _ask_the_hub(name)
    return name


def _cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", "adapter_config.json"))


def _ask_the_hub(name: str) -> None:
    from huggingface_hub import HfApi, constants, errors

    try:
        HfApi().model_info(name, timeout=SECONDS)
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"SPACE_MODEL {name!r} is no model on {constants.ENDPOINT}, or a private one: check the name, and log in "
            "with `hf auth login` where it is private"
        ) from error
    except Exception as error:
        raise UserError(
            f"SPACE_MODEL {name!r} is no folder here, and {constants.ENDPOINT} cannot be asked for it: check the name "
            "and the connection"
        ) from error
