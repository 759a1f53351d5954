"""Attention of the first layer of a GPT: `python -m lecture.attention --run FOLDER --text TEXT`."""

from dataclasses import dataclass
from pathlib import Path

import altair as alt
import torch
from torch import Tensor

from common.cli import run_command
from eval.sample import tokenizer_of
from model import GPT, build_model
from model.gpt import CausalSelfAttention
from tokenizers.show import visible
from training.run import open_run

from .head import attention_weights
from .text import Walk


@dataclass(frozen=True, kw_only=True)
class Arguments(Walk):
    """Look at the attention of a run."""

    run: Path
    """folder of a run of a gpt, such as out/lecture/one-head"""
    text: str = "To be, or not"
    """text that the model reads; figures are easiest to read with at most 20 tokens"""


def first_attention(model: GPT, idx: Tensor) -> Tensor:
    """Weights (H, T, T) of the first layer for token ids (1, T); row t shows where position t looks."""
    inputs: list[tuple[Tensor, Tensor | None]] = []
    attention = model.get_submodule("blocks.0.attention")
    assert isinstance(attention, CausalSelfAttention)
    hook = attention.register_forward_pre_hook(lambda _, given: inputs.append(given[:2]))
    with torch.no_grad():
        model(idx)
        hook.remove()
        query, key, _ = attention.heads(*inputs[0])
    return attention_weights(query, key)[0]


def spread(weights: Tensor) -> Tensor:
    """Entropy of each head's weights (H, T, T), as a share of that of equal weights: (H,)."""
    entropy = -torch.special.xlogy(weights, weights).sum(dim=-1)[:, 1:]  # the first position has no choice
    equal = torch.arange(2, weights.shape[-1] + 1).log()
    return (entropy / equal).mean(dim=-1)


def main(arguments: Arguments) -> None:
    """Print and draw the first attention of a run, before and after training."""
    run = open_run(arguments.run)
    trained = run.load_model()
    if not isinstance(trained, GPT):
        raise ValueError(f"{arguments.run} is a {trained.config.kind}, which has no attention: give a gpt")
    tokenizer = tokenizer_of(run)
    ids = tokenizer.encode(arguments.text).tolist()
    if not 2 <= len(ids) <= trained.block_size:
        raise ValueError(
            f"the text has {len(ids)} tokens: give one of 2 to {trained.block_size}, the run's block size"
        )
    torch.manual_seed(run.config.seed if run.config.init_seed is None else run.config.init_seed)
    new = build_model(trained.config, trained.vocab_size, trained.block_size)
    assert isinstance(new, GPT)
    labels = [f"{i} {visible(tokenizer.table[token]).strip() or '␣'}" for i, token in enumerate(ids)]
    rows = []
    for when, model in (("before training", new), ("after training", trained)):
        weights = first_attention(model, torch.tensor([ids]))
        shares = ", ".join(f"{share:.2f}" for share in spread(weights).tolist())
        print(f"{when:15}  spread of each head (1.00: equal weights): {shares}")
        for head, t, s in torch.tril(torch.ones(weights.shape)).nonzero().tolist():
            weight, name = weights[head, t, s].item(), f"head {head}, {when}"
            rows.append({"head": name, "from": labels[t], "to": labels[s], "weight": weight})
    for head, last in enumerate(weights[:, -1]):
        values, places = last.topk(min(3, len(ids)))
        looks = [f"'{labels[s]}' {w:.2f}" for w, s in zip(values.tolist(), places.tolist(), strict=True)]
        print(f"head {head}: position '{labels[-1]}' looks most at {', '.join(looks)}")
    draw(arguments, rows, len(weights))


def draw(walk: Walk, rows: list[dict], heads: int) -> None:
    """Draw the weights: a column for each head, before training above, after it below."""
    panels = list(dict.fromkeys(row["head"] for row in rows))
    character = alt.Axis(labelAngle=0, labelExpr="split(datum.label, ' ')[1]")  # without its position
    blues = alt.Scale(range=["white", "#08519c"], domain=[0, 1], interpolate="rgb")
    chart = alt.Chart(alt.Data(values=rows), width=230, height=230).mark_rect()
    chart = chart.encode(
        x=alt.X("to:N", sort=None, title="looks at", axis=character),
        y=alt.Y("from:N", sort=None, title="position"),
        color=alt.Color("weight:Q", scale=blues),
        facet=alt.Facet("head:N", sort=panels, title=None, columns=heads if heads > 1 else 2),
    )
    walk.save(chart, "attention")


if __name__ == "__main__":
    run_command(main, Arguments, "Print and draw the first attention of a run, before and after training.")
