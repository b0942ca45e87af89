"""The thesis's table, or a part of it, over seeds.

In the order to read them: `plan` (which commands), `launcher` (how many processes), `run` (what is
missing), `results` (means, spreads, tables, plots).
"""
