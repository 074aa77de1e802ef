"""Fast paths equal plain ones: in what models compute, in what they learn, and in what they translate."""

import pytest
import torch

from seq2seq.benchmark.plain import REPLACED, plain_paths
from seq2seq.benchmark.training import Training

MODELS = {
    "luong": {"encoder": "lstm", "attention": "luong_general", "decoder": "lstm"},
    "input feeding": {"attention": "luong_concat", "decoder": {"name": "lstm", "input_feeding": True}},
    "bahdanau": {"encoder": {"name": "gru", "num_layers": 2}, "attention": "bahdanau", "decoder": "gru"},
    "conditional": {"encoder": "gru", "attention": "bahdanau", "decoder": "conditional_gru"},
}
models = pytest.mark.parametrize("parts", MODELS.values(), ids=list(MODELS))


@models
def test_fifty_updates_have_the_same_losses(parts, make_bench) -> None:
    """Dropout included, for both draw the same."""
    bench = make_bench({"updates": 50}, **parts, optimizer={"name": "sgd", "learning_rate": 0.2})
    fast, plain = (Training(bench.config, bench.material, bench.runtime, report_every=1) for _ in range(2))
    fast.run(50)
    with plain_paths():
        plain.run(50)
    assert fast.losses[-1] < fast.losses[0]
    assert fast.losses == pytest.approx(plain.losses, rel=1e-4)


@models
def test_logits_and_translations_are_the_same(parts, make_bench) -> None:
    bench = make_bench(**parts)
    training = Training(bench.config, bench.material, bench.runtime)
    training.run(10)
    model, batch = training.model.eval(), training.first()
    lines = bench.material.lines.source

    def given():
        with torch.no_grad():
            features, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
            return model.output(features), weights

    fast = given()
    translator = bench.material.translator(bench.config, "fp32", {"beam_size": 3})
    texts = [translation.text for translation in translator.translate(lines)]
    with plain_paths():
        plain = given()
        assert [translation.text for translation in translator.translate(lines)] == texts
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_fast_paths_are_back_afterwards() -> None:
    def current():
        return [getattr(owner, name) for owner, name, _ in REPLACED]

    before = current()
    with plain_paths():
        assert current() == [plain for _, _, plain in REPLACED]
    assert current() == before

    def failing() -> None:
        with plain_paths():
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        failing()
    assert current() == before
