"""Each kind of file: its text in reading order, with all that stands on its pages."""

import datetime
from pathlib import Path

import docx
import openpyxl
import pytest

from foundation.cli import UserError
from space.documents import SUFFIXES, parse, read_document, told
from space.files.layout import join_pages
from space.files.tables import lines
from space.words import words

from . import makers


def notes(file) -> list[str]:
    return told(file.notes, words())


# PDF: pages, paragraphs, hyphens, running heads

REVIEW = [
    "THE HARBOUR REVIEW 12\nThe town of Gothenburg has a harbour that was built in 1850. It is\nsaid that Gothen-\n"
    "burg was poor and a well-known place. Many ships of a well-\nknown kind came.\n"
    "New paragraph begins here with a longer line than the rest of it\nand goes on across the page, since the har-\n1",
    "THE HARBOUR REVIEW 13\nbour was wide. Then it ended.\n2",
    "THE HARBOUR REVIEW 14\nA heading\nLast words.\n3",
    "",
    "THE HARBOUR REVIEW xvi\nThe end.\n4",
]


def test_lines_become_paragraphs_hyphens_are_mended_and_running_heads_go():
    assert join_pages(REVIEW) == (
        "The town of Gothenburg has a harbour that was built in 1850. It is said that Gothenburg was poor and a "
        "well-known place. Many ships of a well-known kind came.\n\n"
        "New paragraph begins here with a longer line than the rest of it and goes on across the page, since the "
        "harbour\fwas wide. Then it ended.\n\n\fA heading\nLast words.\n\n\f\fThe end."
    )


def test_a_line_that_repeats_within_the_text_stays():
    pages = [
        f"{word} is first.\n{word} is second.\nAnd the chorus comes.\n{word} is third.\nX{word}."
        for word in ("Red", "Blue", "Green")
    ]
    assert join_pages(pages).count("And the chorus comes.") == 3
    # Two pages are too few for a running head.
    assert join_pages(["Chapter 1", "Chapter 2"]) == "Chapter 1\n\n\fChapter 2"


def test_lines_of_a_script_without_spaces_are_joined_without_one():
    assert join_pages(["都江堰位于四川省成都平原西部的岷江上，是世界上至今仍在\n使用的最古老的水利工程之一。"]) == (
        "都江堰位于四川省成都平原西部的岷江上，是世界上至今仍在使用的最古老的水利工程之一。"
    )


def test_a_pdf_keeps_its_pages(tmp_path):
    file = read_document(makers.pdf(tmp_path / "a.pdf", "The first page\nhas two lines.", "", "The third."))
    assert file.text == "The first page has two lines.\n\n\f\fThe third."
    assert (file.kind, file.pages) == ("pdf", 3)
    assert notes(file) == ["1 of 3 pages hold no text, perhaps pictures."]


# Word


def test_docx_is_read_whole(tmp_path):
    file = read_document(makers.whole_word(tmp_path / "a.docx"))
    assert file.text == (
        "Annual report 2024\n\nRevenue was 5 million in total.E=mc2\n\nIn the box.\n\nOf which 3 million abroad.\n\n"
        "Audited by Hall.\n\nThe end.\n\nPrinted in Lund"
    )
    assert notes(file) == ["Not read: deleted passages (1), comments (1)."]


