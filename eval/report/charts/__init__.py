"""The charts of a report, as Vega-Lite specifications made with Altair.

figure.py     a figure: its panels, and what they become in files and in the page
style.py      colours, shapes and dashes of the families; sizes and types
curve.py      bits per character by vocabulary size, with the best size
costs.py      costs by vocabulary size; bits per character by cost; FLOPs by part
learning.py   bits per character while training, and on parts of the test text
labels.py     places for labels that do not cover each other
"""
