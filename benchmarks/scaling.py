"""A model of the step time of data-parallel training on 8 to 1024 GPUs: where more GPUs stop paying off.

    python -m benchmarks.scaling --json figures.json
    python -m benchmarks.scaling --measure

1) parameters, FLOPs and buckets of gradients are those of the real models, built on the meta device
2) the speeds of GPUs and networks are assumptions: they are options, with published figures as defaults
3) `--measure` tests the same formulas on two processes of this machine

No GPU was measured. docs/scaling.md explains the formulas and draws the conclusions.
"""

import json
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from common.cli import run_command
from common.files import write_json
from eval.report import markdown
from model import GPT, ModelConfig
from training.hardware import PEAKS
from training.precision import autocast, best_precision

from .table import Figures, figure_name, in_turn, number, seconds

GPUS = [2**power for power in range(3, 11)]
MODELS = {
    "124M gpt2": ModelConfig(n_layer=12, n_head=12, n_embd=768, preset="gpt2"),
    "124M modern": ModelConfig(n_layer=12, n_head=12, n_embd=768, preset="modern"),
    "1.3B gpt2": ModelConfig(n_layer=24, n_head=16, n_embd=2048, preset="gpt2"),
    "1.3B modern": ModelConfig(n_layer=24, n_head=16, n_embd=2048, preset="modern"),
}
BLOCK_SIZE = 1024
Tables = dict[str, dict[str, dict[str, float | None]]]  # by title, row and column
VOCABULARIES = (258, 8192, 50257)
# Tokens/s of each GPU, by their number: MPT 125m, V=50,368, 26 sequences of 2,048 tokens per GPU, 8 A100s and
# 1600 Gb/s per node (github.com/mosaicml/llm-foundry, scripts/train/benchmarking/README.md)
PUBLISHED = {16: 130_535, 32: 127_122, 64: 125_234, 128: 123_936}
SMALL, SMALL_BLOCK = ModelConfig(n_layer=6, n_head=6, n_embd=384), 128  # trained by two processes
SLEEPER = 0.4e9  # bytes/s of a simulated network that takes time but no core
CASES = list(product(("gloo", "sleeper"), (258, 8192), (4.0, 25.0)))  # network, vocabulary, bucket_mb


@dataclass(frozen=True)
class Arguments:
    """What GPUs and the links between them can do, and what is asked of them."""

    peak: float = PEAKS["H100"]
    """peak FLOP/s of a GPU: H100 SXM, dense bf16 (data sheet)"""
    mfu: float = 0.4
    """share of the peak that forward and backward reach: 0.35 to 0.42 for MPT 760m and 1b (MosaicML's
    tables)"""
    memory: float = 3.35e12
    """memory bandwidth of a GPU in bytes/s: H100 SXM (data sheet)"""
    micro_batch: int = 32
    """sequences per forward pass of a GPU, the last of which hide communication; also the batch of each
    GPU where the total grows with their number (weak scaling)"""
    gpus_per_node: int = 8
    """GPUs connected by NVLink"""
    nvlink: float = 370e9
    """bytes/s between GPUs in an all-reduce within a node (github.com/NVIDIA/nccl-tests/issues/212)"""
    network: float = 8 * 47e9
    """bytes/s between nodes: 8 cards of 400 Gb/s InfiniBand, 47 GB/s each (nccl-tests/issues/290)"""
    slow_network: float = 12.2e9
    """bytes/s between nodes in a slower cluster: one card of 100 Gb/s (nccl-tests/issues/29)"""
    node_hop: float = 4e-6
    """seconds from GPU to GPU within a node (github.com/NVIDIA/nccl, src/graph/tuning.cc)"""
    network_hop: float = 14e-6
    """seconds from node to node (the same source)"""
    batch: int = 512
    """sequences per step where the recipe fixes them (strong scaling)"""
    bucket_mb: float = 25.0
    """megabytes of gradients sent at a time, as in train_ddp.py"""
    runs: int = 32
    """runs of a comparison, such as eight tokenizers with four seeds each"""
    gpus: int = 256
    """GPUs for all of these runs"""
    measure: bool = False
    """also measure two processes on this machine"""
    json: Path | None = None
    """write the numbers as one flat JSON object to this file"""


