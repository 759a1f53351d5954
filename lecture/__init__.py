"""The code of docs/build-the-gpt.md: a GPT from the bottom up, one short file per step.

1) `characters` and `chunks`: text as numbers, and what a model learns from
2) `bigram`: the smallest language model, and the whole training loop
3) `averaging`, `head` and `softmax`: self-attention, one idea at a time
4) `attention`: what the first layer of a trained GPT looks at
5) `residuals`: why a deep GPT can be trained at all
6) `bits`: every model of the walk in one table, in bits per character

Models are those of model/, trained by train_ddp.py with the options of lecture/train.yaml.
"""
