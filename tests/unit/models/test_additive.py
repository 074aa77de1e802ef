"""The tiled scores against the one-line formula, whose tensor of all hidden values autograd keeps."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from seq2seq.models import additive
from seq2seq.models.additive import RELU, SIGMOID, TANH, additive_scores
from seq2seq.models.coverage import LinguisticCoverage
from seq2seq.models.scores import AdditiveScore, MultiHeadScore, NormedAdditiveScore

FUNCTIONS = {"tanh": (TANH, torch.tanh), "sigmoid": (SIGMOID, torch.sigmoid), "relu": (RELU, torch.relu)}
# room for everything; for some sentences with all queries; for some queries of one sentence; for less than one query
TILES = [2**20, 2 * 3 * 5 * 4 + 7, 2 * 5 * 4, 1]


def formula(query, keys, vector, function):
    """v^T g(q + k), through (B, Q, S, A)."""
    return function(query.unsqueeze(2) + keys.unsqueeze(1)) @ vector


def inputs(draw, rows=5, queries=3, positions=5, size=4):
    return [x.requires_grad_() for x in (draw(rows, queries, size), draw(rows, positions, size), draw(size))]


def saved(run):
    """The tensors that autograd keeps for a backward pass, each once, however often it is kept."""
    kept = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return list(kept.values())


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_tiles_give_the_formula_and_its_gradients(tensors, monkeypatch, name, tile):
    monkeypatch.setattr(additive, "CPU_TILE", tile)
    activation, function = FUNCTIONS[name]
    draw = tensors(1, torch.float64)
    arguments, grad = inputs(draw), draw(5, 3, 5)
    scores, expected = additive_scores(*arguments, activation), formula(*arguments, function)
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-12)
    ours = torch.autograd.grad(scores, arguments, grad)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, arguments, grad), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_finite_differences(tensors, monkeypatch, name, tile):
    monkeypatch.setattr(additive, "CPU_TILE", tile)
    arguments = inputs(tensors(2, torch.float64), rows=3)
    assert torch.autograd.gradcheck(lambda *some: additive_scores(*some, FUNCTIONS[name][0]), arguments)


@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_every_type_keeps_its_precision(tensors, dtype, tolerance, queries):
    """Against the formula in float64 on the same numbers; a gradient has its argument's type."""
    draw = tensors(3)
    arguments = [x.detach().to(dtype).requires_grad_() for x in inputs(draw, 3, queries, 7, 64)]
    exact = [x.detach().double().requires_grad_() for x in arguments]
    grad = draw(3, queries, 7)
    scores, expected = additive_scores(*arguments, TANH), formula(*exact, torch.tanh)
    torch.testing.assert_close(scores.double(), expected, rtol=0, atol=1e-5)  # whatever the type: float32 inside
    ours = torch.autograd.grad(scores, arguments, grad)
    for found, wanted in zip(ours, torch.autograd.grad(expected, exact, grad.double()), strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=tolerance * wanted.abs().max().item())


def test_autocast_changes_nothing_inside(tensors):
    """Queries and keys come in bfloat16, v in float32, and the backward pass may run under autocast too."""
    draw = tensors(4)
    query, keys, vector = inputs(draw)
    arguments = [query.detach().bfloat16().requires_grad_(), keys.detach().bfloat16().requires_grad_(), vector]
    grad = draw(5, 3, 5)
    expected = additive_scores(*arguments, TANH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = additive_scores(*arguments, TANH)
        ours = torch.autograd.grad(scores, arguments, grad)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, expected)
    for found, wanted in zip(ours, torch.autograd.grad(expected, arguments, grad), strict=True):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_far_from_zero_all_is_finite(name):
    """A saturated tanh is 1 or -1 exactly, as torch's own, without a gradient."""
    activation, function = FUNCTIONS[name]
    query = torch.tensor([[[1e4, -1e4, 60.0, 0.0]]], requires_grad=True)
    keys, vector = torch.tensor([[[1e4, -1e4, -60.0, 0.0]]]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    scores, expected = additive_scores(query, keys, vector, activation), formula(query, keys, vector, function)
    torch.testing.assert_close(scores, expected)
    (ours,), (theirs,) = torch.autograd.grad(scores.sum(), query), torch.autograd.grad(expected.sum(), query)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("rows", "queries", "positions"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_nothing_to_score_is_no_error(tensors, rows, queries, positions):
    arguments = inputs(tensors(5), rows, queries, positions)
    scores = additive_scores(*arguments, TANH)
    assert scores.shape == (rows, queries, positions)
    scores.sum().backward()
    for argument in arguments:
        assert argument.grad.abs().sum() == 0


def test_arguments_need_not_be_contiguous_and_stay_as_they_are(tensors):
    draw = tensors(6, torch.float64)
    query, keys, vector = draw(4, 3, 5).permute(2, 1, 0), draw(4, 6).t().expand(5, 6, 4), draw(8)[::2]
    before = [x.clone() for x in (query, keys, vector)]
    arguments = [x.requires_grad_() for x in (query, keys, vector)]
    scores = additive_scores(*arguments, TANH)
    expected = formula(*arguments, torch.tanh)
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-12)
    grad = draw(1, 3, 1).expand(5, 3, 6)
    ours = torch.autograd.grad(scores, arguments, grad)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, arguments, grad), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(x, y) for x, y in zip(arguments, before, strict=True))


