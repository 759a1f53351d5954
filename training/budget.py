"""Matched budgets: amounts of text in characters, converted to tokens for each tokenizer.

The same text has a different number of tokens with each tokenizer. So the block size, batch and steps of a
run are derived from the characters per token of its training split.
"""

import math
from dataclasses import asdict, dataclass, replace

import torch

from data_prep.arrays import Split
from model import ModelConfig, build_model

from .state import TrainState


@dataclass(frozen=True)
class TextAmount:
    """An amount of text: exactly one of the keys."""

    chars: int | None = None
    """in characters: the same text for every tokenizer"""
    tokens: int | None = None
    """in tokens: the same number for every tokenizer"""

    def in_tokens(self, chars_per_token: float) -> float:
        """The amount in tokens, at `chars_per_token` characters per token."""
        return self.tokens or (self.chars or 0) / chars_per_token


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of the keys."""

    chars: int | None = None
    """characters to train on: the same text for every tokenizer"""
    tokens: int | None = None
    """tokens to train on"""
    flops: float | None = None
    """floating-point operations of training: the same compute for every tokenizer"""
    steps: int | None = None
    """optimizer steps"""
    seconds: float | None = None
    """seconds spent in training steps: the same time for every tokenizer; the learning rate then follows
    the clock"""


def check_amount(name: str, amount: TextAmount | Budget) -> None:
    """Check that exactly one field of `amount`, the option `name`, is set, and to a positive value.

    Raises:
        ValueError: none or several fields are set, or the value is not positive.
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
    """The budget of a run in tokens and steps, for one tokenizer and model."""

    model: ModelConfig
    """the model; its width is fitted if the number of parameters is held equal"""
    block_size: int
    """context in tokens"""
    sequences: float
    """sequences of block_size tokens per optimizer step, over all processes, on average"""
    places: int
    """places in the text that a step reads from, the same for every tokenizer if the batch is in
    characters"""
    place_chars: float
    """length of a place in characters"""
    steps: int | None
    """optimizer steps; None: as many as `seconds` allow"""
    seconds: float | None
    """seconds spent in training steps, if that is the budget"""
    chars_per_token: float
    """characters per token of the training stream, where eot counts as a token"""
    eot: int | None = None
    """the token at which attention stops; None: documents are packed"""

    @property
    def tokens_per_step(self) -> float:
        """Tokens per optimizer step, over all processes, on average."""
        return self.block_size * self.sequences

    def sequences_before(self, step: int) -> int:
        """Sequences in all steps before this one; the remainder of rounding is carried to the next step."""
        return math.floor(step * self.sequences + 1e-9)

    def sequences_in(self, step: int) -> int:
        """Sequences in a step, over all processes: the average, rounded down or up."""
        return self.sequences_before(step + 1) - self.sequences_before(step)

    @property
    def most_sequences(self) -> int:
        """The largest number of sequences in a step, over all processes."""
        return math.ceil(self.sequences - 1e-9)

    def parts_done(self, parts: int, state: TrainState) -> int:
        """The number of completed parts at `state`, if the budget is divided into `parts` equal parts."""
        if self.steps:
            return min(parts, state.step * parts // self.steps)
        return min(parts, int(state.train_seconds / (self.seconds or math.inf) * parts))

    def passes(self, parts: int, before: TrainState, after: TrainState) -> bool:
        """True if one of `parts` equal parts of the budget ends between two states."""
        return self.parts_done(parts, after) > self.parts_done(parts, before)

    def compiles(self, asked: bool | str, device: str) -> bool:
        """True if the run is compiled; `asked` is `execution.compile`: true, false, "graphs" or "auto"."""
        if asked != "auto":
            return bool(asked)
        return device != "cpu" and ((self.steps or 0) >= 500 or (self.seconds or 0) >= 300)

    def progress(self, steps: float, seconds: float) -> float:
        """The used share of the budget, 0 to 1."""
        return min(1.0, steps / self.steps if self.steps else seconds / (self.seconds or math.inf))


def fit_width(model: ModelConfig, vocab_size: int, block_size: int, params: int) -> ModelConfig:
    """The model with the width that brings its parameters, embedding included, closest to `params`.

    Raises:
        ValueError: even the narrowest model has more than 1.5 times as many parameters.
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
            f"params: a vocabulary of {vocab_size:,} needs {params_at(width):,} parameters at the smallest "
            f"width, but {params:,} were requested: set a larger model or params: same_body"
        )
    return replace(model, n_embd=width)


def plan_block_size(context: TextAmount, train: Split) -> int:
    """The context in tokens.

    Raises:
        ValueError: the training split is shorter than one context.
    """
    block_size = max(1, round(context.in_tokens(train.chars_per_token)))
    if train.length <= block_size:
        raise ValueError(
            f"the training split is shorter than one context of {block_size} tokens: "
            "use more text or a smaller context"
        )
    return block_size


def make_plan(
    model: ModelConfig,
    vocab_size: int,
    block_size: int,
    context: TextAmount,
    batch: TextAmount,
    budget: Budget,
    train: Split,
    eot: int | None = None,
) -> Plan:
    """Work out the sequences per step and the number of steps; steps are rounded up, so the budget is met.

    A batch in characters is the same text, in the same number of places, for every tokenizer. A batch smaller
    than one sequence is one sequence.

    Raises:
        ValueError: the budget is in FLOPs, and the model has no matrix multiplications.
    """
    with torch.device("meta"):
        flops_per_token = sum(build_model(model, vocab_size, block_size).flops_per_token().values())
    chars_per_token = train.chars / train.length
    batch_tokens = max(block_size, batch.in_tokens(chars_per_token))
    sequences = batch_tokens / block_size
    # From the options alone if they are in characters: a place must not depend on the tokenizer
    place = context.chars or block_size * (1 if batch.chars else chars_per_token)
    places = max(1, round((batch.chars or batch_tokens * chars_per_token) / place))
    place_chars = (batch.chars or batch_tokens * chars_per_token) / places
    if budget.steps or budget.seconds:
        steps = budget.steps
    elif budget.flops:
        if not flops_per_token:
            raise ValueError("a bigram model computes no FLOPs: set budget.chars instead of budget.flops")
        steps = math.ceil(budget.flops / (flops_per_token * batch_tokens))
    else:
        text = TextAmount(budget.chars, budget.tokens)
        steps = math.ceil(text.in_tokens(chars_per_token) / batch_tokens - 1e-9)
    return Plan(
        model, block_size, sequences, places, place_chars, steps, budget.seconds, chars_per_token, eot
    )
