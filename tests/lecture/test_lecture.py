"""What the steps of the lecture show is true, and the page quotes the code as it is."""

import math
import re
from pathlib import Path

import pytest
import torch

from lecture import attention, averaging, bits, head, residuals, softmax
from lecture.attention import first_attention, spread
from lecture.bigram import counted_loss
from lecture.text import Characters, Walk, draw_batch
from model import GPT, ModelConfig, build_model
from tests.lecture.walk import PAGE, alike, differences
from tests.program import Program

ROOT = Path(__file__).parents[2]
TEXT = "Now, fair Hippolyta, our nuptial hour\nDraws on apace; four happy days bring in\n"


def test_characters_become_numbers_and_back():
    vocabulary = Characters(TEXT)
    assert len(vocabulary) == len(set(TEXT))
    assert vocabulary.decode(vocabulary.encode(TEXT)) == TEXT
    assert vocabulary.encode("\n ,") == [0, 1, 2]  # the sorted list


def test_a_batch_is_chunks_and_the_same_chunks_one_place_later():
    data = torch.arange(100)
    x, y = draw_batch(data, sequences=50, block_size=8)
    assert x.shape == y.shape == (50, 8)
    assert torch.equal(y, x + 1)
    assert len(set(x[:, 0].tolist())) > 10


def test_the_three_ways_to_average_the_past_agree():
    x = torch.randn(averaging.B, averaging.T, averaging.C)
    (two, weights), (three, same) = averaging.with_matmul(x), averaging.with_softmax(x)
    torch.testing.assert_close(averaging.with_loops(x), two)
    torch.testing.assert_close(two, three)
    torch.testing.assert_close(weights, same)
    assert torch.equal(weights, weights.tril()) and weights[3].tolist() == [0.25] * 4 + [0] * 4


def test_heads_side_by_side_are_the_attention_of_the_gpt():
    assert head.difference_from_gpt(torch.randn(head.B, head.T, head.C)) < 1e-6


def test_scaled_queries_and_keys_make_a_diffuse_softmax_and_unscaled_ones_a_sharp_one():
    x = torch.randn(2000, 32)
    assert softmax.largest(x) < 0.2 and softmax.gradient(x) > 0.9
    assert softmax.largest(16 * x) > 0.9 and softmax.gradient(16 * x) < 0.15


def test_the_gpt_run_in_the_open_is_the_gpt_and_a_plain_stack_passes_little_gradient_back():
    shares = {}
    x, y = torch.randint(40, (2, 8, residuals.BLOCK_SIZE))
    for name, (residual, norm) in residuals.VARIANTS.items():
        model = residuals.make_model(40, residual)
        loss, outputs = residuals.loss_of(model, x, y, residual, norm)
        if residual and norm:
            torch.testing.assert_close(loss, model(x, y))
        first, last = (g.norm() for g in torch.autograd.grad(loss, [outputs[1], outputs[-1]]))
        shares[name] = (first / last).item()
    assert shares["plain"] < 0.2 and shares["residual"] > 0.8 and shares["residual and norm"] > 0.8


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_the_attention_that_is_shown_is_the_one_of_the_model(preset):
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=1, n_embd=32, preset=preset, attention="tril"), 60, 16)
    idx = torch.randint(60, (1, 12))
    weights = first_attention(model, idx)  # (H, T, T)
    assert weights.shape == (4, 12, 12)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(4, 12))
    assert torch.equal(weights, weights.tril())
    # The attention's output is what these weights make of its values
    module, seen = model.blocks[0].attention, []
    module.register_forward_hook(lambda _, given, output: seen.append((*given[:2], output)))
    model(idx)
    x, turn, output = seen[0]
    gathered = weights @ module.heads(x, turn)[2]
    torch.testing.assert_close(module.projection(gathered.transpose(1, 2).reshape(1, 12, 32)), output)


def test_a_new_gpt_looks_everywhere_and_equal_weights_have_a_spread_of_one():
    torch.manual_seed(0)
    new = GPT(ModelConfig(n_layer=1, n_head=1, n_embd=64, mlp="none"), 60, 16)
    assert spread(first_attention(new, torch.randint(60, (1, 16)))).item() > 0.95
    equal = torch.tril(torch.ones(1, 6, 6))
    assert spread(equal / equal.sum(dim=-1, keepdim=True)).item() == pytest.approx(1)
    assert spread(torch.eye(6)[None]).item() == 0


def test_counted_pairs_are_a_probability_for_each_pair():
    data = torch.tensor([0, 1, 0, 1, 0])
    # Pairs 01 and 10 twice each, one added to every count: p = 3/4 for each pair of the text
    assert counted_loss(data, data, 2) == pytest.approx(-math.log(3 / 4))


