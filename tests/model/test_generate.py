"""Sampling, from as little as one character of context."""

import pytest
import torch

from model import ModelConfig, build_model
from model.generate import generate

V, T = 11, 6


def bigram_chain() -> torch.nn.Module:
    """A model by which token i is almost always followed by i + 1."""
    model = build_model(ModelConfig(kind="bigram"), V, T)
    model.table.weight.data = 20.0 * torch.eye(V).roll(1, dims=1)
    return model


def test_one_token_of_context_is_enough_and_more_than_a_block_is_drawn():
    drawn = generate(bigram_chain(), torch.tensor([[4]]), tokens=3 * T)
    assert drawn[0].tolist() == [(4 + i) % V for i in range(3 * T + 1)]


def test_a_gpt_goes_on_beyond_its_block():
    model = build_model(ModelConfig(n_layer=1, n_embd=8, n_head=2), V, T)
    assert generate(model, torch.tensor([[4], [5]]), tokens=3 * T).shape == (2, 3 * T + 1)


def test_the_same_seed_draws_the_same():
    model = build_model(ModelConfig(kind="bigram"), V, T)  # uniform

    def draw(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return generate(model, torch.tensor([[0]]), tokens=20)[0].tolist()

    assert draw(1) == draw(1) != draw(2)


def test_a_generator_decides_the_draws_and_leaves_the_others_alone():
    model = build_model(ModelConfig(kind="bigram"), V, T)  # uniform

    def draw(seed: int) -> list[int]:
        return generate(model, torch.tensor([[0]]), tokens=20, generator=torch.Generator().manual_seed(seed))[
            0
        ].tolist()

    state = torch.get_rng_state()
    assert draw(1) == draw(1) != draw(2)
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_follow_the_softmax():
    model = build_model(ModelConfig(kind="bigram"), 3, T)
    model.table.weight.data = torch.tensor([[0.5, 0.25, 0.25]]).log().expand(3, 3).clone()
    torch.manual_seed(0)
    drawn = generate(model, torch.zeros(4000, 1, dtype=torch.long), tokens=1)[:, 1]
    share = drawn.bincount(minlength=3) / len(drawn)
    torch.testing.assert_close(share, torch.tensor([0.5, 0.25, 0.25]), atol=0.03, rtol=0)


def test_top_k_of_one_takes_the_likeliest():
    model = build_model(ModelConfig(kind="bigram"), V, T)
    model.table.weight.data = torch.randn(V, V, generator=torch.Generator().manual_seed(0))
    drawn = generate(model, torch.arange(V)[:, None], tokens=1, top_k=1)[:, 1]
    assert torch.equal(drawn, model.table.weight.argmax(dim=1))


def test_a_low_temperature_takes_the_likeliest():
    model = build_model(ModelConfig(kind="bigram"), V, T)
    model.table.weight.data = torch.randn(V, V, generator=torch.Generator().manual_seed(0))
    drawn = generate(model, torch.arange(V)[:, None], tokens=1, temperature=1e-3)[:, 1]
    assert torch.equal(drawn, model.table.weight.argmax(dim=1))


def test_it_stops_at_the_end_of_the_document_but_not_at_one_in_the_prompt():
    drawn = generate(bigram_chain(), torch.tensor([[7]]), tokens=50, stop=7)
    assert drawn[0].tolist() == [7, 8, 9, 10, 0, 1, 2, 3, 4, 5, 6, 7]


FORMS = [{"preset": preset, "attention": form} for preset in ("gpt2", "modern") for form in ("tril", "sdpa")]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form['preset']}-{form['attention']}")
@torch.no_grad()
def test_keys_and_values_that_are_kept_change_no_logit(form):
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=2, n_embd=16, n_head=2, **form), V, T).eval()
    idx = torch.randint(V, (3, T))
    past = [[] for _ in model.blocks]
    steps = [model(idx[:, :2], past=past), *(model(idx[:, [t]], past=past) for t in range(2, T))]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(idx), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form['preset']}-{form['attention']}")
@torch.no_grad()
def test_a_full_window_is_read_anew_from_its_last_half_on(form):
    torch.manual_seed(1)
    model = build_model(ModelConfig(n_layer=2, n_embd=16, n_head=2, **form), V, T).eval()
    drawn = generate(model, torch.tensor([[4], [5]]), tokens=2 * T, top_k=1)
    begin = 0
    for end in range(1, 2 * T + 1):
        if end - begin > T:
            begin = end - T // 2
        assert torch.equal(model(drawn[:, begin:end])[:, -1].argmax(dim=1), drawn[:, end])
