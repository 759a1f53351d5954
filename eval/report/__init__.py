"""What a person looks at: the report of a comparison, on disk and in wandb.

write.py               the report's files
text.py                the page in Markdown
answer.py              what was found, in sentences
tables.py              the rows as tables
intrinsic_section.py   the tokenizers by themselves
figures.py             the figures
passages.py            passages on which two tokenizers differ
page.py                report.html, from page.html, page.css and page.js
markdown.py            tables and escapes of Markdown
wandb_*.py             the same in wandb
"""
