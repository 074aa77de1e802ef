"""The rows of the table that the models' tests run over: the whole family of models, in small.

A row is a few options, as they stand on the command line, beside a GRU both ways, luong_general and a GRU. What is
chosen by name is taken from the options themselves, so that a new choice is in the table from the first.
"""

import dataclasses
import functools
from itertools import combinations, count, cycle, product
from typing import get_args, get_type_hints

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.options import AttentionConfig
from seq2seq.options.attention import AdditiveConfig, MultiHeadConfig
from seq2seq.options.decoder import GNMTDecoderConfig, RecurrentDecoderConfig, TransformerDecoderConfig
from seq2seq.options.encoder import CNNEncoderConfig, TransformerEncoderConfig
from seq2seq.schema import COMPONENTS

LONGEST = 16  # what has to be known beforehand: learned positions, and location attention's

# Sizes differ wherever they may: E 5, M 8, H 6, F 7.
SIZES = {"embedding_size": 5, "tie_embeddings": "none", "data.max_length": LONGEST - 1}
TRANSFORMER_SIZES = {"hidden_size": 8, "num_layers": 2, "num_heads": 2, "feedforward_size": 9, "max_length": LONGEST}
SMALL = {
    "encoder": {
        **{name: {"hidden_size": 4} for name in ("gru", "lstm")},
        "cnn": {"hidden_size": 6, "num_layers": 2, "max_length": LONGEST},
        "transformer": TRANSFORMER_SIZES,
    },
    "attention": {"luong_location": {"max_source_length": LONGEST}, "multi_head": {"num_heads": 2}},
    "decoder": {
        **{name: {"hidden_size": 6, "readout_size": 7} for name in ("gru", "lstm", "conditional_gru", "gnmt")},
        "transformer": TRANSFORMER_SIZES,
    },
}
# What the treatments of scores have as numbers; without effect where they are not asked for.
TREATED = {
    "window_size": 2,
    "prior_strength": 2.0,
    "prior_width": 1.5,
    "prior_slope": 0.7,
    "max_fertility": 3.0,
    "coverage_size": 3,
}
DEFAULT = {"encoder": "gru", "attention": "luong_general", "decoder": "gru"}


class Variant:
    """A row: a model's options beyond the defaults above."""

    def __init__(self, options):
        self.options = options

    def __str__(self):
        return ",".join(f"{key}={value}" for key, value in self.options.items())

    @functools.cached_property
    def config(self):
        plain = {group: {"name": self.options.get(group, name)} for group, name in DEFAULT.items()}
        for group, own in plain.items():
            own |= SMALL[group].get(own["name"], {})
        attention = COMPONENTS["attention"][plain["attention"]["name"]]
        if issubclass(attention, AttentionConfig):
            plain["attention"] |= TREATED
            if attention.same_size:
                plain["decoder"]["hidden_size"] = "auto"
        for key, value in (SIZES | self.options).items():
            group, _, option = key.rpartition(".")
            if group:
                plain.setdefault(group, {})[option] = value
            elif key not in DEFAULT:
                plain[option] = value
        return Config.from_dict(plain)

    @property
    def attends(self):
        return self.config.attention.name != "none"


def choices(options, key):
    """All choices of an option, as rows: `choices(AttentionConfig, "attention.window")`."""
    name = key.rpartition(".")[2]
    default = next(field.default for field in dataclasses.fields(options) if field.name == name)
    return [{} if choice == default else {key: choice} for choice in get_args(get_type_hints(options)[name])]


def either(key, *values):
    """An option's default and these values, as rows."""
    return [{}, *({key: value} for value in values)]


