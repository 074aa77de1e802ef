"""Models that a stranger made, or a bad disk: refused, or used without a crash of the library, which is C++.

Whatever could end the process is tried in one of its own, which says what it is at before it tries.
"""

import io
import os
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece

import seq2seq
from seq2seq.errors import CheckpointError, DataError
from seq2seq.text.tokenizer import Tokenizer

LINES = [
    "der Hund läuft über die Straße",
    "die Katze schläft",
    "zwölf Hunde , eine Katze .",
    "das ist nicht der Hund",
] * 5
TRIED = ["der Hund läuft", "", "   ", "a" * 300, "漢字 😀 \0 <s> \u2581 ü\u0301 ﷺ ½", "Katze, Katze."]
KINDS = ("bpe", "unigram", "char", "word", "foreign")
CHANGES = ("flip", "flip at the end", "byte", "cut", "drop", "repeat")


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    """One of each kind of ours, and one that others train, with a table of normalizations."""
    made = {kind: Tokenizer.train(LINES, model_type=kind, vocab_size="auto")._model for kind in KINDS[:-1]}
    foreign = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=foreign,
        vocab_size=40,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc_cf",
        minloglevel=2,
    )
    return made | {"foreign": foreign.getvalue()}


def used(path: Path) -> str:
    """Does all that is done with a tokenizer: "used" or "refused", by one of our own errors."""
    try:
        tokenizer = Tokenizer.load(path)
        for line in TRIED:
            ids = tokenizer.encode(line)
            assert isinstance(tokenizer.decode(ids), str)
            assert len(tokenizer.pieces(ids)) == len(tokenizer.spans(line)) == len(ids)
        assert tokenizer.encode_batch(TRIED) == [tokenizer.encode(line) for line in TRIED]
        assert tokenizer.kind in (*KINDS, "unknown")
        special = [tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id, tokenizer.unk_id]
        assert {*special} <= {*range(tokenizer.vocab_size)}
        for i in [*special, *range(min(tokenizer.vocab_size, 300))]:
            tokenizer.decode([i, *special])
    except (CheckpointError, DataError):
        return "refused"
    return "used"


def changed(model: bytes, how: str, chance: random.Random) -> bytes:
    """The model with a little damage. At its end stand the options and the ids of the specials."""
    end = max(len(model) - 600, 0) if how == "flip at the end" else 0
    places = [chance.randrange(end, len(model)) for _ in range(chance.choice([1, 1, 2, 5]))]
    start, size = places[0], chance.randint(1, 50)
    if how == "cut":
        return model[:start]
    if how == "drop":
        return model[:start] + model[start + size :]
    if how == "repeat":
        return model[: start + size] + model[start:]
    damaged = bytearray(model)
    for place in places:
        damaged[place] = (
            chance.choice([0, 0x7F, 0x80, 0xFF]) if how == "byte" else damaged[place] ^ 1 << chance.randrange(8)
        )
    return bytes(damaged)


def try_all(folder: Path) -> None:
    """What the process of its own does with the files of a folder: a line before each, and one after it."""
    for path in sorted(folder.iterdir()):
        print(path.name, end=" ", flush=True)  # noqa: T201
        print(used(path), flush=True)  # noqa: T201


def outcomes(folder: Path) -> dict[str, str]:
    """Of each file of the folder, "used" or "refused"."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import {Path(__file__).stem} as tests; "
    code += "from pathlib import Path; tests.try_all(Path(sys.argv[1]))"
    root = str(Path(seq2seq.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, f"at {ran.stdout.splitlines()[-1:]}: {ran.stderr[-2000:]}"
    return dict(line.split(" ") for line in ran.stdout.splitlines())


def test_damaged_models_are_refused_or_used(models: dict[str, bytes], tmp_path: Path) -> None:
    for kind, model in models.items():
        for how in CHANGES:
            for number in range(20):
                chance = random.Random(f"{kind} {how} {number}")
                (tmp_path / f"{kind}-{how.replace(' ', '-')}-{number}").write_bytes(changed(model, how, chance))
    found = outcomes(tmp_path)
    assert len(found) == len(models) * len(CHANGES) * 20
    for kind in models:
        assert {found[name] for name in found if name.startswith(kind)} == {"used", "refused"}
    assert {found[name] for name in found if "-cut-" in name and not name.startswith("word")} == {"refused"}


# --- models that are written to do harm


def varint(number: int) -> bytes:
    number %= 1 << 64
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes | float) -> bytes:
    """A field of a protocol buffer: a number of any length, bytes, or 32 bits."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def piece(text: str | bytes, kind: int = 1, score: float = 0.0) -> bytes:
    """1: a normal one, 2: unknown, 3: control, 4: the user's, 5: unused, 6: a byte."""
    return field(1, field(1, text if isinstance(text, bytes) else text.encode()) + field(2, score) + field(3, kind))


SPECIALS = [piece("<unk>", 2), piece("<s>", 3), piece("</s>", 3)]
WORDS = [piece("\u2581der", score=-1.0), piece("\u2581"), piece("d"), piece("e", score=-2.0), piece("r")]
PLAIN = b"".join([*SPECIALS, *WORDS])


def charsmap(replacements: bytes, trie: bytes = bytes(1024)) -> bytes:
    return field(2, struct.pack("<I", len(trie)) + trie + replacements)


def trainer(number: int, value: int | bytes) -> bytes:
    """With an option of the training, where the ids and the names of the specials are kept."""
    return PLAIN + field(2, field(number, value))


