"""Files in, text out; and every file that a stranger might send is answered with a sentence."""

import contextlib
import io
import json
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import hostile_files
from benchmarks.hostile_files import many_pages, zip_bomb
from foundation.cli import UserError
from space import documents
from space.documents import clean, parse, read_document
from space.words import words

from . import makers
from .makers import encrypted_pdf, pdf, word


@pytest.mark.parametrize("suffix", [".txt", ".md", ".TXT"])
def test_text_keeps_its_characters(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes("\ufeffÅäö\r\n\r\n\r\n\r\n水 – العربية\n".encode())
    assert read_document(file).text == "Åäö\n\n水 – العربية"


def test_utf_16_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("Göteborg", encoding="utf-16")
    assert read_document(tmp_path / "a.txt").text == "Göteborg"


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


def lying_zip_bomb(path: Path) -> Path:
    """The same, with sizes in its directory that claim 10 bytes."""
    data = zip_bomb(path).read_bytes()
    size = (210 * 2**20).to_bytes(4, "little")
    assert size in data
    path.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    return path


def real(path: Path) -> Path:
    """An ordinary file of the kind that the path names, which says "harmless"."""
    return {
        ".docx": lambda: word_with(path, "harmless"),
        ".xlsx": lambda: makers.xlsx(path, {"Sheet": [["harmless"]]}),
        ".pptx": lambda: makers.pptx(path, makers.shape("harmless")),
        ".odt": lambda: makers.odt(path, "<text:p>harmless</text:p>"),
        ".epub": lambda: makers.epub(path, "<p>harmless</p>"),
    }[path.suffix]()


def word_with(path: Path, text: str) -> Path:
    import docx

    document = docx.Document()
    document.add_paragraph(text)
    document.save(str(path))
    return path


PACKAGES = (".docx", ".xlsx", ".pptx", ".odt", ".epub")


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
    ("a.txt", binary(b""), "holds no text"),
    ("a.txt", binary(b"\x81\xff\0" * 50), "is not text in any encoding"),
    ("a.txt", binary(b"a\0b\0c\0"), "is not text"),
    ("a.pdf", binary(b"<html>"), "not a real pdf file: save it again as pdf"),
    ("a.pdf", binary(b"%PDF-1.7\n garbage"), "is damaged or not a real pdf file"),
    ("a.pdf", lambda path: pdf(path, "", ""), "holds pictures of pages and no text: run text recognition (OCR)"),
    ("a.pdf", lambda path: encrypted_pdf(path, "secret"), "is protected by a password: save a copy without one"),
    ("a.pdf", many_pages, "has 10,000 pages, more than 2,000"),
    ("b.pdf", pdf_bomb, "holds pictures of pages and no text"),  # pypdf stops unpacking at its own limit
    ("c.odt", lying_zip_bomb, "is damaged or not a real odt file"),
    ("a.html", binary(b"<div>" * 500_000 + b"x"), ""),
    ("a.html", binary(b"<script>only()</script>"), "holds no text"),
    ("a.rtf", binary(b"no rtf"), "not a real rtf file"),
    ("b.rtf", binary(b"{\\rtf1 " + b"{" * 500_000), ""),
    ("a.csv", binary(b'"' + b"a," * 5_000_000), ""),
    ("a.csv", binary(b"\n" * 1_000_000), "holds no text"),
    *(
        (f"a{kind}", binary(b"\xd0\xcf\x11\xe0\xa1\xb1"), "is protected by a password or in an old format")
        for kind in PACKAGES
    ),
    *((f"b{kind}", binary(b"PK\x03\x04 no zip"), f"not a real {kind[1:]} file") for kind in PACKAGES),
    *((f"c{kind}", zip_bomb, "unpacks to 210 MB") for kind in PACKAGES),
    *((f"d{kind}", hostile_files.many_parts, "holds 20,000 parts") for kind in PACKAGES),
]


@pytest.mark.parametrize(
    ("name", "make", "sentence"), ATTACKS, ids=[f"{name} {sentence[:30]}" for name, _, sentence in ATTACKS]
)
def test_a_bad_file_is_answered_with_a_sentence(tmp_path, name, make, sentence):
    # A child process costs half a second. Only where a parser may crash is it needed.
    read = read_document if "damaged" in sentence or not sentence else parse
    if not sentence:  # it may be read or refused, but our code must not crash
        with contextlib.suppress(UserError):
            assert read(make(tmp_path / name)).text
        return
    with pytest.raises(UserError) as error:
        read(make(tmp_path / name))
    assert sentence in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", PACKAGES)
