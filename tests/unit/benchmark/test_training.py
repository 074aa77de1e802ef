"""A training that is measured is one like any other."""

import dataclasses

import pytest
import torch

from seq2seq.benchmark.training import Training
from seq2seq.data.batch import collate
from seq2seq.data.sampler import BatchSampler
from seq2seq.runtime import seed_everything
from seq2seq.training.objectives import CrossEntropy
from seq2seq.training.updater import Updater


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_it_learns_what_the_updater_learns_from_the_samplers_batches(make_bench) -> None:
    bench = make_bench()
    material, config = bench.material, bench.config
    training = Training(config, material, bench.runtime)
    stretch = training.run(3)

    model = material.fresh(config)
    updater = Updater(config, model, bench.runtime, CrossEntropy(config.trainer.label_smoothing, 0.0))
    sampler = BatchSampler.of(material.corpus, config.trainer, config.seed)
    batches = [collate(material.corpus, rows, material.tokenizers) for rows in sampler.epoch(0)[:3]]
    tokens = sum(updater.update([batch], number) for number, batch in enumerate(batches, start=1))
    assert torch.equal(weights(training.model), weights(model))
    assert stretch.tokens == tokens
    assert stretch.seconds > 0


def test_it_goes_on_where_it_stopped_whatever_came_between(make_bench) -> None:
    bench = make_bench()
    one, other = (Training(bench.config, bench.material, bench.runtime, report_every=2) for _ in range(2))
    one.run(6)
    other.run(4)
    seed_everything(99)
    torch.rand(5)
    other.run(2)
    assert torch.equal(weights(one.model), weights(other.model))
    assert one.losses == other.losses
    assert len(one.losses) == 3


def test_epochs_follow_each_other_and_their_ordering_is_counted(make_bench) -> None:
    bench = make_bench()
    training = Training(bench.config, bench.material, bench.runtime)
    batches = len(training.epoch)
    stretch = training.run(2 * batches)
    assert stretch.tokens == 2 * (len(bench.material.corpus.target) + len(bench.material.corpus))
    assert 0 < stretch.ordering < stretch.seconds


def test_updates_take_several_batches_where_asked(make_bench) -> None:
    bench = make_bench(trainer={"batch_sentences": 4, "accumulate": 2})
    once = dataclasses.replace(bench.config, trainer=dataclasses.replace(bench.config.trainer, accumulate=1))
    both, single = (Training(config, bench.material, bench.runtime) for config in (bench.config, once))
    assert both.run(1).tokens == single.run(2).tokens


def test_the_objective_is_the_configs(make_bench) -> None:
    """R-Drop is cross entropy where two passes can't differ, and more where dropout makes them."""

    def first_loss(objective: object, dropout: float) -> float:
        parts = {part: {"name": "lstm", "dropout": dropout} for part in ("encoder", "decoder")}
        bench = make_bench(objective=objective, **parts)
        training = Training(bench.config, bench.material, bench.runtime, report_every=1)
        training.run(1)
        return training.losses[0]

    weak, strong = ({"name": "r_drop", "alpha": alpha} for alpha in (0.0, 1000.0))
    assert first_loss(strong, 0.0) == pytest.approx(first_loss("cross_entropy", 0.0), rel=1e-6)
    assert first_loss(strong, 0.5) > first_loss(weak, 0.5)
