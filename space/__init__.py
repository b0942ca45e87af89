"""The page that answers questions about long documents.

In the order to read them: `app` (the page; a command); `reader` (a document and a question to places) with
`calibration` (their percentages), `language` (are question and document in one?), `definitions` (what the document's
own words mean) and `sentences` (around a place); `cards`, `marks`, `pictures` and `panel` (what is shown) with `words`
(in the visitor's language); `documents` (text of files; a command) with `docx_text`; `gallery` (examples); `limits`,
`stops` and `forget` (load, stopping, nothing kept); `publish` (the page as a Space; a command); `quickstart` (the whole
line; a command).
"""