def test_docx_tables_come_row_by_row_with_their_headings(tmp_path):
    assert read_document(makers.word(tmp_path / "a.docx")).text == (
        "Resan\n\nTåget gick klockan åtta.\n\nStad\tTid\nStad: Lund; Tid: 9:40\n\nSlut."
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
    table.cell(0, 1).text = "17"
    inner = table.cell(1, 1).add_table(rows=1, cols=2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "inner", "table"
    document.save(str(tmp_path / "a.docx"))
    text = read_document(tmp_path / "a.docx").text
    assert text.startswith("The treaty was signed in Lund\n\nIn a\tcontrol.\n\nboth rows\t17\n")
    assert "inner\ttable" in text and text.count("both rows") == 1 and "Malmö" not in text


# Web pages and books


def test_html_is_what_a_browser_shows(tmp_path):
    (tmp_path / "a.html").write_text(
        "<!DOCTYPE html><html><head><title>The harbour</title><style>p {}</style></head><body><script>evil()</script>"
        "<h1>Depths</h1><p>It is <b>4.2</b>\n   metres deep&nbsp;here.</p><p hidden>Never.</p><ul><li>One<li>Two</ul>"
        "<table><tr><th>Basin<th>Depth<tr><td>Old<td>4.2 m<tr><td>Outer<td>9.8 m</table>"
        "<table><tr><td>Only a frame</td></tr></table><img src='http://x/y.png'>a<br>b &lt;c&gt;</body></html>"
    )
    file = read_document(tmp_path / "a.html")
    assert file.text.replace("\u00a0", " ") == (
        "The harbour\n\nDepths\n\nIt is 4.2 metres deep here.\n\nOne\n\nTwo\n\nBasin\tDepth\n"
        "Basin: Old; Depth: 4.2 m\nBasin: Outer; Depth: 9.8 m\n\nOnly a frame\n\na\nb <c>"
    )
    assert notes(file) == ["Not read: pictures (1)."]


def test_a_book_is_read_in_its_own_order(tmp_path):
    file = makers.epub(tmp_path / "a.epub", "<p>Second.</p>", "<p>First &amp; foremost.</p>", order=[1, 0])
    assert read_document(file).text == "First & foremost.\n\nSecond."


def test_a_book_against_copying_is_refused_and_scrambled_fonts_are_not(tmp_path):
    import zipfile

    for algorithm, locked in (("http://www.idpf.org/2008/embedding", False), ("http://x/aes128-cbc", True)):
        file = makers.epub(tmp_path / "a.epub", "<p>Text.</p>")
        with zipfile.ZipFile(file, "a") as book:
            method = f'<EncryptionMethod xmlns="http://www.w3.org/2001/04/xmlenc#" Algorithm="{algorithm}"/>'
            book.writestr("META-INF/encryption.xml", f"<encryption>{method}</encryption>")
        if locked:
            with pytest.raises(UserError, match="is protected against copying"):
                parse(file)
        else:
            assert parse(file).text == "Text."


# LibreOffice, RTF, slides, sheets


def test_odt_is_read_whole(tmp_path):
    body = (
        "<text:tracked-changes><text:p>Deleted.</text:p></text:tracked-changes><text:h>Depths</text:h>"
        "<text:p>It is<text:s/>deep<text:note><text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>4.2 metres.</text:p></text:note-body></text:note>, they<text:tab/>say.<office:annotation><text:p>Hm."
        "</text:p></office:annotation><draw:frame><draw:text-box><text:p>In the box.</text:p></draw:text-box>"
        "</draw:frame></text:p><table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Year"
        "</text:p></table:table-cell><table:table-cell><text:p>2024</text:p></table:table-cell></table:table-row>"
        "</table:table-header-rows><table:table-row><table:table-cell><text:p>Sum</text:p></table:table-cell>"
        "<table:table-cell><text:p>17</text:p></table:table-cell></table:table-row></table:table>"
        "<text:list><text:list-item><text:p>Item.</text:p></text:list-item></text:list>"
    )
    styles = "<style:master-page><style:header><text:p>Head.</text:p></style:header></style:master-page>"
    file = read_document(makers.odt(tmp_path / "a.odt", body, styles))
    assert file.text == (
        "Head.\n\nDepths\n\nIt is deep, they\tsay.\n\n4.2 metres.\n\nIn the box.\n\nYear\t2024\nYear: Sum; 2024: 17\n\n"
        "Item."
    )
    assert notes(file) == ["Not read: comments (1)."]


def test_a_protected_odt_is_refused(tmp_path):
    with pytest.raises(UserError, match="is protected by a password"):
        parse(makers.odt(tmp_path / "a.odt", "<text:p>x</text:p>", manifest="<manifest:encryption-data/>"))


def test_rtf_is_read_in_its_own_letters(tmp_path):
    text = rb"{\rtf1\ansi\ansicpg1252 {\b G\'f6teborg} har en hamn.\par \u27700?\u28201? Slut.}"
    (tmp_path / "a.rtf").write_bytes(text)
    assert read_document(tmp_path / "a.rtf").text.split("\n") == ["Göteborg har en hamn.", " 水温 Slut.".strip()]


def test_slides_are_pages_with_their_notes(tmp_path):
    table = "<a:tbl>" + "".join(
        "<a:tr>" + "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{c}</a:t></a:r></a:p></a:txBody></a:tc>" for c in row)
        + "</a:tr>" for row in (("Town", "Ships"), ("Lund", "0"))
    ) + "</a:tbl>"  # fmt: skip
    file = read_document(
        makers.pptx(tmp_path / "a.pptx", makers.shape("Ships", "of 2024"), table + "<p:pic/>", notes={0: "Say hello."})
    )
    assert file.text == "Ships\nof 2024\n\nSay hello.\n\n\fTown\tShips\nTown: Lund; Ships: 0"
    assert file.pages == 2 and notes(file) == ["Not read: pictures (1)."]


def test_sheets_come_row_by_row_as_they_look(tmp_path):
    rows = [["Town", "Opened", "Share", "Depth"], ["Lund", datetime.date(1850, 5, 1), 0.25, 4.2], [None, None, None, 7]]
    file = makers.xlsx(tmp_path / "a.xlsx", {"Harbours": rows, "Empty": [], "Other": [["alone"]]})
    book = openpyxl.load_workbook(file)
    book["Harbours"]["C2"].number_format = "0%"
    book["Harbours"]["D4"] = "=SUM(D2:D3)"
    book.save(file)
    assert read_document(file).text == (
        "Harbours\nTown\tOpened\tShare\tDepth\nTown: Lund; Opened: 1850-05-01; Share: 25%; Depth: 4.2\nDepth: 7\n\n"
        "Other\nalone"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", 'Town,Depth\r\n"Old, inner",4.2\r\n\r\nOuter,9.8\r\n'),
     ("a.tsv", "Town\tDepth\nOld, inner\t4.2\nOuter\t9.8"),
     ("b.csv", "Town;Depth\nOld, inner;4.2\nOuter;9.8\n")],
)  # fmt: skip
def test_tables_in_text_files(tmp_path, name, content):
    (tmp_path / name).write_text(content, newline="")
    assert read_document(tmp_path / name).text == ("Town\tDepth\nTown: Old, inner; Depth: 4.2\nTown: Outer; Depth: 9.8")


