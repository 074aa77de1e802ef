"""A saved model is made without drawing weights, and is the one that was saved all the same."""

import dataclasses

import pytest
import torch
from torch import nn

from seq2seq.config import Config
from seq2seq.data.lengths import LengthLimit
from seq2seq.errors import CheckpointError
from seq2seq.evaluation.saved import Saved, fill, model_for, sketch
from seq2seq.models.build import register
from seq2seq.models.build.attention import SCORES
from seq2seq.models.scores import GeneralScore
from seq2seq.models.weights import distinct
from seq2seq.options import AttentionConfig
from seq2seq.runs import RunFolder
from seq2seq.schema import COMPONENTS
from seq2seq.text.pair import TokenizerPair

LINES = ["ein Haus am See", "der Hund sieht das Haus", "die Katze schläft"]
SMALL = {"embedding_size": 8, "encoder": {"name": "gru", "hidden_size": 4}, "decoder": {"name": "gru"}}
MODELS = [
    {},
    {"tie_embeddings": "all"},
    {
        "encoder": {"name": "lstm", "hidden_size": 4, "num_layers": 2},
        "decoder": {"name": "lstm", "input_feeding": True},
    },
    {"encoder": {"name": "gru", "hidden_size": 4, "layer_norm": True}, "attention": "bahdanau_normed"},
    {"encoder": "cnn", "attention": "bahdanau", "decoder": "conditional_gru"},
    {"encoder": {"name": "transformer", "positions": "learned", "num_heads": 2}, "attention": "luong_general"},
    {"encoder": {"name": "transformer", "num_heads": 2}, "attention": "multi_head", "decoder": "transformer"},
    {"attention": {"name": "luong_general", "prior_weights": [0.5, -0.25, 3.0]}},
    {"attention": {"name": "bahdanau", "coverage": "neural", "window": "local_p"}},
]


@pytest.fixture(scope="module")
def tokenizers():
    return TokenizerPair.train(LINES, LINES, shared=True, model_type="char", vocab_size="auto")


@pytest.fixture
def saved(tokenizers, tmp_path):
    """Saves a model of these options, made with random weights, and gives it and its folder."""

    def save(**options):
        config, folder = Config.from_dict(SMALL | options), RunFolder(tmp_path / "run")
        with folder.lock:
            folder.create(config)
        tokenizers.save(folder.tokenizer)
        limit = LengthLimit(1.5, 5.0)
        folder.write_json("data.json", {"length_limit": limit._asdict(), "tokenizer": tokenizers.digests})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = model_for(config, tokenizers)
        folder.checkpoints.save(7, model, {}, rank=1.0, scores={}, keep_last=1, keep_best=1)
        folder.checkpoints.wait()
        return model.eval(), folder.path

    return save


def logits(model):
    source, lengths = torch.tensor([[5, 6, 7, 8, 2], [6, 9, 2, 3, 3]]), torch.tensor([5, 3])
    with torch.no_grad():
        state = model.start(source, lengths)
        first = model.step(torch.tensor([1, 1]), state)
        return torch.stack([first.logits, model.step(torch.tensor([5, 6]), first.state).logits])


@pytest.mark.parametrize("options", MODELS)
def test_what_is_loaded_is_what_was_saved(options, saved):
    model, path = saved(**options)
    before = torch.random.get_rng_state()
    loaded = Saved.load(path, "best").model.eval()
    own, read = distinct(model), distinct(loaded)
    assert own.keys() == read.keys()  # what is tied stands there once
    assert all(torch.equal(own[name], read[name]) for name in own)
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in loaded.named_parameters()]
    assert all(type(parameter) is nn.Parameter and parameter.requires_grad for parameter in loaded.parameters())
    for one, other in zip(model.buffers(), loaded.buffers(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(logits(model), logits(loaded))
    if not dict(model.named_buffers()):
        assert torch.equal(before, torch.random.get_rng_state())  # nothing was drawn


def test_what_the_config_gives_and_no_checkpoint_holds_is_there(saved):
    _, path = saved(attention={"name": "luong_general", "prior_weights": [0.5, -0.25, 3.0]})
    buffers = dict(Saved.load(path, "best").model.named_buffers())
    assert [tensor.tolist() for tensor in buffers.values()] == [[0.5, -0.25, 3.0]]


def test_tensors_of_a_component_of_ones_own_are_there(saved, monkeypatch):
    monkeypatch.setitem(COMPONENTS, "attention", dict(COMPONENTS["attention"]))
    monkeypatch.setitem(SCORES, "tabled", None)
    monkeypatch.setattr("seq2seq.models.build.attention.OWN", set())

    @dataclasses.dataclass(frozen=True)
    class TabledConfig(AttentionConfig):
        name: str = "tabled"

    class TabledScore(GeneralScore):
        """With a table that is a mere attribute, which no state holds."""

        def __init__(self, options, query_size, memory_size):
            super().__init__(query_size, memory_size)
            self.table = torch.arange(query_size) / query_size

        def forward(self, query, keys):
            return super().forward(query * self.table, keys)

    register("tabled", TabledConfig)(TabledScore)
    model, path = saved(attention="tabled")
    assert torch.equal(logits(Saved.load(path, "best").model.eval()), logits(model))


def test_a_model_is_no_view_of_its_file(saved):
    _, path = saved()
    model = Saved.load(path, "best").model.eval()
    before = logits(model)
    for file in path.glob("checkpoints/*.safetensors"):
        with file.open("rb+") as opened:
            opened.write(b"\xff" * file.stat().st_size)
    assert torch.equal(logits(model), before)


def test_a_sketch_takes_no_memory(tokenizers):
    model = sketch(Config.from_dict(SMALL | {"embedding_size": 65_536}), tokenizers)
    assert all(tensor.is_meta for tensor in model.state_dict().values())


def test_a_checkpoint_of_another_model_is_refused(saved):
    _, path = saved()
    other = Config.from_dict(SMALL | {"embedding_size": 65_536})  # of which a weight alone would take gigabytes
    RunFolder(path).write_config(other)
    with pytest.raises(CheckpointError, match="doesn't fit the model of its config: "):
        Saved.load(path, "best")


def test_filled_weights_stay_tied():
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    weights = distinct(tied)
    assert "1.weight" not in weights
    fill(model, weights)
    assert model[1].weight is model[0].weight
    assert torch.equal(model(torch.ones(3)), tied(torch.ones(3)))
