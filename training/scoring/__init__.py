"""How good answers are.

In the order to read them: `gold` (right answers from rows and official files), `metrics` (the official scripts' rules),
`scores` (by language and by length), `record` (scores.json), `report` (an evaluation's files), `run` (score.py's work).
"""
