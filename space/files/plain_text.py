"""Text files: in UTF-8 or UTF-16, else in the old encoding that they are likely to be in, and the page says which."""

import re
from pathlib import Path

from space.language import language

from .found import Found, tidy, unreadable

# Encodings that differ in a few letters, so that a guess often takes the wrong one. Then the language decides:
# _BY_LANGUAGE, else Windows-1252.
_LATIN = {"cp1250", "cp1252", "cp1254", "cp1257", "latin_1", "hp_roman8", "cp1258",
          *(f"iso8859_{n}" for n in (2, 3, 4, 9, 10, 13, 14, 15, 16))}  # fmt: skip
_BY_LANGUAGE = {**dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr", "bs", "ro", "sq"), "cp1250"), "tr": "cp1254",
                "az": "cp1254", **dict.fromkeys(("lt", "lv", "et"), "cp1257"), "vi": "cp1258"}  # fmt: skip
# Bytes that an encoding is guessed from. More take seconds and say little.
SAMPLE = 200_000


def read(path: Path) -> Found:
    found = Found()
    found.pieces.append(tidy(decode(path, found)))
    return found


def decode(path: Path, found: Found) -> str:
    """The characters of a file; a guess is noted."""
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = _guess(data, path, found)
    if "\0" in text or len(re.findall(r"[\x01-\x08\x0e-\x1a\x1c-\x1f]", text[:SAMPLE])) > len(text[:SAMPLE]) / 100:
        raise unreadable(path, "file_not_text")
    return text


def _guess(data: bytes, path: Path, found: Found) -> str:
    from charset_normalizer import from_bytes

    best = None if b"\0" in data[:SAMPLE] else from_bytes(data[:SAMPLE]).best()
    if best is None:
        raise unreadable(path, "file_encoding")
    encoding = _of_its_language(best.encoding, data)
    found.notes.append(("note_encoding", {"encoding": encoding.replace("cp125", "windows-125").replace("_", "-")}))
    return data.decode(encoding, errors="replace")


def _of_its_language(encoding: str, data: bytes) -> str:
    """Of the encodings that share most Latin letters, the one that the text's language was written in."""
    if encoding not in _LATIN:
        return encoding
    likely = _BY_LANGUAGE.get(language(data[:SAMPLE].decode(encoding, errors="replace")), "cp1252")
    try:
        data.decode(likely)
    except UnicodeDecodeError:
        return encoding
    return likely
