"""Rows become a fine-tuned model.

In the order to read them: `arguments` (the flags), `sources` (what they name, with caps), `reading` (the rows of
those), `rows` (what is trained and evaluated on), `mixture` (examples of many lengths), `across` (questions in another
language than the document's), `features` (windows with gold tokens), `windows` (all of them, made once), `batches`
(tensors and the loss), `distillation` (a short reading as the target), `teacher` (another reader's answers as targets),
`trainer`, `card`.
"""
