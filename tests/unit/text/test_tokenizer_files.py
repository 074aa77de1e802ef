"""Models on disk and pairs of them, checked against SentencePiece itself."""

import hashlib
import io
import os
from pathlib import Path

import pytest
import sentencepiece

from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.text.pair import TokenizerPair
from seq2seq.text.tokenizer import Tokenizer

LINES = [
    "der Hund läuft über die Straße",
    "die Katze schläft",
    "zwölf Hunde , eine Katze .",
    "das ist nicht der Hund",
] * 5


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    kinds = ("bpe", "unigram", "char", "word")
    return {kind: Tokenizer.train(LINES, model_type=kind, vocab_size="auto") for kind in kinds}


def foreign_model(path: Path, **options: object) -> Path:
    """A model as other people train them, with SentencePiece's own defaults."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    path.write_bytes(model.getvalue())
    return path


def test_a_saved_model_is_the_same_model(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    for kind, tokenizer in tokenizers.items():
        path = tmp_path / f"{kind} ü=1,[x].model"
        tokenizer.save(path)
        loaded = Tokenizer.load(path)
        assert loaded.digest == tokenizer.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert loaded.encode("der Hund") == tokenizer.encode("der Hund")
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
        assert (theirs.unk_id(), theirs.bos_id(), theirs.eos_id(), theirs.pad_id()) == (0, 1, 2, 3)
        assert (loaded.unk_id, loaded.bos_id, loaded.eos_id, loaded.pad_id) == (0, 1, 2, 3)
        assert loaded.vocab_size == theirs.get_piece_size()
        assert loaded.encode("der Hund") == theirs.encode("der Hund")  # ids are SentencePiece's own
    assert len(list(tmp_path.iterdir())) == len(tokenizers)


def test_a_save_cut_short_leaves_the_old_model(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shared.model"
    tokenizers["bpe"].save(path)

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        tokenizers["char"].save(path)
    assert Tokenizer.load(path).digest == tokenizers["bpe"].digest


def test_foreign_models_may_lack_bos_and_pad_but_not_eos(tmp_path: Path) -> None:
    bare = Tokenizer.load(foreign_model(tmp_path / "bare.model", bos_id=-1))
    assert bare.eos_id >= 0
    assert bare.bos_id == bare.pad_id == bare.eos_id
    assert bare.decode(bare.encode("der Hund")) == "der Hund"
    path = foreign_model(tmp_path / "endless.model", eos_id=-1)
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(path)
    assert str(raised.value) == f"{path}: this SentencePiece model has no end-of-sentence piece (eos_id is -1)"


@pytest.mark.parametrize("content", [b"", b"no model\n", b"\x00" * 100, bytes(range(256)) * 10])
def test_other_files_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(path)
    assert str(raised.value) == f"{path}: not a SentencePiece model"


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(tmp_path / "x.model")
    assert str(raised.value) == f"{tmp_path}/x.model: can't read this tokenizer: No such file or directory"


# --- pairs


def test_a_shared_pair_learns_from_both_sides_and_is_one_object(tmp_path: Path) -> None:
    options = {"model_type": "char", "vocab_size": "auto", "character_coverage": 1.0}
    pair = TokenizerPair.train(["aä"], ["bß"], shared=True, **options)
    assert pair.shared
    assert pair.source is pair.target
    assert {"ä", "ß"} <= set(pair.source.pieces(range(pair.source.vocab_size)))
    pair.save(tmp_path / "tokenizer")
    assert os.listdir(tmp_path / "tokenizer") == ["shared.model"]
    for place in (tmp_path, tmp_path / "tokenizer", tmp_path / "tokenizer" / "shared.model"):
        for shared in (True, False):
            loaded = TokenizerPair.from_path(place, shared)
            assert loaded.shared
            assert loaded.source.digest == pair.source.digest


def test_a_pair_of_two_keeps_the_sides_apart(tmp_path: Path) -> None:
    options = {"model_type": "char", "vocab_size": "auto", "character_coverage": 1.0}
    pair = TokenizerPair.train(["aä"], ["bß"], shared=False, **options)
    assert not pair.shared
    assert "ß" not in pair.source.pieces(range(pair.source.vocab_size))
    assert "ä" not in pair.target.pieces(range(pair.target.vocab_size))
    pair.save(tmp_path / "tokenizer")
    assert sorted(os.listdir(tmp_path / "tokenizer")) == ["source.model", "target.model"]
    loaded = TokenizerPair.from_path(tmp_path, shared=False)
    assert (loaded.source.digest, loaded.target.digest) == (pair.source.digest, pair.target.digest)
    with pytest.raises(ConfigError) as raised:
        TokenizerPair.from_path(tmp_path, shared=True)
    assert str(raised.value) == (
        f"tokenizer.model={tmp_path} holds one model for each side, but tokenizer.shared=true asks for one that serves "
        "both; set tokenizer.shared=false"
    )


def test_messages_name_the_side() -> None:
    many = LINES
    with pytest.raises(ConfigError, match="is more than the target side can give: at most 263; "):
        TokenizerPair.train(many, ["a"], shared=False, model_type="bpe", vocab_size=300)
    with pytest.raises(DataError, match="no tokenizer can be trained on the source side: every line is empty"):
        TokenizerPair.train([""], many, shared=False, model_type="bpe", vocab_size=300)


def test_places_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        TokenizerPair.from_path(tmp_path / "nowhere", shared=True)
    assert str(raised.value) == f"tokenizer.model={tmp_path}/nowhere: no such file or folder"
    with pytest.raises(CheckpointError) as raised:
        TokenizerPair.from_path(tmp_path, shared=True)
    assert str(raised.value) == (
        f"{tmp_path}: no tokenizer here: neither shared.model nor source.model and target.model"
    )
