"""SQ3: SQuAD v1.1, and any file in SQuAD's format, with consecutive paragraphs joined into long documents.

    datasets.load_dataset("org/squad_long", nr_concats=3, trust_remote_code=True)                 # datasets 3.6
    datasets.load_dataset("squad_long.py", data_files="/my/squad.json", trust_remote_code=True)   # your own file
    hub_datasets.load_dataset("squad_long", nr_concats=3)                                         # datasets 3.6, 5.x

The parameters are those of `ConcatOptions` in concat.py.
"""

from typing import ClassVar

import datasets

# ruff: noqa: F401 - `datasets` downloads only the sibling files that the script itself imports
from .concat import CorpusError
from .flat_rows import Part
from .long_builder import File, LongBuilder, LongConfig
from .reading import Rows
from .spans import Change
from .squad_format import FEATURES

CITATION = """\
@inproceedings{rajpurkar-etal-2016-squad,
    title = {{SQ}u{AD}: 100,000+ Questions for Machine Comprehension of Text},
    author = {Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
    booktitle = {Proceedings of EMNLP},
    year = {2016},
    url = {https://aclanthology.org/D16-1264},
}
"""

URL = "https://rajpurkar.github.io/SQuAD-explorer/dataset/"
# Split: the official file, its SHA-256.
SOURCES = {
    "train": ("train-v1.1.json", "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955"),
    "validation": ("dev-v1.1.json", "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9"),
}


VERSION = datasets.Version("1.0.0")


class SquadLong(LongBuilder):
    """Splits train and validation; with `data_files`, the splits that it names."""

    VERSION = VERSION
    RELEASE_NOTES: ClassVar = {"1.0.0": "SQuAD v1.1 with every answer_start right after concatenation."}
    BUILDER_CONFIGS: ClassVar = [LongConfig(name="squad", version=VERSION)]
    DEFAULT_CONFIG_NAME = "squad"
    URL = URL

    def _info(self) -> datasets.DatasetInfo:
        # `datasets` sets a user's keywords after the config is made, so its constructor cannot check them.
        # This runs before the cache is read.
        self.config.check()
        return datasets.DatasetInfo(
            description=__doc__,
            features=datasets.Features(FEATURES),
            homepage="https://rajpurkar.github.io/SQuAD-explorer/",
            license="cc-by-sa-4.0",
            citation=CITATION,
        )

    def _official_files(self):
        return {split: [File(name, sha256)] for split, (name, sha256) in SOURCES.items()}