def test_a_table_of_figures_has_no_headings():
    assert list(lines([["1", "2"], ["3", "4"]])) == ["1\t2", "3\t4"]
    assert list(lines([["alone"]])) == ["alone"] and list(lines([])) == []
    assert list(lines([["Town", "2024"], ["Lund", ""]], headed=True)) == ["Town\t2024", "Town: Lund"]


# Encodings and length


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("windows-1252", "Göta kanal är 190 kilometer lång – och “mycket” gammal, säger man på många håll i Sverige."),
        ("windows-1250", "Stavba byla dokončena v roce 1357 a most se jmenuje po císaři; měří přes pět set metrů."),
        ("windows-1251", "Байкал лежит на юге Восточной Сибири, на границе Иркутской области и Бурятии."),
        ("gb18030", "都江堰位于四川省成都平原西部的岷江上，是世界上至今仍在使用的最古老的水利工程之一。"),
        ("shift_jis", "国境の長いトンネルを抜けると雪国であった。夜の底が白くなった。信号所に汽車が止まった。"),
    ],
)
def test_an_old_encoding_is_guessed_and_said(tmp_path, encoding, text):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    file = read_document(tmp_path / "a.txt")
    assert file.text == text
    assert len(notes(file)) == 1 and notes(file)[0].startswith("Read as ") and "guessed" in notes(file)[0]


def test_a_document_that_is_too_long_is_read_to_its_first_million_characters(tmp_path):
    paragraph = "Words and more words. " * 200 + "\n\n"
    (tmp_path / "a.txt").write_text(paragraph * 300)
    file = parse(tmp_path / "a.txt")
    assert 990_000 < len(file.text) <= 1_000_000 and file.text.endswith("more words.")
    assert notes(file) == [f"Too long: its first {len(file.text):,} characters are read."]
    (tmp_path / "b.txt").write_text("x" * 1_000_001)
    assert len(parse(tmp_path / "b.txt").text) == 1_000_000


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.doc", "is of a kind that is not read (.doc): save it as .docx"),
        ("a.xlsm", "is of a kind that is not read (.xlsm): save it as .xlsx"),
        ("a.jpeg", "is a picture: run text recognition (OCR) on it"),
        ("a.exe", "is none of .txt, .md, .pdf, .docx"),
        ("noname", "is none of .txt"),
    ],
)
def test_other_kinds_are_refused_in_a_sentence(tmp_path, name, sentence):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError) as error:
        read_document(tmp_path / name)
    assert sentence in str(error.value)


def test_every_kind_has_a_reader():
    import importlib

    from space.documents import READERS

    assert set(SUFFIXES) >= {".txt", ".md", ".pdf", ".docx", ".html", ".epub", ".odt", ".rtf", ".csv", ".xlsx", ".pptx"}
    for name in READERS.values():
        file, function = name.split(".")
        assert callable(getattr(importlib.import_module(f"space.files.{file}"), function))
        assert (Path(makers.__file__).parents[2] / "space" / "files" / f"{file}.py").is_file()