UNK_ID, EOS_ID, PAD_ID, UNK_SURFACE, UNK_PIECE, EOS_PIECE, PAD_PIECE, MODEL_TYPE = 40, 42, 43, 44, 45, 47, 48, 3

HOSTILE = {
    "absurd ids": trainer(EOS_ID, 2**31 - 1) + field(2, field(UNK_ID, 10**6) + field(PAD_ID, -5)),
    "all pieces are control": b"".join([SPECIALS[0], *[piece(f"<{i}>", 3) for i in range(9)], SPECIALS[2]]),
    "infinite scores": PLAIN + piece("x", score=float("inf")) + piece("y", score=float("-inf")),
    "many pieces": PLAIN + b"".join(piece(f"p{i}") for i in range(50_000)),
    "no normal pieces": b"".join(SPECIALS),
    "pieces of the user's": PLAIN + piece("\u2581" * 50, 4) + piece("a" * 300, 4),
    "type 99": PLAIN + piece("x", 99),
    "model type 3": trainer(MODEL_TYPE, 3),
    "model type 99": trainer(MODEL_TYPE, 99),
    "a model type without a number": trainer(MODEL_TYPE, b""),
    "a number in the place of the options": PLAIN + field(2, 5),
    "a random trie": PLAIN + field(3, charsmap(b"a\0", random.Random(1).randbytes(4096))),
    "a huge trie": PLAIN + field(3, field(2, struct.pack("<I", 2**32 - 1) + bytes(5000))),
    "not closed": PLAIN + field(3, charsmap(b"a" * 200)),
    "groups": PLAIN + b"\x0b" * 100_000,
    "NaN": PLAIN + piece("x", score=float("nan")),
    "an empty piece": PLAIN + piece(""),
    "twice the same": PLAIN + piece("d"),
    "two for the unknown": PLAIN + piece("<unk2>", 2),
}
NOT_A_MODEL = {
    "nothing": b"",
    "text": b"der Hund\n" * 100,
    "pickle": pickle.dumps({"model": list(range(100))}),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "zip": b"PK\x03\x04" + bytes(100),
    "a number that doesn't end": b"\x80" * 2**20,
    "a field that doesn't end": field(1, b"x" * 100)[:-1],
    "no pieces": field(2, field(MODEL_TYPE, 1)),
    "no piece for the unknown": b"".join([*SPECIALS[1:], *WORDS]),
    "a piece that isn't UTF-8": PLAIN + piece(b"\xff\xfe"),
    "unknown spelled in no UTF-8": trainer(UNK_SURFACE, b"\xff\xfe"),
    "the end is the unknown": trainer(UNK_PIECE, b"</s>"),
}
REFUSED = {
    "an end that is a word": (
        trainer(EOS_PIECE, b"d"),
        "this SentencePiece model has no end-of-sentence piece (eos_id is -1)",
    ),
    "no end": (
        b"".join([*SPECIALS[:2], *WORDS]),
        "this SentencePiece model has no end-of-sentence piece (eos_id is -1)",
    ),
    "long replacements": (
        PLAIN + field(3, charsmap(b"a\0" + b"x" * 257 + b"\0")),
        "the normalization rules of this SentencePiece model write more than 256 bytes for a character; use another "
        "model",
    ),
    "a denormalizer": (
        PLAIN + field(5, charsmap(b"a\0")),
        "this SentencePiece model changes text after decoding, which isn't supported; train it without "
        "denormalization_rule_tsv",
    ),
    "unknown spelled at length": (
        trainer(UNK_SURFACE, b"x" * 1001),
        "this SentencePiece model has a piece of 1001 characters; use another",
    ),
}


def test_models_written_to_do_harm_do_none(tmp_path: Path) -> None:
    """And the rest of this file's models can't end the process either."""
    contents = HOSTILE | NOT_A_MODEL | {name: content for name, (content, _) in REFUSED.items()}
    for name, content in contents.items():
        (tmp_path / name.replace(" ", "-")).write_bytes(content)
    (tmp_path / "plain").write_bytes(PLAIN)
    found = outcomes(tmp_path)
    assert found.keys() == {name.replace(" ", "-") for name in contents} | {"plain"}
    assert found["plain"] == found["absurd-ids"] == found["many-pieces"] == "used"
    assert {found[name.replace(" ", "-")] for name in [*NOT_A_MODEL, *REFUSED]} == {"refused"}


@pytest.mark.parametrize("name", NOT_A_MODEL)
def test_what_is_no_model(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(NOT_A_MODEL[name])
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(path)
    assert str(raised.value) == f"{path}: not a SentencePiece model"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_model_is_said(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "x.model"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(path)
    assert str(raised.value) == f"{path}: {message}"


def test_a_table_of_normalizations_as_others_train_it_is_no_harm(models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(models["foreign"])
    tokenizer = Tokenizer.load(path)
    assert tokenizer.decode(tokenizer.encode("ＤＥＲ  Hund")) == "der hund"


def test_neither_pipes_nor_giants_are_read(tmp_path: Path) -> None:
    pipe, giant = tmp_path / "pipe", tmp_path / "giant"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(pipe)
    assert str(raised.value) == f"{pipe}: not a file, and so no SentencePiece model"
    with giant.open("wb") as file:
        file.truncate(2**40)  # sparse: it takes no room
    with pytest.raises(CheckpointError) as raised:
        Tokenizer.load(giant)
    assert str(raised.value) == f"{giant}: larger than 64 MiB, and so no SentencePiece model"
