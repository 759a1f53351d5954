"""Why a deep GPT can be trained: residual connections and norms. `python -m lecture.residuals`."""

import math

import altair as alt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.cli import run_command
from model import GPT, ModelConfig
from model.gpt import Block

from .text import Characters, Walk, draw_batch

LAYERS, BLOCK_SIZE, SEQUENCES, STEPS = 6, 32, 16, 100
VARIANTS = {"plain": (False, False), "residual": (True, False), "residual and norm": (True, True)}


def run(model: GPT, idx: Tensor, residual: bool, norm: bool) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, T, V) of a GPT with or without residual connections and norms, and each block's output."""
    x = model.token_embedding(idx) + model.position_embedding.weight[: idx.shape[1]]  # (B, T, C)
    outputs = [x]
    for block in model.blocks:
        assert isinstance(block, Block) and block.mlp  # for the type checker
        y = block.attention(block.norm_attention(x) if norm else x, None)
        x = x + y if residual else y
        y = block.mlp(block.norm_mlp(x) if norm else x)
        x = x + y if residual else y
        outputs.append(x)
    x = model.norm(x) if norm else x
    return F.linear(x, model.token_embedding.weight)[..., : model.vocab_size], outputs


def make_model(vocab_size: int, residual: bool) -> GPT:
    """A new GPT. Without residual connections it needs larger weights, or the signal would vanish."""
    torch.manual_seed(1337)
    model = GPT(ModelConfig(n_layer=LAYERS, n_head=4, n_embd=64), vocab_size, BLOCK_SIZE)
    for layer in model.blocks.modules():
        if isinstance(layer, nn.Linear) and not residual:
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
    return model


def main(walk: Walk) -> None:
    """Print the gradient at each block, and the loss before and after a few steps of training."""
    text = walk.read()
    vocabulary = Characters(text)
    data = torch.tensor(vocabulary.encode(text))
    torch.manual_seed(1)
    test_x, test_y = draw_batch(data, 128, BLOCK_SIZE)  # the same for all
    gpt = make_model(len(vocabulary), residual=True)
    assert torch.allclose(run(gpt, test_x, True, True)[0], gpt(test_x), atol=1e-4)  # with both, the GPT

    row = torch.tensor([1.0, 2.0, 3.0, 10.0])
    print(f"layer norm: {row.tolist()} -> {[round(v, 2) for v in F.layer_norm(row, (4,)).tolist()]}\n")
    print(f"gradient at each block, as a share of the last block's; loss before and after {STEPS} steps\n")
    print(f"{'':18}{'  '.join(f'block {n + 1}' for n in range(LAYERS))}   before   after")
    rows = []
    for name, (residual, norm) in VARIANTS.items():
        model = make_model(len(vocabulary), residual)
        before, outputs = loss_of(model, test_x, test_y, residual, norm)
        sizes = [gradient.norm().item() for gradient in torch.autograd.grad(before, outputs)][1:]
        shares = [size / sizes[-1] for size in sizes]
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(STEPS):
            loss, _ = loss_of(model, *draw_batch(data, SEQUENCES, BLOCK_SIZE), residual, norm)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        after, _ = loss_of(model, test_x, test_y, residual, norm)
        print(f"{name:18}{'  '.join(f'{s:7.2f}' for s in shares)}  {before.item():7.2f} {after.item():7.2f}")
        rows += [{"block": n + 1, "share": share, "model": name} for n, share in enumerate(shares)]
    draw(walk, rows)


def loss_of(model: GPT, x: Tensor, y: Tensor, residual: bool, norm: bool) -> tuple[Tensor, list[Tensor]]:
    """Mean loss in nats, and the output of the embedding and of each block."""
    logits, outputs = run(model, x, residual, norm)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten()), outputs


def draw(walk: Walk, rows: list[dict]) -> None:
    """Draw how much gradient arrives at each block."""
    names = alt.Scale(domain=list(VARIANTS))  # given, so that colours and shapes share one legend
    chart = alt.Chart(alt.Data(values=rows), width=420, height=240).mark_line(point={"size": 60})
    chart = chart.encode(
        x=alt.X("block:O", axis=alt.Axis(labelAngle=0), title="block (1: next to the embedding)"),
        y=alt.Y("share:Q", scale=alt.Scale(type="log"), title="gradient, as a share of the last block's"),
        color=alt.Color("model:N", scale=names, title=None),
        shape=alt.Shape("model:N", scale=names, title=None),
    )
    walk.save(chart, "residuals")


if __name__ == "__main__":
    run_command(main, Walk, "Print what residual connections and norms do for a deep GPT.")
