"""Used by every part of Codebook.

cli.py        options, one-line errors, exit codes
errors.py     errors reported in one line
files.py      files written whole or not at all
help.py       the text of --help
mistakes.py   what is wrong with a configuration file or an option, in plain words
options.py    the options that a dataclass declares, in plain words
revision.py   the version of the code
"""
