"""Where a conversion starts: a local folder or a Hub id, its config, its tokenizer, its facts for the card."""

from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.cards import CARD, read_origin
from foundation.cli import UserError, one_line
from foundation.files import read_json

from .checkpoint import PICKLED, SAFETENSORS, Tensor, read_checkpoint
from .embedded import LONG_NAME, NAME, embedded_checkpoint
from .families import FAMILIES, REFUSED, few, restore_ties
from .modules import ENCODER_SETTINGS_NAMES, LIST, SCORE_SETTINGS, SETTINGS, Modules, find_modules, module_files
from .plan import KEPT_FIELDS
from .tokens import check_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Source:
    """An encoder checkpoint on this machine."""

    name: str  # as the user wrote it
    root: Path  # the folder that the name stands for
    folder: Path  # holds config and weights; below the root in old folders of sentence-transformers
    revision: str | None  # the commit, if it came from the Hub
    config: "PreTrainedConfig"
    files: tuple[str, ...]  # paths below the root of all its files, also of those that are not downloaded
    modules: Modules | None  # if it is a folder of sentence-transformers

    def tensors(self) -> dict[str, Tensor]:
        """Name -> tensor; a tensor with two names (a tied output embedding) has both, whichever the file gives it."""
        return restore_ties(read_checkpoint(self.folder), self.config)

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The source's own tokenizer.

        Raises:
            UserError: its files are absent or cannot be read, or it gives ids that the model has no embedding for.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        except (OSError, ValueError, ImportError, TypeError, KeyError) as error:
            models = sorted(path.name for path in self.folder.glob("*.model"))
            if models and not (find_spec("sentencepiece") and find_spec("google.protobuf")):
                advice = f"{models[0]} is read by sentencepiece: run `pip install sentencepiece protobuf`"
            else:
                advice = "put the tokenizer's files beside config.json"
            raise UserError(f"no tokenizer could be loaded from {self.name!r} ({one_line(error)}): {advice}") from error
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)) + 4:
            # Without their files some classes load with special tokens alone, and raise no error.
            raise UserError(
                f"the tokenizer of {self.name!r} has no vocabulary: put the tokenizer's files beside config.json"
            )
        check_vocabulary(tokenizer, self.config.vocab_size, self.name)
        return tokenizer


def open_source(model_name_or_path: str, revision: str | None = None) -> Source:
    """Find a checkpoint of a family that can be converted; from the Hub only the files that are needed are fetched.

    Raises:
        UserError: no such folder, no config.json, or a model type that is not among the families.
    """
    if model_name_or_path == LONG_NAME:
        raise UserError(
            f"--model_name_or_path {LONG_NAME!r} is long already: use it as it is, or convert {NAME!r} with more"
            " --max_pos"
        )
    path = embedded_checkpoint() if model_name_or_path == NAME else Path(model_name_or_path).expanduser()
    commit, files = None, None
    if not path.is_dir():
        if path.exists() or model_name_or_path.startswith(("/", ".", "~")):
            raise UserError(f"--model_name_or_path {model_name_or_path!r} is not a folder: check the path")
        path = download(model_name_or_path, revision)
        commit, files = path.name, _files_on_hub(model_name_or_path, path.name)
    elif revision:
        raise UserError(f"--revision {revision!r} is for Hub ids, and {model_name_or_path!r} is local: leave it out")
    modules = find_modules(path)
    folder = modules.encoder if modules else path
    if not (folder / "config.json").is_file():
        raise UserError(f"--model_name_or_path {model_name_or_path!r} holds no config.json: give a checkpoint's folder")
    if files is None:
        files = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
    config = _config(folder, model_name_or_path)
    return Source(model_name_or_path, path, folder, commit, config, tuple(files), modules)


