"""Products with few rows, and models whose steps are made of them, against the plain ones."""

import pytest
import torch
from torch import nn

from seq2seq.models import few_rows
from seq2seq.models.few_rows import FEW, FewRowsLinear, few_rows_pay, for_few_rows, linear

OPTIONS = [
    {"decoder": "lstm"},
    {"decoder": "gru", "decoder.num_layers": 2},
    {"decoder": "lstm", "decoder.input_feeding": True},
    {"attention": "bahdanau", "decoder": "gru", "decoder.readout": "maxout"},
    {"attention": "none", "decoder": "gru"},
    {"attention": "bahdanau", "decoder": "conditional_gru"},
    {"attention": "bahdanau", "decoder": "gnmt"},
    {"attention": "multi_head", "decoder": "transformer"},
]


@pytest.mark.parametrize("rows", [0, 1, 2, 5, FEW, FEW + 1])
@pytest.mark.parametrize("biased", [True, False])
def test_the_product_is_the_layers(tensors, rows, biased):
    random = tensors(rows, torch.float64)
    inputs, weight, bias = random(rows, 7), random(4, 7), random(4) if biased else None
    expected = torch.zeros(rows, 4, dtype=torch.float64)
    for r in range(rows):
        for o in range(4):
            expected[r, o] = sum(inputs[r, i] * weight[o, i] for i in range(7)) + (bias[o] if biased else 0)
    found = linear(inputs, weight, bias)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected)


def test_a_layer_takes_inputs_of_any_shape(tensors):
    random = tensors(1)
    layer = nn.Linear(6, 3)
    twin = FewRowsLinear(6, 3)
    twin.load_state_dict(layer.state_dict())
    for inputs in (random(6), random(2, 6), random(2, 4, 6), random(40, 6)):
        torch.testing.assert_close(twin(inputs), layer(inputs))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_a_twin_steps_as_its_model(build, options, monkeypatch):
    model = build(options).eval()
    twin = for_few_rows(model)
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in model.named_parameters()]
    for own, shared in zip(model.parameters(), twin.parameters(), strict=True):
        assert own is shared
    calls = []
    plain = few_rows.linear

    def counted(inputs, *args):
        calls.append(inputs.shape)
        return plain(inputs, *args)

    monkeypatch.setattr(few_rows, "linear", counted)
    twin = for_few_rows(model)
    source, lengths = torch.tensor([[4, 5, 2], [6, 2, 3], [7, 7, 2]]), torch.tensor([3, 2, 3])
    state, other = model.start(source, lengths), twin.start(source, lengths)
    for tokens in torch.tensor([[1, 1, 1], [4, 9, 5], [8, 2, 4]]):
        step, same = model.step(tokens, state), twin.step(tokens, other)
        torch.testing.assert_close(same.logits, step.logits)
        state, other = step.state, same.state
    few = [shape for shape in calls if shape[:-1].numel() == 3]
    assert len(few) >= 3 * 3  # the output layer, the readout and a recurrence or more, at each of three steps


def test_the_model_itself_stays_as_it_was(build):
    model = build({"decoder": "lstm"})
    for_few_rows(model)
    kinds = {type(module) for module in model.modules()}
    assert FewRowsLinear not in kinds
    assert not any("product" in vars(module) and module.product is linear for module in model.modules())


def test_the_cpu_decides_and_no_measurement(monkeypatch):
    """The same command has the same digits each time: what a process measures would depend on what runs beside it."""
    for capability, pays in (("AVX2", True), ("AVX512", False), ("DEFAULT", False)):
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda capability=capability: capability)
        assert few_rows_pay() == pays
