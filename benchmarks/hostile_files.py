"""Files that a stranger might send to bring a page down; used by benchmarks/space_load.py and by the tests."""

import zipfile
from pathlib import Path


def zip_bomb(path: Path, megabytes: int = 210) -> Path:
    """One letter, `megabytes` of it, where the text of a docx should be; a thousandth of that on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        for _ in range(megabytes):
            part.write(b"a" * 2**20)
    return path


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
