"""Translators of random weights, whose outputs vary with their input."""

import torch

import seq2seq
from seq2seq.data.lengths import LengthLimit
from seq2seq.evaluation.saved import model_for
from seq2seq.evaluation.translator import Translator
from seq2seq.options import RuntimeConfig
from seq2seq.runtime import Runtime
from seq2seq.text.pair import TokenizerPair


def make_translator(sources, targets, tokenizer, cell, attention):
    """A translator large enough that its outputs vary, with the tokenizers of these lines; bytes are made unlikely."""
    config = seq2seq.Config.from_dict(
        {
            "embedding_size": 12,
            "tie_embeddings": "none",
            "encoder": {"name": cell, "hidden_size": 8},
            "attention": attention,
            "decoder": {"name": cell},
        }
    )
    tokenizers = TokenizerPair.train(
        sources, targets, shared=False, model_type=tokenizer, vocab_size=320 if tokenizer == "bpe" else "auto"
    )
    runtime = Runtime.resolve(RuntimeConfig(device="cpu", precision="fp32", threads=1), training=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = model_for(config, tokenizers)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
            model.output.weight.mul_(2)
            for embedding in (model.source_embedding, model.target_embedding):
                embedding.weight.normal_()
            for i, piece in enumerate(tokenizers.target.pieces(range(tokenizers.target.vocab_size))):
                if piece.startswith("<0x"):
                    model.output.bias[i] = -12
    return Translator(model, tokenizers, LengthLimit(1.5, 5), config.search, runtime)
