"""Question-answering files on this machine: which ones are meant, the language of each, and what is in them."""

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.cli import UserError

from .sources import LANGUAGES

DataFiles = str | Path | Sequence[str] | Mapping[str, Any]
# The two-letter codes of ISO 639-1, since not every two letters in a name are a language (`train.qa.json`).
ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv "
    "ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne "
    "ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st "
    "su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
FORMATS = r"(\.(json|jsonl|csv|tsv|txt|parquet|ndjson))?(\.gz)?$"


def paths_of(data_files: DataFiles, split: str, flag: str = "--data_files") -> list[Path]:
    """The files that `data_files`, said by `flag`, names for `split`, patterns resolved."""
    if isinstance(data_files, Mapping):
        if split not in data_files:
            raise UserError(f"{flag} names no file for the split {split!r}: it has {', '.join(data_files)}")
        data_files = data_files[split]
    patterns = [data_files] if isinstance(data_files, str | Path) else list(data_files)
    paths: list[Path] = []
    for pattern in map(str, patterns):
        literal = Path(pattern).expanduser()
        if literal.is_dir():
            raise UserError(f"{flag} {pattern!r} is a folder: give the files in it, {str(literal / '*')!r}")
        found = [literal] if literal.is_file() else [Path(path) for path in sorted(glob.glob(str(literal)))]
        if not any(path.is_file() for path in found):
            what = "matches no file" if set("*?[") & set(pattern) else "is not a file"
            raise UserError(f"{flag} {pattern!r} {what}: check the path")
        paths += [path for path in found if path.is_file()]
    return paths


def language_in_name(path: str | Path) -> str | None:
    """`de` for `xquad.de.json`, `de.mlqa.json`, `my-de.csv.gz` and `test-context-de-question-en.json`; `en-fr` for
    `en-fr.afriqa.json`, whose texts are in either; None for `my_qa.json`."""
    return _name_and_language(path)[1]


def name_without_language(path: str | Path) -> str:
    """`mlqa` for `de.mlqa.json` and `en.mlqa.json.gz`: what the files of one data set are all called."""
    return _name_and_language(path)[0]


def _name_and_language(path: str | Path) -> tuple[str, str | None]:
    stem = re.sub(FORMATS, "", Path(path).name, flags=re.IGNORECASE)
    if match := re.search(r"context-([a-z]{2})-question(-[a-z]{2})?", stem):
        return stem.replace(match[0], "context-question"), match[1]
    if (match := re.search(r"\.([a-z]{2})$", stem)) and match[1] in ISO_639_1.split():
        return stem[: match.start()], match[1]
    match = re.search(r"[_-]([a-z]{2})$", stem)
    if match and match[1] in LANGUAGES.split():
        return stem[: match.start()], match[1]
    match = re.match(r"([a-z]{2}(?:-[a-z]{2})*)\.(?=.)", stem)
    # `my.questions.json` means somebody's own questions, and not Burmese ones.
    if match and match[1] != "my" and all(code in ISO_639_1.split() for code in match[1].split("-")):
        return stem[match.end() :], match[1]
    return stem, None