@pytest.mark.parametrize("build", [AdditiveScore, NormedAdditiveScore])
def test_what_is_kept_for_the_backward_pass_grows_with_queries_and_positions_apart(tensors, build):
    """Never with their product times A; doubling T, or S, adds no more than its own vectors again."""
    draw, size = tensors(7), 32
    score = build(size, size, size)

    def kept(queries, positions):
        query, keys = draw(2, queries, size), score.project(draw(2, positions, size))
        tensors_kept = saved(lambda: score(query, keys))
        assert max(tensor.numel() for tensor in tensors_kept) <= 2 * max(queries, positions, size) * size
        return sum(tensor.numel() for tensor in tensors_kept)

    base = kept(20, 30)
    assert kept(40, 30) - base <= 2 * (2 * 20 * size)  # the query before and after its projection
    assert kept(20, 60) - base <= 2 * 30 * size  # the keys; and no scores
    assert base < 2 * 20 * 30 * size


def test_a_loop_of_single_queries_keeps_its_keys_once(tensors):
    """As decoders with attention before their RNN ask: T steps together keep T queries and one set of keys."""
    draw, size, positions = tensors(8), 32, 30
    score = AdditiveScore(size, size, size)
    keys = score.project(draw(2, positions, size))

    def kept(steps):
        queries = draw(steps, 2, 1, size)
        return sum(x.numel() for x in saved(lambda: torch.stack([score(query, keys) for query in queries])))

    assert kept(20) - kept(10) <= 10 * (2 * 2 * size)  # 2 sentences' query, before and after its projection


@pytest.mark.parametrize("tile", TILES)
def test_keys_of_a_query_s_own_and_heads(tensors, monkeypatch, tile):
    """Coverage gives each query its keys, as batches of one query; each head has its own slice of A."""
    monkeypatch.setattr(additive, "CPU_TILE", tile)
    draw = tensors(9, torch.float64)
    score = AdditiveScore(4, 4, 6).double()
    query, memory, coverage = draw(2, 3, 4), draw(2, 5, 4), LinguisticCoverage(6, 4, 2.0).double()
    own = coverage.keys(score.project(memory), draw(2, 3, 5, 1))  # (B, Q, S, A)
    scores = score(query.flatten(0, 1).unsqueeze(1), own.flatten(0, 1)).view(2, 3, 5)
    expected = torch.tanh(score.query_projection(query).unsqueeze(2) + own) @ score.vector()
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-12)
    weights = [coverage.key_projection.weight, *score.parameters()]
    grad = draw(2, 3, 5)
    ours = torch.autograd.grad(scores, weights, grad, retain_graph=True)
    theirs = torch.autograd.grad(expected, weights, grad)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    heads = MultiHeadScore(4, 4, 6, [AdditiveScore(3, 3, 3) for _ in "ab"]).double()
    keys = heads.project(memory)
    for i, (asked, found) in enumerate(zip(heads.query_projection(query).chunk(2, -1), keys.chunk(2, -1), strict=True)):
        head = heads.heads[i]
        expected = formula(head.query_projection(asked), found, head.vector(), torch.tanh)
        torch.testing.assert_close(heads(query, keys)[i], expected, rtol=1e-12, atol=1e-12)


def test_no_more_than_a_tile_of_hidden_values_is_made(tensors, monkeypatch):
    """Forward without gradients, forward with them, and backward; the last tile may be smaller."""
    sizes = []

    def base(x):
        sizes.append(x.numel())
        return torch.sigmoid_(x)

    monkeypatch.setattr(additive, "CPU_TILE", 100)
    arguments = inputs(tensors(10))  # 5 sentences of 3 * 5 * 4 = 60 hidden values
    watched = TANH._replace(base=base)
    with torch.no_grad():
        additive_scores(*arguments, watched)
    assert sizes == [60] * 5
    additive_scores(*arguments, watched).sum().backward()
    assert sizes == [60] * 15


def test_a_second_derivative_is_refused(tensors):
    arguments = inputs(tensors(11))
    (grad,) = torch.autograd.grad(additive_scores(*arguments, TANH).square().sum(), arguments[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
