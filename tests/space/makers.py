"""Small files of every kind that the page reads, made by hand where a library would add what a test is about."""

import zipfile
from pathlib import Path

import docx
import openpyxl
import pypdf
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from reportlab.pdfgen import canvas

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def pdf(path: Path, *pages: str) -> Path:
    """A PDF whose pages hold these lines."""
    page = canvas.Canvas(str(path))
    for text in pages:
        for number, line in enumerate(text.split("\n")):
            page.drawString(72, 760 - 16 * number, line)
        page.showPage()
    page.save()
    return path


def encrypted_pdf(path: Path, user_password: str) -> Path:
    writer = pypdf.PdfWriter(clone_from=pdf(path.with_name("plain.pdf"), "Secret text."))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="AES-256")
    writer.write(path)
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


def whole_word(path: Path) -> Path:
    """All that may stand on a page: notes, header, footer, text box, equation, comment, deletion."""
    plain = docx.Document()
    plain.sections[0].header.paragraphs[0].text = "Annual report 2024"
    plain.sections[0].footer.paragraphs[0].text = "Printed in Lund"
    paragraph = plain.add_paragraph("Revenue was 5 million")
    space = nsdecls("w")
    for part in (
        f"<w:r {space}><w:footnoteReference w:id='2'/></w:r>",
        f"<w:r {space}><w:t xml:space='preserve'> in total.</w:t></w:r>",
        f"<w:r {space}><w:endnoteReference w:id='2'/></w:r>",
        f"<w:del {space}><w:r><w:delText>Never said.</w:delText></w:r></w:del>",
        "<m:oMath xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'><m:r><m:t>E=mc2</m:t></m:r></m:oMath>",
    ):
        paragraph._p.append(parse_xml(part))
    box = f"<w:txbxContent {space}><w:p><w:r><w:t>In the box.</w:t></w:r></w:p></w:txbxContent>"
    alternatives = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    paragraph._p.append(
        parse_xml(
            f"<w:r {space}><mc:AlternateContent xmlns:mc='{alternatives}'><mc:Choice Requires='wps'><w:drawing>{box}"
            f"</w:drawing></mc:Choice><mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
        )
    )
    plain.add_paragraph("The end.")
    plain.save(str(path.with_name("plain.docx")))

    def notes(kind: str, text: str) -> str:
        separator = f'<w:{kind} w:type="separator" w:id="-1"><w:p><w:r><w:t>none</w:t></w:r></w:p></w:{kind}>'
        note = f'<w:{kind} w:id="2"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:{kind}>'
        return f"<w:{kind}s {space}>{separator}{note}</w:{kind}s>"

    comment = (
        f'<w:comments {space}><w:comment w:id="0"><w:p><w:r><w:t>Check.</w:t></w:r></w:p></w:comment></w:comments>'
    )
    added = {
        "word/footnotes.xml": ("footnotes", notes("footnote", "Of which 3 million abroad.")),
        "word/endnotes.xml": ("endnotes", notes("endnote", "Audited by Hall.")),
        "word/comments.xml": ("comments", comment),
    }
    with zipfile.ZipFile(path.with_name("plain.docx")) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == "word/_rels/document.xml.rels":
                links = "".join(
                    f'<Relationship Id="x{kind}" Type="{OFFICE}/{kind}" Target="{name.removeprefix("word/")}"/>'
                    for name, (kind, _) in added.items()
                )
                data = data.replace(b"</Relationships>", links.encode() + b"</Relationships>")
            new.writestr(entry, data)
        for name, (_, text) in added.items():
            new.writestr(name, text)
    return path


def epub(path: Path, *chapters: str, order: list[int] | None = None) -> Path:
    items = "".join(f'<item id="c{i}" href="text/c%20{i}.xhtml"/>' for i in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in order or range(len(chapters)))
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        package = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
        book.writestr("OEBPS/book.opf", package)
        for i, text in enumerate(chapters):
            head = '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml">'
            book.writestr(f"OEBPS/text/c {i}.xhtml", f"{head}<body>{text}</body></html>")
    return path


def odt(path: Path, body: str, styles: str = "", manifest: str = "") -> Path:
    names = " ".join(
        f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
        for short, long in {"office": "office", "text": "text", "table": "table", "draw": "drawing", "style": "style",
                            "manifest": "manifest"}.items()
    )  # fmt: skip
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        content = f"<office:body><office:text>{body}</office:text></office:body>"
        file.writestr("content.xml", f"<office:document-content {names}>{content}</office:document-content>")
        if styles:
            file.writestr("styles.xml", f"<office:document-styles {names}>{styles}</office:document-styles>")
        if manifest:
            file.writestr("META-INF/manifest.xml", f"<manifest:manifest {names}>{manifest}</manifest:manifest>")
    return path


def pptx(path: Path, *slides: str, notes: dict[int, str] | None = None) -> Path:
    """Slides of raw shapes; `notes` by slide number from 0 on."""
    space = (
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
        f'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:r="{OFFICE}"'
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("_rels/.rels", relations(("r1", "officeDocument", "ppt/presentation.xml")))
        links = [(f"s{i}", "slide", f"slides/slide{i}.xml") for i in range(len(slides))]
        file.writestr("ppt/_rels/presentation.xml.rels", relations(*links))
        listed = "".join(f'<p:sldId r:id="s{i}"/>' for i in range(len(slides)))
        file.writestr(
            "ppt/presentation.xml", f"<p:presentation {space}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>"
        )
        for i, shapes in enumerate(slides):
            file.writestr(f"ppt/slides/slide{i}.xml", f"<p:sld {space}>{shapes}</p:sld>")
            if note := (notes or {}).get(i):
                link = relations(("n", "notesSlide", f"../notesSlides/n{i}.xml"))
                file.writestr(f"ppt/slides/_rels/slide{i}.xml.rels", link)
                file.writestr(f"ppt/notesSlides/n{i}.xml", f"<p:notes {space}>{shape(note)}{shape(str(i))}</p:notes>")
    return path


def relations(*links: tuple[str, str, str]) -> str:
    entries = "".join(f'<Relationship Id="{i}" Type="{OFFICE}/{kind}" Target="{to}"/>' for i, kind, to in links)
    return f'<Relationships xmlns="{PACKAGE}">{entries}</Relationships>'


def shape(*paragraphs: str) -> str:
    """One text box of a slide."""
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in paragraphs)
    return f"<p:sp><p:txBody>{lines}</p:txBody></p:sp>"


def xlsx(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path
