"""The text of an RTF file, by striprtf."""

from pathlib import Path

from .found import Found, unreadable


def read(path: Path) -> Found:
    from striprtf.striprtf import rtf_to_text

    data = path.read_bytes()
    if not data.lstrip()[:5].startswith(b"{\\rtf"):
        raise unreadable(path, "file_damaged")
    found = Found(pieces=[rtf_to_text(data.decode("latin-1"), errors="replace")])
    found.unread["pictures"] = data.count(b"\\pict")
    return found