@pytest.fixture(scope="module")
def runs(tiny_arrays, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder of short runs, as the walk makes them, and what the trainer printed of each."""
    folder, printed = tmp_path_factory.mktemp("walk"), {}
    options = "--model.n_layer 1 --model.n_head 1 --model.n_embd 16 --model.mlp none --context.chars 16"
    options += " --batch.chars 64 --budget.steps 5 --execution.precision fp32 --tracking.wandb disabled"
    for name, spec, kind in (
        ("byte", "byte", "gpt"),
        ("bpe", "bpe-300", "gpt"),
        ("bigram", "byte", "bigram"),
    ):
        words = f"train_ddp.py --data {tiny_arrays(spec)} --out {folder / name} --model.kind {kind} {options}"
        trainer = Program(words.split(), folder / f"{name}.log")
        printed[name], _ = trainer.communicate(timeout=120)
        assert trainer.returncode == 0, printed[name]
    return folder, printed


def test_a_run_is_measured_by_token_and_by_character(runs):
    folder, printed = runs
    rows = {name: bits.measure(folder / name) for name in printed}
    for name, row in rows.items():
        last = re.findall(r"val bpc (\d+\.\d+)", printed[name])[-1]
        assert row["bits_per_char"] == pytest.approx(float(last), abs=1e-3)
        nats = row["bits_per_char"] * math.log(2) * row["chars_per_token"]
        assert row["nats_per_token"] == pytest.approx(nats)
    assert rows["byte"]["chars_per_token"] <= 1 < rows["bpe"]["chars_per_token"]


def test_all_runs_are_shown_the_worst_first(runs, capsys):
    folder, printed = runs
    bits.main(Walk(out=folder))
    shown = capsys.readouterr().out.splitlines()
    losses = [float(line.split()[-1]) for line in shown[1 : 1 + len(printed)]]
    assert losses == sorted(losses, reverse=True) and len(losses) == len(printed)
    assert shown[-1] == f"figure: {folder / 'bits.png'}" and (folder / "bits.png").stat().st_size > 1000


def test_the_attention_of_a_run_is_shown_before_and_after_training(runs, capsys):
    folder, _ = runs
    attention.main(attention.Arguments(run=folder / "bpe", out=folder, text="the old king saw"))
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(" training")[0] for line in shown[:2]] == ["before", "after"]
    assert shown[2].startswith("head 0: position ")
    assert (folder / "attention.png").stat().st_size > 1000


def test_what_has_no_attention_to_show_is_refused(runs):
    folder, _ = runs
    with pytest.raises(ValueError, match=r"bigram is a bigram, which has no attention: give a gpt"):
        attention.main(attention.Arguments(run=folder / "bigram", out=folder))
    with pytest.raises(ValueError, match=r"17 tokens: give one of 2 to 16, the run's block size"):
        attention.main(attention.Arguments(run=folder / "byte", out=folder, text="x" * 17))


def test_a_missing_corpus_is_one_line_that_says_how_to_make_it(run_python, tmp_path):
    done = run_python("-m", "lecture.characters", "--corpus", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"codebook: .* holds no corpus: make it with .*data_prep\.corpus.*\n", done.stderr)


def test_the_page_quotes_the_code_as_it_is():
    quoted = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    files = [*(ROOT / "lecture").glob("*.py"), *(ROOT / "model").glob("*.py")]
    sources = [path.read_text() for path in files]
    assert len(quoted) >= 4
    for code in quoted:
        assert any(code in source for source in sources), code


def test_the_steps_of_the_lecture_are_short():
    for path in (ROOT / "lecture").glob("*.py"):
        assert len(path.read_text().splitlines()) < 100, path.name
        if path.name not in ("__init__.py", "text.py"):
            assert f"lecture.{path.stem}" in PAGE.read_text(), f"{path.name} is not a step of the page"


def test_output_is_compared_with_the_page_by_words_and_numbers():
    line = "char: step 977, 100%, val bpc 3.2227, 22,675 tokens/s, 23% of peak, 0 s to go"
    assert alike(line, line.replace("22,675", "7").replace("3.2227", "3.2500"))
    assert not alike(line, line.replace("3.2227", "3.4"))
    assert not alike(line, line.replace("977", "978"))
    assert not alike(line, line.replace("char", "byte"))
    assert alike("tensor([ 0.18, -0.07])", "tensor([0.19, -0.08])")
    assert not alike("tensor([ 0.18, -0.07])", "tensor([ 0.18,  0.07])")
    assert differences("loss 4.41\n| noise\n", "loss 4.41\n| other noise\n| and more\n") == []
    assert len(differences("loss 4.41\n", "loss 3.9\n")) == 1
    assert differences("one\n", "one\ntwo\n") == ["1 lines in the page, 2 printed"]
