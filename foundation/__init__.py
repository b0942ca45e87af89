"""What every room stands on.

In the order to read them: `cli` (a command ends well or with one sentence), `files` (reading JSON; writing whole or not
at all), `cards` (the README.md of what is published), `model_files` (what of a folder is a model), `push` (a folder to
a Hub repository by one commit), `tables` and `plots` (results for people).
"""
