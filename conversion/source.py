"""Where a conversion starts: a local folder or a Hub id, its config, its tokenizer, its facts for the card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.cards import CARD, read_origin
from foundation.cli import UserError, one_line
from foundation.files import read_json

from .checkpoint import PICKLED, SAFETENSORS, Tensor, read_checkpoint
from .embedded import LONG_NAME, NAME, embedded_checkpoint
from .families import FAMILIES


@dataclass(frozen=True)
class Source:
    """An encoder checkpoint on this machine."""

    name: str  # as the user wrote it
    folder: Path
    revision: str | None  # the commit, when it came from the Hub
    config: Any  # transformers' config of the source

    def tensors(self) -> dict[str, Tensor]:
        return read_checkpoint(self.folder)

    def tokenizer(self) -> Any:
        """The source's own tokenizer; its pad id decides where positions start."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        except (OSError, ValueError, ImportError, TypeError, KeyError) as error:
            raise UserError(
                f"no tokenizer could be loaded from {self.name!r} ({one_line(error)}): put the tokenizer's files"
                " beside config.json"
            ) from error
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)) + 4:
            # Without files some classes come up with nothing but special tokens, and without a word.
            raise UserError(
                f"the tokenizer of {self.name!r} has no vocabulary: put the tokenizer's files beside config.json"
            )
        if tokenizer.pad_token_id is None:
            raise UserError(f"the tokenizer of {self.name!r} has no padding token: set pad_token and save it again")
        return tokenizer


def open_source(model_name_or_path: str, revision: str | None = None) -> Source:
    """Find a checkpoint of one of the four families; from the Hub only the files that are needed are fetched.

    Raises:
        UserError: no such folder, no config.json, or a model type that is not among the families.
    """
    if model_name_or_path == LONG_NAME:
        raise UserError(f"--model_name_or_path {LONG_NAME!r} is a Longformer already: use it as it is")
    path = embedded_checkpoint() if model_name_or_path == NAME else Path(model_name_or_path).expanduser()
    commit = None
    if not path.is_dir():
        if path.exists() or model_name_or_path.startswith(("/", ".", "~")):
            raise UserError(f"--model_name_or_path {model_name_or_path!r} is not a folder: check the path")
        path = download(model_name_or_path, revision)
        commit = path.name
    elif revision:
        raise UserError(f"--revision {revision!r} is for Hub ids, and {model_name_or_path!r} is local: leave it out")
    if not (path / "config.json").is_file():
        raise UserError(f"--model_name_or_path {model_name_or_path!r} holds no config.json: give a checkpoint's folder")
    return Source(model_name_or_path, path, commit, _config(path, model_name_or_path))


def _config(folder: Path, name: str) -> Any:
    raw = read_json(folder / "config.json", "--model_name_or_path", dict)
    model_type = raw.get("model_type")
    if model_type == "longformer":
        raise UserError(f"--model_name_or_path {name!r} is a Longformer already: use it as it is")
    if model_type not in FAMILIES:
        raise UserError(
            f"--model_name_or_path {name!r} has the model type {model_type!r}: convert one of {', '.join(FAMILIES)}"
        )
    position_type = raw.get("position_embedding_type") or "absolute"
    if position_type != "absolute":
        raise UserError(
            f"--model_name_or_path {name!r} has position_embedding_type {position_type!r}, which Longformer lacks:"
            " convert a checkpoint with absolute positions"
        )
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise UserError(
            f"--model_name_or_path {name!r} is a decoder (is_decoder, add_cross_attention): give an encoder"
        )

    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise UserError(f"config.json of {name!r} cannot be read ({one_line(error)}): mend it") from error


# What a tokenizer or a card may consist of; the weights are fetched by name, since a repository holds several forms.
SMALL_FILES = (
    "README.md",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.codes",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
)


def download(repo_id: str, revision: str | None = None) -> Path:
    """Fetch config, tokenizer, weights (safetensors if there are any) and card of one commit; the snapshot's folder."""
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    folder = Path(hf_hub_download(repo_id, "config.json", revision=revision)).parent
    commit = folder.name  # the cache names a snapshot by its commit; a branch that moves meanwhile changes nothing

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(repo_id, name, revision=commit))
        except LocalEntryNotFoundError:  # a Hub that does not answer has said nothing of its files
            if not constants.HF_HUB_OFFLINE:
                raise
            return None  # off line and not in the cache: another form of the weights may be
        except EntryNotFoundError:
            return None

    for single, index in (SAFETENSORS, PICKLED):
        if fetch(single):
            break
        listed = fetch(index)
        if listed:
            for shard in sorted(set(read_json(listed, "the index", dict).get("weight_map", {}).values())):
                hf_hub_download(repo_id, shard, revision=commit)
            break
    snapshot_download(repo_id, revision=commit, allow_patterns=list(SMALL_FILES))
    return folder


def public_name(source: Source) -> str:
    """How reports and cards call the source: a path on this machine says nothing to others, and too much."""
    return source.name if source.revision or source.name == NAME else source.folder.resolve().name


def card_facts(source: Source) -> dict[str, Any]:
    """Licence and languages from the source's README.md, and its Hub name as the base model; None what is unknown."""
    origin = read_origin(source.folder / CARD)
    return {**origin, "base_model": source.name} if source.revision else origin
