"""The modules that sentence-transformers puts around an encoder: pooling, normalisation, dense layers, prompts.

A folder of that library has a `modules.json` that lists them: first the encoder, in the folder itself or, in its old
layout, in `0_Transformer`; each other module has a folder. Their settings and weights come along unchanged, but for the
maximal length; no code of a repository is run.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.cli import UserError
from foundation.files import read_json

from .checkpoint import PICKLED, SAFETENSORS, Output, read_checkpoint, write_safetensors

LIST = "modules.json"
SETTINGS = "config_sentence_transformers.json"  # prompts, similarity, the kind of model
ENCODER_SETTINGS = "sentence_bert_config.json"  # longest input, lower case
# The older releases' names of ENCODER_SETTINGS too.
ENCODER_SETTINGS_NAMES = (
    ENCODER_SETTINGS,
    *(f"sentence_{kind}_config.json" for kind in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta")),
)
# Only one native class gives its first token global attention unasked: the classifier. sentence-transformers loads it
# and takes the hidden states below its head, and so needs no code of ours.
FIRST_TOKEN_GLOBAL = {
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": ["hidden_states", -1]}},
    "module_output_name": "token_embeddings",
}
# Settings of a cross-encoder's config.json: the activation of its scores, by its new and its old name.
SCORE_SETTINGS = ("sentence_transformers", "sbert_ce_default_activation_function")


@dataclass(frozen=True)
class Modules:
    """The modules of `root`, in order; `entries` are those of modules.json."""

    root: Path
    entries: tuple[dict[str, Any], ...]

    @property
    def encoder(self) -> Path:
        """Folder of the encoder's config and weights."""
        return self.root / self.entries[0]["path"]

    @property
    def others(self) -> tuple[dict[str, Any], ...]:
        return self.entries[1:]


def find_modules(root: Path) -> Modules | None:
    """The modules of a folder of sentence-transformers, None for any other folder.

    Raises:
        UserError: modules.json is broken, names code of the repository, or does not begin with an encoder.
    """
    if not (root / LIST).is_file():
        return None
    entries = read_json(root / LIST, "--model_name_or_path", list)
    for entry in entries:
        if not isinstance(entry, dict) or not {"path", "type"} <= entry.keys():
            raise UserError(f"{str(root / LIST)!r} has an entry without path and type: download it again")
        path = Path(entry["path"])
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{str(root / LIST)!r} names the folder {entry['path']!r}, which is not beside it")
        if not entry["type"].startswith("sentence_transformers."):
            raise UserError(
                f"the module {entry['type']!r} in {str(root / LIST)!r} is code of its repository, which is not run:"
                " give the encoder's own folder, without modules.json"
            )
    if not entries or not entries[0]["type"].endswith("Transformer"):
        raise UserError(f"{str(root / LIST)!r} does not begin with an encoder: only text encoders are converted")
    return Modules(root, tuple(entries))


def module_files(modules: Modules | None, files: Sequence[str]) -> set[str]:
    """Those of a source's `files` that `write_modules` carries over."""
    if modules is None:
        return set()
    names = {LIST, SETTINGS, *(str(Path(modules.entries[0]["path"]) / name) for name in ENCODER_SETTINGS_NAMES)}
    folders = tuple(f"{entry['path']}/" for entry in modules.others if entry["path"])
    return {name for name in files if name in names or name.startswith(folders)}


def write_modules(modules: Modules, target: Path, max_pos: int, first_token_global: bool) -> None:
    """Put the modules around the encoder that lies in `target`.

    With `first_token_global` the first token of an encoder that is pooled sees all and is seen by all.
    """
    entries = [{**modules.entries[0], "path": ""}, *modules.others]
    _write_json(target / LIST, entries)
    if (modules.root / SETTINGS).is_file():
        shutil.copyfile(modules.root / SETTINGS, target / SETTINGS)
    settings: dict[str, Any] = {"do_lower_case": False}
    for name in reversed(ENCODER_SETTINGS_NAMES):
        if (modules.encoder / name).is_file():
            settings = read_json(modules.encoder / name, "--model_name_or_path", dict)
    settings["max_seq_length"] = max_pos
    plain = settings.get("transformer_task", "feature-extraction") == "feature-extraction"
    if first_token_global and plain and any(entry["type"].endswith(".Pooling") for entry in modules.others):
        settings |= FIRST_TOKEN_GLOBAL
    _write_json(target / ENCODER_SETTINGS, settings)
    for entry in modules.others:
        _copy_module(modules.root / entry["path"], target / entry["path"])


def _copy_module(source: Path, target: Path) -> None:
    """Settings as they are, weights as safetensors; a module without either (Normalize) may have no folder."""
    target.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        return
    for path in source.glob("*.json"):
        if path.name not in SAFETENSORS + PICKLED:
            shutil.copyfile(path, target / path.name)
    if any((source / name).is_file() for name in SAFETENSORS + PICKLED):
        tensors = read_checkpoint(source)
        outputs = {name: Output(tensor.dtype, tensor.shape, tensor.pieces) for name, tensor in tensors.items()}
        write_safetensors(target / SAFETENSORS[0], outputs)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
