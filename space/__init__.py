"""The page that answers questions about long documents.

In the order to read them: `app` (starts the page; a command), `page` (its fields and what they do), `asking` (from a
question to what is shown) with `turns`, `pace` and `stops` (many visitors), `endpoint` (for programs); `reader` (a
document and a question to places) with `model` (is there one?), `calibration` (percentages), `language` (are question
and document in one?), `definitions` (what the document's own words mean) and `sentences` (around a place); `cards`,
`status`, `marks`, `pictures`, `panel`, `looks` and `pages` (what is shown) with `words` and `gradio_language` (in the
visitor's language); `documents` (text of files; a command) with the room `files`; `gallery` (examples); `limits` and
`forget` (nothing kept); `publish` (the page as a Space; a command); `quickstart` (the whole line; a command).
"""

import os

# This has to stand before torch is loaded. By default OpenMP's threads spin for long while they wait, which slows a
# busy machine. With OMP_WAIT_POLICY=PASSIVE they sleep at once, which slows a quiet one. A short spin slows neither:
# see docs/space.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
