"""Training examples: every context in a chunk, and a batch of chunks. `python -m lecture.chunks`."""

import torch

from common.cli import run_command

from .text import Characters, Walk, draw_batch

BLOCK_SIZE = 8  # the longest context
SEQUENCES = 4  # in a batch


def main(walk: Walk) -> None:
    """Print the contexts and targets of one chunk, then a batch."""
    text = walk.read()
    vocabulary = Characters(text)
    data = torch.tensor(vocabulary.encode(text))

    start = max(0, text.find("Now, fair"))  # of A Midsummer Night's Dream
    chunk = data[start : start + BLOCK_SIZE + 1]
    print(f"a chunk of block_size + 1 = {len(chunk)} characters: {vocabulary.decode(chunk.tolist())!r}\n")
    x, y = chunk[:-1], chunk[1:]
    for t in range(BLOCK_SIZE):
        context, target = vocabulary.decode(x[: t + 1].tolist()), vocabulary.decode([int(y[t])])
        print(f"{t + 1}: after {context!r:10} comes {target!r}")

    torch.manual_seed(1337)
    inputs, targets = draw_batch(data, SEQUENCES, BLOCK_SIZE)
    print(f"\na batch: inputs {tuple(inputs.shape)}, targets {tuple(targets.shape)}")
    for row, following in zip(inputs.tolist(), targets.tolist(), strict=True):
        print(f"{vocabulary.decode(row)!r:14} -> {vocabulary.decode(following)!r}")
    print(f"{inputs.numel()} examples, learned from at once")


if __name__ == "__main__":
    run_command(main, Walk, "Print every context in a chunk, and a batch of chunks.")
