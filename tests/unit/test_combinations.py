"""Options that can't go together: what each refusal says, that its ways out are ways out, and what is not refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import yaml

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.schema import COMPONENTS

DEFAULTS = {
    "encoder": "lstm",
    "attention": "luong_general",
    "decoder": "lstm",
    "objective": "cross_entropy",
    "optimizer": "adam",
    "scheduler": "plateau",
}


def config(words: str) -> Config:
    """The config of a command line such as "encoder=gru encoder.hidden_size=3"; a later word replaces an earlier."""
    plain: dict[str, Any] = {group: {"name": name} for group, name in DEFAULTS.items()}
    for word in words.split():
        key, _, value = word.partition("=")
        group, _, option = (f"{key}.name" if key in DEFAULTS else key).partition(".")
        if option:
            plain.setdefault(group, {})[option] = yaml.safe_load(value)
        else:
            plain[group] = yaml.safe_load(value)
    return Config.from_dict(plain)


def faults(words: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(words)
    return str(caught.value).splitlines()


SAME_SIZE = (
    "attention={} needs decoder.hidden_size ({}) to equal the encoder's output size ({}); "
    "use attention=luong_general or set decoder.hidden_size={}"
)
NEEDS = (
    "decoder={} needs attention, but attention=none has none; set attention={}, or decoder=gru for a decoder without"
)
CONTRADICTION = "attention={} and decoder.attend={} contradict each other; use decoder.attend=auto, or {}"
FEEDING = (
    "decoder.input_feeding=true needs attention after the RNN, but attention={} has {}: "
    "there is no attentional vector to feed; set decoder.input_feeding=false"
)
COPY = (
    "decoder.bridge=copy needs states of one shape, but the encoder's final state is {} and the decoder's first {} "
    "(layers x units); make them alike, or set decoder.bridge=tanh"
)
SHORT = "{}={} is too short for data.max_length={} pieces and the end of sentence; set {}={} or data.max_length={}"
BATCHES = "set exactly one of trainer.batch_tokens and trainer.batch_sentences, and the other to null"
INTERVAL = "trainer.{} is not an interval: use a number of updates such as 500, or '1 epoch'"

# A command line, the message, and the ways out: words that the message names, or a phrase of it -> what that may mean.
REFUSED: list[tuple[str, str, list[str]]] = [
    (
        "encoder=gru encoder.hidden_size=512 attention=luong_dot decoder=gru decoder.hidden_size=512",
        SAME_SIZE.format("luong_dot", 512, 1024, 1024),
        ["attention=luong_general", "decoder.hidden_size=1024"],
    ),
    (
        "encoder.hidden_size=512 encoder.bidirectional=false attention=scaled_dot decoder.hidden_size=256",
        SAME_SIZE.format("scaled_dot", 256, 512, 512),
        ["attention=luong_general", "decoder.hidden_size=512"],
    ),
    (
        "encoder=mean embedding_size=30 attention=cosine decoder.hidden_size=60",
        SAME_SIZE.format("cosine", 60, 30, 30),
        ["attention=luong_general", "decoder.hidden_size=30"],
    ),
    (
        "decoder=transformer",
        "decoder=transformer takes attention=multi_head, not attention=luong_general: each of its layers attends with "
        "several heads; set attention=multi_head, or decoder=lstm for any",
        ["attention=multi_head", "decoder=lstm"],
    ),
    ("attention=none decoder=gnmt", NEEDS.format("gnmt", "bahdanau"), ["attention=bahdanau", "decoder=gru"]),
    (
        "attention=none decoder=conditional_gru",
        NEEDS.format("conditional_gru", "bahdanau"),
        ["attention=bahdanau", "decoder=gru"],
    ),
    (
        "attention=none decoder=transformer",
        NEEDS.format("transformer", "multi_head"),
        ["attention=multi_head", "decoder=gru"],
    ),
    (
        "attention=multi_head attention.coverage=neural decoder=transformer",
        "attention.coverage=neural goes step by step, but decoder=transformer takes all steps at once; "
        "set attention.coverage=none (attention.coverage_loss works with both)",
        ["attention.coverage=none", "attention.coverage_loss -> attention.coverage=none attention.coverage_loss=1"],
    ),
    (
        "attention=none search.coverage_penalty=0.2",
        "search.coverage_penalty=0.2 needs attention weights, but attention=none has none; choose an attention "
        "or set search.coverage_penalty=0",
        ["choose an attention -> attention=bahdanau", "search.coverage_penalty=0"],
    ),
    (
        "decoder.attend=none",
        CONTRADICTION.format("luong_general", "none", "attention=none for a decoder without attention"),
        ["decoder.attend=auto", "attention=none"],
    ),
    (
        "attention=none decoder.attend=after_rnn",
        CONTRADICTION.format("none", "after_rnn", "choose an attention"),
        ["decoder.attend=auto", "choose an attention -> attention=cosine"],
    ),
    (
        "attention=bahdanau decoder.input_feeding=true",
        FEEDING.format("bahdanau", "before_rnn"),
        ["needs attention after the RNN -> decoder.attend=after_rnn", "decoder.input_feeding=false"],
    ),
    (
        "attention=none decoder.input_feeding=true",
        FEEDING.format("none", "none"),
        ["decoder.input_feeding=false"],
    ),
    (
        "encoder=mean data.reverse_source=true",
        "data.reverse_source=true changes nothing for encoder=mean, which knows no order; set "
        "data.reverse_source=false or another encoder",
        ["data.reverse_source=false", "another encoder -> encoder=gru"],
    ),
    (
        "decoder.source_vector=every_step",
        "decoder.source_vector=every_step is for decoders without attention, but attention=luong_general gives "
        "each step a context of its own; set attention=none or decoder.source_vector=initial",
        ["attention=none", "decoder.source_vector=initial"],
    ),
    (
        "encoder=gru decoder=lstm decoder.bridge=copy",
        COPY.format("1 x 512", "1 x 512 with cells"),
        ["make them alike -> decoder=gru", "decoder.bridge=tanh"],
    ),
    (
        "encoder.num_layers=2 decoder.bridge=copy",
        COPY.format("2 x 512 with cells", "1 x 512 with cells"),
        ["make them alike -> decoder.num_layers=2", "decoder.bridge=tanh"],
    ),
    (
        "encoder.bidirectional=false decoder.hidden_size=512 decoder.bridge=copy",
        COPY.format("1 x 256 with cells", "1 x 512 with cells"),
        ["make them alike -> decoder.hidden_size=auto", "decoder.bridge=tanh"],
    ),
    (
        "encoder=transformer decoder=gnmt decoder.bridge=copy",
        COPY.format("1 x 256", "2 x 256 with cells"),
        ["decoder.bridge=tanh"],
    ),
    (
        "tie_embeddings=output decoder.readout_size=300",
        "tie_embeddings=output needs decoder.readout_size (300) to equal embedding_size (256); "
        "set decoder.readout_size=256 or tie_embeddings=none",
        ["decoder.readout_size=256", "tie_embeddings=none"],
    ),
    (
        "tie_embeddings=all attention=multi_head decoder=transformer decoder.hidden_size=512",
        "tie_embeddings=all needs decoder.hidden_size (512) to equal embedding_size (256); "
        "set decoder.hidden_size=256 or tie_embeddings=none",
        ["decoder.hidden_size=256", "tie_embeddings=none"],
    ),
    (
        "tie_embeddings=all tokenizer.shared=false",
        "tie_embeddings=all needs one vocabulary: set tokenizer.shared=true or tie_embeddings=output",
        ["tokenizer.shared=true", "tie_embeddings=output"],
    ),
    (
        "attention=luong_location data.max_length=300",
        SHORT.format("attention.max_source_length", 257, 300, "attention.max_source_length", 301, 256),
        ["attention.max_source_length=301", "data.max_length=256"],
    ),
    (
        "encoder=cnn encoder.max_length=256",
        SHORT.format("encoder.max_length", 256, 256, "encoder.max_length", 257, 255),
        ["encoder.max_length=257", "data.max_length=255"],
    ),
    (
        "attention=multi_head decoder=transformer decoder.positions=learned decoder.max_length=2",
        SHORT.format("decoder.max_length", 2, 256, "decoder.max_length", 257, 1),
        ["decoder.max_length=257", "data.max_length=1"],
    ),
    (
        "attention=multi_head attention.num_heads=64 decoder=transformer decoder.num_layers=65",
        "attention.num_heads=64 in each of decoder.num_layers=65 are more than 4096; set decoder.num_layers=64",
        ["decoder.num_layers=64"],
    ),
    (
        "objective=minimum_risk",
        "objective=minimum_risk goes on with a trained model, whose samples it compares; set init=RUN, or "
        "objective=cross_entropy first",
        ["init=RUN", "objective=cross_entropy"],
    ),
    (
        "objective=minimum_risk init=RUN attention.coverage_loss=0.5",
        "attention.coverage_loss=0.5 is of the references' attention, but objective=minimum_risk learns from samples; "
        "set attention.coverage_loss=0",
        ["attention.coverage_loss=0"],
    ),
    ("trainer.batch_tokens=4000", BATCHES, ["the other to null -> trainer.batch_sentences=null"]),
    ("trainer.batch_sentences=null", BATCHES, ["exactly one of trainer.batch_tokens -> trainer.batch_tokens=4000"]),
    (
        "trainer.max_epochs=null",
        "set at least one of trainer.max_epochs, trainer.max_updates and trainer.max_minutes",
        [
            "trainer.max_epochs -> trainer.max_epochs=3",
            "trainer.max_updates -> trainer.max_updates=3",
            "trainer.max_minutes -> trainer.max_minutes=3",
        ],
    ),
    (
        "trainer.validate_every=often",
        INTERVAL.format("validate_every='often'"),
        ["such as 500 -> trainer.validate_every=500"],
    ),
    ("trainer.save_every=0epochs", INTERVAL.format("save_every='0epochs'"), ["such as 500 -> trainer.save_every=500"]),
    (
        "scheduler=cosine trainer.max_epochs=null trainer.max_minutes=5",
        "scheduler=cosine needs scheduler.decay_updates where neither trainer.max_updates nor trainer.max_epochs "
        "is set",
        [
            "scheduler.decay_updates -> scheduler.decay_updates=9",
            "trainer.max_updates -> trainer.max_updates=9",
            "trainer.max_epochs -> trainer.max_epochs=9",
        ],
    ),
    (
        "search.beam_size=3 search.n_best=5",
        "search.n_best=5 is more than search.beam_size=3 can find; set search.beam_size=5",
        ["search.beam_size=5"],
    ),
    (
        "search.min_length=20 search.max_length=10",
        "search.min_length=20 is more than search.max_length=10; set search.max_length=20 or search.min_length=10",
        ["search.max_length=20", "search.min_length=10"],
    ),
]


@pytest.mark.parametrize(("words", "message", "ways"), REFUSED, ids=[words for words, _, _ in REFUSED])
def test_a_refusal_names_its_ways_out_and_they_are_some(words: str, message: str, ways: list[str]) -> None:
    assert faults(words) == [message]
    for way in ways:
        phrase, _, meant = way.partition(" -> ")
        assert phrase in message
        config(f"{words} {meant or phrase}")


@pytest.mark.parametrize(
    "words",
    [
        "attention=luong_dot",
        "attention=luong_dot decoder=gru decoder.hidden_size=512",
        "attention=luong_general decoder.hidden_size=7",
        "attention=cosine encoder=mean",
        "attention=bahdanau decoder=gru decoder.input_feeding=true decoder.attend=after_rnn",
        "attention=none decoder.attend=none",
        "attention=none decoder.source_vector=every_step",
        "attention=none search.coverage_penalty=0",
        "attention=luong_location attention.coverage_loss=1",
        "attention=multi_head attention.coverage=neural",
        "attention=multi_head attention.coverage_loss=1 decoder=transformer",
        "decoder.bridge=copy",
        "encoder=gru decoder=conditional_gru decoder.bridge=copy",
        "encoder=gru encoder.num_layers=2 decoder=gnmt decoder.cell=gru decoder.bridge=copy",
        "encoder=transformer decoder=gru decoder.bridge=copy",
        "decoder.readout_size=300",
        "decoder.readout_size=300 tie_embeddings=none",
        "tokenizer.shared=false",
        "tokenizer.shared=false tie_embeddings=output",
        "encoder=cnn encoder.max_length=9 encoder.positions=sinusoidal",
        "attention=luong_location attention.max_source_length=10 data.max_length=9",
        "attention=multi_head decoder=transformer decoder.max_length=2",
        "objective=minimum_risk init=RUN attention=none",
        "objective=r_drop attention.coverage_loss=0.5",
        "objective=scheduled_sampling attention.coverage_loss=0.5",
        "trainer.batch_tokens=4000 trainer.batch_sentences=null",
        "scheduler=cosine trainer.max_epochs=null trainer.max_updates=5",
        "search.n_best=5 search.beam_size=5",
        "search.n_best=5 search.beam_size=1 search.sample=true",
        "search.min_length=10 search.max_length=10",
    ],
)
def test_neighbours_of_the_refused_are_accepted(words: str) -> None:
    config(words)


def test_embeddings_have_an_upper_bound() -> None:
    [message] = faults("embedding_size=65537 encoder=mean decoder.hidden_size=4")
    assert message == "embedding_size=65537 is not allowed: it must be from 1 to 65536"
    config("embedding_size=65536 encoder=mean decoder.hidden_size=4")


def test_all_refusals_come_together() -> None:
    found = faults("attention=none decoder.attend=before_rnn encoder.residual=true search.n_best=9")
    assert found == [
        "encoder.residual=true needs layers above the first; set encoder.num_layers=2",
        CONTRADICTION.format("none", "before_rnn", "choose an attention"),
        "search.n_best=9 is more than search.beam_size=5 can find; set search.beam_size=9",
    ]


def test_of_encoders_attentions_and_decoders_only_these_dont_fit() -> None:
    """A Transformer's decoder has heads; the other two decoders of a paper's own have attention in their formulas."""
    groups = ("encoder", "attention", "decoder")
    refused = set()
    for triple in product(*(COMPONENTS[group] for group in groups)):
        try:
            composed = Config.from_dict(dict(zip(groups, triple, strict=True)))
        except ConfigError:
            refused.add(triple)
        else:
            assert (composed.encoder.name, composed.attention.name, composed.decoder.name) == triple
    encoders, attentions = COMPONENTS["encoder"], COMPONENTS["attention"]
    heads = set(product(encoders, set(attentions) - {"multi_head"}, ["transformer"]))
    attend = set(product(encoders, ["none"], ["gnmt", "conditional_gru"]))
    assert refused == heads | attend


def test_the_whole_family_is_there() -> None:
    """The combinations above are as many as the groups' names make them."""
    scores = {"bahdanau", "bahdanau_normed", "cosine", "multi_head", "none", "scaled_dot", "scaled_general"}
    assert set(COMPONENTS["encoder"]) == {"cnn", "gru", "lstm", "mean", "transformer"}
    assert set(COMPONENTS["attention"]) >= scores | {f"luong_{x}" for x in ("concat", "dot", "general", "location")}
    assert set(COMPONENTS["decoder"]) == {"conditional_gru", "gnmt", "gru", "lstm", "transformer"}


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a/b",
        "a\\b",
        "",
        ".",
        "..",
        ".x",
        " x",
        "-x",
        "x" * 101,
        "名" * 67,
        "a\nb",
        "a\u202eb",
        "train",
        "valid",
    ],
    ids=lambda name: repr(name)[:12],
)
def test_names_of_test_sets_are_names_of_files(name: str) -> None:
    """They name translations/NAME.hypothesis, so a slash would lead elsewhere."""
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"data": {"test": {name: "PREFIX"}}})
    shown = repr(name) if len(name) < 99 else f"'{name[:47]}...{name[:48]}'"
    assert str(caught.value) == (
        f"data.test: {shown} can't be a test set's name, which names its files in translations/: use letters, digits, "
        "'_', '-', '+', '.' and spaces (100 characters and 200 bytes at most, the first a letter, a digit or '_'), and "
        "neither train nor valid"
    )


def test_other_names_of_test_sets_are_fine() -> None:
    names = {"flickr 2016", "a-b_c.d+e", "ü", "_x", "x" * 100, "测试集", "परीक्षण", "名" * 66}
    assert Config.from_dict({"data": {"test": dict.fromkeys(names, "PREFIX")}}).data.tests().keys() == names
