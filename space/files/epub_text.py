"""The text of an e-book in its reading order. Structure: EPUB 3.3 (container, package document)."""

from pathlib import Path

from . import html_text
from .found import Found, unreadable
from .package import Package, inside

_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_OPF = "{http://www.idpf.org/2007/opf}"
_ENCRYPTED = "{http://www.w3.org/2001/04/xmlenc#}EncryptionMethod"
# These scramble only fonts. The text of such a book is free to read.
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def read(path: Path) -> Found:
    package = Package(path)
    if "META-INF/encryption.xml" in package.names:
        methods = {node.get("Algorithm") for node in package.xml("META-INF/encryption.xml").iter(_ENCRYPTED)}
        if methods - set(_FONTS):
            raise unreadable(path, "file_copying")
    root = package.xml("META-INF/container.xml").find(f".//{_CONTAINER}rootfile").get("full-path")
    book = package.xml(root)
    folder = root.rpartition("/")[0]
    parts = {item.get("id"): item.get("href") for item in book.iter(f"{_OPF}item")}
    found = Found()
    for reference in book.iter(f"{_OPF}itemref"):
        name = inside(folder, parts.get(reference.get("idref"), ""))
        if name in package.names:
            html_text.add(package.read(name).decode("utf-8", errors="replace"), found)
        if found.full:
            break
    return found
