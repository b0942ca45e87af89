"""What every run has, whatever it trains.

In the order to read them: `arguments` (the flags, and the thesis's names for them), `checkpoints` (which run one
belongs to), `randomness` (one stream for each use), `order` (of the examples of an epoch), `workers` (processes that
tokenise), `alignment` (where tokens stand in their text), `cache` (what is made once), `origin` (where a model comes
from), `loading` (what goes wrong then), `pushing` (the output folder, in one commit).
"""
