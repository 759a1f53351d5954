"""The smallest language model, trained in the open: `python -m lecture.bigram`."""

import math

import altair as alt
import torch
from torch import Tensor

from common.cli import run_command
from model import ModelConfig, build_model
from model.generate import generate

from .text import Characters, Walk, draw_batch

BLOCK_SIZE, SEQUENCES, STEPS = 8, 128, 1000
VAL_CHARS = 200_000  # characters of held-out text to measure the loss on
SHOWN = "\n abcdefghijklmnopqrstuvwxyz"  # characters in the figure


def main(walk: Walk) -> None:
    """Train a bigram model, and print its loss and a sample before and after."""
    text = walk.read()
    vocabulary = Characters(text)
    data = torch.tensor(vocabulary.encode(text))
    val_text = walk.read("val")[:VAL_CHARS]
    val_data = torch.tensor(vocabulary.encode("".join(c for c in val_text if c in vocabulary.number)))
    V = len(vocabulary)

    torch.manual_seed(1337)
    model = build_model(ModelConfig(kind="bigram"), V, BLOCK_SIZE)
    start = torch.tensor([vocabulary.encode("\n")])  # (1, 1): one character is enough

    def show(when: str) -> None:
        loss = model(val_data[None, :-1], val_data[None, 1:]).item()
        print(f"{when} training: {loss:.3f} nats = {loss / math.log(2):.3f} bits per character")
        sample = vocabulary.decode(generate(model, start, 160)[0].tolist())
        print("\n".join(f"| {line}" for line in sample.strip().splitlines()), end="\n\n")

    print(f"one of {V} equally likely characters: ln {V} = {math.log(V):.3f} nats")
    show("before")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0)
    for _ in range(STEPS):
        inputs, targets = draw_batch(data, SEQUENCES, BLOCK_SIZE)
        loss = model(inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    show("after")

    counted = counted_loss(data, val_data, V)
    print(f"counting pairs instead of training: {counted:.3f} nats")
    draw(walk, vocabulary, model(torch.arange(V)[None])[0].softmax(dim=-1))


def counted_loss(data: Tensor, val_data: Tensor, V: int) -> float:
    """Mean -log p, in nats, with p from counts of character pairs plus one."""
    counts = torch.bincount(data[:-1] * V + data[1:], minlength=V * V).view(V, V) + 1
    p = counts / counts.sum(dim=1, keepdim=True)
    return -p[val_data[:-1], val_data[1:]].log().mean().item()


def draw(walk: Walk, vocabulary: Characters, p: Tensor) -> None:
    """Draw the table: p (V, V) of the next character, one row per current character."""
    names = {"\n": "⏎", " ": "␣"}
    rows = [
        {"current": names.get(a, a), "next": names.get(b, b), "p": p[i, j].item()}
        for a, i in zip(SHOWN, vocabulary.encode(SHOWN), strict=True)
        for b, j in zip(SHOWN, vocabulary.encode(SHOWN), strict=True)
    ]
    blues = alt.Scale(range=["white", "#08519c"], interpolate="rgb")
    chart = alt.Chart(alt.Data(values=rows), width=460, height=460).mark_rect()
    chart = chart.encode(
        x=alt.X("next:N", sort=None, title="next character", axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("current:N", sort=None, title="current character"),
        color=alt.Color("p:Q", title="probability", scale=blues),
    )
    walk.save(chart, "bigram")


if __name__ == "__main__":
    run_command(main, Walk, "Train a bigram model, and print its loss and a sample before and after.")
