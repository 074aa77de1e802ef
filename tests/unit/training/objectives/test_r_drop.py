"""R-Drop: the paper's formula over two passes of a real model."""

from typing import Any

import pytest
import torch

from seq2seq.training.objectives.r_drop import RDrop


def test_the_loss_is_half_of_the_papers_over_two_passes(bench: Any) -> None:
    """Liang et al. (2021), section 2: L = -log p - log q + alpha/2 [KL(p || q) + KL(q || p)], summed over tokens."""
    config = bench.config({"name": "r_drop"}, dropout=0.4)
    model, batch, alpha = bench.model(config), bench.batch((4, 3), (2, 5), (6, 1)), 3.0
    torch.manual_seed(8)
    loss = RDrop(0.0, 0.0, alpha)(model, batch, 1)

    torch.manual_seed(8)
    twice = [torch.cat([field, field]) for field in (batch.source, batch.source_lengths, batch.target_input)]
    features = model(*twice, torch.cat([batch.target_mask] * 2)).features
    both = model.output(features).detach().double().log_softmax(1)
    tokens = batch.target_tokens
    paper = nll = 0.0
    for i, gold in enumerate(batch.target_output[batch.target_mask].tolist()):
        p, q = both[i], both[tokens + i]
        paper += float(-p[gold] - q[gold])
        nll += float(-p[gold] - q[gold]) / 2
        paper += alpha / 2 * float((p.exp() * (p - q)).sum() + (q.exp() * (q - p)).sum())
        assert not torch.equal(p, q)
    assert float(loss.trained.detach()) == pytest.approx(paper / 2, rel=1e-5)
    assert float(loss.nll) == pytest.approx(nll, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_dropout_it_is_cross_entropy(bench: Any, gradients: Any, smoothing: float) -> None:
    config = bench.config({"name": "cross_entropy"}, trainer={"label_smoothing": smoothing})
    model, batch = bench.model(config), bench.batch((4, 3), (2, 5))
    plain = bench.objective(config)(model, batch, 1)
    pair = RDrop(smoothing, 0.0, 5.0)(model, batch, 1)
    torch.testing.assert_close(pair.trained, plain.trained)
    torch.testing.assert_close(pair.nll, plain.nll)
    ours, theirs = gradients(model, pair.trained), gradients(model, plain.trained)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5, msg=name)


def test_dropout_differs_between_the_passes_and_costs_divergence(bench: Any) -> None:
    config = bench.config({"name": "r_drop"}, dropout=0.5)
    model, batch = bench.model(config), bench.batch((4, 3), (2, 5))
    losses = []
    for alpha in (0.0, 1.0, 2.0):
        torch.manual_seed(1)
        losses.append(float(RDrop(0.1, 0.0, alpha)(model, batch, 1).trained.detach()))
    assert losses[1] - losses[0] > 0.01
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)
