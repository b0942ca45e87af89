"""XQ3: XQuAD in 12 languages, each with consecutive paragraphs joined into long documents.

    datasets.load_dataset("org/xquad_long", nr_concats=3, trust_remote_code=True)          # all languages, datasets 3.6
    datasets.load_dataset("org/xquad_long", "de", nr_concats=3, trust_remote_code=True)    # one language
    hub_datasets.load_dataset("xquad_long", "de", nr_concats=3)                            # datasets 3.6, 5.x

The parameters are those of `ConcatOptions` in concat.py. Ids repeat from language to language, as in XQuAD: in the
configuration `all` a row is known by its id and its `language`.
"""

import re
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
@inproceedings{artetxe-etal-2020-cross,
    title = {On the Cross-lingual Transferability of Monolingual Representations},
    author = {Artetxe, Mikel and Ruder, Sebastian and Yogatama, Dani},
    booktitle = {Proceedings of ACL},
    year = {2020},
    url = {https://aclanthology.org/2020.acl-main.421},
}
"""

COMMIT = "7d30520c717524000f0d9d2f9c10a069acd9d285"
URL = f"https://raw.githubusercontent.com/google-deepmind/xquad/{COMMIT}/"
# Language: the SHA-256 of the official file xquad.<language>.json.
SOURCES = {
    "ar": "abdabd7afed5c635d99cca0f3f0d0c9d9ed0bc77451e963c2e4e0638c29e486d",
    "de": "990b5d746746ed65ed4702ea5f35f99ffa4e2f1c390c07d003642acd937916f9",
    "el": "821cf0f88e73fa258fd2f548b19b6ec39f7025059e16f6f9fc8cd797c9c3663e",
    "en": "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29",
    "es": "dcbae93ec3a9f4b9e78fd834a171d6f96c1a875e10e15b7530b7e4ef4971e37e",
    "hi": "df2cce3532b37e9beb8979704b5c9a4bf874358f105395a298b89427b43b9d24",
    "ro": "94f8d54e93ad2b7dd2e76dd921a666b5b8eff2d4379df9f179c42b445f09643f",
    "ru": "208d5b1aa154c52b1b5c5eda16281e455e8fd198cdb9af3f469f0d6037d973bf",
    "th": "5cdda11d0e1e075f7872abf4e6ae830388ce7f617964d542308e9ae4257e0f43",
    "tr": "92179a564774b7696100d144c1e10870d0a966b6fccbdd254a65b9d2ab1971cc",
    "vi": "f619a1eb11fb42d3ab0834259e488a65f585447ef6154437bfb7199d85161a04",
    "zh": "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835",
}


VERSION = datasets.Version("1.0.0")


class XquadLong(LongBuilder):
    """One split, validation (XQuAD has no other), in the configuration `all` or that of a language."""

    VERSION = VERSION
    RELEASE_NOTES: ClassVar = {"1.0.0": "XQuAD at commit 7d30520 with every answer_start right after concatenation."}
    BUILDER_CONFIGS: ClassVar = [LongConfig(name=name, version=VERSION) for name in ("all", *SOURCES)]
    DEFAULT_CONFIG_NAME = "all"
    URL = URL

    def _info(self) -> datasets.DatasetInfo:
        # `datasets` sets a user's keywords after the config is made, so its constructor cannot check them.
        # This runs before the cache is read.
        self.config.check()
        return datasets.DatasetInfo(
            description=__doc__,
            features=datasets.Features({**FEATURES, "language": datasets.Value("string")}),
            homepage="https://github.com/google-deepmind/xquad",
            license="cc-by-sa-4.0",
            citation=CITATION,
        )

    def _official_files(self):
        languages = SOURCES if self.config.name == "all" else [self.config.name]
        return {"validation": [File(f"xquad.{language}.json", SOURCES[language], language) for language in languages]}

    def _own_files(self, data_files):
        if list(data_files) == ["train"]:
            # `datasets` calls the split of a bare path "train". XQuAD has only "validation".
            data_files = {"validation": data_files["train"]}
        return super()._own_files(data_files)

    def _wanted(self, language):
        return self.config.name == "all" or language in (None, self.config.name)

    def _column(self, file, language):
        if self.config.name != "all":
            return self.config.name
        named = re.search(r"\.([a-z]{2,3})\.\w+(\.gz)?$", file.name)
        code = language or file.language or (named and named[1])
        if code is None:
            raise CorpusError(
                f"data_files {file.name!r} does not say its language, as xquad.de.json does: rename it, add a column "
                f"language, or name the language as the configuration ({', '.join(SOURCES)})"
            )
        return code
