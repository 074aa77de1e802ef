"""A run's folder from a stranger: nothing in it runs, leads elsewhere, is waited for, or takes more than its own size.

Whoever makes such a folder can make its digests right, so that most of these tests do too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import pickle
import random
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seq2seq.config import Config
from seq2seq.data.lengths import LengthLimit
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.evaluation.saved import model_for
from seq2seq.evaluation.translator import Translator
from seq2seq.models.weights import digest
from seq2seq.options import RuntimeConfig
from seq2seq.runs import RunFolder
from seq2seq.text.pair import TokenizerPair

pytestmark = pytest.mark.timeout(60)  # of what must not be waited for

LINES = ["ein Haus am See", "der Hund sieht das Haus", "die Katze schläft"]
WEIGHTS, TRAINING, MANIFEST = (
    f"checkpoints/00000007.{end}" for end in ("weights.safetensors", "training.safetensors", "json")
)


def small(**changes: Any) -> dict[str, Any]:
    return {
        "embedding_size": 4,
        "encoder": {"name": "gru", "hidden_size": 4},
        "decoder": {"name": "gru"},
        "tie_embeddings": "none",
        **changes,
    }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a training leaves, made of the library's own pieces."""
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    folder = RunFolder(tmp_path_factory.mktemp("original"))
    config = Config.from_dict(small())
    tokenizers = TokenizerPair.train(LINES, LINES, shared=True, model_type="char", vocab_size="auto")
    with folder.lock:
        folder.create(config)
        tokenizers.save(folder.tokenizer)
        limit = LengthLimit(1.5, 5.0)
        folder.write_json("data.json", {"length_limit": limit._asdict(), "tokenizer": tokenizers.digests})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = model_for(config, tokenizers)
        state = {"optimizer": {"0": {"step": torch.tensor(3.0)}}}
        folder.checkpoints.save(7, model, state, rank=1.0, scores={"bleu": 1.0}, keep_last=1, keep_best=1)
        folder.checkpoints.wait()
        folder.metrics.write_text('{"update": 7}\n')
        folder.log.write_text("a line\n")
        folder.write_lines("test.hypothesis", ["x"])
    yield folder.path
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(products)


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    caplog.set_level(logging.WARNING, "seq2seq")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def load(run: Path) -> Translator:
    return Translator.load(run, runtime=RuntimeConfig(device="cpu", precision="fp32", threads=1))


