"""Minimum risk training: risk and gradient from the paper's formula, candidates, and their costs."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.data.batch import Batch
from seq2seq.evaluation.metrics import smoothed_bleu
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options import MetricConfig
from seq2seq.search.protocol import NoTranslationError
from seq2seq.training.objectives import minimum_risk

BOS, EOS = 1, 2
DRAWN = [[[4, 5, 6], [4, 5], [4, 5, 6], [7]], [[8], [], [9, 10, 11, 5]], [[5, 5, 5]]]
REFERENCES = [[4, 5, 6, 7], [9, 10, 11], [5, 5, 5]]
SOURCES = [[4, 4, 9], [6], [5, 10]]


def options(**changes: Any) -> dict[str, Any]:
    return {"name": "minimum_risk", **changes}


@pytest.fixture
def batch(bench: Any) -> Batch:
    given: Batch = bench.pairs(list(zip(SOURCES, REFERENCES, strict=True)))
    return given


def log_prob(model: Seq2Seq, source: list[int], tokens: list[int]) -> Tensor:
    """Of one translation alone, EOS included."""
    rows = torch.tensor([[*source, EOS]]), torch.tensor([len(source) + 1]), torch.tensor([[BOS, *tokens]])
    features = model(*rows, torch.ones(1, len(tokens) + 1, dtype=torch.bool)).features
    log_probs = model.output(features).log_softmax(1)
    total: Tensor = sum(log_probs[t, token] for t, token in enumerate([*tokens, EOS]))  # type: ignore[assignment]
    return total


@pytest.mark.parametrize("alpha", [0.005, 0.7])
@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_risk_and_gradient_are_those_of_the_formula(
    bench: Any,
    batch: Batch,
    gradients: Any,
    alpha: float,
    reference: bool,
    weight: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shen et al. (2016), section 3: sum_y Q(y) cost(y), Q(y) = P(y)^alpha / sum_y' P(y')^alpha; float64, by loops."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # what is float32 whatever the weights are
    config = bench.config(
        options(alpha=alpha, reference=reference, cross_entropy_weight=weight), trainer={"label_smoothing": 0.0}
    )
    model, objective = bench.model(config).double(), bench.objective(config)
    loss = objective.risk(model, objective.candidates(batch, DRAWN))

    expected, nll = torch.zeros((), dtype=torch.float64), 0.0
    for source, gold, drawn in zip(SOURCES, REFERENCES, DRAWN, strict=True):
        unique = [tokens for i, tokens in enumerate(drawn) if tokens not in drawn[:i]]
        unique = [*([gold] if reference and gold not in unique else []), *unique]
        scaled = [(alpha * log_prob(model, source, tokens)).exp() for tokens in unique]
        text = bench.words.decode(gold)
        costs = [1 - objective.bleu(bench.words.decode(tokens), text) for tokens in unique]
        risk = sum(q * cost for q, cost in zip(scaled, costs, strict=True)) / sum(scaled)
        entropy = -log_prob(model, source, gold)
        expected = expected + (len(gold) + 1) * risk + weight * entropy
        nll += float(entropy.detach())
    assert float(loss.trained.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert float(loss.nll) == pytest.approx(nll, rel=1e-6)
    ours, theirs = gradients(model, loss.trained), gradients(model, expected)
    assert max(float(gradient.abs().max()) for gradient in theirs.values()) > 1e-4
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-5, atol=1e-7, msg=name)  # costs are float32


def test_a_step_against_the_gradient_makes_good_candidates_likelier(bench: Any, batch: Batch, gradients: Any) -> None:
    """The candidate that is the reference gains, the worst one loses."""
    config = bench.config(options(alpha=1.0))
    model, objective = bench.model(config).double(), bench.objective(config)
    before = [float(log_prob(model, SOURCES[0], tokens).detach()) for tokens in (REFERENCES[0], [7])]
    found = gradients(model, objective.risk(model, objective.candidates(batch, DRAWN)).trained)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight -= 0.05 * found[name]
    after = [float(log_prob(model, SOURCES[0], tokens).detach()) for tokens in (REFERENCES[0], [7])]
    assert after[0] - after[1] > before[0] - before[1]


def rows_of(candidates: minimum_risk.Candidates) -> list[list[list[int]]]:
    """The candidates of each sentence, as tokens without EOS."""
    lengths = candidates.rows.target_lengths.tolist()
    output, given = candidates.rows.target_output.tolist(), candidates.rows.target_input.tolist()
    for row, opened, length in zip(output, given, lengths, strict=True):
        assert row[length - 1] == EOS
        assert opened[:length] == [BOS, *row[: length - 1]]
    return [
        [output[row][: lengths[row] - 1] for row, is_real in zip(places, real, strict=True) if is_real]
        for places, real in zip(candidates.places.tolist(), candidates.real.tolist(), strict=True)
    ]


def test_equal_samples_count_once_and_the_reference_is_one_by_option(bench: Any, batch: Batch) -> None:
    with_it = bench.objective(bench.config(options())).candidates(batch, DRAWN)
    assert rows_of(with_it) == [
        [REFERENCES[0], [4, 5, 6], [4, 5], [7]],
        [REFERENCES[1], [8], [], [9, 10, 11, 5]],
        [REFERENCES[2]],
    ]
    without = bench.objective(bench.config(options(reference=False))).candidates(batch, DRAWN)
    assert rows_of(without) == [[[4, 5, 6], [4, 5], [7]], [[8], [], [9, 10, 11, 5]], [[5, 5, 5]]]
    for found in (with_it, without):
        rows = found.rows
        assert [row[:length].tolist() for row, length in zip(rows.target_output, rows.target_lengths, strict=True)][
            :3
        ] == [[*tokens, EOS] for tokens in REFERENCES]
        for sentence, places in enumerate(found.places[:, :1].flatten().tolist()):
            assert torch.equal(rows.source[places], batch.source[sentence])
            assert rows.source_lengths[places] == batch.source_lengths[sentence]


def test_costs_are_one_minus_smoothed_bleu_of_the_text(bench: Any, batch: Batch) -> None:
    """Lin & Och (2004): 1 is added to matches and counts of n > 1; by hand, with the brevity penalty."""
    costs = bench.objective(bench.config(options())).candidates(batch, DRAWN).costs
    assert costs[0, 0] == pytest.approx(0.0, abs=1e-6)
    # "w4 w5 w6" of "w4 w5 w6 w7": 3/3, (2+1)/(2+1), (1+1)/(1+1), (0+1)/(0+1), and exp(1 - 4/3)
    assert costs[0, 1] == pytest.approx(1 - math.exp(1 - 4 / 3), abs=1e-6)
    # "w9 w10 w11 w5" of "w9 w10 w11": 3/4, 3/4, 2/3, 1/2
    assert costs[1, 3] == pytest.approx(1 - (3 / 4 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25, abs=1e-6)
    assert costs[1, 1] == pytest.approx(1.0)  # no word in common
    assert costs[1, 2] == pytest.approx(1.0)  # nothing said


def test_bleu_goes_by_the_runs_options(caplog: pytest.LogCaptureFixture) -> None:
    assert smoothed_bleu(MetricConfig())("A Dog", "a dog") < 0.1
    assert smoothed_bleu(MetricConfig(lowercase=True))("A Dog", "a dog") == pytest.approx(1.0)
    assert caplog.text == ""


def test_samples_come_from_the_model_without_dropout_by_torchs_generator(bench: Any, batch: Batch) -> None:
    config = bench.config(options(samples=6), dropout=0.5)
    model, objective = bench.model(config), bench.objective(config)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(objective._drawn(model, batch))
        assert model.training
    assert draws[0] == draws[1] != draws[2]
    assert [len(sentence) for sentence in draws[0]] == [6, 6, 6]
    limits = [len(source) + 2 for source in SOURCES]  # slope 1, offset 2, EOS apart
    for sentence, limit in zip(draws[0], limits, strict=True):
        assert all(len(tokens) <= limit and not {0, 1, 2, 3} & set(tokens) for tokens in sentence)
    assert len({tuple(tokens) for sentence in draws[0] for tokens in sentence}) > 6


def test_a_model_without_probabilities_has_its_update_skipped(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be sampled from; that is no reason to end the training."""
    updater = bench.updater(bench.config(options()))

    def none(*given: Any) -> Any:
        raise NoTranslationError(0)

    monkeypatch.setattr(minimum_risk, "sample", none)
    updater.model.output.bias.register_hook(lambda gradient: gradient * math.nan)
    before = {name: weight.clone() for name, weight in updater.model.state_dict().items()}
    updater.update([bench.copies(4)], 1)
    assert updater.meter.skipped_in_row() == 1
    assert all(torch.equal(before[name], weight) for name, weight in updater.model.state_dict().items())
