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

# Before torch is loaded: OpenMP's threads would else wait spinning, which slows every other process of the machine, and
# with it this one: see docs/space.md.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
