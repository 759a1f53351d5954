"""The report of a comparison, on disk and in wandb.

write.py               the report's files
text.py                the page in Markdown
answer.py              what was found, in sentences
tables.py              the rows as tables
columns.py             the columns of results.csv, and their page in the documentation
latex.py               table.tex
intrinsic_section.py   the tokenizers by themselves
figures.py             the figures
samples.py             what models write, from the same prompts
pieces.py              the section with samples and with sentences in tokens
passages.py            passages on which two tokenizers differ
page.py                report.html, from page.html, page.css and page.js
markdown.py            tables and escapes of Markdown
wandb_*.py             the same in wandb
"""
