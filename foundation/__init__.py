"""What every room stands on.

In the order to read them: `cli` (a command ends well or with one sentence), `files` (reading JSON; writing whole or not
at all), `cards` (the README.md of what is published), `push` (one folder to one Hub repository by one commit), `tables`
and `plots` (results for people).
"""
