"""Learning rates against their formulas, optimizers against torch's, and what isn't put into one."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from seq2seq.config import Config
from seq2seq.training.optim import Schedule, build_optimizer, last_update, load_numbers

OPTIMIZERS = {
    "adam": {"name": "adam", "learning_rate": 0.1, "betas": [0.8, 0.95], "epsilon": 1e-3},
    "adamw": {"name": "adamw", "learning_rate": 0.1, "betas": [0.8, 0.95], "epsilon": 1e-3, "weight_decay": 0.2},
    "sgd": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "plain sgd": {"name": "sgd", "learning_rate": 0.1},
}


def options(**groups: Any) -> Config:
    return Config.from_dict(groups)


def schedule(peak: float = 0.5, **scheduler: Any) -> Schedule:
    optimizer = build_optimizer(
        options(optimizer={"name": "sgd", "learning_rate": peak}).optimizer, [nn.Parameter(torch.ones(1))]
    )
    return Schedule(optimizer, options(scheduler=scheduler).scheduler)


def rate(of: Schedule, update: int) -> float:
    of.step(update)
    assert all(group["lr"] == of.learning_rate for group in of.optimizer.param_groups)
    return of.learning_rate


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_three_steps_are_those_of_the_formulas(name: str) -> None:
    """Kingma & Ba (2015), algorithm 1; Loshchilov & Hutter (2019), algorithm 2; SGD with momentum as torch has it."""
    given = OPTIMIZERS[name]
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = build_optimizer(options(optimizer=given).optimizer, [parameter])
    x, m, v, velocity = torch.tensor([1.0, -2.0], dtype=torch.float64), 0.0, 0.0, 0.0
    for t, slope in enumerate(([0.3, 0.1], [-1.0, 0.5], [0.2, 2.0]), start=1):
        parameter.grad = torch.tensor(slope)
        optimizer.step()
        g = torch.tensor(slope, dtype=torch.float64)
        if "sgd" in name:
            velocity = given.get("momentum", 0.0) * velocity + g
            x = x - 0.1 * velocity
        else:
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
            x = x - 0.1 * given.get("weight_decay", 0.0) * x
            x = x - 0.1 * (m / (1 - 0.8**t)) / ((v / (1 - 0.95**t)).sqrt() + 1e-3)
        torch.testing.assert_close(parameter.detach().double(), x, rtol=1e-5, atol=1e-6)


def test_constant_after_a_warm_up() -> None:
    found = [rate(schedule(name="constant", warmup_updates=4), update) for update in (1, 2, 4, 5, 1000)]
    assert found == [0.125, 0.25, 0.5, 0.5, 0.5]
    assert rate(schedule(name="constant"), 1) == 0.5


def test_inverse_square_root_of_the_update() -> None:
    """Vaswani et al. (2017), section 5.3: min(update ** -0.5, update * warmup ** -1.5), here 1 at its highest."""
    given = schedule(peak=1.0, name="inverse_sqrt", warmup_updates=9)
    for update in (1, 5, 9, 10, 36, 10_000):
        expected = 3 * min(update**-0.5, update * 9**-1.5)
        assert rate(given, update) == pytest.approx(expected, rel=1e-12)


def test_half_a_cosine_between_the_warm_up_and_the_end() -> None:
    given = schedule(name="cosine", warmup_updates=10, decay_updates=30, final_ratio=0.2)
    assert rate(given, 5) == 0.25
    assert rate(given, 10) == 0.5
    assert rate(given, 20) == pytest.approx(0.5 * 0.6)  # half way, half way between 1 and 0.2
    assert rate(given, 15) == pytest.approx(0.5 * (0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2))
    assert rate(given, 30) == rate(given, 31) == rate(given, 1000) == pytest.approx(0.1)


def test_a_step_halves_the_rate_as_luong234_does() -> None:
    """tensorflow/nmt, model.py: 1/2 to the power of floor((step - 8000) / 1000), for steps counted from 0."""
    given = schedule(peak=1.0, name="step")
    found = {update: rate(given, update) for update in (1, 8000, 8001, 9000, 9001, 10_000, 10_001, 11_001, 12_000)}
    assert found == {
        1: 1,
        8000: 1,
        8001: 1,
        9000: 1,
        9001: 0.5,
        10_000: 0.5,
        10_001: 0.25,
        11_001: 0.125,
        12_000: 0.125,
    }
    assert rate(schedule(peak=1.0, name="step", start_updates=0, every_updates=1, factor=0.1), 3) == pytest.approx(0.01)


def test_plateau_lowers_the_rate_when_patience_is_over() -> None:
    given = schedule(name="plateau", factor=0.5, patience=1, min_learning_rate=0.2)
    rates = []
    for update, loss in enumerate([3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0], start=1):
        given.validated(loss)
        rates.append(rate(given, update))
    #        better, better, worse, worse again: halved, better, worse, worse: no lower than 0.2
    assert rates == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_a_validation_that_gave_no_number_is_no_better_one() -> None:
    given = schedule(name="plateau", factor=0.5, patience=0)
    given.validated(math.inf)
    assert (given.best, rate(given, 1)) == (None, 0.25)
    given.validated(5.0)
    assert (given.best, rate(given, 2)) == (5.0, 0.25)


def test_only_plateau_listens_to_validations() -> None:
    given = schedule(name="constant")
    for _ in range(9):
        given.validated(1.0)
    assert rate(given, 9) == 0.5


def test_a_loaded_plateau_goes_on_where_it_was() -> None:
    losses = [3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    whole = schedule(name="plateau", factor=0.5, patience=1)
    for cut in range(len(losses)):
        first, second = (schedule(name="plateau", factor=0.5, patience=1) for _ in range(2))
        whole = schedule(name="plateau", factor=0.5, patience=1)
        for loss in losses[:cut]:
            first.validated(loss)
            whole.validated(loss)
        second.load_state_dict(first.state_dict())
        for update, loss in enumerate(losses[cut:], start=cut):
            second.validated(loss)
            whole.validated(loss)
            assert rate(second, update) == rate(whole, update)
    assert whole.plateau < 1


@pytest.mark.parametrize(
    ("limits", "last"),
    [
        ({"max_epochs": 3, "max_updates": None}, 21),
        ({"max_epochs": 3, "max_updates": 20}, 20),
        ({"max_epochs": 3, "max_updates": 22}, 21),
        ({"max_epochs": None, "max_updates": 20}, 20),
        ({"max_epochs": None, "max_updates": None}, None),
    ],
)
def test_the_last_update_is_that_of_the_nearest_limit(limits: dict[str, int | None], last: int | None) -> None:
    trainer = options(trainer={"max_minutes": 1.0, **limits}).trainer
    assert last_update(trainer, updates_per_epoch=7) == last


def test_only_an_end_that_was_left_open_is_the_trainings() -> None:
    def cosine(end: Any) -> Any:
        return options(scheduler={"name": "cosine", "decay_updates": end, "warmup_updates": 5}).scheduler

    assert cosine("auto").ending(80) == cosine(80)
    assert cosine(70).ending(80) == cosine(70)
    assert cosine("auto").ending(None) == cosine("auto")
    constant = options(scheduler="constant").scheduler
    assert constant.ending(80) == constant


def trained(name: str) -> torch.optim.Optimizer:
    parameters = [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(4))]
    optimizer = build_optimizer(options(optimizer=OPTIMIZERS[name]).optimizer, parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_numbers_of_another_size_are_refused(name: str) -> None:
    """The kernels look at no size: they would read and write beyond what such a file brought."""
    for moment in {"exp_avg", "exp_avg_sq", "momentum_buffer"} & trained(name).state_dict()["state"][0].keys():
        for wrong in (torch.zeros(1), torch.zeros(()), torch.zeros(2, 3), 0.5, None, [0.0]):
            optimizer = trained(name)
            numbers = optimizer.state_dict()["state"]
            numbers[0] = {**numbers[0], moment: wrong}
            with pytest.raises(ValueError, match=rf"{moment} of the optimizer's parameter 0 is not .* \(3, 2\)"):
                load_numbers(optimizer, numbers)


def test_numbers_of_no_parameter_are_refused() -> None:
    optimizer = trained("adam")
    numbers = optimizer.state_dict()["state"]
    for place in (2, -1):
        with pytest.raises(ValueError, match=f"no parameter {place}"):
            load_numbers(optimizer, {**numbers, place: numbers[0]})
    with pytest.raises(ValueError, match="step of the optimizer's parameter 1"):
        load_numbers(optimizer, {**numbers, 1: {**numbers[1], "step": torch.ones(4)}})


def test_the_rate_stays_the_configs() -> None:
    optimizer, other = trained("adam"), trained("adam")
    other.param_groups[0]["lr"] = 7.0
    load_numbers(optimizer, other.state_dict()["state"])
    assert optimizer.param_groups[0]["lr"] == 0.1
