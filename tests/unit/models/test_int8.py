"""Products of 8-bit integers, and the model that is made of them."""

import math
import re
import time

import pytest
import torch
from support.process import torch_settings_kept
from torch import nn

import seq2seq
from seq2seq import runtime
from seq2seq.data.lengths import LengthLimit
from seq2seq.errors import ConfigError
from seq2seq.evaluation.saved import model_for
from seq2seq.evaluation.translator import Translator
from seq2seq.models import int8
from seq2seq.models.int8 import Int8Layer, Int8Linear, quantized
from seq2seq.models.memory import RNNState
from seq2seq.models.rnn import FusedLayer, RNNSpec
from seq2seq.options import RuntimeConfig
from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.protocol import NoTranslationError, SpecialIds
from seq2seq.text.pair import TokenizerPair

PAD, BOS, EOS, UNK = 3, 1, 2, 0
RECURRENT = [  # options, and the integer products of a step beside the readout's and the output layer's
    ({"decoder": "lstm"}, ["layers.0.hidden_projection"]),
    ({"decoder": "gru", "decoder.num_layers": 2}, ["layers.0.hidden_projection", "layers.1.hidden_projection"]),
    ({"decoder": "gru", "decoder.layer_norm": True}, ["layers.0.cells.0.hidden_projection"]),
    ({"decoder": "lstm", "decoder.input_feeding": True}, ["cells.0.hidden_projection", "context_projection"]),
    (
        {"attention": "bahdanau", "decoder": "gru", "decoder.readout": "maxout"},
        ["cells.0.hidden_projection", "context_projection"],
    ),
]
OTHERS = [
    {"attention": "none", "decoder": "gru"},
    {"attention": "bahdanau", "decoder": "conditional_gru"},
    {"attention": "bahdanau", "decoder": "gnmt"},
    {"attention": "multi_head", "decoder": "transformer"},
]


@pytest.fixture(autouse=True, params=["integers", "floats"])
def _both_ways(request, monkeypatch):
    """By 8-bit instructions, whether they pay here or not, and by float32's."""
    if request.param == "integers" and not int8.integers_are_exact():
        pytest.skip("this CPU's sums of 8-bit products overflow, so that it uses float32's")
    monkeypatch.setattr(int8, "integers_pay", lambda: request.param == "integers")


def by_hand(weight, bias, row):
    """One row's outputs, number by number: both factors rounded to 127ths of their row's largest magnitude."""
    outputs = []
    of_row = max(abs(x) for x in row) / 127 or 1
    for w, b in zip(weight, bias, strict=True):
        of_weight = max(abs(x) for x in w) / 127 or 1
        total = sum(round(x / of_row) * round(y / of_weight) for x, y in zip(row, w, strict=True))
        outputs.append(total * of_row * of_weight + b)
    return outputs


def test_rounded_factors_and_an_exact_product(tensors):
    random = tensors(1)
    weight, bias, inputs = random(7, 40) * 3, random(7), random(5, 40)
    weight[2], inputs[3], inputs[1] = 0, 0, inputs[1] * 1000
    expected = torch.tensor([by_hand(weight.tolist(), bias.tolist(), row) for row in inputs.tolist()])
    torch.testing.assert_close(Int8Linear(weight, bias)(inputs), expected, rtol=1e-5, atol=1e-4)


def test_close_to_the_layer_itself(tensors):
    """Rounding moves a factor by at most half a step, a 254th of its row's largest magnitude."""
    random = tensors(2)
    layer, inputs = nn.Linear(64, 30), random(3, 4, 64)
    result, expected = Int8Linear(layer.weight, layer.bias)(inputs), layer(inputs)
    rows, columns = inputs.abs(), layer.weight.detach().abs()
    by_input = rows.amax(-1, keepdim=True) / 254 * columns.sum(1)
    by_weight = (rows.sum(-1, keepdim=True) + 64 * rows.amax(-1, keepdim=True) / 254) * columns.amax(1) / 254
    assert result.shape == expected.shape
    assert ((result - expected).abs() <= by_input + by_weight + 1e-5).all()
    assert (result != expected).any()


