"""Where a model comes from: files beside it, its id on the Hub, and what its card says of licence and languages."""

import re
from pathlib import Path
from typing import Any

from conversion.embedded import LONG_NAME, NAME
from conversion.named import resolve
from foundation.cards import CARD, ORIGIN, read_origin
from foundation.cli import UserError
from foundation.files import read_json


def hub_id(model: str) -> str | None:
    """`model` where it is an id on the Hub, which a card may link to: neither a folder nor a name of this project."""
    ours = model in (NAME, LONG_NAME) or Path(model).expanduser().exists()
    return model if not ours and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) else None


def beside_model(name: str, file: str, revision: str | None = None) -> Path | None:
    """`file` of a model's or adapter's folder or Hub repository; None where there is no such file."""
    if Path(name).is_dir() or name in (NAME, LONG_NAME):
        path = Path(name) / file
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, HTTPError

    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except (EntryNotFoundError, HFValidationError, HTTPError):  # the model's own loading will say what is wrong
        return None


def adapter_config(model: str, revision: str | None = None) -> dict[str, Any] | None:
    """The adapter_config.json of a folder or a Hub repository; None where it holds no adapter."""
    path = beside_model(model, "adapter_config.json", revision)
    return None if path is None else read_json(path, "the adapter", dict)


def base_of_adapter(model: str, revision: str | None = None) -> tuple[str, str | None] | None:
    """The base model that an adapter names, and its revision; None where `model` is no adapter.

    Raises UserError for an adapter that names none.
    """
    config = adapter_config(model, revision)
    if config is None:
        return None
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"the adapter {model!r} names no base model in its adapter_config.json: put base_model_name_or_path there, "
            "a folder or a Hub id"
        )
    return base, config.get("revision")


def commit_of(model: str, revision: str | None = None) -> str | None:
    """The commit that `revision` (by default the main branch) of a model on the Hub names now; None for others."""
    if hub_id(model) is None:
        return None
    for file in ("config.json", "adapter_config.json"):
        path = beside_model(model, file, revision)
        if path is not None and path.parents[1].name == "snapshots":
            return path.parent.name
    return None


def origin_of(model: str, revision: str | None = None) -> dict[str, Any]:
    """What a model that is made of `model` has from it: the keys of `foundation.cards.ORIGIN`, None what is unknown.

    Of an adapter, licence and languages are its own card's or else its base's; its base model is that base.

    Args:
        model: a folder, a Hub id, or a name of this project; a whole model or an adapter.
    """
    card = beside_model(resolve(model), CARD, revision)
    own = read_origin(card) if card else dict.fromkeys(ORIGIN)
    named = base_of_adapter(model, revision)
    if named is None:
        return {**own, "base_model": hub_id(model) or own["base_model"]}
    base = origin_of(*named)
    licence = own if own["license"] else base
    return {
        **{key: licence[key] for key in ORIGIN if key.startswith("license")},
        "language": own["language"] or base["language"],
        "base_model": base["base_model"],
    }
