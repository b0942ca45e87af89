"""A model, its windows, its answers.

In the order to read them: `windows` (a question and a document as what a model reads at once), `model` (a checkpoint or
an adapter), `second_look` (a document read twice), `answers` (spans chosen over all windows), `predict` (many
questions, on one process or many), `arguments` (the flags of all that), `precision` (whether bfloat16 pays),
`sentences` (words and sentences around an answer), `pipeline` (all of it behind one call, as transformers once had it).
"""

from .pipeline import pipeline

__all__ = ["pipeline"]
