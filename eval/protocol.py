"""Under which protocol the runs of a comparison are evaluated, in numbers and in words."""

from pathlib import Path

from data_prep.arrays import TokenArrays
from tokenizers import folder_name


def window_stride(block_size: int, overlap: float = 0.5) -> int:
    """Tokens by which a window moves on; a share `overlap` of it is context only."""
    return max(1, round(block_size * (1 - overlap)))


def matched_context(comparison: dict, folder: Path) -> int | None:
    """Where contexts are equal in tokens, the characters that the shortest of them holds."""
    if comparison["context"]["chars"]:
        return None
    specs = comparison["tokenizers"]
    splits = [TokenArrays(folder / "data" / folder_name(spec)).split("test") for spec in specs]
    return int(comparison["context"]["tokens"] * min(split.chars_per_token for split in splits))


def in_words(comparison: dict) -> str:
    """What a number of bits per character means nothing without, in a sentence for a caption."""
    seeds = len(comparison["seeds"])
    return (
        f"Context {amount(comparison['context'])}, window overlap {100 * comparison['overlap']:.0f} %, "
        f"{seeds} seed{'s' * (seeds > 1)}, budget {budgets(comparison)}."
    )


def budgets(comparison: dict) -> str:
    """The budget, or each model's where they have their own."""
    found = {name: amount(recipe["budget"]) for name, recipe in comparison["models"].items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{name}: {text}" for name, text in found.items())


def amount(of: dict) -> str:
    """An amount of text, compute or time, of which one unit is given."""
    ((unit, value),) = [(unit, value) for unit, value in of.items() if value is not None]
    if unit == "flops":
        return f"{value:.3g} FLOPs"
    return f"{value:,.0f} {'characters' if unit == 'chars' else unit}"
