"""Used by every part of Codebook.

cli.py        options, one-line errors, exit codes
errors.py     errors that are told in one line
files.py      files written whole or not at all
revision.py   the version of the code
"""