def test_entities_bring_nothing_in(tmp_path, kind):
    """A billion laughs, and a file of the machine: refused, or read without them."""
    secret = tmp_path / "secret.txt"
    secret.write_text("of the machine")
    source = real(tmp_path / f"source{kind}")
    assert "harmless" in parse(source).text
    laughs = hostile_files.with_declaration(
        tmp_path / f"laughs{kind}", source, hostile_files.billion_laughs(), "&l9;", "harmless"
    )
    outside = hostile_files.with_declaration(
        tmp_path / f"outside{kind}", source, hostile_files.file_of_the_machine(secret), "x &file;", "harmless"
    )
    for file in (laughs, outside):
        try:
            text = read_document(file).text
        except UserError as error:
            assert f"is damaged or not a real {kind[1:]} file" in str(error) or "holds no text" in str(error)
        else:
            assert kind == ".epub"  # its pages are read as web pages, where a file cannot define entities
            assert "lollol" not in text and "of the machine" not in text


def test_macros_and_formulas_are_not_run_and_links_not_followed(tmp_path):
    with zipfile.ZipFile(real(tmp_path / "a.docx"), "a") as file:
        file.writestr("word/vbaProject.bin", b"Shell")
    assert read_document(tmp_path / "a.docx").text == "harmless"
    rows = [["=1+1", '=HYPERLINK("http://x/","a")', "='file:///etc/[passwd]x'!A1"], ["harmless"]]
    assert read_document(makers.xlsx(tmp_path / "a.xlsx", {"Sheet": rows})).text == "Sheet\nharmless"
    (tmp_path / "a.csv").write_text("=cmd|'/c calc'!A1,harmless\n")
    assert read_document(tmp_path / "a.csv").text == "=cmd|'/c calc'!A1\tharmless"
    html = "<link rel=stylesheet href=http://127.0.0.1:9/x><iframe src=file:///etc/passwd></iframe><p>harmless</p>"
    (tmp_path / "a.html").write_text(html)
    assert read_document(tmp_path / "a.html").text == "harmless"


def test_a_sheet_that_claims_to_be_vast_is_read_by_what_it_holds(tmp_path):
    source = makers.xlsx(tmp_path / "source.xlsx", {"Sheet": [["harmless"]]})
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as new:
        for entry in old.infolist():
            data = old.read(entry).replace(b'<dimension ref="A1"', b'<dimension ref="A1:XFD1048576"')
            data = data.replace(b'<row r="1"', b'<row r="1048576"').replace(b'r="A1"', b'r="XFD1048576"')
            new.writestr(entry, data)
    with contextlib.suppress(UserError):
        assert "harmless" in read_document(tmp_path / "a.xlsx").text


def test_a_pdf_that_only_forbids_printing_is_read(tmp_path):
    assert read_document(encrypted_pdf(tmp_path / "a.pdf", "")).text == "Secret text."


def test_a_file_over_the_limit_is_not_even_opened(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    with file.open("wb") as stream:
        stream.truncate(documents.MAX_FILE_BYTES + 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match=r"'a.txt' is larger than 20 MB"):
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
    assert json.loads(good.stdout) == {"text": "Hej", "kind": "txt", "pages": None, "notes": []}
    bad = subprocess.run([*command, tmp_path / "none.txt"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == f"error: {tmp_path}/none.txt does not exist: check the path\n"


def test_what_the_child_refused_is_said_in_the_visitors_language(tmp_path):
    with pytest.raises(UserError) as refused:
        read_document(many_pages(tmp_path / "a.pdf"))
    assert str(refused.value) == "'a.pdf' has 10,000 pages, more than 2,000: split it into parts"
    assert refused.value.said(words("de")) == "'a.pdf' hat 10.000 Seiten, mehr als 2.000: bitte teilen."
    assert refused.value.said(words("zh")) == "'a.pdf' 有 10,000 页，超过 2,000 页：请分成几部分。"


def test_a_child_that_ends_with_a_sentence_of_its_own_names_no_path(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("text")
    ended = subprocess.CompletedProcess([], 2, b"", b"error: no permission for /tmp/a.txt: choose another folder")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(UserError, match=r"^'a.txt' is damaged or not a real txt file"):
        read_document(tmp_path / "a.txt")


def test_parse_is_what_the_child_does(tmp_path):
    file = word(tmp_path / "a.docx")
    assert parse(file) == read_document(file)
    assert io.BytesIO(file.read_bytes()).read(2) == b"PK"
