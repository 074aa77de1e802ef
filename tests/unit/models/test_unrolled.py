"""Loops whose matrices get their gradient from all steps at once."""

import pytest
import torch
from torch import nn

from seq2seq.models.unrolled import unrolled

STEPS = 4


class Loop(nn.Module):
    """A recurrence with two matrices, one of them used twice a step, and a part that the loop doesn't call."""

    def __init__(self, bias=True):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3, bias=bias), nn.Tanh())
        self.outer = nn.Linear(3, 3, bias=bias)
        self.unused = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, state):
        return self.outer(self.inner(state)) + self.scale * self.outer(state)


def fresh(dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    return Loop(bias).to(dtype)


def run(loop, state):
    states = []
    for _ in range(STEPS):
        state = loop(state)
        states.append(state)
    return torch.stack(states)


def gradients(module, loop, state):
    states = run(loop, state)
    (states.sin() * torch.arange(states.numel(), dtype=states.dtype).view_as(states)).sum().backward()
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    module.zero_grad(set_to_none=True)
    return states.detach(), found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3)])
def test_values_and_gradients_are_those_of_the_module(bias, shape, tensors):
    module, state = fresh(bias=bias), tensors(1, torch.float64)(*shape).requires_grad_()
    expected, by_parameters = gradients(module, module, state)
    by_state, state.grad = state.grad, None
    found, own = gradients(module, unrolled(module), state)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(state.grad, by_state)
    assert own.keys() == by_parameters.keys()
    for name, gradient in by_parameters.items():
        assert (gradient is None) == (own[name] is None) == name.startswith("unused")
        if gradient is not None:
            torch.testing.assert_close(own[name], gradient)


def test_a_matrix_gets_one_product_however_many_steps(monkeypatch, tensors):
    module, state = fresh(), tensors(2, torch.float64)(5, 3)
    nodes = set()

    def walk(node):
        if node is not None and node not in nodes:
            nodes.add(node)
            for further, _ in node.next_functions:
                walk(further)

    walk(run(unrolled(module), state).grad_fn)
    names = [type(node).__name__ for node in nodes]
    assert names.count("_OpenBackward") == 2
    assert names.count("AccumulateGrad") == 5  # each weight, each bias and the scale, once
    assert "AddmmBackward0" not in names


def test_each_loop_has_a_tape_of_its_own(tensors):
    module, draw = fresh(), tensors(3, torch.float64)
    first, second = draw(5, 3), draw(5, 3)
    _, alone = gradients(module, unrolled(module), first)
    together = run(unrolled(module), first)
    run(unrolled(module), second).sum().backward()
    module.zero_grad(set_to_none=True)
    (together.sin() * torch.arange(together.numel(), dtype=together.dtype).view_as(together)).sum().backward()
    torch.testing.assert_close(module.outer.weight.grad, alone["outer.weight"])


def test_the_module_itself_stays_as_it_was(tensors):
    module = fresh()
    children = list(module.modules())
    twin = unrolled(module)
    run(twin, tensors(4, torch.float64)(5, 3))
    assert list(module.modules()) == children
    assert twin is not module
    assert type(module.outer) is type(module.inner[0]) is nn.Linear
    assert twin.outer.weight is module.outer.weight
    assert isinstance(twin.outer, nn.Linear)
    assert (twin.outer.in_features, twin.outer.out_features) == (3, 3)


def test_without_gradients_there_is_nothing_to_do():
    module = fresh()
    with torch.no_grad():
        assert unrolled(module) is module


def test_a_module_that_occurs_twice_stays_one():
    shared = nn.Linear(3, 3)
    twin = unrolled(nn.ModuleList([shared, shared]))
    assert twin[0] is twin[1]


def test_frozen_matrices_get_no_gradient(tensors):
    module = fresh()
    module.outer.requires_grad_(False)
    state = tensors(5, torch.float64)(5, 3).requires_grad_()
    expected = torch.autograd.grad(run(module, state).sum(), state)[0]
    run(unrolled(module), state).sum().backward()
    torch.testing.assert_close(state.grad, expected)
    assert module.outer.weight.grad is None
    assert module.inner[0].weight.grad is not None


def test_sums_over_steps_are_not_rounded_under_autocast(tensors):
    """The sum over 256 steps of one number: in bfloat16, step by step, it would stop growing."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loop = unrolled(module)
        total = sum(loop(torch.ones(1, 1)).float().sum() for _ in range(1024))
    total.backward()
    assert float(module.weight.grad) == 1024.0
