"""Real paragraphs that generated sentences are laid among, and how long the two are together.

`terms` and `babi_far` share it. The paragraphs are those of any file in SQuAD's format; without one, XQuAD's official
file of the language for the split validation, SQuAD's training articles for English training, and the sample corpus for
Swedish. The two splits never share a paragraph: XQuAD's file is refused as the background of training.
"""

import glob
import hashlib
import random
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from foundation.cli import UserError, one_line

from .concat import CorpusError

SEPARATOR = "\n\n"
SPECIAL_TOKENS = 8  # room for the tokens that a model puts around a question and a document

# Characters of one of XLM-R's tokens: the mean over XQuAD's paragraphs (Swedish: over the sample corpus).
CHARACTERS_A_TOKEN = {
    "ar": 3.28, "de": 4.29, "el": 3.49, "en": 4.31, "es": 4.30, "hi": 3.43, "ro": 3.97, "ru": 4.00, "sv": 3.74,
    "th": 3.56, "tr": 4.18, "vi": 3.86, "zh": 1.48,
}  # fmt: skip

Counter = Callable[[str], int]


def token_counter(tokenizer: Any, language: str) -> Counter:
    """What counts a text's tokens: `tokenizer` (loaded, a Hub id or a folder), or XLM-R's estimated without one."""
    if tokenizer is None:
        rate = CHARACTERS_A_TOKEN.get(language, 4.0)
        return lambda text: -int(-len(text) // rate)
    if isinstance(tokenizer, str | Path):
        return _named_counter(str(tokenizer))
    return _counter(tokenizer)


@cache
def _named_counter(name: str) -> Counter:
    """One for all data sets of a run: they share their backgrounds, and a text is counted once."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"tokenizer {name!r} cannot be loaded ({one_line(error)}): give a Hub id or a folder"
        ) from error
    return lru_cache(maxsize=50_000)(_counter(tokenizer))


def _counter(tokenizer: Any) -> Counter:
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class Background:
    """Paragraphs in the order of their file, and the tokens of each."""

    def __init__(self, texts: Sequence[str], count: Counter, source: str) -> None:
        self.texts = list(dict.fromkeys(text for text in texts if text.strip()))
        self.count = count
        self.cost = cache(count)  # for sentences that come in many rows
        self.source = source
        self.lengths = [count(text + SEPARATOR) for text in self.texts]

    def check(self, tokens: int | None, paragraphs: int | None) -> None:
        """Refuse what is too little for one document."""
        size = f"background {self.source!r} has {len(self.texts)} paragraphs of {sum(self.lengths):,} tokens together"
        if paragraphs is not None and paragraphs > len(self.texts):
            raise UserError(f"{size}, too few for paragraphs={paragraphs}: give a longer file, or fewer paragraphs")
        if tokens is not None and tokens > sum(self.lengths):
            raise UserError(f"{size}, too few for tokens={tokens}: give a longer file, or fewer tokens")

    def draw(self, rng: random.Random, room: int | None, paragraphs: int | None) -> list[str]:
        """Consecutive paragraphs from a random one on (the first follows the last).

        Either `paragraphs` of them, or what fits into `room` tokens: at the end longer ones are passed over, so that
        less than the file's shortest paragraph stays free.
        """
        first = rng.randrange(len(self.texts))
        order = [(first + number) % len(self.texts) for number in range(len(self.texts))]
        if room is None:
            return [self.texts[number] for number in order[:paragraphs]]
        drawn = []
        shortest = min(self.lengths)
        for number in order:
            if self.lengths[number] <= room:
                drawn.append(self.texts[number])
                room -= self.lengths[number]
            if room < shortest:
                break
        return drawn


def read_background(background: Any, language: str, split: str, count: Counter) -> Background:
    """The paragraphs of the default files for None; of a file, several, or a folder of official files.

    A path may be a pattern, and `{language}` in it stands for the language.

    Raises:
        UserError: a file that is not there or not in SQuAD's format, or none of the split's own for this language.
    """
    from .squad_format import check_sha256, read_paragraphs  # here, because it imports `datasets`, which takes seconds
    from .xquad_long import SOURCES

    files = _files(background, language, split)
    texts = []
    for file, sha256 in files:
        path = Path(file).expanduser()
        if not path.is_file():
            raise UserError(f"background {str(file)!r} is not a file: check the path")
        content = path.read_bytes()
        try:
            if sha256 is not None:
                check_sha256(content, sha256, str(file))
            texts += [paragraph.context for paragraph in read_paragraphs(content, str(file))]
        except CorpusError as error:
            raise UserError(f"background {error}") from None
        if split == "train" and hashlib.sha256(content).hexdigest() in SOURCES.values():
            raise UserError(
                f"background {str(file)!r} is XQuAD's, which the split validation is made of: give another for train"
            )
    if not texts:
        raise UserError(f"background {str(files[0][0])!r} holds no paragraph: give another file")
    return Background(texts, count, ", ".join(str(file) for file, _ in files))


def _files(background: Any, language: str, split: str) -> list[tuple[Path, str | None]]:
    """Each file with the SHA-256 that it must have, where it is an official one."""
    if background is None:
        return [_default(language, split)]
    if isinstance(background, str | Path):
        folder = Path(str(background).replace("{language}", language)).expanduser()
        if not folder.is_dir():
            files = [] if folder.is_file() else sorted(map(Path, glob.glob(str(folder))))
            return [(file, None) for file in files or [folder]]
        name = _official_name(language, split)
        found = sorted(folder.glob(f"{name.removesuffix('.json')}*.json"))
        if not found:
            raise UserError(f"background {str(background)!r} has no {name}: give a SQuAD-format file, or add that one")
        return [(found[0], None)]
    if not background:
        raise UserError("background [] names no file: give one or more, or leave it out")
    return [(Path(file), None) for file in background]


def _official_name(language: str, split: str) -> str:
    from . import squad_long, xquad_long

    if split == "validation" and language in xquad_long.SOURCES:
        return f"xquad.{language}.json"
    if split == "train" and language == "en":
        return squad_long.SOURCES["train"][0]
    raise UserError(
        f"background: there is no official file of {language!r} for the split {split}: give a SQuAD-format file in "
        "that language"
    )


def _default(language: str, split: str) -> tuple[Path, str | None]:
    if split == "validation" and language == "sv":
        return Path(__file__).with_name("sample") / "sample.sv.json", None
    import datasets

    from . import squad_long, xquad_long

    name = _official_name(language, split)
    if split == "train":
        url, sha256 = squad_long.URL + name, squad_long.SOURCES["train"][1]
    else:
        url, sha256 = xquad_long.URL + name, xquad_long.SOURCES[language]
    try:
        return Path(datasets.DownloadManager().download(url)), sha256
    except (ConnectionError, FileNotFoundError) as error:
        raise UserError(
            f"{url} cannot be reached ({one_line(error)}): check the connection, or give a local background"
        ) from error
