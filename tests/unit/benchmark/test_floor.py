"""The floor: operations counted by formula, rates of products."""

import pytest
import torch
from torch import nn

from seq2seq.benchmark.floor import Floor, own_shapes
from seq2seq.benchmark.training import Training
from seq2seq.runtime import Runtime


def floor_of(bench):
    training = Training(bench.config, bench.material, bench.runtime)
    return Floor(training.model, training.first(), bench.runtime, bench.square), training


def test_operations_are_those_of_the_formula(make_bench) -> None:
    """Multiplications and additions of every product: LSTMs, bridge, general attention, readout, output."""
    bench = make_bench(
        tie_embeddings="none",
        encoder={"name": "lstm", "hidden_size": 5},
        attention={"name": "luong_general"},
        decoder={"name": "lstm", "hidden_size": 7, "readout_size": 9},
    )
    floor, training = floor_of(bench)
    batch, (embedding, encoder, decoder, readout, vocabulary) = training.first(), (6, 5, 7, 9, 20)
    rows, source, target = len(batch.source), batch.source.shape[1], batch.target_output.shape[1]
    memory = 2 * encoder
    sentence = (
        source * 2 * 4 * encoder * (embedding + encoder)  # both directions
        + 2 * memory * decoder  # bridge, to hidden and cell
        + source * memory * decoder  # keys
        + target * 4 * decoder * (embedding + decoder)
        + target * source * (decoder + memory)  # scores, context
        + target * (decoder + memory) * readout
        + target * readout * vocabulary
    )
    both_ways = 3 * 2 * rows * sentence  # backward: the gradients of both factors
    counted = floor.flops_per_token * batch.target_tokens
    assert counted == pytest.approx(both_ways, rel=0.12)  # first states are zero: their products have no gradient


def test_the_models_own_products_leave_out_what_is_only_looked_up(make_bench) -> None:
    untied = floor_of(make_bench(tie_embeddings="none", encoder={"name": "mean"}, decoder={"name": "gru"}))[1].model
    tied = floor_of(make_bench(tie_embeddings="all", encoder={"name": "mean"}, decoder={"name": "gru"}))[1].model
    for model in (untied, tied):
        assert (20, 6) in own_shapes(model)  # the output layer
        tables = {tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Embedding)}
        assert tables == {(20, 6)}
        largest = max(p.numel() for p in model.parameters() if p.dim() == 2)
        assert own_shapes(model)[0][0] * own_shapes(model)[0][1] == largest
    larger = floor_of(
        make_bench({"vocab_size": 200}, tie_embeddings="none", decoder={"name": "lstm", "readout_size": 2})
    )
    assert (200, 6) not in own_shapes(larger[1].model)
    assert (200, 2) in own_shapes(larger[1].model)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_rates_are_those_of_products_in_the_precision(make_bench, precision: str, dtype: torch.dtype) -> None:
    bench = make_bench()
    training = Training(bench.config, bench.material, bench.runtime)
    floor = Floor(training.model, training.first(), Runtime(torch.device("cpu"), precision, 1), 16)
    for product in [*floor.square, *floor.own]:
        product()
        expected = product.left.double() @ product.right.double().t()
        assert product.out.dtype == dtype
        torch.testing.assert_close(product.out.double(), expected, rtol=0.02, atol=0.05)
        assert product.flops == 2 * product.left.numel() * product.right.shape[0]


def test_the_floor_is_operations_over_the_better_rate(make_bench, monkeypatch: pytest.MonkeyPatch) -> None:
    floor, _ = floor_of(make_bench())
    monkeypatch.setattr(floor, "_rate", lambda products: 3e9 if products is floor.square else 2e9)
    assert floor.sample() == {
        "square_gflops": 3.0,
        "own_gflops": 2.0,
        "floor_tokens_per_second": pytest.approx(3e9 / floor.flops_per_token),
    }


def test_a_rate_is_operations_over_seconds(make_bench, monkeypatch: pytest.MonkeyPatch) -> None:
    floor, _ = floor_of(make_bench())
    seconds = {id(product): 1.0 + i for i, product in enumerate(floor.own)}
    monkeypatch.setattr("seq2seq.benchmark.floor._seconds", lambda product, runtime: seconds[id(product)])
    rate = floor._rate(floor.own)
    assert rate == sum(p.flops for p in floor.own) / sum(seconds.values())
