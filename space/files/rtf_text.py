"""The text of an RTF file, by striprtf."""

from pathlib import Path

from foundation.cli import UserError

from .found import Found, name_of


def read(path: Path) -> Found:
    from striprtf.striprtf import rtf_to_text

    data = path.read_bytes()
    if not data.lstrip()[:5].startswith(b"{\\rtf"):
        raise UserError(f"{name_of(path)} is not a real rtf file: save it again as rtf, or paste its text")
    found = Found(pieces=[rtf_to_text(data.decode("latin-1"), errors="replace")])
    found.unread["pictures"] = data.count(b"\\pict")
    return found
