"""How good answers are.

In the order to read them: `gold` (right answers from rows and official files), `metrics` (the official scripts' rules),
`scores` (by language and by length), `record` (scores.json), `survey` (a look before the work), `report` (an
evaluation's files), `flags` (what commands that score may be told), `run` (score.py's work), `bootstrap` (chance, or
more?), `length` (length_report.py's work).
"""
