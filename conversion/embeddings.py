"""Source and result as sentence-transformers loads and runs them, modules, prompts and all."""

from importlib.util import find_spec
from pathlib import Path

from foundation.files import read_json

from .checks import SCRIPTS
from .modules import SETTINGS
from .report import Check

TOLERANCE = 1e-5


def check_embeddings(source: Path, converted: Path, longest: int) -> Check:
    """Both folders as sentence-transformers loads them: same embeddings, with each prompt, or same scores of pairs.

    Args:
        longest: tokens of a text that the two read alike: half a window, at most what the source reads.
    """
    name = "embeddings"
    if find_spec("sentence_transformers") is None:
        return Check(
            name, True, "not compared: sentence-transformers is not installed (`pip install sentence-transformers`)"
        )
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer

    kind = (read_json(source / SETTINGS, "SOURCE", dict) if (source / SETTINGS).is_file() else {}).get("model_type")
    # All on the CPU: a GPU may compute float32 less exactly.
    if kind == "CrossEncoder":
        pairs = list(zip(SCRIPTS, reversed(SCRIPTS), strict=True))
        scores = []
        for folder in (source, converted):
            encoder = CrossEncoder(str(folder), device="cpu")
            encoder.max_length = longest
            scores.append(torch.as_tensor(encoder.predict(pairs, show_progress_bar=False)))
        difference, what = (scores[0] - scores[1]).abs().max().item(), "scores of pairs"
    else:
        short, long = (SentenceTransformer(str(folder), device="cpu") for folder in (source, converted))
        if (short.prompts, short.default_prompt_name) != (long.prompts, long.default_prompt_name):
            return Check(name, False, f"prompts {long.prompts}, {short.prompts} expected")
        short.max_seq_length = long.max_seq_length = longest
        difference = 0.0
        for prompt in (None, *short.prompts):
            a, b = (model.encode(list(SCRIPTS), prompt_name=prompt, show_progress_bar=False) for model in (short, long))
            difference = max(difference, float(abs(a - b).max()))
        what = f"{len(SCRIPTS)} texts, {len(short.prompts)} prompts"
    return Check(
        name, difference <= TOLERANCE, f"by sentence-transformers, {what}, to {longest} tokens", difference, TOLERANCE
    )
