"""What is made once, and found again by what it was made of: a folder of the cache that its content names."""

import hashlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any


def cache_folder(kind: str, made_of: dict[str, Any]) -> Path:
    """The folder for what `made_of`, all that decides the content, makes; it is created, and removed by nobody."""
    home = os.environ.get("HF_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"))
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(home).expanduser() / kind / key
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tokenizer_digest(tokenizer: Any) -> str:
    """Changes with what the tokenizer makes of a text."""
    if not tokenizer.is_fast:
        return hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.update(truncation=None, padding=None)  # these come from the last call, and not from the tokenizer
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def code_digest(*modules: ModuleType) -> str:
    """Changes with the code: what an older version of it made is unknown to a newer one."""
    return hashlib.sha256(b"\0".join(Path(str(module.__file__)).read_bytes() for module in modules)).hexdigest()
