"""What holds of every objective: it learns, it can be gone on with, and a batch is the sum of its parts."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.checkpoints import Checkpoints
from seq2seq.schema import COMPONENTS
from seq2seq.training.objectives.build import OBJECTIVES
from seq2seq.training.state import random_state, set_random_state

OPTIONS: dict[str, dict[str, Any]] = {
    "cross_entropy": {"name": "cross_entropy"},
    "r_drop": {"name": "r_drop", "alpha": 5.0},
    "scheduled_sampling": {"name": "scheduled_sampling", "probability": 0.5, "half_updates": 2},
    "sampled": {"name": "scheduled_sampling", "probability": 0.5, "half_updates": 2, "predictions": "sampled"},
    "minimum_risk": {"name": "minimum_risk", "samples": 4, "alpha": 0.5},
    "mixed": {"name": "minimum_risk", "samples": 3, "alpha": 0.5, "reference": False, "cross_entropy_weight": 0.5},
}
objectives = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def test_every_choice_has_its_builder() -> None:
    assert set(COMPONENTS["objective"]) == set(OBJECTIVES) == {options["name"] for options in OPTIONS.values()}


@objectives
def test_it_learns(bench: Any, options: dict[str, Any]) -> None:
    """A few updates on one batch of copies lower its own loss, and that of the references."""
    config = bench.config(options, dropout=0.1)
    updater, batch = bench.updater(config), bench.copies(8)
    reports = []
    for number in range(1, 26):
        updater.update([batch], number)
        if number % 5 == 0:
            reports.append(updater.meter.read(0.01))
    first, last = reports[0], reports[-1]
    assert last["loss"] < 0.9 * first["loss"]
    assert last["perplexity"] < 0.8 * first["perplexity"]


@objectives
def test_saved_and_loaded_it_goes_on_bit_for_bit(bench: Any, options: dict[str, Any], tmp_path: Path) -> None:
    config, batches = bench.config(options, dropout=0.3), [bench.copies(6, seed) for seed in range(6)]
    whole = bench.updater(config)
    for number, batch in enumerate(batches[:3], start=1):
        whole.update([batch], number)
    state = {"updater": whole.state_dict(), "random": random_state(bench.runtime)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, whole.model, state, rank=None, scores={}, keep_last=1, keep_best=1)
    checkpoints.wait()
    for number, batch in enumerate(batches[3:], start=4):
        whole.update([batch], number)

    resumed = bench.updater(config)
    found = Checkpoints(tmp_path).load_newest(resumed.model)
    assert found is not None
    resumed.load_state_dict(found[1]["updater"])
    torch.manual_seed(99)
    set_random_state(found[1]["random"], bench.runtime)
    for number, batch in enumerate(batches[3:], start=4):
        resumed.update([batch], number)
    for (name, one), other in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert whole.meter.read(1.0) == resumed.meter.read(1.0)


@objectives
def test_a_rehearsal_leaves_no_trace(bench: Any, options: dict[str, Any]) -> None:
    updater = bench.updater(bench.config(options, dropout=0.3))
    weights, before = copy.deepcopy(updater.model.state_dict()), random_state(bench.runtime)["torch"]
    updater.rehearse(bench.copies(5))
    assert torch.equal(before, random_state(bench.runtime)["torch"])
    assert all(torch.equal(weights[name], tensor) for name, tensor in updater.model.state_dict().items())
    assert updater.model.training


@objectives
def test_taken_in_parts_a_batch_has_the_same_gradient(
    bench: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout, and with whatever is drawn fixed by the sentence: as when memory has no room for the whole."""
    options = {**options, **({"probability": 1.0} if "probability" in options else {})}
    options = {**options, **({"predictions": "argmax"} if "predictions" in options else {})}
    config = bench.config(options, optimizer={"name": "sgd", "learning_rate": 1.0}, trainer={"clip_norm": None})
    batch = bench.batch((4, 3), (2, 5), (1, 1), (3, 3), (5, 2))
    updaters = [bench.updater(config) for _ in range(2)]
    updaters[1].most_cells = 30
    for updater in updaters:
        monkeypatch.setattr(updater.objective, "_drawn", drawn_from_sources, raising=False)
        updater.update([batch], 10**6)
    for (name, one), other in zip(updaters[0].model.named_parameters(), updaters[1].model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=name)
    whole, parted = (updater.meter.read(1.0) for updater in updaters)
    assert parted["loss"] == pytest.approx(whole["loss"], abs=2e-6)
    assert parted["perplexity"] == pytest.approx(whole["perplexity"], rel=1e-4)


def drawn_from_sources(model: Any, batch: Any) -> list[list[list[int]]]:
    """Two "samples" of each sentence: its source, and that without its first word."""
    lines = [row[: length - 1].tolist() for row, length in zip(batch.source, batch.source_lengths, strict=True)]
    return [[line, line[1:]] for line in lines]


@objectives
def test_in_bf16_every_weight_gets_its_gradient(bench: Any, options: dict[str, Any], gradients: Any) -> None:
    """Passes without gradient leave casts of the weights behind, from which none would flow."""
    config = bench.config(options)
    model, batch, objective = bench.model(config), bench.copies(6), bench.objective(config)
    found = {}
    for enabled in (False, True):
        torch.manual_seed(5)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = objective(model, batch, 10**6)
        found[enabled] = gradients(model, loss.trained)
    for name, exact in found[False].items():
        assert found[True][name].isfinite().all(), name
        assert bool(found[True][name].any()) == bool(exact.any()), name


@pytest.mark.parametrize("name", ["cross_entropy", "r_drop", "scheduled_sampling"])
def test_the_coverage_loss_is_added(bench: Any, name: str) -> None:
    """See et al. (2017), section 2.3: sum_t sum_i min(a_i^t, c_i^t); without dropout, of one pass's attention."""
    batch, options = bench.batch((5, 4), (3, 6)), {"name": name}
    if name == "scheduled_sampling":
        options = {**options, "probability": 0.0}
    plain, weighted = (bench.config(options, coverage=coverage) for coverage in (0.0, 0.5))
    model = bench.model(plain)
    losses = [bench.objective(config)(model, batch, 1) for config in (plain, weighted)]
    weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask).weights
    expected = 0.0
    for row, length in zip(weights.detach(), batch.target_lengths.tolist(), strict=True):
        covered = torch.zeros_like(row[0])
        for attention in row[:length]:
            expected += float(torch.minimum(attention, covered).sum())
            covered = covered + attention
    assert expected > 1
    assert float((losses[1].trained - losses[0].trained).detach()) == pytest.approx(0.5 * expected, rel=1e-4)
    assert torch.equal(losses[0].nll, losses[1].nll)


def test_only_cross_entropy_needs_no_explanation(bench: Any) -> None:
    meanings = {name: bench.objective(bench.config(options)).meaning for name, options in OPTIONS.items()}
    assert [name for name, meaning in meanings.items() if meaning is None] == ["cross_entropy"]
    assert meanings["minimum_risk"] == "the expected 1 - BLEU of sampled translations"
    assert meanings["mixed"] == "the expected 1 - BLEU of sampled translations + 0.5 * cross entropy"
    assert meanings["r_drop"] == "cross entropy, mean of two passes, + 2.5 * their divergence"
