"""The text of one file from a stranger, for the child process of `space.documents`.

In the order to read them: `found` (what is found in a file, limits, tidy text), `package` (zip files of XML, opened
with care), `tables` (rows with their headings); then a file for each kind: `plain_text`, `pdf_text` with `layout`
(lines to paragraphs), `docx_text`, `html_text` with `epub_text`, `odt_text`, `rtf_text`, `sheet_text`, `slides_text`.
"""
