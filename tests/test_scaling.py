"""The formulas of docs/scaling.md agree with known cases, and the script prints their tables."""

import json
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from benchmarks.scaling import (
    GPUS,
    MODELS,
    Arguments,
    Work,
    all_reduce_seconds,
    efficiency,
    exposed_seconds,
    limits,
    step_seconds,
    work_of,
)
from model import ModelConfig, build_model

CLUSTER = Arguments()
ETHERNET = replace(CLUSTER, network=CLUSTER.slow_network)
# 30 ms of compute per sequence, 20 of them for the backward pass, and 1 ms for the update
PLAIN = Arguments(peak=1e12, mfu=0.5, memory=4e10, nvlink=1e9, node_hop=0.0)
WORK = Work(parameters=1_000_000, buckets=[4e6, 4e6, 2e6], flops=1.5e10)


@pytest.fixture(scope="module")
def gpt2():
    return work_of(MODELS["124M gpt2"], 1024, 50257, 25.0)


def test_one_gpu_sends_nothing(gpt2):
    assert all_reduce_seconds(1e9, 1, CLUSTER) == 0
    assert step_seconds(gpt2, 512, 1, CLUSTER)[1] == 0
    assert efficiency(gpt2, 512, 1, CLUSTER) == 1


def test_no_link_carries_more_than_twice_the_gradients():
    instant = replace(CLUSTER, node_hop=0.0, network_hop=0.0)
    for gpus in [2, 4, *GPUS]:
        sent = all_reduce_seconds(1e9, gpus, instant) * instant.nvlink
        assert sent == pytest.approx(1e9 * 2 * (gpus - 1) / gpus)
        assert sent < 2e9


def test_the_slowest_link_counts_once_there_is_a_second_node():
    assert all_reduce_seconds(1e9, 8, ETHERNET) == all_reduce_seconds(1e9, 8, CLUSTER)
    assert all_reduce_seconds(1e9, 16, ETHERNET) == pytest.approx(2 * 15 / 16 * 1e9 / 12.2e9, rel=0.01)


def test_a_short_message_uses_the_tree_whose_hops_grow_with_the_logarithm_of_the_nodes():
    assert all_reduce_seconds(8, 1024, CLUSTER) == pytest.approx(2 * (7 * 4e-6 + 7 * 14e-6), rel=1e-3)


def test_a_step_computed_by_hand():
    # Two GPUs send half of each bucket twice: 4, 4 and 2 ms. The first two are hidden.
    seconds, exposed = step_seconds(WORK, 2, 2, PLAIN)
    assert exposed == pytest.approx(0.002, rel=1e-4)
    assert seconds == pytest.approx(0.030 + 0.002 + 0.001, rel=1e-4)
    # At a quarter of the bandwidth 12 of the 32 ms outlast the backward pass, and the last bucket takes 8
    assert step_seconds(WORK, 2, 2, replace(PLAIN, nvlink=2.5e8))[1] == pytest.approx(0.020, rel=1e-4)
    # The rank with most sequences counts, and its last micro-batch hides communication
    assert step_seconds(WORK, 3, 2, PLAIN)[0] == pytest.approx(0.063, rel=1e-4)
    slow = replace(PLAIN, nvlink=2.5e8, micro_batch=1)
    assert step_seconds(WORK, 4, 2, slow)[1] == pytest.approx(0.020, rel=1e-4)


def test_nothing_hides_a_single_bucket():
    assert exposed_seconds([4e6], 1.0, 2, PLAIN) == pytest.approx(0.004)


@pytest.mark.parametrize("cluster", [CLUSTER, ETHERNET])
def test_with_a_fixed_batch_efficiency_falls_with_every_additional_gpu(gpt2, cluster):
    found = [efficiency(gpt2, 512, gpus, cluster) for gpus in [1, 2, 4, *GPUS] if gpus <= 512]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_limits_are_the_first_inefficient_numbers_of_gpus(gpt2):
    found = limits(gpt2, CLUSTER)
    eighty, fifty, _ = found.values()
    assert efficiency(gpt2, 512, eighty, CLUSTER) < 0.8 <= efficiency(gpt2, 512, eighty // 2, CLUSTER)
    assert efficiency(gpt2, 512, fifty, CLUSTER) < 0.5 <= efficiency(gpt2, 512, fifty // 2, CLUSTER)
    assert set(limits(gpt2, replace(CLUSTER, nvlink=1e15, memory=1e18, batch=8)).values()) == {None}


def test_buckets_are_those_of_ddp_and_the_token_embedding_is_in_the_last(tmp_path):
    config, vocab_size, sent = ModelConfig(n_layer=4, n_head=4, n_embd=128), 5000, []

    def send(_, bucket):
        sent.append(bucket.buffer().nbytes)
        future = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model = build_model(config, vocab_size, 64)
        parallel = DistributedDataParallel(model, bucket_cap_mb=1.0)
        parallel.register_comm_hook(None, send)
        idx = torch.zeros(1, 64, dtype=torch.int64)
        parallel(idx, idx).backward()  # the next step uses buckets in the order found here
        sent.clear()
        parallel(idx, idx).backward()
    finally:
        dist.destroy_process_group()
    work = work_of(config, 64, vocab_size, 1.0)
    assert work.buckets == sent
    assert work.buckets[-1] >= 4 * vocab_size * config.n_embd
    assert sum(work.buckets) == 4 * work.parameters


def test_the_script_prints_its_tables_and_writes_flat_figures_with_units(run_python, tmp_path):
    done = run_python("-m", "benchmarks.scaling", "--batch", 64, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    units = {"millions", "mb", "gflop", "ms", "ratio", "gpus", "number", "tokens"}
    assert {name.split("_")[-1] for name in figures} == units
    assert all(value is None or isinstance(value, int | float) for value in figures.values())
    assert figures["124m_gpt2_64_sequences_in_all_fast_network_64_gpus_v_258_efficiency_ratio"] < 1
    assert "| 124M gpt2, V=50257 |" in done.stdout
