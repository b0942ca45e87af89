"""A model, its windows, its answers.

In the order to read them: `windows` (a question and a document as what a model reads at once), `model` (a checkpoint or
an adapter), `answers` (spans chosen over all windows), `predict` (many questions, on one process or many).
"""
