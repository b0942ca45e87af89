"""Long documents with questions: SQuAD and XQuAD joined (SQ3, XQ3), and data sets that code makes (terms, babi_far).

In the order to read them: `concat` (the parameters, and how paragraphs become rows), `reading` (a file of whatever
kind), `flat_rows` (rows as paragraphs), `spans` (answers that are not at their place), `squad_format` (files in, tables
out), `long_builder` with `squad_long` and `xquad_long` (the loading scripts), `loading` (the same call on every release
of `datasets`), `publish` (the command) and the room `publishing` behind it. What code makes: `background` (real
paragraphs, and lengths), `terms` and `babi_far` (sentences laid among them), `generated` (their rows as tables).
`to_squad` is the command that makes SQuAD-format files of FairytaleQA, TimeQA and MuSiQue.
"""

from .loading import load_dataset

__all__ = ["load_dataset"]
