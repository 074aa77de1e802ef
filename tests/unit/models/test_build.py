"""What build_model makes: sizes, ties, the start of its weights, and that all of them learn."""

import dataclasses
import inspect
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from torch import Tensor

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.models.build import build_model, register
from seq2seq.models.build.attention import SCORES
from seq2seq.models.build.parts import EMBEDDING_STD
from seq2seq.models.scores import GeneralScore
from seq2seq.options import AttentionConfig
from seq2seq.schema import COMPONENTS
from seq2seq.training.loss import output_loss

GROUPS = ("encoder", "attention", "decoder")


def build_of(**options):
    torch.manual_seed(0)
    return build_model(Config.from_dict(options), 900, 900)


@pytest.mark.parametrize(("tied", "matrices"), [("none", 3), ("output", 2), ("all", 1)])
def test_tied_matrices_are_one(tied, matrices):
    model = build_of(tie_embeddings=tied)
    weights = {id(m.weight) for m in (model.source_embedding, model.target_embedding, model.output)}
    assert len(weights) == matrices


def test_tying_all_needs_vocabularies_of_one_size():
    with pytest.raises(
        ConfigError, match="the source's has 900 pieces and the target's 800; set tie_embeddings=output"
    ):
        build_model(Config.from_dict({"tie_embeddings": "all"}), 900, 800)


def test_dense_layers_start_as_glorot_and_bengio_have_it():
    decoder = (model := build_of()).decoder
    for linear in (decoder.bridge.hidden[0], decoder.attention.score.key_projection, decoder.readout.projection):
        rows, columns = linear.weight.shape
        bound = (6 / (rows + columns)) ** 0.5
        assert 0.98 * bound < float(linear.weight.detach().abs().max()) <= bound
    assert not decoder.readout.projection.bias.any()
    assert float(model.target_embedding.weight.detach().std()) == pytest.approx(EMBEDDING_STD, rel=0.02)


def test_the_same_seed_gives_the_same_weights():
    first, second = build_of(), build_of()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "source", "target"),
    [
        ({}, None, None),
        ({"attention": "luong_location"}, 16, None),
        ({"encoder": "cnn", "encoder.max_length": 18, "attention": "luong_location"}, 16, None),
        ({"encoder": "transformer", "encoder.positions": "learned"}, 16, None),
        ({"encoder": "transformer", "encoder.positions": "rotary"}, None, None),
        ({"decoder": "transformer", "attention": "multi_head", "decoder.positions": "learned"}, None, 16),
    ],
)
def test_a_model_knows_how_long_its_sentences_may_be(options, source, target, build):
    model = build(options)
    assert (model.longest_source, model.longest_target) == (source, target)


def test_a_name_is_registered_once():
    with pytest.raises(ConfigError, match="attention=luong_dot exists already"):
        register("luong_dot", object)(lambda options, query, memory: None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict, "its options must be a dataclass that derives from seq2seq.AttentionConfig"),
        (None, "give NoDefaultConfig.width a default"),
    ],
)
def test_options_of_ones_own_are_checked_when_they_are_registered(options, said):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class NoDefaultConfig(AttentionConfig):
        name: str = "nameless"
        width: int

    with pytest.raises(ConfigError, match=said):
        register("nameless", options or NoDefaultConfig)
    assert "nameless" not in COMPONENTS["attention"]


def test_weights_of_ones_own_score_stay_as_it_drew_them(monkeypatch):
    monkeypatch.setitem(COMPONENTS, "attention", dict(COMPONENTS["attention"]))
    monkeypatch.setitem(SCORES, "drawn", None)
    monkeypatch.setattr("seq2seq.models.build.attention.OWN", set())

    @dataclasses.dataclass(frozen=True)
    class DrawnConfig(AttentionConfig):
        name: str = "drawn"

    @register("drawn", DrawnConfig)
    def drawn(options, query, memory):
        score = GeneralScore(query, memory)
        torch.nn.init.eye_(score.key_projection.weight)
        return score

    model = build_model(Config.from_dict({"attention": "drawn"}), 9, 9)
    assert torch.equal(model.decoder.attention.score.key_projection.weight, torch.eye(512))


def test_an_attention_of_ones_own_goes_with_all_treatments(monkeypatch, build):
    monkeypatch.setitem(COMPONENTS, "attention", dict(COMPONENTS["attention"]))
    monkeypatch.setitem(SCORES, "mine", None)  # taken out again afterwards
    monkeypatch.setattr("seq2seq.models.build.attention.OWN", set())

    @dataclasses.dataclass(frozen=True)
    class MineConfig(AttentionConfig):
        name: str = "mine"
        gain: float = 2.0

    class Mine(GeneralScore):
        pass

    @register("mine", MineConfig)
    def mine(options, query, memory):
        score = Mine(query, memory)
        score.gain = options.gain
        return score

    options = {"attention": "mine", "attention.gain": 3.0, "attention.window": "local_p", "attention.value_size": 9}
    attention = build(options | {"decoder.attend": "before_rnn", "attention.coverage": "neural"}).decoder.attention
    assert type(attention.score) is Mine
    assert attention.score.gain == 3.0
    assert attention.context_size == 9


