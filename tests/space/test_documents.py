"""Files in, text out; and every file that a stranger might send is answered with a sentence."""

import io
import json
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import docx
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.pdfgen import canvas

from benchmarks.hostile_files import many_pages, zip_bomb
from foundation.cli import UserError
from space import documents
from space.documents import clean, parse, read_document


def pdf(path: Path, *pages: str) -> Path:
    """A PDF whose pages hold these lines."""
    page = canvas.Canvas(str(path))
    for text in pages:
        for number, line in enumerate(text.split("\n")):
            page.drawString(72, 760 - 16 * number, line)
        page.showPage()
    page.save()
    return path


def word(path: Path) -> Path:
    document = docx.Document()
    document.add_heading("Resan", 1)
    document.add_paragraph("Tåget gick klockan åtta.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip((c for row in table.rows for c in row.cells), ("Stad", "Tid", "Lund", "9:40"), strict=True):
        cell.text = text
    document.add_paragraph("Slut.")
    document.save(str(path))
    return path


@pytest.mark.parametrize("suffix", [".txt", ".md", ".TXT"])
def test_text_keeps_its_characters(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes("\ufeffÅäö\r\n\r\n\r\n\r\n水 – العربية\n".encode())
    assert read_document(file).text == "Åäö\n\n水 – العربية"


def test_utf_16_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("Göteborg", encoding="utf-16")
    assert read_document(tmp_path / "a.txt").text == "Göteborg"


def test_pdf_pages_become_text(tmp_path):
    file = read_document(pdf(tmp_path / "a.pdf", "The first page\nhas two lines.", "The second."))
    assert file.text == "The first page\nhas two lines.\n\nThe second."
    assert (file.kind, file.pages, file.notes) == ("pdf", 2, ())


def test_pdf_with_some_empty_pages_says_so(tmp_path):
    assert read_document(pdf(tmp_path / "a.pdf", "Text.", "", "")).notes == (
        "2 of 3 pages hold no text, perhaps pictures.",
    )


def test_docx_paragraphs_and_tables_come_in_order(tmp_path):
    assert (
        read_document(word(tmp_path / "a.docx")).text
        == "Resan\n\nTåget gick klockan åtta.\n\nStad\tTid\nLund\t9:40\n\nSlut."
    )


def test_docx_loses_no_text_that_a_reader_of_it_sees(tmp_path):
    """Tracked insertions, content controls, nested tables and merged cells; not what was deleted."""
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    document = docx.Document()
    paragraph = document.add_paragraph("The treaty was signed in ")
    for part in (
        "<w:ins {0}><w:r><w:t>Lund</w:t></w:r></w:ins>",
        "<w:del {0}><w:r><w:delText>Malmö</w:delText></w:r></w:del>",
    ):
        paragraph._p.append(parse_xml(part.format(nsdecls("w"))))
    inside = "<w:p><w:r><w:t>In a</w:t><w:tab/><w:t>control.</w:t></w:r></w:p>"
    paragraph._p.addnext(parse_xml(f"<w:sdt {nsdecls('w')}><w:sdtContent>{inside}</w:sdtContent></w:sdt>"))
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(1, 0)).text = "both rows"
    table.cell(0, 1).text = "upper"
    inner = table.cell(1, 1).add_table(rows=1, cols=2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "inner", "table"
    document.save(str(tmp_path / "a.docx"))
    text = read_document(tmp_path / "a.docx").text
    assert text.startswith("The treaty was signed in Lund\n\nIn a\tcontrol.\n\nboth rows\tupper\n")
    assert "inner\ttable" in text and text.count("both rows") == 1 and "Malmö" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="ceilings on address space are Linux's")
def test_a_lower_ceiling_than_ours_does_not_make_a_file_damaged(tmp_path):
    (tmp_path / "a.txt").write_text("Hej")
    command = f"ulimit -v 1500000; exec {sys.executable} -m space.documents {tmp_path / 'a.txt'}"
    lower = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert lower.returncode == 0 and json.loads(lower.stdout)["text"] == "Hej"


def test_the_child_gets_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "a.txt").write_text("Hej")
    seen, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: seen.append(k["env"]) or run(*a, **k))
    assert read_document(tmp_path / "a.txt").text == "Hej"
    assert "HF_TOKEN" not in seen[0] and "PATH" in seen[0]


def test_blanks_by_the_hundred_thousand_cost_no_time(tmp_path):
    (tmp_path / "a.txt").write_text("a" + " " * 900_000 + "b\n")
    assert len(parse(tmp_path / "a.txt").text) == 900_002


def test_without_the_library_for_it_an_encrypted_pdf_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(path):
        raise pypdf.errors.DependencyError("cryptography is required")

    monkeypatch.setattr("pypdf.PdfReader", refuse)
    with pytest.raises(UserError, match="is protected by a password"):
        parse(encrypted_pdf(tmp_path / "a.pdf", ""))


def encrypted_pdf(path: Path, user_password: str) -> Path:
    writer = pypdf.PdfWriter(clone_from=pdf(path.with_name("plain.pdf"), "Secret text."))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="AES-256")
    writer.write(path)
    return path


