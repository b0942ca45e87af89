"""One vector a text: checkpoints as sentence-transformers models, and their training on whole documents.

In the order to read them: `model` (a checkpoint that gives vectors), `pieces` (long texts as the source reads them),
`map` (a matrix after a model that stays as it is), `documents` (what is trained on), `arguments` (the flags), `run`
(embed.py's work).
"""
