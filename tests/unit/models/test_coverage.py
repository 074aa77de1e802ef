import math

import pytest
import torch
from torch import nn

from seq2seq.models.coverage import LinguisticCoverage, NeuralCoverage, coverage_loss

KEY, MEMORY, QUERY, SIZE = 5, 4, 3, 2
BATCH, BEAMS, SOURCE, STEPS = 2, 3, 6, 4


@pytest.fixture
def linguistic():
    torch.manual_seed(0)
    return LinguisticCoverage(KEY, MEMORY, max_fertility=3.0).double()


@pytest.fixture
def neural():
    torch.manual_seed(0)
    return NeuralCoverage(KEY, MEMORY, QUERY, SIZE).double()


@pytest.fixture(params=["linguistic", "neural"])
def model(request):
    return request.getfixturevalue(request.param)


def example(tensors, dtype=torch.float64):
    """Memory (B, S, M), and the weights (B, K, S) and queries (B, K, H) of each step."""
    draw = tensors(1, dtype)
    weights = [draw(BATCH, BEAMS, SOURCE).softmax(-1) for _ in range(STEPS)]
    return draw(BATCH, SOURCE, MEMORY), weights, [draw(BATCH, BEAMS, QUERY) for _ in range(STEPS)]


def begin(model, source, queries):
    """The first coverage of `queries` rows a sentence."""
    rows = source.repeat_interleave(queries, dim=0)
    return model.start(rows).unflatten(0, (source.shape[0], queries))


def run(model, memory, weights, queries):
    """The coverage after each step."""
    source = model.prepare(memory)
    coverages = [begin(model, source, weights[0].shape[1])]
    for row, query in zip(weights, queries, strict=True):
        coverages.append(model.update(coverages[-1], row, query, source))
    return coverages[1:]


def test_nothing_is_covered_at_the_start(model, tensors):
    memory, _, _ = example(tensors)
    coverage = model.start(model.prepare(memory))
    assert coverage.shape == (BATCH, SOURCE, model.size)
    assert not coverage.any()


def test_linguistic_coverage_is_attention_so_far_over_fertility(linguistic, tensors):
    memory, weights, queries = example(tensors)
    coverages = run(linguistic, memory, weights, queries)
    (u_f,) = linguistic.fertility_projection.weight.tolist()
    for b in range(BATCH):
        for j in range(SOURCE):
            energy = sum(u * h for u, h in zip(u_f, memory[b, j].tolist(), strict=True))
            fertility = 3.0 / (1 + math.exp(-energy))
            for k in range(BEAMS):
                covered = 0.0
                for i in range(STEPS):
                    covered += weights[i][b, k, j].item() / fertility
                    assert coverages[i][b, k, j].tolist() == pytest.approx([covered], rel=1e-9)


def test_a_word_of_fertility_1_is_covered_by_all_the_attention_it_got(tensors):
    memory, weights, queries = example(tensors)
    model = LinguisticCoverage(KEY, MEMORY, max_fertility=2.0).double()
    nn.init.zeros_(model.fertility_projection.weight)  # Phi = 2 sigmoid(0) = 1
    torch.testing.assert_close(run(model, memory, weights, queries)[-1].squeeze(-1), sum(weights))


def test_fertilities_of_nearly_nothing_keep_coverage_and_gradients_finite():
    model = LinguisticCoverage(KEY, 1, max_fertility=2.0)
    nn.init.ones_(model.fertility_projection.weight)
    memory = torch.tensor([-1e4, -90.0, -20.0, 1e4]).view(1, 4, 1).requires_grad_()
    weights = torch.tensor([0.0, 0.3, 0.3, 0.4]).view(1, 1, 4).requires_grad_()
    (coverage,) = run(model, memory, [weights], [torch.zeros(1, 1, QUERY)])
    coverage.sum().backward()
    assert coverage.isfinite().all()
    assert coverage[0, 0, 0].item() == 0
    assert all(part.grad.isfinite().all() for part in (memory, weights, model.fertility_projection.weight))


def test_neural_coverage_is_a_gru_over_weight_annotation_and_state(neural, tensors):
    memory, weights, queries = example(tensors)
    coverages = run(neural, memory, weights, queries)
    gru = nn.GRUCell(1 + MEMORY + QUERY, SIZE).double()  # [alpha_ij; h_j; t]
    parts = (neural.weight_projection, neural.source_projection, neural.query_projection)
    gru.weight_ih = nn.Parameter(torch.cat([part.weight for part in parts], dim=1))
    gru.bias_ih = nn.Parameter(neural.source_projection.bias)
    gru.weight_hh, gru.bias_hh = neural.coverage_projection.weight, neural.coverage_projection.bias
    for b in range(BATCH):
        for k in range(BEAMS):
            for j in range(SOURCE):
                state = torch.zeros(1, SIZE, dtype=torch.float64)
                for i in range(STEPS):
                    inputs = torch.cat([weights[i][b, k, j : j + 1], memory[b, j], queries[i][b, k]])
                    state = gru(inputs[None], state)
                    torch.testing.assert_close(coverages[i][b, k, j], state[0])


