"""Lead files into campaigns.

`sheets` reads rows, `columns` says what they mean, `plan` decides about each; `reader` does all that in a process of
its own, and `files` brings the verdicts into the store and the reject file.
"""
