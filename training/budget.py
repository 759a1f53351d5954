"""Matched budgets: what is held equal is said in characters, and follows here in tokens.

Two tokenizers see the same text in different numbers of tokens, so block size, batch and steps of each
run are derived from the characters per token that its arrays measured on the training split.
"""

import math
from dataclasses import asdict, dataclass

from data_prep.arrays import Split


@dataclass(frozen=True)
class TextAmount:
    """An amount of text: exactly one of the fields."""

    chars: int | None = None
    """in characters: the same text for every tokenizer"""
    tokens: int | None = None
    """in tokens: the same number for every tokenizer"""


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of the fields."""

    chars: int | None = None
    """characters seen: the same text for every tokenizer"""
    tokens: int | None = None
    """tokens seen"""
    flops: float | None = None
    """training FLOPs: the same compute for every tokenizer"""
    steps: int | None = None
    """optimizer steps"""


def check_amount(name: str, amount: TextAmount | Budget) -> None:
    """Whether exactly one field of `amount`, the option `name`, is given, and positive.

    Raises:
        ValueError: it is not.
    """
    given = {unit: value for unit, value in asdict(amount).items() if value is not None}
    if len(given) != 1:
        found = " and ".join(given) or "none"
        hint = ": set one to null" if given else ""
        raise ValueError(f"{name}: give exactly one of {', '.join(asdict(amount))}, not {found}{hint}")
    ((unit, value),) = given.items()
    if value <= 0:
        raise ValueError(f"{name}.{unit} is {value}: it must be above 0")


@dataclass(frozen=True)
class Plan:
    """A budget worked out for one tokenizer and model."""

    block_size: int
    """context in tokens"""
    sequences: int
    """sequences of block_size tokens per optimizer step, over all processes"""
    steps: int
    """optimizer steps"""
    chars_per_token: float
    """characters per token of the training stream, eot counted as a token"""

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimizer step, over all processes."""
        return self.block_size * self.sequences


def plan_block_size(context: TextAmount, train: Split) -> int:
    """The context in tokens.

    Raises:
        ValueError: the training split is shorter than that.
    """
    block_size = context.tokens or max(1, round(context.chars / train.chars_per_token))
    if not train.crop_starts(block_size + 1):
        raise ValueError(
            f"the training split is shorter than one context of {block_size} tokens: "
            "give more text or a smaller context"
        )
    return block_size


def make_plan(
    block_size: int, batch: TextAmount, budget: Budget, train: Split, flops_per_token: float
) -> Plan:
    """Sequences per step and number of steps; steps are rounded up, so a budget is always met.

    Raises:
        ValueError: a budget in FLOPs for a model that multiplies nothing.
    """
    chars_per_token = train.chars / train.length
    batch_tokens = batch.tokens or batch.chars / chars_per_token
    sequences = max(1, round(batch_tokens / block_size))
    tokens_per_step = sequences * block_size
    if budget.steps:
        steps = budget.steps
    elif budget.flops:
        if not flops_per_token:
            raise ValueError("a budget in flops means nothing to a bigram model: give it chars")
        steps = math.ceil(budget.flops / (flops_per_token * tokens_per_step))
    else:
        steps = math.ceil((budget.tokens or budget.chars / chars_per_token) / tokens_per_step)
    return Plan(block_size, sequences, steps, chars_per_token)