# The table that the laws are proven over.


def choices(options):
    """Each option of its own that is chosen by name, with its choices, of a dataclass and of those it derives from."""
    for owner in filter(dataclasses.is_dataclass, options.__mro__):
        hints = get_type_hints(owner)
        for name in inspect.get_annotations(owner):
            for hint in (hints[name], *get_args(hints[name])):
                if get_origin(hint) is Literal:
                    yield from ((owner, name, choice) for choice in get_args(hint))
            if hints[name] is bool:
                yield from ((owner, name, choice) for choice in (False, True))


def test_every_component_and_every_choice_is_in_the_table(rows):
    wanted = {choice for group in GROUPS for options in COMPONENTS[group].values() for choice in choices(options)}
    # An attention's `attend` is what the decoder's own stands for when it is `auto`.
    wanted = {choice for choice in wanted if choice[1] != "attend" or not issubclass(choice[0], AttentionConfig)}
    wanted -= {choice for choice in wanted if choice[0] is COMPONENTS["attention"]["none"]}
    found = set()
    for row in rows():
        for group in GROUPS:
            own = getattr(row.config, group)
            found |= {choice for choice in choices(type(own)) if getattr(own, choice[1]) == choice[2]}
    assert wanted - found == set()
    assert len(wanted) > 60
    for group in GROUPS:
        assert {getattr(row.config, group).name for row in rows()} == set(COMPONENTS[group])
    assert {row.config.data.reverse_source for row in rows()} == {False, True}
    assert {row.config.attend for row in rows()} == {"before_rnn", "after_rnn", "none"}


# Learning.


def fresh(config):
    """As it begins, before anything is learned."""
    torch.manual_seed(0)
    return build_model(config, 14, 14)


def ask(model, batch):
    """Logits, and attention weights."""
    features, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    return model.output(features), weights


def trained(model, batch, seed):
    """The loss of a batch in training, and its gradients by name."""
    torch.manual_seed(seed)
    model.train().zero_grad()
    features, _ = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    loss = output_loss(features, model.output, batch.target_output[batch.target_mask], 0.1).trained
    loss.backward()
    return loss, {name: parameter.grad for name, parameter in model.named_parameters()}


COUNT = 25


def pytest_generate_tests(metafunc):
    if "sample" in metafunc.fixturenames:
        metafunc.parametrize("sample", range(COUNT))


@pytest.fixture
def row(sample, rows):
    """One of some rows from all over the table.

    Sparse weights that are all on one word leave nothing to learn, so that rows with weights of all words are chosen.
    """
    fitting = [row for row in rows() if getattr(row.config.attention, "normalizer", "softmax") == "softmax"]
    return fitting[sample * len(fitting) // COUNT]


def test_gradients_reach_every_weight(row, pad, pairs):
    model, batch = fresh(row.config), pad(pairs)
    loss, gradients = trained(model, batch, seed=1)
    assert loss.isfinite()
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.any(), name
    again, same = trained(model, batch, seed=1)
    assert torch.equal(loss, again)
    assert all(torch.equal(gradient, same[name]) for name, gradient in gradients.items())
    assert not torch.equal(loss, trained(model, batch, seed=2)[0])


@torch.no_grad()
def test_float32_is_float64_but_for_rounding(row, build, pad, pairs, monkeypatch):
    """What other tests show in float64 is so of the models that are used."""
    single, double = ask(build(row.options), pad(pairs)), build(row.options).double()
    assert single[0].dtype == torch.float32
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    for value, exact in zip(single, ask(double, pad(pairs)), strict=True):
        if value is not None:
            torch.testing.assert_close(value.double(), exact, atol=1e-3, rtol=1e-3)


def test_mixed_precision_trains_and_steps_alike(row, pad, pairs):
    model, batch = fresh(row.config), pad(pairs)
    exact = ask(model.eval(), batch)[0].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, gradients = trained(model, batch, seed=1)
        assert loss.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        with torch.no_grad():
            together = ask(model.eval(), batch)[0]
            state, steps = model.start(batch.source, batch.source_lengths), []
            for tokens in batch.target_input.unbind(1):
                steps.append(model.step(tokens, state))
                state = steps[-1].state
    stepped = torch.stack([step.logits for step in steps], dim=1)[batch.target_mask]
    tolerance = 0.25 * float(exact.std())
    for logits in (together, stepped):
        torch.testing.assert_close(logits.float(), exact, atol=tolerance, rtol=0)
