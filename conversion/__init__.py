"""A checkpoint in, a native Longformer checkpoint out: exact, proven and fast.

In the order to read them: `checkpoint` (tensors on disk), `source` (what is converted), `families` (names of tensors),
`modules` (those of sentence-transformers), `tokens` (padding, vocabulary, token types), `plan` (what becomes of each
tensor and of the config), `legacy` (long models of the thesis's kind), `convert` (the command). The proof: `report`,
`checks`, `comparison`, `embeddings`, `verify` (the command). For the Hub: `card`, `publish` (the command). The model
that needs no Hub: `embedded` (the command), `named`. The fast attention: the room `attention`, and `export_onnx` (the
command).
"""