def test_keys_gain_what_is_covered(model, tensors):
    memory, weights, queries = example(tensors)
    coverage = run(model, memory, weights, queries)[-1]
    keys = tensors(2, torch.float64)(BATCH, SOURCE, KEY)
    covered_keys = model.keys(keys, coverage)
    v_a = model.key_projection.weight.tolist()
    for b in range(BATCH):
        for k in range(BEAMS):
            for j in range(SOURCE):
                c = coverage[b, k, j].tolist()
                expected = [
                    key + sum(v * x for v, x in zip(row, c, strict=True))
                    for key, row in zip(keys[b, j].tolist(), v_a, strict=True)
                ]
                assert covered_keys[b, k, j].tolist() == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(model.keys(keys, torch.zeros_like(coverage)), keys[:, None].expand(-1, BEAMS, -1, -1))


def test_rows_of_a_sentence_know_nothing_of_each_other(model, tensors):
    memory, weights, queries = example(tensors)
    together = run(model, memory, weights, queries)[-1]
    for k in range(BEAMS):
        alone = run(model, memory, [row[:, k : k + 1] for row in weights], [row[:, k : k + 1] for row in queries])[-1]
        torch.testing.assert_close(alone[:, 0], together[:, k])


def test_padding_and_company_change_nothing(model, tensors):
    memory, weights, queries = example(tensors)
    together = run(model, memory, weights, queries)[-1]
    for length in (1, SOURCE - 2):
        alone = run(model, memory[:1, :length], [row[:1, :, :length] for row in weights], [row[:1] for row in queries])
        torch.testing.assert_close(alone[-1][0], together[0, :, :length])


def test_an_update_leaves_the_old_coverage_alone(model, tensors):
    memory, weights, queries = example(tensors)
    source = model.prepare(memory)
    old = model.update(begin(model, source, BEAMS), weights[0], queries[0], source)
    before = old.clone()
    model.update(old, weights[1], queries[1], source)
    assert torch.equal(old, before)


def test_gradients_of_coverage_through_steps(model, tensors):
    memory, weights, queries = example(tensors)
    names, parameters = zip(*model.named_parameters(), strict=True)

    class Run(nn.Module):
        """Two steps' coverage in the keys."""

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, memory, keys, *rest):
            return self.model.keys(keys, run(self.model, memory, rest[:2], rest[2:])[-1])

    def keys(memory, keys, *rest):
        replaced = {f"model.{name}": value for name, value in zip(names, rest[4:], strict=True)}
        return torch.func.functional_call(Run(), replaced, (memory, keys, *rest[:4]))

    given = [memory, tensors(3, torch.float64)(BATCH, SOURCE, KEY), *weights[:2], *queries[:2]]
    given = [part[:1, :2].contiguous().requires_grad_() for part in given]
    given[2:4] = [part[..., :2].contiguous().detach().requires_grad_() for part in given[2:4]]
    assert torch.autograd.gradcheck(keys, (*given, *parameters))


def test_coverage_stays_exact_under_autocast(model, tensors):
    model = model.float()
    memory, weights, queries = example(tensors, torch.float32)
    exact = run(model, memory, weights, queries)[-1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = run(model, memory, weights, queries)[-1]
        half = [query.bfloat16() for query in queries]  # as an RNN under autocast may hand them over
        assert run(model, memory.bfloat16(), weights, half)[-1].dtype == torch.float32
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, exact)


def test_coverage_loss_by_hand():
    weights = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]]])
    # c: (0, 0), (0.5, 0.5), (1.4, 0.6)
    loss = coverage_loss(weights, torch.ones(1, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx(0 + (0.5 + 0.1) + (1.0 + 0.0))


def test_coverage_loss_is_the_papers_sum_over_real_steps(tensors):
    weights, lengths = tensors(4, torch.float64)(3, 5, 4).softmax(-1), [5, 1, 3]
    expected = 0.0
    for b, length in enumerate(lengths):
        for t in range(length):
            for s in range(4):
                covered = sum(weights[b, earlier, s].item() for earlier in range(t))
                expected += min(weights[b, t, s].item(), covered)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    assert coverage_loss(weights, mask).item() == pytest.approx(expected, rel=1e-9)


def test_padded_target_steps_add_nothing_to_the_coverage_loss(tensors):
    weights, mask = tensors(5)(2, 4, 3).softmax(-1), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    dirty = torch.where(mask[..., None], weights, 7.0).requires_grad_()
    loss = coverage_loss(dirty, mask)
    loss.backward()
    torch.testing.assert_close(loss.detach(), coverage_loss(weights, mask))
    assert not dirty.grad[~mask].any()
    alone = coverage_loss(weights[:1], mask[:1]) + coverage_loss(weights[1:, :2], mask[1:, :2])
    torch.testing.assert_close(loss.detach(), alone)


def test_looking_once_costs_nothing():
    assert coverage_loss(torch.full((2, 1, 3), 1 / 3), torch.ones(2, 1, dtype=torch.bool)).item() == 0
    one_to_one = torch.eye(4)[None]
    assert coverage_loss(one_to_one, torch.ones(1, 4, dtype=torch.bool)).item() == 0


def test_gradients_of_the_coverage_loss(tensors):
    weights = tensors(6, torch.float64)(2, 4, 3).softmax(-1).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    # At a first step min(a, 0) has a kink only where a = 0, which softmax never gives.
    assert torch.autograd.gradcheck(lambda weights: coverage_loss(weights, mask), (weights,))
