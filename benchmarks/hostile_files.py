"""Files that a stranger might send to bring a page down; used by benchmarks/space_load.py and by the tests."""

import zipfile
from pathlib import Path

# The part that holds the text, for each kind of file that is a zip of XML.
PARTS = {
    ".docx": "word/document.xml",
    ".xlsx": "xl/worksheets/sheet1.xml",
    ".pptx": "ppt/slides/slide0.xml",
    ".odt": "content.xml",
    ".epub": "OEBPS/text/c 0.xhtml",
}


def zip_bomb(path: Path, megabytes: int = 210) -> Path:
    """One letter, `megabytes` of it, where the text of the file should be; a thousandth of that on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(PARTS[path.suffix], "w") as part:
        for _ in range(megabytes):
            part.write(b"a" * 2**20)
    return path


def many_parts(path: Path, count: int = 20_000) -> Path:
    """A zip of `count` empty parts."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.xml", b"")
    return path


def with_declaration(path: Path, source: Path, declaration: str, reference: str, word: str) -> Path:
    """A copy of a real file whose text part declares a document type, and in which `reference` stands for `word`."""
    part = PARTS[path.suffix]
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        text = old.read(part).decode()
        text = text.split("?>", 1)[1] if text.startswith("<?xml") else text
        if word not in text:
            raise ValueError(f"{part} does not say {word!r}")
        text = text.replace("<!DOCTYPE html>", "").replace(word, reference)
        new.writestr(part, f'<?xml version="1.0"?>{declaration}{text}')
        for entry in old.infolist():
            if entry.filename != part:
                new.writestr(entry, old.read(entry))
    return path


def billion_laughs() -> str:
    """A document type whose entity &l9; is a billion times lol."""
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{entities}]>'


def file_of_the_machine(secret: Path) -> str:
    """A document type whose entity &file; is a file of the machine."""
    return f'<!DOCTYPE x [<!ENTITY file SYSTEM "{secret.as_uri()}">]>'


def many_pages(path: Path, count: int = 10_000) -> Path:
    """A PDF of `count` empty pages, written by hand: a library would take a minute."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = b" ".join(b"%d 0 R" % (3 + i) for i in range(count))
    objects.append(b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, kids))
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>"] * count
    chunks = [b"%PDF-1.4\n"]
    offsets, at = [], len(chunks[0])
    for number, content in enumerate(objects, start=1):
        chunk = b"%d 0 obj%sendobj\n" % (number, content)
        offsets.append(at)
        at += len(chunk)
        chunks.append(chunk)
    chunks.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    chunks += [b"%010d 00000 n \n" % offset for offset in offsets]
    chunks.append(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, at))
    path.write_bytes(b"".join(chunks))
    return path