def seal(run: Path) -> None:
    """Makes sizes and digests right for the files as they are."""
    content = json.loads((run / MANIFEST).read_bytes())
    for part, name in (("weights", WEIGHTS), ("training", TRAINING)):
        whole = (run / name).read_bytes()
        content["files"][part] |= {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    content.pop("digest")
    content["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (run / MANIFEST).write_text(json.dumps(content))


def refused(run: Path, name: str, words: str = "") -> str:
    """The message of the error that names a file of the folder: a few clean lines of bounded length."""
    with pytest.raises(CheckpointError) as caught:
        load(run)
    message = str(caught.value)
    assert_readable(message, run)
    assert str(run / name) in message
    assert words in message
    return message


def assert_readable(message: str, run: Path) -> None:
    lines = message.split("\n")
    assert len(lines) <= 25, message
    assert all(line.isprintable() for line in lines), message
    assert all(len(line) < 4 * len(str(run)) + 500 for line in lines), message


def resumes(run: Path) -> bool:
    """Whether a training could go on from there, but for its weights, which any model here may have."""
    try:
        return RunFolder.open(run).checkpoints.load_newest(load(run).model) is not None
    except CheckpointError:
        return False


def test_the_folder_as_it_was_translates(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert len(load(run).translate(["der Hund"])) == 1
    seal(run)
    load(run)
    for path, content in before.items():
        assert path.name == Path(MANIFEST).name or path.read_bytes() == content


# Code.


class Malicious:
    """Unpickled, it would make a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def pickled(target: Path, file: Path) -> None:
    file.write_bytes(pickle.dumps({"weight": Malicious(target)}))


def zipped(target: Path, file: Path) -> None:
    torch.save({"weight": Malicious(target)}, file)


def old_style(target: Path, file: Path) -> None:
    torch.save({"weight": Malicious(target)}, file, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [pickled, zipped, old_style])
def test_the_malicious_files_are_malicious(tmp_path: Path, write: Callable[[Path, Path], None]) -> None:
    write(tmp_path / "executed", tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False) if write is not pickled else pickle.loads(
        (tmp_path / "file").read_bytes()
    )
    assert (tmp_path / "executed").is_dir()


@pytest.mark.parametrize("write", [pickled, zipped, old_style])
@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", [WEIGHTS, TRAINING, MANIFEST, "config.json", "data.json", "tokenizer/shared.model"])
def test_code_in_any_file_is_not_run(
    run: Path, tmp_path: Path, write: Callable[[Path, Path], None], sealed: bool, name: str, said: Callable[[], str]
) -> None:
    write(tmp_path / "executed", run / name)
    if sealed and name in (WEIGHTS, TRAINING):
        seal(run)
    for file in ("weights.pt", "checkpoints/00000007.weights.pt", "checkpoints/best.pt"):
        write(tmp_path / "executed", run / file)  # of the names that other programs load
    if (sealed, name) == (True, TRAINING):
        load(run)
    else:
        with pytest.raises(CheckpointError) as caught:
            load(run)
        assert str(run / name) in f"{caught.value}\n{said()}"
    assert "executed" not in os.listdir(tmp_path)
    assert not resumes(run)
    assert "executed" not in os.listdir(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"_target_": "os.mkdir"},
        {"encoder": {"_target_": "os.mkdir", "path": "executed"}},
        {"encoder": {"name": "gru", "_target_": "os.mkdir", "_args_": ["executed"]}},
        {"attention": {"name": "os.system"}},
        {"attention": {"name": "../../executed"}},
        {"decoder": {"name": "gru", "hidden_size": {"_target_": "os.mkdir"}}},
        {"optimizer": "${oc.env:HOME}"},
        {"plugins": ["executed"]},
        {"encoder": {"name": "__class__"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_names_what_there_is_and_nothing_else(
    run: Path, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**plain, **changes}))
    refused(run, "config.json", "can't be used: ")
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("depth", [45, 100, 900, 100_000])
@pytest.mark.parametrize("key", ["encoder", "format_version", "data", "seed"])
def test_a_config_of_any_depth(run: Path, depth: int, key: str) -> None:
    plain = json.dumps({**json.loads((run / "config.json").read_text()), key: "HERE"})
    (run / "config.json").write_text(plain.replace('"HERE"', '{"name": ' * depth + "1" + "}" * depth))
    refused(run, "config.json")


# Paths.

EVERY_FILE = [
    "config.json", "data.json", "tokenizer/shared.model", WEIGHTS, TRAINING, MANIFEST, "metrics.jsonl", "train.log",
    "translations/test.hypothesis", ".lock",
]  # fmt: skip
EVERY_FOLDER = ["tokenizer", "checkpoints", "translations"]


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("name", EVERY_FILE + EVERY_FOLDER)
def test_a_link_out_is_refused_even_to_what_would_do(run: Path, tmp_path: Path, name: str, relative: bool) -> None:
    outside = tmp_path / "outside"
    (run / name).rename(outside)
    target = os.path.relpath(outside, (run / name).parent) if relative else str(outside)
    (run / name).symlink_to(target)
    refused(run, name, "is a link out of its folder")
    with pytest.raises(CheckpointError, match="is a link out of its folder"):
        RunFolder.open(run)


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "train.log", ".lock", "sessions.jsonl", "translations", "tensorboard"]
)
def test_a_training_does_not_begin_in_a_folder_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    """Not a run yet, so that nothing of it was read; but the training would write through the links."""
    outside, folder = tmp_path / "outside", RunFolder(tmp_path / "run")
    outside.mkdir()
    (outside / "mine").write_text("precious")
    folder.path.mkdir()
    (folder.path / name).symlink_to(outside if name in ("translations", "tensorboard") else outside / "mine")
    with folder.lock, pytest.raises(CheckpointError, match="is a link out of its folder"):
        folder.create(Config())
    assert (outside / "mine").read_text() == "precious"
    assert os.listdir(outside) == ["mine"]
    assert os.listdir(folder.path) == [name]


@pytest.mark.parametrize("name", ["../../outside", "/outside", "..", "", "\0", "a/b"])
def test_no_name_is_taken_from_a_manifest(run: Path, name: str) -> None:
    content = json.loads((run / MANIFEST).read_bytes())
    for part in ("weights", "training"):
        content["files"][part]["name"] = content["files"][part]["path"] = name
    content["files"][name] = content["files"]["weights"]
    (run / MANIFEST).write_text(json.dumps(content))
    seal(run)
    assert digest(load(run).model)
    (run / WEIGHTS).unlink()
    refused(run, "checkpoints", "holds no checkpoint that can be used")


def bound(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which never ends
    except OSError:
        pytest.skip("only root makes devices, and not everywhere")


@pytest.mark.parametrize("make", [os.mkfifo, bound, device])
@pytest.mark.parametrize("name", EVERY_FILE)
def test_what_is_no_file_is_not_waited_for(run: Path, name: str, make: Callable[[Path], None]) -> None:
    (run / name).unlink()
    make(run / name)
    if name == "config.json":
        with pytest.raises(CheckpointError, match=r"is not a run's folder: it has no config\.json"):
            load(run)
    else:
        refused(run, name, "is neither a file nor a folder")


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_folder_in_place_of_a_file(run: Path, name: str, said: Callable[[], str]) -> None:
    (run / name).unlink()
    (run / name).mkdir()
    if name in (TRAINING, "metrics.jsonl", "train.log", "translations/test.hypothesis", ".lock"):
        with contextlib.suppress(CheckpointError):  # a checkpoint without its training state isn't whole
            load(run)
        return
    with pytest.raises(CheckpointError) as caught:
        load(run)
    assert_readable(str(caught.value), run)
    shorter = {"config.json": "config.json", "tokenizer/shared.model": "tokenizer", MANIFEST: "checkpoints"}
    named = shorter.get(name, str(run / name))
    assert named in f"{caught.value}\n{said()}"


@pytest.mark.parametrize(
    "name", ["config.json", "data.json", "tokenizer/shared.model", WEIGHTS, "tokenizer", "checkpoints"]
)
def test_what_is_missing_is_named(run: Path, name: str, said: Callable[[], str]) -> None:
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    with pytest.raises(CheckpointError) as caught:
        load(run)
    assert_readable(str(caught.value), run)
    assert (name.split("/")[0] if name != WEIGHTS else str(run / name)) in f"{caught.value}\n{said()}"


# Sizes.


FEW = 2**21  # bytes: with the products that tell what this machine is good at, all that such a small model needs


class Frugal(TorchDispatchMode):
    """Stops at the first tensor in memory of more than `most` bytes, before anything is written to it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.largest = most, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.device.type != "meta":
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
                assert self.largest <= self.most, f"{func} took {self.largest:,} bytes"
        return made


HUGE: dict[str, dict[str, Any]] = {
    "embeddings": small(embedding_size=65536),
    "encoder": small(encoder={"name": "gru", "hidden_size": 65536, "num_layers": 256}),
    "lstm": small(encoder={"name": "lstm", "hidden_size": 65536}, decoder={"name": "lstm", "hidden_size": 65536}),
    "keys": small(attention={"name": "bahdanau", "key_size": 65536}),
    "values": small(attention={"name": "luong_general", "value_size": 65536}),
    "location": small(attention={"name": "luong_location", "max_source_length": 1_000_000}),
    "multi-head": small(attention={"name": "multi_head", "key_size": 65536, "value_size": 65536, "num_heads": 256}),
    "transformer": small(
        embedding_size=1024,
        encoder={"name": "transformer", "hidden_size": 1024, "num_layers": 32},
        decoder={"name": "transformer", "hidden_size": 1024, "num_layers": 32},
        attention={"name": "multi_head", "num_heads": 16},
    ),
    "positions": small(
        embedding_size=65536,
        encoder={"name": "transformer", "hidden_size": 65536, "positions": "learned", "max_length": 1_000_000},
    ),
    "convolution": small(encoder={"name": "cnn", "hidden_size": 65536, "num_layers": 256}),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_model_is_measured_before_memory_is_taken_for_it(run: Path, name: str) -> None:
    found = json.loads((run / "config.json").read_text())["format_version"]
    (run / "config.json").write_text(json.dumps({"format_version": found, **HUGE[name]}))
    with Frugal(FEW):
        refused(run, WEIGHTS, "doesn't fit the model of its config: ")


def test_the_measure_of_memory_measures(run: Path) -> None:
    with Frugal(FEW) as memory:
        load(run)
    assert memory.largest > (run / WEIGHTS).stat().st_size // 10
    with Frugal(FEW), pytest.raises(AssertionError, match=r"took 4,194,304 bytes"):
        torch.zeros(2**20)


def raw(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file of this header: its length in 8 bytes, JSON, and the numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HEADERS: dict[str, bytes] = {
    "nothing": b"",
    "short": b"\1\2\3",
    "an empty header": raw(b""),
    "no tensors": raw({}),
    "not JSON": raw(b"\xff" * 100),
    "a list": raw([]),
    "nested": raw(b"[" * 100_000),
    "nested objects": raw(b'{"a":' * 100_000),
    "length 2^60": struct.pack("<Q", 2**60) + b"{}",
    "length 2^64-1": struct.pack("<Q", 2**64 - 1) + b"{}",
    "length beyond the file": struct.pack("<Q", 1000) + b"{}",
    "huge shape": raw({"a": tensor("F32", [2**40, 2**40], 0, 4)}, b"1234"),
    "huge shape that overflows to fit": raw({"a": tensor("F32", [2**62, 4], 0, 0)}),
    "huge and empty": raw({"a": tensor("F32", [0, 2**62, 2**62], 0, 0)}),
    "beyond signed": raw({"a": tensor("F32", [2**63, 0], 0, 0)}),
    "beyond unsigned": raw({"a": tensor("F32", [2**64], 0, 4)}, b"1234"),
    "negative shape": raw({"a": tensor("F32", [-1], 0, 4)}, b"1234"),
    "many dimensions": raw({"a": tensor("F32", [1] * 100_000, 0, 4)}, b"1234"),
    "offsets beyond the file": raw({"a": tensor("F32", [2**20], 0, 2**22)}, b"1234"),
    "offsets backwards": raw({"a": tensor("F32", [1], 4, 0)}, b"1234"),
    "overlapping": raw({"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 0, 4)}, b"1234"),
    "a hole": raw({"a": tensor("F32", [1], 4, 8)}, b"12345678"),
    "rest": raw({"a": tensor("F32", [1], 0, 4)}, b"12345678"),
    "unknown type": raw({"a": tensor("PY", [1], 0, 4)}, b"1234"),
    "sub-byte": raw({"a": tensor("F4", [2], 0, 1)}, b"1"),
    "complex": raw({"a": tensor("C64", [1], 0, 8)}, b"12345678"),
    "names twice": raw(
        b'{"output.bias": {"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"output.bias": {"dtype":"I32","shape":[1],"data_offsets":[4,8]}}',
        b"12345678",
    ),
    "a name of a terminal": raw({"\x1b[2J\n\rx": tensor("F32", [1], 0, 4)}, b"1234"),
    "a bad tensor with the name of a terminal": raw({"\x1b[2J\n\rx": tensor("F32", [1], 4, 8)}, b"1234"),
    "a name of a megabyte": raw({"x" * 2**20: tensor("F32", [1], 0, 4)}, b"1234"),
    "a bad tensor with a name of a megabyte": raw({"x" * 2**20: tensor("F32", [1], 4, 8)}, b"1234"),
    "a surrogate": raw({"\udc80": tensor("F32", [1], 0, 4)}, b"1234"),
    "metadata": raw({"__metadata__": {"format": "pt", "x": "y" * 10**6}}),
    "metadata that isn't text": raw({"__metadata__": {"x": {"y": 1}}}),
    "a zip": b"PK\x03\x04" + bytes(1000),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_weights_are_no_larger_than_their_file(run: Path, name: str, said: Callable[[], str]) -> None:
    (run / WEIGHTS).write_bytes(HEADERS[name])
    seal(run)
    with Frugal(FEW), pytest.raises(CheckpointError) as caught:
        load(run)
    assert_readable(str(caught.value), run)
    assert_readable(said(), run)
    assert str(run / WEIGHTS) in f"{caught.value}\n{said()}"


@pytest.mark.parametrize("name", HEADERS)
def test_a_training_state_is_no_larger_than_its_file(run: Path, name: str, said: Callable[[], str]) -> None:
    assert resumes(run)
    (run / TRAINING).write_bytes(HEADERS[name])
    seal(run)
    with Frugal(FEW):
        assert not resumes(run)
    assert_readable(said(), run)


# Weights and the rest that don't fit.


def changed(run: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Weights after this change, their digest right."""
    weights = {name: value.clone() for name, value in load_file(run / WEIGHTS).items()}
    change(weights)
    save_file(weights, run / WEIGHTS)
    seal(run)


def cast(dtype: torch.dtype) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: weights.update({name: value.to(dtype) for name, value in weights.items()})


def filled(place: int, number: float) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: weights["output.bias"][place].fill_(number)


def reshaped(change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: weights.update({"output.weight": change(weights["output.weight"]).contiguous()})


CHANGES: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "float64": (cast(torch.float64), "float64, not ("),
    "int8": (cast(torch.int8), "int8, not ("),
    "bf16": (cast(torch.bfloat16), "bfloat16, not ("),
    "float8": (cast(torch.float8_e4m3fn), "float8_e4m3fn, not ("),
    "bool": (cast(torch.bool), "bool, not ("),
    "complex": (cast(torch.complex64), "complex64, not ("),
    "nan": (filled(-1, math.nan), "output.bias holds numbers that aren't finite"),
    "inf": (filled(0, math.inf), "output.bias holds numbers that aren't finite"),
    "missing": (lambda weights: weights.pop("output.bias"), "only the config's model has output.bias"),
    "extra": (lambda weights: weights.update({"z": torch.zeros(1)}), "only the checkpoint has z"),
    "flat": (reshaped(Tensor.flatten), "output.weight is ("),
    "turned": (reshaped(Tensor.t), "output.weight is ("),
    "none at all": (dict.clear, "only the config's model has "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_weights_that_are_not_the_models_are_refused(run: Path, name: str) -> None:
    change, words = CHANGES[name]
    changed(run, change)
    refused(run, WEIGHTS, words)


def test_honest_changes_are_let_through(run: Path) -> None:
    changed(run, lambda weights: weights["output.bias"].fill_(0.5))
    assert bool((load(run).model.output.bias == 0.5).all())


LIMITS: list[Any] = [
    *(None, [], {}, "x", 5, {"slope": 1.5}, {"slope": 1.5, "offset": 5, "x": 1}, [1.5, 5]),
    *({"slope": slope, "offset": 5} for slope in (None, "1.5", [1.5], {}, math.nan, math.inf, -1, 1e7, 10**4000)),
    *({"slope": 1.5, "offset": offset} for offset in (None, "5", math.nan, -math.inf, -0.5, 1e300)),
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: str(limit)[:30])
def test_a_length_limit_that_is_none(run: Path, limit: Any) -> None:
    content = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**content, "length_limit": limit}))
    refused(run, "data.json", "has no length_limit that can be used")
    del content["length_limit"]
    (run / "data.json").write_text(json.dumps(content))
    refused(run, "data.json", "has no length_limit that can be used")


@pytest.mark.parametrize("digests", [None, [], "x", {}, {"source": "0" * 64, "target": "0" * 64}], ids=str)
def test_a_tokenizer_of_another_model(run: Path, digests: Any) -> None:
    content = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**content, "tokenizer": digests}))
    refused(run, "tokenizer", "is damaged, or another model's")


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"no model", bytes(range(256)) * 100, b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 50]
)
def test_a_tokenizer_that_is_none(run: Path, content: bytes) -> None:
    (run / "tokenizer" / "shared.model").write_bytes(content)
    refused(run, "tokenizer/shared.model", "not a SentencePiece model")


def test_a_tokenizer_of_another_size_whose_digest_is_right(run: Path) -> None:
    other = TokenizerPair.train([*LINES, "XYZQ"], LINES, shared=True, model_type="char", vocab_size="auto")
    other.save(run / "tokenizer")
    content = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**content, "tokenizer": other.digests}))
    refused(run, WEIGHTS, "output.bias is (")


def test_an_unknown_search_option_is_the_users_fault(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown option search\.beam"):
        Translator.load(run, search={"beam": 3}, runtime=RuntimeConfig(device="cpu", precision="fp32", threads=1))


def spoiled(whole: bytes, chance: random.Random) -> bytes:
    """With bytes changed, left out, put in or repeated."""
    content = whole
    for _ in range(chance.choice([1, 1, 4])):
        place, other = sorted(chance.randrange(len(whole)) for _ in range(2))
        content = chance.choice(
            [
                content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :],
                content[:place] + content[place + chance.choice([1, 100]) :],
                content[:place] + bytes([chance.choice(b'0"[]{},:.-eNI\x00\xff')]) + content[place:],
                content[:other] + content[place:],
            ]
        )
    return content


@pytest.mark.parametrize("name", ["config.json", "data.json", MANIFEST, WEIGHTS, TRAINING])
def test_any_change_to_a_file_is_refused_or_does_no_harm(run: Path, name: str) -> None:
    """The digests of weights and state are made right again."""
    chance, refusals = random.Random(8), 0
    whole, manifest = (run / name).read_bytes(), (run / MANIFEST).read_bytes()
    for _ in range(25):
        (run / MANIFEST).write_bytes(manifest)
        (run / name).write_bytes(spoiled(whole, chance))
        if name in (WEIGHTS, TRAINING):
            seal(run)
        try:
            with Frugal(FEW):
                load(run)
        except (CheckpointError, ConfigError) as error:
            assert_readable(str(error), run)
            refusals += 1
    assert refusals >= (0 if name == TRAINING else 5)