def pairwise(*factors):
    """Rows that hold every two choices of two factors together, but for those that the config doesn't allow."""
    allowed = {pair for one, other in combinations(range(len(factors)), 2) for pair in _allowed(factors, one, other)}
    missing = set(allowed)
    turn = count()  # of choices that are as good, not always the first
    while missing:
        one, i, other, j = min(missing)
        row = {one: i, other: j}
        for factor, options in enumerate(factors):
            if factor not in row:
                first = next(turn)
                order = [(first + place) % len(options) for place in range(len(options))]
                fitting = [choice for choice in order if _pairs(row | {factor: choice}) <= allowed]
                row[factor] = max(fitting, key=lambda choice: len(_pairs(row | {factor: choice}) & missing))
        missing -= _pairs(row)
        yield _merge(factors, row)


def _pairs(row):
    return {(*one, *other) for one, other in combinations(sorted(row.items()), 2)}


def _allowed(factors, one, other):
    """The two factors' choices that go together, with the first of every other factor."""
    for i in range(len(factors[one])):
        for j in range(len(factors[other])):
            row = dict.fromkeys(range(len(factors)), 0) | {one: i, other: j}
            try:
                _ = Variant(_merge(factors, row)).config
            except ConfigError:
                continue
            yield one, i, other, j


def _merge(factors, row):
    return functools.reduce(dict.__or__, (factors[factor][row[factor]] for factor in sorted(row)))


ATTENTIONS = [{"attention": name} for name in COMPONENTS["attention"] if name != "none"]
CELLS = [{"decoder": "gru"}, {"decoder": "lstm"}]
PLACES = [  # of attention beside a stack
    {"attention.attend": "after_rnn"},
    {"decoder.attend": "after_rnn", "decoder.input_feeding": True},
    {"decoder.attend": "before_rnn"},
]
WITHOUT = [{"attention": "none"} | row for row in ({"decoder.attend": "none"}, {"decoder.source_vector": "every_step"})]
CONDITIONAL, GNMT = {"decoder": "conditional_gru"}, {"decoder": "gnmt"}
HEADS = {"attention": "multi_head"}
TRANSFORMER = {"decoder": "transformer"} | HEADS
ALONE = [CONDITIONAL | {"attention": "luong_concat"}, GNMT | {"attention": "bahdanau_normed"}]  # places of their own
HOSTS = [*PLACES[:2], {"attention": "bahdanau"}, *ALONE, TRANSFORMER]
DEPTHS = [{}, {"decoder.num_layers": 2}, {"decoder.num_layers": 3, "decoder.residual": True}]


def places():
    """Every attention at every place with both cells, and none at all. The encoders go round."""
    encoders = cycle([*({"encoder": name} for name in COMPONENTS["encoder"]), *_directions()])
    for cell in CELLS:
        yield from (cell | row | next(encoders) for row in WITHOUT)
        yield from (cell | place | row | next(encoders) for row in ATTENTIONS for place in PLACES)


def _directions():
    return [{"encoder": name, "encoder.bidirectional": False, "encoder.num_layers": 2} for name in ("gru", "lstm")]


def treatments():
    """All that can be done between scores and context, in every decoder that attends."""
    windows = choices(AttentionConfig, "attention.window")
    return pairwise(
        [*HOSTS, HEADS | CELLS[1]],
        [*windows, *(row | {"attention.window_size": 1} for row in windows[1:])],
        choices(AttentionConfig, "attention.normalizer"),
        [*choices(AttentionConfig, "attention.prior"), {"attention.prior": "band", "attention.prior_slope": "auto"}],
        either("attention.prior_weights", [1.5, -1.0, 0.5, 0.0, 2.0]),
        choices(AttentionConfig, "attention.coverage"),
        either("attention.value_size", 10),
        either("attention.temperature", 0.6),
        either("attention.dropout", 0.2),
        either("encoder", "cnn"),
        either("data.reverse_source", True),
    )


def scores():
    """The scores' own options, with what works on keys."""
    activations = choices(AdditiveConfig, "attention.activation")
    coverages = choices(AttentionConfig, "attention.coverage")
    additive = [{"attention": name} for name, own in COMPONENTS["attention"].items() if issubclass(own, AdditiveConfig)]
    yield from pairwise(additive, activations, either("attention.key_size", 9), coverages, PLACES)
    yield from pairwise(
        [HEADS | row for row in choices(MultiHeadConfig, "attention.head_score")],
        activations,
        coverages,
        either("attention.key_size", 8),
        either("attention.value_size", 10),
        either("attention.num_heads", 1),
        choices(AttentionConfig, "attention.window"),
        choices(AttentionConfig, "attention.normalizer"),
    )