def lying_zip_bomb(path: Path) -> Path:
    """The same, with sizes in its directory that claim 10 bytes."""
    data = zip_bomb(path).read_bytes()
    size = (210 * 2**20).to_bytes(4, "little")
    assert size in data
    path.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    return path


def entity_bomb(path: Path) -> Path:
    """A real docx whose XML declares a billion laughs."""
    source = word(path.with_name("plain.docx"))
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{entities}]>'
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == "word/document.xml":
                text = data.decode().split("?>", 1)[1].replace("Slut.", "&l9;")
                data = (bomb + text).encode()
            new.writestr(entry, data)
    return path


def pdf_bomb(path: Path) -> Path:
    """A page whose content inflates to 100 MB of spaces."""
    pack = zlib.compressobj(9)
    stream = b"".join(pack.compress(b" " * 2**20) for _ in range(100)) + pack.flush()
    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(99, 99)
    content = pypdf.generic.StreamObject()
    content._data = stream
    content[pypdf.generic.NameObject("/Filter")] = pypdf.generic.NameObject("/FlateDecode")
    page[pypdf.generic.NameObject("/Contents")] = writer._add_object(content)
    writer.write(path)
    return path


def binary(data: bytes):
    def write(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return write


ATTACKS = [
    ("a.exe", binary(b"MZ"), "is none of .txt, .md, .pdf, .docx"),
    ("a.txt", binary(b""), "holds no text"),
    ("a.txt", binary("Malmö".encode("latin-1")), "is not UTF-8 text"),
    ("a.txt", binary(b"a\0b\0c\0"), "is not text"),
    ("a.txt", binary(b"x" * 1_000_001), "holds 1,000,001 characters, more than 1,000,000"),
    ("a.pdf", binary(b"<html>"), "is not a PDF"),
    ("a.pdf", binary(b"%PDF-1.7\n garbage"), "is damaged or not a real pdf file"),
    ("a.pdf", lambda path: pdf(path, "", ""), "holds pictures of pages and no text: run text recognition (OCR)"),
    ("a.pdf", lambda path: encrypted_pdf(path, "secret"), "is protected by a password: save a copy without one"),
    ("a.pdf", many_pages, "has 10,000 pages, more than 2,000"),
    ("a.pdf", pdf_bomb, "holds pictures of pages and no text"),  # pypdf stops unpacking at its own limit
    ("a.docx", binary(b"\xd0\xcf\x11\xe0\xa1\xb1"), "is protected by a password or in Word's old format"),
    ("a.docx", binary(b"PK\x03\x04 no zip"), "is not a docx file"),
    ("a.docx", zip_bomb, "unpacks to 210 MB"),
    ("a.docx", lying_zip_bomb, "is damaged or not a real docx file"),
    ("a.docx", entity_bomb, "is damaged or not a real docx file"),
]


@pytest.mark.parametrize(("name", "make", "sentence"), ATTACKS, ids=[sentence for *_, sentence in ATTACKS])
def test_a_bad_file_is_answered_with_a_sentence(tmp_path, name, make, sentence):
    read = read_document if "damaged" in sentence else parse  # a child costs half a second; a parser's crash needs one
    with pytest.raises(UserError) as error:
        read(make(tmp_path / name))
    assert sentence in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pdf_that_only_forbids_printing_is_read(tmp_path):
    assert read_document(encrypted_pdf(tmp_path / "a.pdf", "")).text == "Secret text."


def test_a_file_over_the_limit_is_not_even_opened(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    with file.open("wb") as stream:
        stream.truncate(documents.MAX_FILE_BYTES + 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match="has 20,971,521 bytes, more than 20,971,520"):
        read_document(file)


def test_a_file_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_SECONDS", 0.01)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UserError, match="takes longer than"):
        read_document(tmp_path / "a.txt")


def test_long_and_odd_names_are_shown_short_and_plain(tmp_path):
    file = tmp_path / ("n" * 200 + "\x1b[31m.txt")
    file.write_bytes(b"")
    with pytest.raises(UserError) as error:
        read_document(file)
    assert len(str(error.value)) < 120
    assert "\x1b" not in str(error.value)


@settings(deadline=None)
@given(st.text())
def test_cleaning_moves_no_offset_and_is_done_once(text):
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert clean(cleaned) == cleaned
    cleaned.encode()
    assert all(old == new or not old.isprintable() for old, new in zip(text, cleaned, strict=True))


def test_lone_surrogates_are_replaced():
    assert clean("a\ud800b") == "a\ufffdb"


def test_command_line_prints_json_and_refuses_in_a_sentence(tmp_path):
    (tmp_path / "a.txt").write_text("Hej")
    command = [sys.executable, "-m", "space.documents"]
    good = subprocess.run([*command, tmp_path / "a.txt"], capture_output=True, text=True)
    assert json.loads(good.stdout) == {"text": "Hej", "kind": "text", "pages": None, "notes": []}
    bad = subprocess.run([*command, tmp_path / "none.txt"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == f"error: {tmp_path}/none.txt does not exist: check the path\n"


def test_parse_is_what_the_child_does(tmp_path):
    file = word(tmp_path / "a.docx")
    assert parse(file) == read_document(file)
    assert io.BytesIO(file.read_bytes()).read(2) == b"PK"
