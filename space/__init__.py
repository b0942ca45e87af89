"""The page that answers questions about long documents.

In the order to read them: `app` (the page; a command), `reader` (a document and a question to answers), `panel` and
`render` (what is shown), `documents` (text of files; a command) with `docx_text`, `gallery` (examples), `limits`,
`stops` and `forget` (load, stopping, nothing kept), `publish` (the page as a Space; a command), `quickstart` (the whole
line; a command).
"""
