"""What every run has, whatever it trains.

In the order to read them: `arguments` (the flags, and the thesis's names for them), `checkpoints` (which run one
belongs to), `workers` (processes that tokenise), `pushing` (the output folder, in one commit).
"""
