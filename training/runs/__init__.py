"""What every run has, whatever it trains.

In the order to read them: `arguments` (the flags, and the thesis's names for them), `checkpoints` (which run one
belongs to), `workers` (processes that tokenise), `origin` (where a model comes from), `pushing` (the output folder, in
one commit).
"""
