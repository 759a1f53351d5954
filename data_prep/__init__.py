"""Corpora to documents to memory-mapped token arrays, in three stages:

    python -m data_prep.corpus       a source of text -> train, val and test documents in Parquet
    python -m data_prep.tokenizer    the training documents -> a tokenizer
    python -m data_prep.encode       documents and a tokenizer -> token arrays

Each stage is skipped when its configuration and inputs are unchanged, and redone when they are not.
"""
