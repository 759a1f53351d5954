"""Why the first softmax must be diffuse: `python -m lecture.softmax`."""

import math

import altair as alt
import torch
import torch.nn.functional as F

from common.cli import run_command

from .text import Walk

T, QUERIES, V = 32, 4096, 82


def main(walk: Walk) -> None:
    """Print the softmax of larger and larger inputs, with and without the scaling of attention."""
    torch.manual_seed(1337)
    torch.set_printoptions(precision=2, sci_mode=False)
    numbers = torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5])
    print(f"softmax(x)     {numbers.softmax(dim=0)}\nsoftmax(8 x)   {(8 * numbers).softmax(dim=0)}")

    print(f"\n{'':10}{'variance of q·k':>18}{'largest of 32 weights':>25}{'gradient that passes':>24}")
    print(f"{'head size':10}{'plain':>10}{'scaled':>8}{'plain':>17}{'scaled':>8}{'plain':>16}{'scaled':>8}")
    rows = []
    for head_size in (4, 16, 64, 256):
        query, key = torch.randn(QUERIES, 1, head_size), torch.randn(QUERIES, T, head_size)
        plain = (query * key).sum(dim=-1)  # (QUERIES, T), each sum of head_size products
        scaled = plain / math.sqrt(head_size)
        columns = [f"{x.var():{w}.2f}" for x, w in ((plain, 10), (scaled, 8))]
        for measure, width in ((largest, 17), (gradient, 16)):
            columns += [f"{measure(plain):{width}.2f}", f"{measure(scaled):8.2f}"]
        print(f"{head_size:<10}{''.join(columns)}")
        if head_size == 64:
            for name, x in (("q·k", plain), ("q·k / √64", scaled)):
                weights = x[0].softmax(dim=0).tolist()
                rows += [{"position": i, "weight": w, "input": name} for i, w in enumerate(weights)]

    print(f"\nsoftmax of the output: the loss before training; ln {V} = {math.log(V):.2f}")
    for std in (0.0, 1.0, 3.0, 10.0):
        logits, targets = std * torch.randn(QUERIES, V), torch.randint(V, (QUERIES,))
        print(f"logits of standard deviation {std:4.1f}: {F.cross_entropy(logits, targets):6.2f} nats")
    draw(walk, rows)


def largest(x: torch.Tensor) -> float:
    """Mean over the rows of the largest weight."""
    return x.softmax(dim=-1).max(dim=-1).values.mean().item()


def gradient(x: torch.Tensor) -> float:
    """Mean over the rows of the sum of p (1 - p), the derivative of each weight by its input."""
    p = x.softmax(dim=-1)
    return (p * (1 - p)).sum(dim=-1).mean().item()


def draw(walk: Walk, rows: list[dict]) -> None:
    """Draw the weights of one query, without and with the scaling."""
    chart = alt.Chart(alt.Data(values=rows), width=340, height=160).mark_bar()
    chart = chart.encode(
        x=alt.X("position:O", axis=alt.Axis(labels=False, ticks=False), title="32 positions to look at"),
        y=alt.Y("weight:Q", scale=alt.Scale(domain=[0, 1])),
        column=alt.Column("input:N", sort=None, title=None, header=alt.Header(labelFontSize=13)),
    )
    walk.save(chart, "softmax")


if __name__ == "__main__":
    run_command(main, Walk, "Print the softmax of larger and larger inputs.")
