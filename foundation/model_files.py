"""The files of a model's folder by their exact names: which are pushed, and which make way for another model.

A folder of results holds more than its command wrote: notes, logins, data. So nothing is pushed, and nothing replaced,
but what stands here. The patterns are those of `foundation.files.matches`.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from .cards import CARD
from .files import matches

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
READING = "reading.json"  # how often an adapter's model reads, which a whole model has in its config.json
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt",
             "bpe.codes", "sentencepiece.bpe.model", "spiece.model", "spm.model", "special_tokens_map.json",
             "added_tokens.json", "chat_template.jinja")  # fmt: skip
# sentence-transformers keeps these beside an encoder: they say how its outputs become one vector.
MODULES = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "[0-9]_*/config.json",
           "[0-9]_*/*_config.json", "[0-9]_*/model.safetensors")  # fmt: skip
# Measured after a model was made. The page reads them beside it.
MEASURED = ("scores.json", "no_answer.json")

# What a push takes of a conversion and of a training run. It leaves out predictions.json and nbest.json, which quote
# the data, and trainer_state.json, which names folders of this machine.
CONVERSION = (CARD, "config.json", "model.safetensors", *TOKENIZER, *MODULES, "conversion_report.json", *MEASURED)
RUN = (CARD, "config.json", "generation_config.json", *WEIGHTS, *ADAPTER, READING, *TOKENIZER, *MODULES,
       "all_results.json", "train_results.json", "eval_results.json", "pretrain_results.json", "pretrain_losses.png",
       "embed_results.json", *MEASURED)  # fmt: skip
# What a training run writes and a push leaves out.
KEPT_AT_HOME = ("predictions.json", "nbest.json", "trainer_state.json", "training_args.bin")

# What a push deletes on the Hub if the folder lacks it: all of the above, and weights in the forms that others save.
REPLACED = (*CONVERSION, *RUN, *KEPT_AT_HOME, "pytorch_model*.bin", "pytorch_model.bin.index.json", "adapter_model.bin",
            "tf_model*.h5", "tf_model.h5.index.json", "flax_model*.msgpack", "flax_model.msgpack.index.json",
            "[0-9]_*/pytorch_model.bin")  # fmt: skip


def stage_model(folder: str | Path, staged: str | Path, names: Iterable[str]) -> None:
    """Put into `staged` the files of `folder` that `names` has, by links where both are on one disk."""
    folder, staged, names = Path(folder), Path(staged), tuple(names)
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and matches(name, names):
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(path, staged / name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a hard link does not reach another disk
        shutil.copy2(source, target)