@dataclass(frozen=True)
class Work:
    """The work of a step."""

    parameters: int
    """parameters that the optimizer updates"""
    buckets: list[float]
    """bytes of gradients sent at a time, in the order in which the backward pass completes them"""
    flops: float
    """FLOPs of a sequence, forward and backward"""


def work_of(config: ModelConfig, block_size: int, vocab_size: int, bucket_mb: float) -> Work:
    """The work of a real model: gradients in fp32, in the buckets that DDP forms.

    A parameter is never split between buckets. The token embedding is the first layer, so its gradient is
    complete last, at the end of the backward pass, although the output layer shares it.
    """
    with torch.device("meta"):
        model = GPT(config, vocab_size, block_size)
    parameters = list[torch.Tensor](model.parameters())[::-1]
    groups, _ = dist._compute_bucket_assignment_by_size(parameters, [int(bucket_mb * 2**20)])
    buckets = [float(sum(parameters[index].nbytes for index in group)) for group in groups]
    flops = block_size * sum(model.flops_per_token().values())
    return Work(sum(p.numel() for p in parameters), buckets, flops)


def all_reduce_seconds(size: float, gpus: int, cluster: Arguments) -> float:
    """Seconds of an all-reduce of `size` bytes by the faster of two algorithms, as in NCCL's own model.

    A ring sends 2 (N-1) / N of the bytes over every link, in 2 (N-1) hops. A tree sends all bytes up and
    down, at 0.92 of the bandwidth, and its hops grow with the logarithm of the number of nodes. The slowest
    link counts (nccl-tests, doc/PERFORMANCE.md; nccl, src/graph/tuning.cc).
    """
    nodes = math.ceil(gpus / cluster.gpus_per_node)
    bandwidth = cluster.nvlink if nodes == 1 else min(cluster.nvlink, cluster.network)
    ring = (gpus - nodes) * cluster.node_hop + (nodes - 1) * cluster.network_hop
    tree = (gpus / nodes - 1) * cluster.node_hop + math.log2(nodes) * cluster.network_hop
    return 2 * min(size * (gpus - 1) / gpus / bandwidth + ring, size / (0.92 * bandwidth) + tree)


def exposed_seconds(buckets: list[float], backward: float, gpus: int, cluster: Arguments) -> float:
    """Seconds of waiting for gradients: for the last bucket, and for the others beyond `backward` seconds.

    This is a lower bound: it assumes that the others can be sent from the start of the backward pass.
    """
    *early, last = (all_reduce_seconds(size, gpus, cluster) for size in buckets)
    return max(0.0, sum(early) - backward) + last


def step_seconds(work: Work, sequences: int, gpus: int, cluster: Arguments) -> tuple[float, float]:
    """Seconds of a step, and of waiting on the GPU with most sequences.

    The backward pass is two thirds of the compute. Every GPU updates all parameters: AdamW and the gradient
    norm read and write 40 bytes per parameter. Then the ranks all-reduce three float64.
    """
    mine = math.ceil(sequences / gpus)
    sequence = work.flops / (cluster.peak * cluster.mfu)
    backward = 2 / 3 * sequence * min(mine, cluster.micro_batch)
    exposed = exposed_seconds(work.buckets, backward, gpus, cluster) + all_reduce_seconds(24, gpus, cluster)
    return mine * sequence + exposed + 40 * work.parameters / cluster.memory, exposed


