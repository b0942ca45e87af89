"""One vector a text: checkpoints as sentence-transformers models.

In the order to read them: `model` (a checkpoint that gives vectors), `pieces` (long texts as the source reads them).
"""
