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
