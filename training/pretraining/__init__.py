"""Text becomes a masked language model of long sequences.

In the order to read them: `arguments` (the flags), `model` (what training starts from), `source` (raw text in shards),
`packing` (sequences of equal length), `text` (from the flags to both), `masking`, `loss`, `trainer`, `scores`,
`report`.
"""
