"""Matched budgets: what is held equal is said in characters, and follows here in tokens.

Two tokenizers see the same text in different numbers of tokens, so block size, batch and steps of each
run are derived from the characters per token that its arrays measured on the training split.
"""

import math
from dataclasses import asdict, dataclass, replace

import torch

from data_prep.arrays import Split
from model import ModelConfig, build_model


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
    seconds: float | None = None
    """time in the trainer's steps: the same wall clock; the learning rate follows the clock, too"""


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

    model: ModelConfig
    """the model, its width fitted where the number of parameters is held equal"""
    block_size: int
    """context in tokens"""
    sequences: int
    """sequences of block_size tokens per optimizer step, over all processes"""
    steps: int | None
    """optimizer steps; none: as many as `seconds` allow"""
    seconds: float | None
    """time in the steps, where that is the budget"""
    chars_per_token: float
    """characters per token of the training stream, eot counted as a token"""

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimizer step, over all processes."""
        return self.block_size * self.sequences

    def parts_done(self, parts: int, steps: int, seconds: float) -> int:
        """Of so many equal parts of the budget, how many are used up after some steps and seconds."""
        if self.steps:
            return min(parts, steps * parts // self.steps)
        return min(parts, int(seconds / self.seconds * parts))

    def worth_compiling(self, device: str) -> bool:
        """Whether `compile: auto` compiles such a run."""
        return device != "cpu" and ((self.steps or 0) >= 500 or (self.seconds or 0) >= 300)

    def progress(self, steps: float, seconds: float) -> float:
        """The share of the budget that is used up, 0 to 1."""
        return min(1.0, steps / self.steps if self.steps else seconds / self.seconds)


def fit_width(model: ModelConfig, vocab_size: int, block_size: int, params: int) -> ModelConfig:
    """The model with the width whose number of parameters, embedding included, comes nearest to `params`.

    Raises:
        ValueError: the narrowest has more than one and a half times as many.
    """
    unit = model.n_head * (2 if model.resolved().positions == "rotary" else 1)

    def params_at(width: int) -> int:
        with torch.device("meta"):
            built = build_model(replace(model, n_embd=width), vocab_size, block_size)
        return built.params_body() + built.params_embedding()

    width = unit
    while params_at(width + unit) <= params:
        width += unit
    width = min((width, width + unit), key=lambda width: abs(params_at(width) - params))
    if params_at(width) > 1.5 * params:
        raise ValueError(
            f"params: a vocabulary of {vocab_size:,} has {params_at(width):,} parameters at the least width, "
            f"{params:,} are wanted: set a larger model or params: same_body"
        )
    return replace(model, n_embd=width)


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
    model: ModelConfig, vocab_size: int, block_size: int, batch: TextAmount, budget: Budget, train: Split
) -> Plan:
    """Sequences per step and number of steps; steps are rounded up, so a budget is always met.

    Raises:
        ValueError: a budget in FLOPs for a model that multiplies nothing.
    """
    with torch.device("meta"):
        flops_per_token = sum(build_model(model, vocab_size, block_size).flops_per_token().values())
    chars_per_token = train.chars / train.length
    batch_tokens = batch.tokens or batch.chars / chars_per_token
    sequences = max(1, round(batch_tokens / block_size))
    tokens_per_step = sequences * block_size
    if budget.steps or budget.seconds:
        steps = budget.steps
    elif budget.flops:
        if not flops_per_token:
            raise ValueError("a budget in flops means nothing to a bigram model: give it chars")
        steps = math.ceil(budget.flops / (flops_per_token * tokens_per_step))
    else:
        steps = math.ceil((budget.tokens or budget.chars / chars_per_token) / tokens_per_step)
    return Plan(model, block_size, sequences, steps, budget.seconds, chars_per_token)
