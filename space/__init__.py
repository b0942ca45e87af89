"""The page that answers questions about long documents.

In the order to read them: `app` (starts the page; a command), `page` (its fields and what they do), `asking` (from a
question to what is shown) with `turns`, `pace` and `stops` (many visitors), `endpoint` (for programs); `reader` (a
document and a question to places) with `model` (is there one?), `calibration` (percentages), `language` (are question
and document in one?), `definitions` (what the document's own words mean) and `sentences` (around a place); `cards`,
`status`, `marks`, `pictures`, `panel`, `looks` and `pages` (what is shown) with `words` (in the visitor's language);
`documents` (text of files; a command) with the room `files`; `gallery` (examples); `limits` and `forget` (nothing
kept); `publish` (the page as a Space; a command); `quickstart` (the whole line; a command).
"""

import os

# Before torch is loaded: OpenMP's threads would else spin for long while they wait, which slows a busy machine; that
# they sleep at once (OMP_WAIT_POLICY=PASSIVE) slows a quiet one. Spinning for a moment costs neither: docs/space.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
