"""The sentences and the table of a report."""

from eval.report import answer, terminal_table


def row(tokenizer: str, bpc: float, behind: tuple[float, float, float], **more: object) -> dict:
    return {
        "tokenizer": tokenizer,
        "model": "gpt",
        "kind": "gpt",
        "seed": 0,
        "vocab_size": 512,
        "chars_per_token": 2.0,
        "block_size": 64,
        "train_seconds": 100.0,
        "test_bpc": bpc,
        "test_bpc_low": bpc - 0.1,
        "test_bpc_high": bpc + 0.1,
        "behind_best": behind[0],
        "behind_best_low": behind[1],
        "behind_best_high": behind[2],
        "test_documents": 50,
        **more,
    }


BEST = row("bpe-512", 2.0, (0, 0, 0))


def test_the_answer_names_the_best_and_its_interval():
    text = answer([BEST, row("char", 2.2, (0.2, 0.15, 0.25))])
    assert "**bpe-512** (vocabulary 512) needs the fewest bits: **2.000 per character**" in text
    assert "1.900 to 2.100" in text
    assert "Every other tokenizer is behind it" in text


def test_what_cannot_be_told_from_the_best_is_said():
    text = answer([BEST, row("char", 2.01, (0.01, -0.02, 0.04)), row("byte", 2.2, (0.2, 0.15, 0.25))])
    assert "Not distinguishable from it on this test text: char." in text


def test_the_answer_is_about_the_gpt_also_where_a_baseline_needs_fewer_bits():
    bigram = row("char", 1.0, (0, 0, 0), model="bigram", kind="bigram")
    assert answer([bigram, BEST]).startswith("**bpe-512**")


def test_a_few_test_documents_give_no_verdict():
    few = [{**r, "test_documents": 2} for r in (BEST, row("char", 2.2, (0.2, 0.15, 0.25)))]
    assert "2 documents, too few to trust an interval" in answer(few)
    assert "Every other" not in answer(few)


def test_several_seeds_are_said_to_be_no_part_of_the_interval():
    assert "best single seed" in answer([BEST, {**BEST, "seed": 1, "test_bpc": 2.1}])


def test_the_terminal_table_fits_80_columns_whatever_the_names():
    wide = row("tiktoken:a/very/long/name", 12.3456, (0, 0, 0), model="a-long-model-name", vocab_size=200_000)
    assert max(map(len, terminal_table([wide]).splitlines())) <= 80
