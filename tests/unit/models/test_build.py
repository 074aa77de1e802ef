"""What build_model makes: sizes, ties and the start of its weights."""

import pytest
import torch

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.models.build import EMBEDDING_STD, build_model, register


def build(**options):
    torch.manual_seed(0)
    return build_model(Config.from_dict(options), 900, 900)


@pytest.mark.parametrize(("tied", "matrices"), [("none", 3), ("output", 2), ("all", 1)])
def test_tied_matrices_are_one(tied, matrices):
    model = build(tie_embeddings=tied)
    weights = {id(m.weight) for m in (model.source_embedding, model.target_embedding, model.output)}
    assert len(weights) == matrices


def test_tying_all_needs_vocabularies_of_one_size():
    with pytest.raises(
        ConfigError, match="the source's has 900 pieces and the target's 800; set tie_embeddings=output"
    ):
        build_model(Config.from_dict({"tie_embeddings": "all"}), 900, 800)


def test_dense_layers_start_as_glorot_and_bengio_have_it():
    model = build()
    for linear in (
        model.bridge.hidden[0],
        model.decoder.attention.score.key_projection,
        model.decoder.readout.projection,
    ):
        rows, columns = linear.weight.shape
        bound = (6 / (rows + columns)) ** 0.5
        assert 0.98 * bound < float(linear.weight.detach().abs().max()) <= bound
    assert not model.decoder.readout.projection.bias.any()
    assert float(model.target_embedding.weight.detach().std()) == pytest.approx(EMBEDDING_STD, rel=0.02)


def test_the_same_seed_gives_the_same_weights():
    first, second = build(), build()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_name_is_registered_once():
    with pytest.raises(ConfigError, match="attention=luong_dot exists already"):
        register("luong_dot", object)(lambda options, query, memory: None)
