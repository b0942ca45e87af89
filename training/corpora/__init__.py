"""One door to every question-answering data set.

In the order to read them: `load` (the door), `sources` (what there is, and where), `options` (how paragraphs become
rows), `files` (rows from this machine), `hub` (rows from the Hub), `generated` (rows that code makes), `trivia_qa`
(answers found in documents), `normalise` (when two answers are the same), `arguments` (the flags of all that).
"""
