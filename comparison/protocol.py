"""The protocol by which the runs of a comparison are evaluated, in numbers and in words."""

from dataclasses import asdict

from data_prep.arrays import Split, TokenArrays
from training.budget import Budget, TextAmount, plan_block_size

from .config import TEST, Comparison, RunSpec


def window_stride(block_size: int, overlap: float = 0.5) -> int:
    """Tokens by which windows advance; a share `overlap` of each window serves only as context."""
    return max(1, round(block_size * (1 - overlap)))


def run_stride(comparison: Comparison, run: RunSpec) -> int:
    """Tokens by which windows advance in the evaluation of a run."""
    block_size = plan_block_size(comparison.context, TokenArrays(run.config.data).split("train"))
    return window_stride(block_size, comparison.overlap)


def matched_context(comparison: Comparison, text: str = TEST) -> int | None:
    """The characters of a text in the shortest context if contexts are equal in tokens, else None."""
    tokens = comparison.context.tokens
    if not tokens:
        return None
    splits = [
        TokenArrays(comparison.data(label, text)).split("test", comparison.test_chars)
        for label in comparison.specs
    ]
    return int(tokens * min(split.chars_per_token for split in splits))


def matched_contexts(comparison: Comparison) -> dict[str, int | None]:
    """`matched_context` of each text: the test split, and further texts."""
    return {text: matched_context(comparison, text) for text in (TEST, *comparison.texts)}


def protocol_changes(comparison: Comparison, result: dict) -> list[str]:
    """Options in which an evaluation, the content of a result.json, differs from the comparison."""
    made_from = result["made_from"]
    changed = [key for key in ("test_chars", "scoring") if made_from.get(key) != getattr(comparison, key)]
    if made_from["stride"] != window_stride(result["block_size"], comparison.overlap):
        changed.append("overlap")
    return changed


def check_test_length(test: Split, block_size: int, text: str = TEST) -> None:
    """Check that the test split of a text holds at least one whole context.

    Raises:
        ValueError: it does not; a result on so little text would be meaningless.
    """
    if test.tokens < block_size:
        own = text == TEST
        raise ValueError(
            f"{'the test split' if own else f'the text {text}'} is shorter than one context: {test.tokens} "
            f"tokens, block size {block_size}: give more text{', a larger test_fraction' * own} or a smaller "
            "context"
        )


def in_words(comparison: Comparison) -> str:
    """The settings needed to interpret bits per character, as a sentence for a caption."""
    counts = sorted({len(comparison.seeds_of(model)) for model in comparison.models})
    seeds = " or ".join(map(str, counts)) + (" seed" if counts == [1] else " seeds")
    overlap = f"window overlap {100 * comparison.overlap:.0f} %"
    return (
        f"Context {amount(comparison.context)}, documents {comparison.documents}, {overlap}, "
        f"{seeds}, budget {budgets(comparison)}."
    )


def budgets(comparison: Comparison) -> str:
    """The budget in words; if models differ, the budget of each."""
    found = {name: amount(comparison.budget_of(name)) for name in comparison.models}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{name}: {text}" for name, text in found.items())


def amount(of: TextAmount | Budget) -> str:
    """An amount of text, compute or time in words, in the unit that is given."""
    ((unit, value),) = [(unit, value) for unit, value in asdict(of).items() if value is not None]
    if unit == "flops":
        return f"{value:.3g} FLOPs"
    return f"{value:,.0f} {'characters' if unit == 'chars' else unit}"