def test_a_row_is_the_same_bit_for_bit_in_any_company(tensors):
    random = tensors(3)
    layer, inputs = Int8Linear(random(300, 64), random(300)), random(70, 64)
    alone = torch.cat([layer(row[None]) for row in inputs])
    inputs_beside = torch.cat([1e4 * random(5, 64), inputs, torch.zeros(1, 64)])
    assert torch.equal(layer(inputs), alone)
    assert torch.equal(layer(inputs_beside)[5:75], alone)


def test_without_a_bias(tensors):
    random = tensors(4)
    weight, inputs = random(6, 20), random(3, 20)
    expected = Int8Linear(weight, torch.zeros(6))(inputs)
    torch.testing.assert_close(Int8Linear(weight, None)(inputs), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_spoil_their_row_alone(tensors, wrong):
    random = tensors(5)
    layer, inputs = Int8Linear(random(30, 16), random(30)), random(3, 16)
    sound = layer(inputs)
    inputs[1, 7] = wrong
    spoilt = layer(inputs)
    assert not spoilt[1].isfinite().any()
    assert spoilt[1].log_softmax(-1).isnan().all()  # and nothing can be chosen
    assert torch.equal(spoilt[[0, 2]], sound[[0, 2]])


def test_some_of_the_outputs(tensors):
    random = tensors(6)
    inputs, outputs = random(3, 16), torch.tensor([11, 4, 4])
    for bias in (random(12), None):
        layer = Int8Linear(random(12, 16), bias)
        assert torch.equal(layer.select(outputs)(inputs), layer(inputs)[:, outputs])


def test_the_matrix_that_is_multiplied_with(tensors):
    weight = tensors(7)(5, 16)
    layer = Int8Linear(weight, None)
    assert layer.numbers.dtype == (torch.int8 if int8.integers_pay() else torch.float32)
    assert ((layer.weight - weight).abs() <= weight.abs().amax(1, keepdim=True) / 253).all()
    assert torch.equal(Int8Linear(layer.weight, None).numbers, layer.numbers)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_layer_is_torchs_with_a_rounded_recurrence(tensors, cell):
    """Weights and states that are whole 127ths of their largest are left as they are, for one step."""
    random = tensors(8)
    fused = FusedLayer(RNNSpec(cell), 6, 8, bidirectional=False)
    with torch.no_grad():
        weight = fused.rnn.weight_hh_l0
        weight.copy_((random(*weight.shape) * 40).round().clamp(-126, 126) / 127)
        weight[:, 0] = 1
        for bias in (fused.rnn.bias_ih_l0, fused.rnn.bias_hh_l0):
            bias.copy_(random(*bias.shape))
        hidden = (random(1, 3, 8) * 40).round().clamp(-126, 126) / 127
        hidden[..., 3] = -1
        state = RNNState(hidden, random(1, 3, 8) if cell == "lstm" else None)
        inputs = random(3, 1, 6)
        outputs, last = Int8Layer(fused)(inputs, state)
        expected, expected_last = fused(inputs, state)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(last.hidden, expected_last.hidden, rtol=0, atol=1e-6)
    assert (last.cell is None) == (cell == "gru")
    if cell == "lstm":
        torch.testing.assert_close(last.cell, expected_last.cell, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [*(options for options, _ in RECURRENT), *OTHERS], ids=str)
def test_a_model_of_integers(build, pairs, pad, options):
    """Near the model itself, which stays as it was; and all steps at once are the same as one by one."""
    model = build(options)
    batch = pad(pairs)
    inputs = (batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    with torch.no_grad():
        before = model.output(model(*inputs).features)
        small = quantized(model)
        logits = small.output(small(*inputs).features)
        assert torch.equal(model.output(model(*inputs).features), before)
        state, steps = small.start(batch.source, batch.source_lengths), []
        for tokens in batch.target_input.unbind(1):
            output = small.step(tokens, state)
            state = output.state
            steps.append(output.logits)
    stepped = torch.stack(steps, dim=1)[batch.target_mask]
    torch.testing.assert_close(stepped, logits, rtol=1e-4, atol=1e-4)
    assert 0 < (logits - before).norm() < 0.05 * before.norm()


@pytest.mark.parametrize(("options", "recurrent"), RECURRENT, ids=str)
def test_the_products_of_a_step_are_of_integers(build, options, recurrent):
    decoder = quantized(build(options)).decoder
    found = [name for name, module in decoder.named_modules() if isinstance(module, Int8Linear)]
    assert sorted(found) == sorted(["readout.projection", *(f"rnn.{name}" for name in recurrent)])


def test_tied_embeddings_stay_as_they_are(build):
    model = build({"tie_embeddings": "output", "decoder.readout_size": 5})
    assert model.output.weight is model.target_embedding.weight
    words = model.output.weight.clone()
    small = quantized(model)
    assert model.output.weight is model.target_embedding.weight
    assert torch.equal(model.output.weight, words)
    assert small.source_embedding is model.source_embedding


@pytest.mark.parametrize(
    ("options", "reader"),
    [
        ({"decoder": "lstm", "decoder.num_layers": 2}, "rnn.layers.0.input_projection"),
        ({"attention": "none", "decoder": "gru"}, "rnn.layers.0.input_projection"),
        ({"decoder": "lstm", "decoder.input_feeding": True}, "rnn.embedding_projection"),
        ({"attention": "bahdanau", "decoder": "gnmt"}, "bottom.embedding_projection"),
        ({"attention": "bahdanau", "decoder": "gru"}, None),  # the readout reads the embedding too
        ({"attention": "none", "decoder": "gru", "decoder.source_vector": "every_step"}, None),
        ({"decoder": "gru", "decoder.layer_norm": True}, None),
    ],
    ids=str,
)
def test_what_only_the_bottom_layer_reads_is_looked_up(build, options, reader, monkeypatch):
    model, limit = build(options), int8.MOST_LOOKED_UP
    small = quantized(model)
    if reader is None:
        assert small.target_embedding is model.target_embedding
        return
    assert isinstance(small.decoder.get_submodule(reader), nn.Identity)
    gates = small.target_embedding.weight
    assert not gates.requires_grad
    monkeypatch.setattr(int8, "MOST_LOOKED_UP", gates.numel() - 1)
    assert quantized(model).target_embedding is model.target_embedding  # a table too large to be worth it
    assert limit == 2**26


def test_a_sentence_in_any_company(build, pad):
    """Texts and scores, at three batch sizes, of a random model."""
    small, random = (
        quantized(build({"decoder": "lstm", "decoder.input_feeding": True})),
        torch.Generator().manual_seed(9),
    )
    sources = [torch.randint(4, 14, (length,), generator=random).tolist() for length in range(2, 16)]
    found = []
    for size in (1, 5, 14):
        hypotheses = []
        for first in range(0, len(sources), size):
            batch = pad([(source, []) for source in sources[first : first + size]])
            options, special = SearchOptions(beam_size=3), SpecialIds(BOS, EOS, (PAD, BOS, UNK))
            lengths = batch.source_lengths
            hypotheses += beam_search(small, batch.source, lengths, lengths + 2, options, special)
        found.append([sentence[0] for sentence in hypotheses])
    for other in found[1:]:
        assert [hypothesis.tokens for hypothesis in other] == [hypothesis.tokens for hypothesis in found[0]]
        for hypothesis, alone in zip(other, found[0], strict=True):
            assert hypothesis.score == pytest.approx(alone.score, abs=1e-4)


def test_a_model_without_probabilities_gives_no_words(build, pad):
    model = build({"decoder": "lstm"})
    with torch.no_grad():
        model.target_embedding.weight[BOS] = math.nan
    batch = pad([([5, 6], [])])
    with pytest.raises(NoTranslationError):
        beam_search(
            quantized(model),
            batch.source,
            batch.source_lengths,
            batch.source_lengths + 2,
            SearchOptions(beam_size=2),
            SpecialIds(BOS, EOS, (PAD, BOS, UNK)),
        )


@pytest.fixture
def resolve():
    """Runtime.resolve of precision=int8 and these options; torch's settings are put back afterwards."""
    with torch_settings_kept():
        yield lambda training=False, device="cpu": runtime.Runtime.resolve(
            RuntimeConfig(device=device, precision="int8", threads=1), training=training
        )


def refused(message):
    return pytest.raises(ConfigError, match=f"^{re.escape(message)}$")


def test_it_is_recorded_and_leaves_other_products_alone(resolve):
    resolved = resolve()
    assert (resolved.precision, resolved.describe()) == ("int8", "cpu, int8, 1 thread")
    with resolved.autocast():
        assert nn.Linear(4, 4)(torch.randn(2, 4)).dtype == torch.float32


def test_training_is_refused(resolve):
    with refused(
        "precision=int8 is for translation, and training can't use it; use precision=auto, bf16 or fp32, and "
        "precision=int8 in translate.py"
    ):
        resolve(training=True)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_other_devices_are_refused(resolve, monkeypatch, device):
    monkeypatch.setattr(runtime, "_device", torch.device)
    with refused(f"precision=int8 needs the CPU, but device={device}; set device=cpu, or use precision=bf16 or fp32"):
        resolve(device=device)


def overflowing(a, b):
    """As on x86 without VNNI: the first factor is shifted to 0..255, and two products are summed in 16 bits."""
    products = (a.int() + 128).unsqueeze(2) * b.int()  # (N, I, O)
    pairs = products.unflatten(1, (-1, 2)).sum(2).clamp(-(2**15), 2**15 - 1)
    return pairs.sum(1) - 128 * b.int().sum(0)


def slow(a, b):
    time.sleep(0.02)
    return a.int() @ b.int()


def fast(a, b):
    return torch.full((len(a), b.shape[1]), int(a[0, 0]) * int(b[0, 0]) * len(b), dtype=torch.int32)


@pytest.mark.parametrize(("kernel", "pays"), [(overflowing, False), (slow, False), (fast, True)])
def test_8_bit_instructions_are_used_where_they_are_exact_and_fast(monkeypatch, kernel, pays):
    monkeypatch.undo()
    monkeypatch.setattr(torch, "_int_mm", kernel)
    int8.integers_pay.cache_clear()
    try:
        assert int8.integers_pay() == pays
    finally:
        int8.integers_pay.cache_clear()


@pytest.mark.parametrize("inputs", [1, int8.EXACT, int8.EXACT + 1, 3 * int8.EXACT + 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_floats_give_the_same_bits_as_integers(inputs, sign):
    """The largest sums that there can be, among others."""
    generator = torch.Generator().manual_seed(inputs)
    numbers = torch.randint(-127, 128, (4, inputs), generator=generator).float()
    matrix = torch.randint(-127, 128, (6, inputs), generator=generator).float()
    numbers[0], matrix[1] = 127, sign * 127
    numbers[1, ::2], matrix[2, 1::2] = -127, 127
    expected = (numbers.long() @ matrix.long().t()).float()
    assert torch.equal(int8.product(numbers, matrix), expected)


def test_a_translator_gives_the_same_at_any_batch_size(resolve):
    """Texts and scores of a random model, which is left as it was."""
    sources = ["a b c", "c", "b b a d e f", "", "d e", "f a", "e d c b a", "a", "b c d", "f f f f f f f", "c a"] * 3
    tokenizers = TokenizerPair.train(sources, sources, shared=True, model_type="word", vocab_size="auto")
    config = seq2seq.Config.from_dict({"embedding_size": 12, "encoder": {"name": "lstm", "hidden_size": 8}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = model_for(config, tokenizers)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2)
    translator = Translator(model, tokenizers, LengthLimit(1.5, 5), config.search, resolve())
    assert isinstance(translator.model.output, Int8Linear)
    assert translator.model is not model
    assert isinstance(model.output, nn.Linear)
    alone = translator.translate(sources, batch_size=1)
    assert len({translation.text for translation in alone}) > 3
    for size in (7, 64):
        for one, other in zip(alone, translator.translate(sources, batch_size=size), strict=True):
            assert other.text == one.text
            assert other.hypotheses[0].score == pytest.approx(one.hypotheses[0].score, abs=1e-4)