def efficiency(work: Work, sequences: int, gpus: int, cluster: Arguments, weak: bool = False) -> float:
    """Speed per GPU relative to a single one with the whole batch or, if `weak`, with its share of it."""
    alone = step_seconds(work, sequences // gpus if weak else sequences, 1, cluster)[0]
    return alone / step_seconds(work, sequences, gpus, cluster)[0] / (1 if weak else gpus)


def limits(work: Work, cluster: Arguments) -> dict[str, int | None]:
    """The first inefficient numbers of GPUs with a fixed batch; None: none up to one sequence per GPU."""
    gpus = [n for n in GPUS if n <= cluster.batch]
    speed = {n: n * efficiency(work, cluster.batch, n, cluster) for n in gpus}
    return {
        "under 80 %, GPUs": next((n for n in gpus if speed[n] < 0.8 * n), None),
        "under 50 %, GPUs": next((n for n in gpus if speed[n] < 0.5 * n), None),
        "doubling saves < 10 %, GPUs": next((n for n in gpus[:-1] if speed[n] > 0.9 * speed[2 * n]), None),
    }


def new_tables() -> Tables:
    """Empty tables, whose rows are created on access."""
    return defaultdict(lambda: defaultdict(dict))


def show(tables: Tables) -> Figures:
    """Print tables, in which the name of a column ends in its unit, and return their figures."""
    figures: Figures = {}
    for title, rows in tables.items():
        columns = next(iter(rows.values()))
        cells = [[name, *map(number, row.values())] for name, row in rows.items()]
        print(f"\n{title}\n\n{markdown.table(['', *columns], cells)}", flush=True)
        for name, row in rows.items():
            figures |= {figure_name(f"{title} {name} {column}"): value for column, value in row.items()}
    return figures


def on_paper(arguments: Arguments) -> Tables:
    """The results of the formulas."""
    models = list(product(MODELS, VOCABULARIES))
    works = {(m, V): work_of(MODELS[m], BLOCK_SIZE, V, arguments.bucket_mb) for m, V in models}
    networks = {"fast network": arguments, "slow network": replace(arguments, network=arguments.slow_network)}
    tables = new_tables()
    for (model, V), work in works.items():
        tables["Models"][f"{model}, V={V}"] = {
            "parameters, millions": work.parameters / 1e6,
            "gradients in fp32, MB": sum(work.buckets) / 1e6,
            "in bf16, MB": sum(work.buckets) / 2e6,
            "last bucket in fp32, MB": work.buckets[-1] / 1e6,
            "compute per token, GFLOP": work.flops / BLOCK_SIZE / 1e9,
        }
    batch, micro_batch = arguments.batch, arguments.micro_batch
    for (network, cluster), n, ((model, V), work) in product(networks.items(), GPUS, works.items()):
        if n <= batch:
            seconds, exposed = step_seconds(work, batch, n, cluster)
            tables[f"{model}, {batch} sequences in all, {network}"][f"{n} GPUs"] |= {
                f"V={V}: step, ms": 1e3 * seconds,
                f"V={V}: exposed, ms": 1e3 * exposed,
                f"V={V}: efficiency, ratio": efficiency(work, batch, n, cluster),
            }
    for (network, cluster), ((model, V), work) in product(networks.items(), works.items()):
        name = f"{model}, V={V}"
        weak = {f"{n} GPUs, ratio": efficiency(work, n * micro_batch, n, cluster, weak=True) for n in GPUS}
        tables[f"Efficiency with {micro_batch} sequences per GPU, {network}"][name] = dict(weak)
        half = limits(replace(work, buckets=[size / 2 for size in work.buckets]), cluster)
        first = limits(work, cluster) | {f"bf16: {limit}": n for limit, n in half.items()}
        tables[f"Limits with {batch} sequences in all, {network}"][name] = dict(first)
    shared = tables[f"A step of each of {arguments.runs} runs, by GPUs per run, of {arguments.gpus}"]
    for n in [2**power for power in range(arguments.gpus.bit_length())]:
        at_once = arguments.gpus // n
        shared[f"{n} per run"] = {"runs at once, number": at_once}
        for network, cluster in networks.items():
            seconds = step_seconds(works["124M gpt2", 50257], batch, n, cluster)[0]
            shared[f"{n} per run"][f"{network}, ms"] = 1e3 * seconds * math.ceil(arguments.runs / at_once)
    for network, cluster in networks.items():
        tokens = 2 * cluster.peak * cluster.mfu / min(cluster.nvlink, cluster.network)
        title = "Tokens per GPU whose backward pass takes as long as sending the gradients"
        tables[title][network] = {"in fp32, tokens": tokens, "in bf16, tokens": tokens / 2}
    # NVLink as measured in github.com/NVIDIA/nccl/issues/1048, and 94 % of 1600 Gb/s, as of the fast network
    a100 = Arguments(peak=PEAKS["A100"], memory=1.555e12, nvlink=233e9, network=188e9, micro_batch=26)
    mpt = work_of(MODELS["124M gpt2"], 2048, 50368, 25.0)
    ours = {n: efficiency(mpt, 26 * n, n, a100, weak=True) for n in PUBLISHED}
    for n, speed in PUBLISHED.items():
        compared = {"published, ratio": speed / PUBLISHED[16], "here, ratio": ours[n] / ours[16]}
        tables["Tokens/s of each GPU, to those with 16"][f"{n} GPUs"] |= compared
    return tables


def take_part(rank: int, folder: str) -> None:
    """Send and train as one of two processes; the first one writes the seconds of each measurement."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    network = ThreadPoolExecutor(1)

    def sleep(_: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        gradients = bucket.buffer()

        def send() -> None:
            time.sleep(gradients.nbytes / SLEEPER)
            future.set_result(gradients)

        network.submit(send)
        return future

    # Not `training_step`: nothing is updated, and `alone` leaves out the communication
    def step(parallel: DistributedDataParallel, idx: torch.Tensor, alone: bool) -> None:
        with parallel.no_sync() if alone else nullcontext():
            with autocast("cpu", best_precision("cpu")):
                loss = parallel(idx, idx)
            loss.backward()
        parallel.zero_grad()

    ways: dict[str, Callable[[], object]] = {"nothing": lambda: None}
    for mb in (0.001, 1, 8, 32):
        ways[f"{mb} MB"] = partial(dist.all_reduce, torch.zeros(int(mb * 250_000)))
    for kind, vocab_size, bucket_mb in CASES:
        model = GPT(SMALL, vocab_size, SMALL_BLOCK)
        parallel = DistributedDataParallel(model, bucket_cap_mb=bucket_mb, gradient_as_bucket_view=True)
        if kind == "sleeper":
            parallel.register_comm_hook(None, sleep)
        idx = torch.randint(vocab_size, (2, SMALL_BLOCK))
        for alone in (False, True):
            ways[f"{kind} {vocab_size} {bucket_mb} {alone}"] = partial(step, parallel, idx, alone)
    # With barriers, so that the time is that of the slower process
    together = {name: lambda way=way: (dist.barrier(), way(), dist.barrier()) for name, way in ways.items()}
    took = in_turn({name: partial(seconds, way) for name, way in together.items()}, 9, warm_up=2)
    if rank == 0:
        Path(folder, "took.json").write_text(json.dumps(took))
    dist.destroy_process_group()


def on_two_processes() -> Tables:
    """Measurements of two processes on this machine, and the predictions of the formulas."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(take_part, (folder,), nprocs=2)
        took = json.loads(Path(folder, "took.json").read_text())
    barriers = statistics.median(took["nothing"])
    median = {name: statistics.median(seconds) - barriers for name, seconds in took.items()}
    hop = median["0.001 MB"] / 2
    gloo = Arguments(gpus_per_node=2, node_hop=hop, nvlink=8e6 / (median["8 MB"] - 2 * hop))
    clusters = {"gloo": gloo, "sleeper": replace(gloo, node_hop=0.0, nvlink=SLEEPER)}
    tables = new_tables()
    for mb in (1, 8, 32):
        tables["All-reduce by two processes"][f"{mb} MB"] = {
            "measured, ms": 1e3 * median[f"{mb} MB"],
            "by the formula, ms": 1e3 * all_reduce_seconds(mb * 1e6, 2, gloo),
        }
    for kind, V, bucket_mb in CASES:
        buckets = work_of(SMALL, SMALL_BLOCK, V, bucket_mb).buckets
        together, alone = (f"{kind} {V} {bucket_mb} {alone}" for alone in (False, True))
        waits = sorted(both - one for both, one in zip(took[together], took[alone], strict=True))
        tables["A step of two processes"][f"{kind}, V={V}, buckets of {bucket_mb:.0f} MB"] = {
            "compute, ms": 1e3 * median[alone],
            "all-reduce, ms": 1e3 * sum(all_reduce_seconds(size, 2, clusters[kind]) for size in buckets),
            "exposed, ms": 1e3 * statistics.median(waits),
            "lowest, ms": 1e3 * waits[0],
            "highest, ms": 1e3 * waits[-1],
            "by the formula, ms": 1e3 * exposed_seconds(buckets, 2 / 3 * median[alone], 2, clusters[kind]),
        }
    return tables


def main(arguments: Arguments) -> None:
    """Print the tables."""
    figures = show(on_paper(arguments))
    if arguments.measure:
        figures |= show(on_two_processes())
    if arguments.json:
        write_json(arguments.json, figures)


if __name__ == "__main__":
    run_command(main, Arguments, "A model of the step time of data-parallel training on many GPUs.")
