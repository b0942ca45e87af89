"""A zip file of XML, as Word, LibreOffice, Excel, PowerPoint and e-books are: opened with care.

Nothing is unpacked to disk. Sizes are checked before anything is read, and zipfile reads no more than a part claims to
hold. XML is parsed without entities, without a document type and without the net, so that no bomb and no file of the
machine can come in through it; macros, formulas and links are never followed.
"""

import posixpath
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from .found import MAX_UNPACKED_BYTES, unreadable

MAX_PARTS = 10_000
_OLE = b"\xd0\xcf\x11\xe0"  # first bytes of encrypted files, and of files of Word 97 and its kin


class Package:
    """A zip file and its parts.

    Raises:
        VisitorError: not a zip file of this kind, encrypted, or larger inside than anything that would be read.
    """

    def __init__(self, path: Path):
        if path.open("rb").read(4) == _OLE:
            raise unreadable(path, "file_old")
        if not zipfile.is_zipfile(path):
            raise unreadable(path, "file_damaged")
        self.archive = zipfile.ZipFile(path)
        entries = self.archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > MAX_UNPACKED_BYTES:
            raise unreadable(path, "file_unpacked", size=round(unpacked / 2**20))
        if len(entries) > MAX_PARTS:
            raise unreadable(path, "file_parts", count=len(entries), most=MAX_PARTS)
        if any(entry.flag_bits & 1 for entry in entries):
            raise unreadable(path, "file_locked")
        self.names = {entry.filename for entry in entries}

    def read(self, name: str) -> bytes:
        return self.archive.read(name)

    def xml(self, name: str) -> Any:
        """The root element of a part."""
        return parse_xml(self.read(name))

    def declares(self) -> bool:
        """Whether a part declares a document type, as no Office file does: for readers with a parser of their own."""
        parts = (self.read(name) for name in self.names if name.endswith((".xml", ".rels")))
        return any(word in data for data in parts for word in (b"<!DOCTYPE", "<!DOCTYPE".encode("utf-16-le")))

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part of an Office file refers to inside the package: (kind, part) by reference."""
        folder, file = posixpath.split(name)
        relations = posixpath.join(folder, "_rels", f"{file}.rels")
        if relations not in self.names:
            return {}
        return {
            entry.get("Id", ""): (entry.get("Type", "").rsplit("/", 1)[-1], inside(folder, entry.get("Target", "")))
            for entry in self.xml(relations)
            if isinstance(entry.tag, str) and entry.get("TargetMode") != "External"
        }


def parse_xml(data: bytes) -> Any:
    """The root element of XML that declares nothing of its own."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
    root = etree.fromstring(data, parser)
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("a document type, which no such file has")
    return root


def inside(folder: str, target: str) -> str:
    """The part that `target` names, seen from a folder of the package."""
    path = unquote(target.split("#")[0])
    return posixpath.normpath(path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path))


def main_part(package: Package) -> str | None:
    """The part that an Office file begins with."""
    return next((part for kind, part in package.related("").values() if kind == "officeDocument"), None)
