"""The report of a comparison, on disk and in wandb.

write.py               the report's files
summary.py             the first screen: the answer, the curve, what it costs, how sure it is
text.py                what follows it, in Markdown
answer.py              what was found, in sentences
tables.py              the rows as tables
columns.py             the columns of results.csv, and their page in the documentation
latex.py               table.tex
intrinsic_section.py   the tokenizers by themselves
other_texts.py         further test texts
figures.py             the figures, with their captions
charts/                the charts in them
samples.py             what models write, from the same prompts
pieces.py              the section with samples and with sentences in tokens
passages.py            passages on which two tokenizers differ
page.py                report.html, from page.html, page.css, charts.js and page.js
markdown.py            tables and escapes of Markdown
wandb_*.py             the same in wandb
"""
