"""Rows become a fine-tuned model.

In the order to read them: `arguments` (the flags), `rows` (what is trained and evaluated on), `mixture` (examples of
many lengths), `features` (windows with gold tokens), `windows` (all of them, made once), `batches` (tensors and the
loss), `distillation` (a short reader as teacher), `trainer`, `card`.
"""