def encoders():
    """Every encoder under several decoders, and the Transformer's options on both sides."""
    wide = [
        {"encoder": "mean"},
        *({"encoder": "cnn"} | row for row in choices(CNNEncoderConfig, "encoder.positions")),
        {"encoder": "cnn", "encoder.kernel_size": 5, "encoder.hidden_size": "auto"},
        *_norms({"encoder": "transformer"}, "encoder", TransformerEncoderConfig),
    ]
    transformers = _norms(TRANSFORMER, "decoder", TransformerDecoderConfig)
    decoders, backwards = cycle([*WITHOUT, *HOSTS, *transformers]), cycle(either("data.reverse_source", True))
    for row in wide * 2:
        yield row | next(decoders) | ({} if row["encoder"] == "mean" else next(backwards))
    same = {"hidden_size": "auto", "num_heads": 1, "feedforward_size": "auto"}  # nothing to resize
    inside, outside = ({f"{group}.{key}": value for key, value in same.items()} for group in ("encoder", "decoder"))
    yield from ({"encoder": "transformer"} | inside | row for row in transformers)
    yield TRANSFORMER | outside | {"attention.num_heads": 1}
    yield from pairwise(
        [{"encoder": "gru"}, {"encoder": "lstm"}],
        [*WITHOUT, *HOSTS],
        either("encoder.bidirectional", False),
        [{}, {"encoder.num_layers": 2, "encoder.residual": True}],
        either("encoder.hidden_size", "auto"),
        either("encoder.layer_norm", True),
        either("encoder.locked_dropout", True),
        either("encoder.recurrent_dropout", 0.2),
        either("data.reverse_source", True),
    )


def _norms(name, group, options):
    norms, positions = choices(options, f"{group}.norm"), choices(options, f"{group}.positions")
    return [name | norm | position for norm in norms for position in positions]


def decoders():
    """The recurrent decoders' options."""
    own = (
        choices(RecurrentDecoderConfig, "decoder.readout"),
        either("decoder.readout_size", "auto"),
        either("decoder.layer_norm", True),
        either("decoder.locked_dropout", True),
        either("decoder.recurrent_dropout", 0.2),
    )
    gnmt = (
        [GNMT],
        choices(GNMTDecoderConfig, "decoder.cell"),
        either("decoder.num_layers", 3),
        either("decoder.residual", False),
    )
    yield from pairwise([*PLACES, *WITHOUT], CELLS, DEPTHS, *own)
    for rows in (pairwise([CONDITIONAL], *own), pairwise(*gnmt, *own)):
        yield from (row | attention for row, attention in zip(cycle(rows), ATTENTIONS, strict=False))
    stacks = zip(product([*PLACES, *WITHOUT], CELLS), cycle(DEPTHS), strict=False)
    for row in [*(place | cell | depth for (place, cell), depth in stacks), ALONE[0], *pairwise(*gnmt)]:
        options = Variant(row).config.decoder
        same = {"encoder": options.cell, "encoder.num_layers": options.num_layers, "decoder.hidden_size": "auto"}
        yield row | same | {"decoder.bridge": "copy"}


@functools.cache
def family():
    """All rows, by what they are."""
    rows = [*places(), *treatments(), *scores(), *encoders(), *decoders()]
    return list({str(variant): variant for variant in map(Variant, rows)}.values())


@functools.cache
def firsts():
    """The rows that have some choice which no row before them has; the others bring choices together in new pairs."""
    seen, found = set(), set()
    for row in family():
        choices_made = {(key, str(choice)) for key, choice in row.options.items()}
        if choices_made - seen:
            found.add(row)
        seen |= choices_made
    return found
