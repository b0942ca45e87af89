"""How good answers are.

In the order to read them: `gold` (right answers from rows and official files), `metrics` (the official scripts' rules),
`scores` (by language and by length), `record` (scores.json), `survey` (a look before the work), `report` (an
evaluation's files), `arguments` (the flags of commands that score), `folder` (which run a folder is of), `display`
(tables and plots), `run` (score.py's work), `bootstrap` (chance, or more?), `length` (length_report.py's work).
"""