def _files_on_hub(repo_id: str, commit: str) -> list[str] | None:
    """All files of a commit, or None off line."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        return sorted(HfApi().list_repo_files(repo_id, revision=commit))
    except (OfflineModeIsEnabled, HfHubHTTPError, HTTPError):
        return None


def _config(folder: Path, name: str) -> "PreTrainedConfig":
    raw = read_json(folder / "config.json", "--model_name_or_path", dict)
    model_type = raw.get("model_type")
    if model_type in REFUSED:
        raise UserError(f"--model_name_or_path {name!r} is a {model_type}: {REFUSED[model_type]}")
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
    if raw.get("quantization_config"):
        raise UserError(
            f"--model_name_or_path {name!r} is quantised (quantization_config in its config.json): convert the"
            " checkpoint that it was made from"
        )

    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, return_dict=True, output_attentions=False, trust_remote_code=False)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise UserError(f"config.json of {name!r} cannot be read ({one_line(error)}): mend it") from error
    # The kind of attention that config.json names may be missing on this machine.
    config._attn_implementation = "eager" if model_type == "longformer" else "sdpa"
    if config.pad_token_id is None and FAMILIES[model_type].positions_after_padding:
        raise UserError(
            f"config.json of {name!r} says pad_token_id: null, and a {model_type} counts its positions from there:"
            " write the id of its padding token (1 in RoBERTa's kin)"
        )
    return config


# The files of tokenizers and cards. Weights are fetched by name, since a repository may hold them in several forms.
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
    """Fetch config, tokenizer, weights (safetensors if there are any), modules and card of one commit; the snapshot's
    folder."""
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def fetch(name: str, revision: str | None) -> Path | None:
        try:
            return Path(hf_hub_download(repo_id, name, revision=revision))
        except LocalEntryNotFoundError:  # the Hub did not answer, so the file may be there
            if not constants.HF_HUB_OFFLINE:
                raise
            return None  # off line: the cache may hold the weights in another form
        except EntryNotFoundError:
            return None

    # Old folders of sentence-transformers have no config.json at the top.
    top = fetch("config.json", revision) or fetch(LIST, revision) or Path(hf_hub_download(repo_id, "config.json"))
    folder, commit = top.parent, top.parent.name
    # The cache names a snapshot by its commit. From here on the commit is asked for, since the branch may move.
    fetch(LIST, commit)
    modules = find_modules(folder)
    stem = f"{modules.entries[0]['path']}/".lstrip("/") if modules else ""
    for single, index in (SAFETENSORS, PICKLED):
        if fetch(stem + single, commit):
            break
        listed = fetch(stem + index, commit)
        if listed:
            for shard in sorted(set(read_json(listed, "the index", dict).get("weight_map", {}).values())):
                hf_hub_download(repo_id, stem + shard, revision=commit)
            break
    wanted = [*SMALL_FILES, SETTINGS, *(stem + name for name in (*SMALL_FILES, "config.json", *ENCODER_SETTINGS_NAMES))]
    for entry in modules.others if modules else ():
        wanted += [f"{entry['path']}/*.json", f"{entry['path']}/{SAFETENSORS[0]}", f"{entry['path']}/{PICKLED[0]}"]
    snapshot_download(repo_id, revision=commit, allow_patterns=wanted)
    return folder


# Files that a conversion reads, or that hold the same weights in another form. All others are reported as left out.
READ = (*SMALL_FILES, "config.json", "model*.safetensors*", "pytorch_model*.bin*", "tf_model*.h5",
        "flax_model*.msgpack", "rust_model.ot", "onnx/*", "openvino/*", "coreml/*")  # fmt: skip

# Settings that the result has in another form, or that change nothing of what the model computes. Others are reported.
READ_SETTINGS = (
    *KEPT_FIELDS,
    *SCORE_SETTINGS,
    *("dim", "n_layers", "n_heads", "hidden_dim", "activation", "dropout", "attention_dropout", "tile_from"),
    *("model_type", "architectures", "max_position_embeddings", "position_embedding_type", "attention_window"),
    *("pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "unk_token_id", "document_token_type"),
    "second_look",
    *(
        "dtype",
        "torch_dtype",
        "return_dict",
        "attn_implementation",
        "output_attentions",
        "use_cache",
        "gradient_checkpointing",
    ),
    *(
        "output_hidden_states",
        "transformers_version",
        "directionality",
        "output_past",
        "is_decoder",
        "add_cross_attention",
    ),
)


def left_out(source: Source) -> list[str]:
    """Sentences on the source's files and settings that its long form does not have."""
    sentences = []
    stem = source.folder.relative_to(source.root).as_posix()
    read = READ if stem == "." else (*READ, *(f"{stem}/{pattern}" for pattern in READ))
    carried = module_files(source.modules, source.files)
    visible = [name for name in source.files if not any(part.startswith(".") for part in name.split("/"))]
    files = [name for name in visible if name not in carried and not any(fnmatch(name, one) for one in read)]
    if files:
        places = dict.fromkeys(name.split("/")[0] + "/" if "/" in name else name for name in files)
        sentences.append(f"files of the source that are not carried over: {few(list(places))}")
    raw = read_json(source.folder / "config.json", "--model_name_or_path", dict)
    usual = type(source.config)().to_dict()
    settings = [
        name
        for name, value in raw.items()
        if value and not name.startswith(("_", "pooler_")) and name not in READ_SETTINGS and value != usual.get(name)
    ]
    if settings:
        sentences.append(f"settings of its config.json that Longformer has no place for: {few(settings)}")
    return sentences


def public_name(source: Source) -> str:
    """How reports and cards call the source: a path on this machine says nothing to others, and too much."""
    return source.name if source.revision or source.name == NAME else source.root.resolve().name


def card_facts(source: Source) -> dict[str, Any]:
    """Licence and languages from the source's README.md, and its Hub name as the base model; None what is unknown."""
    origin = read_origin(source.root / CARD)
    return {**origin, "base_model": source.name} if source.revision else origin
