"""Convert text to memory-mapped token arrays, in three stages:

    python -m data_prep.corpus       a source of text -> train, val and test documents in Parquet
    python -m data_prep.tokenizer    the training documents -> a tokenizer
    python -m data_prep.encode       documents and a tokenizer -> token arrays

    python -m data_prep.inspect      shows what is in a corpus
    python -m data_prep.verify       checks a corpus and its token arrays, byte by byte

A stage is skipped if its configuration and inputs have not changed; otherwise it is repeated.
"""
