"""The sentences and the tables of a report."""

from eval.report import answer
from eval.tables import as_latex, terminal


def row(tokenizer: str, bpc: float, behind: tuple[float, float, float], **more: object) -> dict:
    return {
        "tokenizer": tokenizer,
        "model": "gpt",
        "kind": "gpt",
        "seeds": [0],
        "distinguishable": behind[1] > 0,
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


def said(*rows: dict) -> str:
    best, *others = rows
    entry = {
        "model": best["model"],
        "kind": best["kind"],
        "best": best,
        "undecided": [row["tokenizer"] for row in others if not row["distinguishable"]],
        "tokenizers": len(rows),
        "ladders": {},
        "seeds": len(best["seeds"]),
        "documents": best["test_documents"],
    }
    return "\n".join(answer({"recommendation": {"models": [entry], "growth": []}}))


def test_the_answer_names_the_best_and_its_interval():
    text = said(BEST, row("char", 2.2, (0.2, 0.15, 0.25)))
    assert text.startswith("bpe-512 (vocabulary 512) needs the fewest bits: 2.000 per character")
    assert "1.900 to 2.100" in text
    assert "every other tokenizer is worse" in text


def test_what_cannot_be_told_from_the_best_is_said():
    text = said(BEST, row("char", 2.01, (0.01, -0.02, 0.04)), row("byte", 2.2, (0.2, 0.15, 0.25)))
    assert "not distinguishable from the best: char." in text


def test_a_few_test_documents_give_no_verdict():
    few = [{**r, "test_documents": 2} for r in (BEST, row("char", 2.2, (0.2, 0.15, 0.25)))]
    assert "2 documents, too few to trust an interval" in said(*few)
    assert "every other" not in said(*few)


def test_whether_the_intervals_cover_seeds_is_said():
    assert "not the one seed" in said(BEST)
    assert "text and 3 seeds" in said({**BEST, "seeds": [0, 1, 2]})


def test_the_answer_is_about_the_gpt_also_where_a_baseline_needs_fewer_bits():
    entries = [{"kind": "bigram", "model": "a"}, {"kind": "gpt", "model": "b"}]
    common = {"best": BEST, "undecided": [], "tokenizers": 1, "ladders": {}, "seeds": 1, "documents": 50}
    results = {"recommendation": {"models": [e | common for e in entries], "growth": []}}
    assert len(answer(results)) == 1


def test_the_terminal_table_fits_80_columns_whatever_the_names():
    wide = row("tiktoken:a/very/long/name", 12.3456, (0, 0, 0), model="a-long-model-name", vocab_size=200_000)
    assert max(map(len, terminal([wide]).splitlines())) <= 80


def test_latex_says_what_latex_would_take_for_its_own():
    figures = {"context_chars": 1, "params_total": 1, "params_embedding": 1, "train_chars": 1, "test_bpb": 1}
    text = as_latex([row("sentencepiece:a_b%.model", 2.0, (0, 0, 0), **figures)])
    assert r"sentencepiece:a\_b\%.model & gpt & 512 & 2.0000" in text
    assert text.count(r"\\") == 2
