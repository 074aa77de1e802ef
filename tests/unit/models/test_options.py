"""Every option reaches the part of the model that it is for."""

from operator import attrgetter

import pytest
import torch

from seq2seq.models import coverage, normalizers, positions, priors, readout, rnn, scores, transformer, windows
from seq2seq.models.additive import RELU, SIGMOID
from seq2seq.models.bridge import Bridge, CopyBridge
from seq2seq.models.dropout import LockedDropout

SCORES = {
    "bahdanau": scores.AdditiveScore,
    "bahdanau_normed": scores.NormedAdditiveScore,
    "luong_dot": scores.DotScore,
    "luong_general": scores.GeneralScore,
    "luong_concat": scores.AdditiveScore,
    "luong_location": scores.LocationScore,
    "scaled_dot": scores.ScaledDotScore,
    "scaled_general": scores.ScaledGeneralScore,
    "cosine": scores.CosineScore,
    "multi_head": scores.MultiHeadScore,
}
HEAD_SCORES = {
    "dot": scores.DotScore,
    "scaled_dot": scores.ScaledDotScore,
    "general": scores.GeneralScore,
    "additive": scores.AdditiveScore,
}
NORMALIZERS = {
    "softmax": normalizers.softmax,
    "sparsemax": normalizers.sparsemax,
    "entmax15": normalizers.entmax15,
}
PRIORS = {
    "none": type(None),
    "beginning": priors.BeginningPrior,
    "end": priors.EndPrior,
    "diagonal": priors.DiagonalPrior,
    "band": priors.BandPrior,
}
POSITIONS = {"sinusoidal": positions.Sinusoidal, "learned": positions.Learned, "rotary": positions.Rotary}
NORMS = {"pre": transformer.PreNorm, "post": transformer.PostNorm}
TRANSFORMER = {"encoder": "transformer", "decoder": "transformer", "attention": "multi_head"}
GNMT = {"decoder": "gnmt", "attention": "bahdanau"}
STACK = {"decoder": "lstm", "decoder.num_layers": 3, "decoder.attend": "before_rnn"}
MOVING = {"attention.prior": "diagonal"}
# (options, a part of the model, what it is or its class)
CASES = [
    *(({"attention": name}, "decoder.attention.score", kind) for name, kind in SCORES.items()),
    *(
        ({"attention": name, "attention.activation": "relu"}, "decoder.attention.score.activation", RELU)
        for name in ("bahdanau", "bahdanau_normed", "luong_concat")
    ),
    *(
        ({"attention": "multi_head", "attention.head_score": name}, "decoder.attention.score.heads.1", kind)
        for name, kind in HEAD_SCORES.items()
    ),
    (
        {"attention": "multi_head", "attention.head_score": "additive", "attention.activation": "sigmoid"},
        "decoder.attention.score.heads.0.activation",
        SIGMOID,
    ),
    ({"attention": "bahdanau", "attention.key_size": 9}, "decoder.attention.score.energy.in_features", 9),
    ({"attention": "multi_head", "attention.key_size": 8}, "decoder.attention.score.key_projection.out_features", 8),
    ({"attention": "multi_head", "attention.num_heads": 3}, "decoder.attention.score.heads.__len__", 3),
    ({"attention.value_size": 9}, "decoder.attention.value_projection.out_features", 9),
    ({}, "decoder.attention.value_projection", type(None)),
    *(({"attention.normalizer": name}, "decoder.attention.normalizer", value) for name, value in NORMALIZERS.items()),
    ({"attention.temperature": 0.3}, "decoder.attention.temperature", 0.3),
    ({"attention.dropout": 0.2}, "decoder.attention.dropout.p", 0.2),
    ({}, "decoder.attention.window", windows.GlobalWindow),
    ({"attention.window": "local_m"}, "decoder.attention.window", windows.MonotonicWindow),
    ({"attention.window": "local_p"}, "decoder.attention.window", windows.PredictiveWindow),
    ({"attention.window": "local_p", "attention.window_size": 3}, "decoder.attention.window.half_width", 3),
    *(({"attention.prior": name}, "decoder.attention.prior", kind) for name, kind in PRIORS.items()),
    (MOVING | {"attention.prior_strength": 0.4}, "decoder.attention.prior.strength", 0.4),
    (MOVING | {"attention.prior_width": 2.5}, "decoder.attention.prior.width", 2.5),
    (MOVING | {"attention.prior_slope": 1.2}, "decoder.attention.prior.slope", 1.2),
    ({"attention.prior_weights": [1.0]}, "decoder.attention.prior", priors.OwnPrior),
    (MOVING | {"attention.prior_weights": [1.0]}, "decoder.attention.prior", priors.PriorSum),
    ({"attention.coverage": "linguistic"}, "decoder.attention.coverage", coverage.LinguisticCoverage),
    (
        {"attention.coverage": "linguistic", "attention.max_fertility": 4.0},
        "decoder.attention.coverage.max_fertility",
        4.0,
    ),
    ({"attention.coverage": "neural"}, "decoder.attention.coverage", coverage.NeuralCoverage),
    ({"attention.coverage": "neural", "attention.coverage_size": 5}, "decoder.attention.coverage.size", 5),
    ({}, "decoder.readout", readout.Readout),
    ({"decoder.readout": "maxout", "decoder.readout_size": 9}, "decoder.readout.output_size", 9),
    ({"decoder.readout": "maxout"}, "decoder.readout", readout.MaxoutReadout),
    ({"decoder.dropout": 0.4}, "decoder.readout.dropout.p", 0.4),
    ({"decoder.dropout": 0.4}, "dropout.p", 0.4),
    ({"decoder.locked_dropout": True}, "dropout", LockedDropout),
    ({"decoder.locked_dropout": True}, "decoder.readout.dropout", LockedDropout),
    (STACK | {"decoder.locked_dropout": True}, "decoder.rnn.dropout", LockedDropout),
    (GNMT | {"decoder.locked_dropout": True}, "decoder.dropout", LockedDropout),
    (STACK, "decoder.rnn.cells.__len__", 3),
    (STACK | {"decoder.residual": True}, "decoder.rnn.residual", True),
    (STACK | {"decoder.layer_norm": True}, "decoder.rnn.cells.0.layer_norm", True),
    (STACK | {"decoder.recurrent_dropout": 0.3}, "decoder.rnn.cells.2.transition.dropout.p", 0.3),
    ({"decoder.layer_norm": True}, "decoder.rnn.layers.0", rnn.LoopedLayer),
    ({}, "decoder.rnn.layers.0", rnn.FusedLayer),
    (GNMT | {"decoder.num_layers": 4}, "decoder.upper.__len__", 3),
    (GNMT | {"decoder.cell": "gru"}, "decoder.upper.0.layers.0.rnn", torch.nn.GRU),
    (GNMT | {"decoder.residual": False}, "decoder.residual", False),
    ({}, "decoder.bridge", Bridge),
    ({"decoder.hidden_size": "auto", "decoder.bridge": "copy"}, "decoder.bridge", CopyBridge),
    ({"encoder": "lstm", "encoder.num_layers": 2}, "encoder.rnn.layers.1.rnn", torch.nn.LSTM),
    ({"encoder.bidirectional": False}, "encoder.rnn.layers.0.rnn.bidirectional", False),
    ({"encoder.num_layers": 2, "encoder.residual": True}, "encoder.rnn.residual", True),
    ({"encoder.layer_norm": True}, "encoder.rnn.layers.0.cells.1.layer_norm", True),
    ({"encoder.recurrent_dropout": 0.3}, "encoder.rnn.layers.0.cells.1.transition.dropout.p", 0.3),
    ({"encoder.locked_dropout": True}, "encoder.dropout", LockedDropout),
    ({"encoder.dropout": 0.4}, "encoder.rnn.dropout.p", 0.4),
    ({"encoder": "mean", "encoder.dropout": 0.4}, "encoder.dropout.p", 0.4),
    ({"encoder": "cnn", "encoder.num_layers": 3}, "encoder.blocks.__len__", 3),
    ({"encoder": "cnn", "encoder.kernel_size": 5}, "encoder.blocks.0.convolution.kernel_size", (5,)),
    ({"encoder": "cnn", "encoder.positions": "sinusoidal"}, "encoder.positions", positions.Sinusoidal),
    ({"encoder": "cnn"}, "encoder.positions", positions.Learned),
    *(
        (TRANSFORMER | {f"{group}.positions": name}, f"{group}.positions", kind)
        for group in ("encoder", "decoder")
        for name, kind in POSITIONS.items()
    ),
    *(
        (TRANSFORMER | {f"{group}.norm": name}, f"{group}.layers.1.around_attention", kind)
        for group in ("encoder", "decoder")
        for name, kind in NORMS.items()
    ),
    *(
        (TRANSFORMER | {f"{group}.num_heads": 4}, f"{group}.layers.1.attention.num_heads", 4)
        for group in ("encoder", "decoder")
    ),
    *(
        (TRANSFORMER | {f"{group}.feedforward_size": 5}, f"{group}.layers.0.feedforward.inner.out_features", 5)
        for group in ("encoder", "decoder")
    ),
]


@pytest.mark.parametrize(("options", "part", "expected"), CASES)
def test_an_option_reaches_its_part(options, part, expected, build):
    found = build(options)
    for name in part.split("."):
        found = found[int(name)] if name.isdigit() else attrgetter(name)(found)
    if part.endswith("__len__"):
        found = found()
    assert found == expected or type(found) is expected
