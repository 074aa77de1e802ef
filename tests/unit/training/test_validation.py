"""What a validation tells of attention: on the references, over real tokens alone."""

import json
from pathlib import Path

import pytest
import torch
from support.process import torch_settings_kept

import seq2seq
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.text import ParallelText
from seq2seq.evaluation.diagnostics import AttentionMeter
from seq2seq.evaluation.saved import model_for
from seq2seq.options import RuntimeConfig
from seq2seq.runtime import Runtime
from seq2seq.text.pair import TokenizerPair
from seq2seq.training.validation import Scores, forced

SOURCES = ["aa b", "b", "bab b a ab", "b a", "ab ab ab b a", "a"]
TARGETS = ["a b", "b a a b ab", "b", "bb ab", "a b a", "ab b"]
NAMES = ["attention_entropy", "attention_normalized_entropy", "attention_coverage", "attention_monotonicity"]


@pytest.fixture(autouse=True)
def _settings_of_the_process():
    with torch_settings_kept():
        yield


@pytest.fixture
def model_and_corpus():
    """A model of random weights with this attention; its corpus, tokenizers and runtime."""

    def make(attention):
        config = seq2seq.Config.from_dict(
            {
                "embedding_size": 8,
                "encoder": {"name": "gru", "hidden_size": 8},
                "attention": attention,
                "decoder": "gru",
                "tokenizer": {"name": "char"},
            }
        )
        tokenizers = TokenizerPair.train(SOURCES, TARGETS, shared=True, model_type="char", vocab_size="auto")
        corpus = EncodedCorpus.encode(ParallelText("valid", SOURCES, TARGETS, ()), tokenizers)
        runtime = Runtime.resolve(RuntimeConfig(device="cpu", precision="fp32", threads=1), training=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = model_for(config, tokenizers)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(3)
        return model, corpus, tokenizers, runtime

    return make


@pytest.mark.parametrize(
    "attention", ["bahdanau", {"name": "luong_general", "window": "local_p", "window_size": 2}, "multi_head"]
)
def test_attention_on_the_references_does_not_depend_on_the_batches(model_and_corpus, attention):
    parts = model_and_corpus(attention)
    together, alone = forced(*parts, batch_size=6), forced(*parts, batch_size=1)
    assert together.loss == pytest.approx(alone.loss, abs=1e-5)
    assert together.attention == pytest.approx(alone.attention, abs=1e-5)
    model, _, tokenizers, runtime = parts
    translator = seq2seq.Translator(model, tokenizers, None, seq2seq.Config().search, runtime)
    meter = AttentionMeter()
    for pair in translator.score(SOURCES, TARGETS, attention=True):
        targets, sources = pair.attention.shape
        meter.add(pair.attention.unsqueeze(0), torch.tensor([sources]), torch.tensor([targets]))
    assert together.attention == pytest.approx(meter.read(), abs=1e-5)


def test_a_model_without_attention_has_none(model_and_corpus):
    loss, attention = forced(*model_and_corpus("none"), batch_size=2)
    assert loss > 0
    assert attention is None
    scores = Scores(0.5, 1.6487, 12.0, None)
    assert scores.numbers() == {"loss": 0.5, "perplexity": 1.6487, "bleu": 12.0}
    assert str(scores) == "loss 0.5000 perplexity 1.649 BLEU 12.00"


@pytest.mark.parametrize(("attention", "names"), [("bahdanau", NAMES), ("none", [])])
def test_a_training_reports_it(tmp_path: Path, attention, names):
    """In metrics.jsonl's validations, results.json and train.log."""
    for side, lines in (("de", SOURCES), ("en", TARGETS)):
        (tmp_path / f"text.{side}").write_text("".join(f"{line}\n" for line in lines))
    run = seq2seq.train(
        seq2seq.Config.from_dict(
            {
                "run": str(tmp_path / "run"),
                "data": {name: str(tmp_path / "text") for name in ("train", "valid", "test")},
                "tokenizer": {"name": "char"},
                "embedding_size": 8,
                "encoder": "gru",
                "attention": attention,
                "decoder": "gru",
                "trainer": {"max_updates": 1, "samples": 0},
                "device": "cpu",
                "precision": "fp32",
                "threads": 1,
            }
        )
    )
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    valid = next(line for line in lines if line["kind"] == "valid")
    for found in (valid, run.results["valid"]):
        assert [name for name in found if name.startswith("attention")] == names
        assert all(-1 <= found[name] <= 10 for name in names)
    assert ("attention: entropy" in (run.folder / "train.log").read_text()) == bool(names)
