"""Checkpoints: whole or not there, however a training ends, and whatever happens to their files afterwards."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import random
import re
import shutil
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import seq2seq.checkpoints
from seq2seq.checkpoints import Checkpoints
from seq2seq.errors import CheckpointError
from seq2seq.manifest import PARTS
from seq2seq.models.weights import digest, distinct, fit


class Small(nn.Module):
    """Weights of several kinds, one matrix under two names, all given by `seed`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding = nn.Embedding(4, 3)
        self.output = nn.Linear(3, 4)
        self.output.weight = self.embedding.weight
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.register_buffer("halves", torch.randn(3, generator=generator).bfloat16())
        self.register_buffer("count", torch.tensor(seed))
        self.register_buffer("none", torch.zeros(0, 2))
        self.register_buffer("flags", torch.tensor([True, False]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(folder)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The warnings so far."""
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    caplog.set_level(logging.WARNING, "seq2seq")
    return lambda: [record.getMessage() for record in caplog.records]


def state_of(update: int) -> dict[str, Any]:
    """Of a training after so many updates, as plain data and tensors inside each other."""
    return {
        "optimizer": {"0": {"step": torch.tensor(float(update)), "exp_avg": torch.full((4, 3), 0.1 * update)}},
        "counters": {"update": update, "seconds": 0.1 * update, "rank": None, "scores": {"bleu": 1 / 3}},
        "list": [torch.tensor([update]), {"x": torch.zeros(0)}, 1e-300],
    }


def save(checkpoints: Checkpoints, update: int, rank: float | None = None, last: int = 2, best: int = 1) -> None:
    scores = {} if rank is None else {"loss": rank}
    checkpoints.save(update, Small(update), state_of(update), rank=rank, scores=scores, keep_last=last, keep_best=best)
    checkpoints.wait()


def same(one: Any, other: Any) -> bool:
    """Bit for bit."""
    if isinstance(one, Tensor):
        as_bytes = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and as_bytes[0].equal(as_bytes[1])
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def update_in(folder: Path) -> int | None:
    """Of the newest whole checkpoint, after a look whether its weights and state are those of one update."""
    model = Small(0)
    found = Checkpoints(folder).load_newest(model)
    if found is None:
        return None
    manifest, state = found
    assert digest(model) == digest(Small(manifest.update))
    assert same(state, state_of(manifest.update))
    return manifest.update


def weights_in(folder: Path, which: str = "best") -> int:
    """The update whose weights are found."""
    model = Small(0)
    manifest = Checkpoints(folder).load_weights(model, which)  # type: ignore[arg-type]
    assert digest(model) == digest(Small(manifest.update))
    return manifest.update


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(*updates: int, again: bool = False) -> list[str]:
    parts = [f"{'again.' if again else ''}{part}.safetensors" for part in PARTS]
    return sorted(f"{update:08d}.{ending}" for update in updates for ending in ("json", *parts))


def refuses(message: str) -> Any:
    return pytest.raises(CheckpointError, match=f"^{re.escape(message)}$")


# What is saved is what comes back.


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.1),
    "amsgrad": lambda model: torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1, amsgrad=True),
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_and_optimizer_come_back_bit_for_bit(folder: Path, name: str) -> None:
    def update(model: Small, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model.output(model.embedding(torch.tensor([1, 2]))).square().sum().backward()
        optimizer.step()

    model = Small(3)
    optimizer = OPTIMIZERS[name](model)
    update(model, optimizer)
    update(model, optimizer)
    numbers = optimizer.state_dict()["state"]
    state = {"optimizer": {str(i): of for i, of in numbers.items()}, "random": torch.get_rng_state()}
    checkpoints = Checkpoints(folder)
    checkpoints.save(2, model, state, rank=None, scores={}, keep_last=1, keep_best=1)
    checkpoints.wait()
    other = Small(4)
    found = Checkpoints(folder).load_newest(other)
    assert found is not None
    manifest, restored = found
    assert same(restored, state)
    assert digest(other) == digest(model)
    assert other.output.weight is other.embedding.weight
    saved = {"embedding.weight", "output.bias", "halves", "count", "none", "flags"}  # the tied matrix once
    assert Checkpoints(folder).read(manifest, "weights").keys() == saved
    second = OPTIMIZERS[name](other)
    groups = second.state_dict()["param_groups"]
    second.load_state_dict({"state": {int(i): of for i, of in restored["optimizer"].items()}, "param_groups": groups})
    for file in folder.iterdir():
        os.truncate(file, 0)  # nothing that was read is still looked up there
    update(model, optimizer)
    update(other, second)
    assert digest(other) == digest(model)
    assert same(second.state_dict(), optimizer.state_dict())


def test_numbers_come_back_exactly(checkpoints: Checkpoints, folder: Path) -> None:
    numbers = [0.1, 1e-300, 5e-324, -0.0, math.inf, -math.inf, math.nan, math.pi * 1e17, 2**60, True, None, "ü\ud800\n"]
    scores = {"loss": 1 / 3, "bleu": math.inf}
    checkpoints.save(5, Small(5), {"n": numbers}, rank=0.1 + 0.2, scores=scores, keep_last=1, keep_best=1)
    checkpoints.wait()
    found = Checkpoints(folder).load_newest(Small(0))
    assert found is not None
    manifest, state = found
    assert same(state, {"n": numbers})
    assert (manifest.update, manifest.rank, manifest.scores) == (5, 0.1 + 0.2, scores)


@pytest.mark.parametrize("state", [{}, {"a": {}}, {"a": [], "b": None}])
def test_a_state_without_tensors(checkpoints: Checkpoints, folder: Path, state: dict[str, Any]) -> None:
    checkpoints.save(0, nn.Module(), state, rank=None, scores={}, keep_last=1, keep_best=1)
    checkpoints.wait()
    found = Checkpoints(folder).load_newest(nn.Module())
    assert found is not None
    assert found[1] == state
    assert names(folder) == files(0)


def test_numbers_as_keys_do_not_spoil_the_digest(checkpoints: Checkpoints, folder: Path) -> None:
    """JSON sorts keys as numbers before it has made text of them, and as text when it has read them."""
    state = {9: torch.tensor(1.0), 10: {1: 2}}
    checkpoints.save(1, Small(1), state, rank=None, scores={}, keep_last=1, keep_best=1)
    checkpoints.wait()
    found = Checkpoints(folder).load_newest(Small(0))
    assert found is not None
    assert same(found[1], {"9": torch.tensor(1.0), "10": {"1": 2}})


def test_tensors_of_any_layout_are_saved(checkpoints: Checkpoints, folder: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    state = {"t": base.t(), "column": base[:, 1], "expanded": base[0].expand(5, 4), "shared": base}
    checkpoints.save(1, Small(1), state, rank=None, scores={}, keep_last=1, keep_best=1)
    checkpoints.wait()
    found = Checkpoints(folder).load_newest(Small(0))
    assert found is not None
    assert same(found[1], state)


def test_saving_goes_on_in_the_background_with_what_there_was(
    checkpoints: Checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, write = threading.Event(), threading.Event(), seq2seq.checkpoints.save_file

    def slow(*arguments: Any) -> None:
        begun.set()
        assert go_on.wait(30)
        write(*arguments)

    monkeypatch.setattr(seq2seq.checkpoints, "save_file", slow)
    model, state = Small(7), state_of(7)
    checkpoints.save(7, model, state, rank=None, scores={}, keep_last=1, keep_best=1)  # comes back though nothing moves
    assert begun.wait(30)
    for tensor in [*model.state_dict().values(), state["optimizer"]["0"]["exp_avg"], state["list"][0]]:
        tensor.zero_()
    state["counters"]["scores"]["bleu"] = 0.0
    state["list"].append("more")
    assert Checkpoints(folder).newest() == []
    go_on.set()
    checkpoints.wait()
    assert update_in(folder) == 7


def test_who_may_read_weights_follows_the_umask(checkpoints: Checkpoints, folder: Path) -> None:
    """Left to itself, the library that writes them lets nobody but their owner read them."""
    before = os.umask(0o022)
    try:
        save(checkpoints, 1)
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o644"}


def test_nothing_of_an_update_is_taken_for_a_checkpoint_before_its_manifest(
    checkpoints: Checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    replace = os.replace

    def replaced(source: Path, target: Path) -> None:
        order.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    save(checkpoints, 3)
    assert order == ["00000003.weights.safetensors", "00000003.training.safetensors", "00000003.json"]


# Which are kept.


@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("best", [1, 2])
def test_the_newest_and_the_best_are_kept(
    checkpoints: Checkpoints, folder: Path, last: int, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the rule in plain Python; ties, checkpoints without a rank, and updates saved again."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a promise to the disk, kept in other tests
    chance = random.Random(10 * last + best)
    there: dict[int, float | None] = {}
    update = 0
    for _ in range(14):
        update += chance.choice([0, 1, 5]) if there and there[max(there)] is None else chance.choice([1, 5])
        rank = chance.choice([None, 1.0, 2.0, 3.0, -1.5])
        save(checkpoints, update, rank, last, best)
        there[update] = rank
        ranked = sorted((rank, update) for update, rank in there.items() if rank is not None)
        kept = {*sorted(there)[-last:], *[update for _, update in ranked[:best]]}
        there = {update: rank for update, rank in there.items() if update in kept}
        found = Checkpoints(folder)
        assert {one.update: one.rank for one in found.newest()} == there
        assert [one.update for one in found.newest()] == sorted(there, reverse=True)
        unranked = [update for update in sorted(there, reverse=True) if there[update] is None]
        assert [one.update for one in found.best()] == [
            *[update for _, update in sorted((rank, update) for update, rank in there.items() if rank is not None)],
            *unranked,
        ]
        assert found.ranks() == sorted(rank for rank in there.values() if rank is not None)
        assert len(names(folder)) == 3 * len(there)
    assert update_in(folder) == max(there)
    assert weights_in(folder) == found.best()[0].update
    assert weights_in(folder, "last") == max(there)


def test_what_is_damaged_counts_for_nothing_when_others_are_dropped(checkpoints: Checkpoints, folder: Path) -> None:
    save(checkpoints, 1)
    save(checkpoints, 2)
    (folder / "00000002.training.safetensors").unlink()
    checkpoints.drop(1, 1)
    assert names(folder) == files(1)


def test_what_is_newer_goes(checkpoints: Checkpoints, folder: Path) -> None:
    for update in (9, 10, 99, 100):
        save(checkpoints, update, last=9)
    save(checkpoints, 100, 1.0, last=9)
    (folder / "00000101.weights.safetensors").touch()
    (folder / ".00000102.json.partial").touch()
    checkpoints.drop_after(10)
    assert names(folder) == files(9, 10)


def test_an_update_saved_again_replaces_itself(checkpoints: Checkpoints, folder: Path) -> None:
    for i, rank in enumerate([None, 3.0, 2.0, None]):
        save(checkpoints, 7, rank, 1, 1)
        (manifest,) = Checkpoints(folder).newest()
        assert manifest.rank == rank
        assert names(folder) == files(7, again=i % 2 == 1)
        assert update_in(folder) == 7


# A process that dies.


class Dead(BaseException):
    """The process was killed: nothing that it would have done afterwards happens."""


class Mortal:
    """Lets so many of the operations on files happen, and none of those that come after; `save_file` half happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lives: float) -> None:
        self.done, self.lives = 0, lives
        for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink"), (Path, "write_text")):
            monkeypatch.setattr(owner, name, self.counting(getattr(owner, name)))
        write = seq2seq.checkpoints.save_file

        def half(tensors: dict[str, Tensor], path: Path) -> None:
            write(tensors, path)
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            self.count()
            path.write_bytes(whole)

        monkeypatch.setattr(seq2seq.checkpoints, "save_file", half)

    def count(self) -> None:
        self.done += 1
        if self.done > self.lives:
            raise Dead

    def counting(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count()
            return operation(*arguments, **options)

        return counted


def before_new_best(checkpoints: Checkpoints) -> None:
    save(checkpoints, 1, 2.0, 1, 1)


def before_not_best(checkpoints: Checkpoints) -> None:
    save(checkpoints, 1, 1.0, 1, 1)
    save(checkpoints, 2, 3.0, 1, 1)


def before_again(checkpoints: Checkpoints) -> None:
    save(checkpoints, 3, None, 1, 1)


def before_third_time(checkpoints: Checkpoints) -> None:
    save(checkpoints, 3, None, 1, 1)
    save(checkpoints, 3, 4.0, 1, 1)


BEFORE = [before_new_best, before_not_best, before_again, before_third_time]


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)
def test_a_kill_between_any_two_operations_leaves_the_old_or_the_new(
    folder: Path, before: Callable[[Checkpoints], None], said: Callable[[], list[str]]
) -> None:
    """keep_last=1, so that nothing else is there to fall back on."""
    before(Checkpoints(folder))
    old_newest, old_best, start = update_in(folder), weights_in(folder), folder.with_name("start")
    folder.rename(start)
    lives, ended = 0, False
    outcomes = set()
    while not ended:
        shutil.copytree(start, folder)
        with pytest.MonkeyPatch.context() as patched:
            Mortal(patched, lives)
            try:
                save(Checkpoints(folder), 3, 1.5, 1, 1)
                ended = True
            except Dead:
                pass
        newest, best = update_in(folder), weights_in(folder)
        ranks = tuple(Checkpoints(folder).ranks())
        outcomes.add((newest, best, 1.5 in ranks))
        assert said() == []  # an interrupted writing is no damage
        save(Checkpoints(folder), 4, 0.5, 1, 1)  # goes on, and cleans up
        assert names(folder) == files(4)
        shutil.rmtree(folder)
        lives += 1
    assert lives > 12
    new_best = 1 if before is before_not_best else 3
    assert outcomes == {(old_newest, old_best, False), (3, new_best, True)}  # the kills fell before and after


def test_a_kill_while_the_first_checkpoint_is_written_leaves_none(folder: Path) -> None:
    seen = set()
    for lives in range(9):
        with pytest.MonkeyPatch.context() as patched:
            Mortal(patched, lives)
            with pytest.raises(Dead):
                save(Checkpoints(folder), 3)
        seen.add(update_in(folder))
        for path in folder.iterdir():
            path.unlink()
    assert None in seen


# Files that are damaged afterwards.


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of updates 10 and 20; 20 is the best."""
    folder = tmp_path_factory.mktemp("pair")
    for update, rank in ((10, 2.0), (20, 1.0)):
        save(Checkpoints(folder), update, rank, 2, 1)
    return folder


@pytest.fixture
def two(pair: Path, folder: Path) -> Path:
    shutil.copytree(pair, folder, dirs_exist_ok=True)
    return folder


ENDINGS = ["json", "weights.safetensors", "training.safetensors"]


def places(content: bytes) -> list[int]:
    """Where to cut: nothing left, in the length of the header, in the header, behind it, in the middle, at the end."""
    header = 8 + int.from_bytes(content[:8], "little") % len(content)
    return sorted({0, 1, 7, 8, 9, min(header, len(content) - 1), len(content) // 2, len(content) - 1})


def assert_found(folder: Path, ending: str, said: Callable[[], list[str]]) -> None:
    """The damaged file is named, in a line, and the checkpoint before it used."""
    assert update_in(folder) == 10
    (warning,) = said()
    assert warning.startswith(f"{folder / f'00000020.{ending}'} ")
    assert warning.endswith("; another checkpoint is used")
    assert "\n" not in warning
    assert len(warning) < len(str(folder)) + 250


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_truncated_file_is_found_and_the_checkpoint_before_it_used(
    two: Path, ending: str, said: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    file = two / f"00000020.{ending}"
    whole = file.read_bytes()
    for length in places(whole):
        file.write_bytes(whole[:length])
        if ending == "json" and length == len(whole) - 1:
            assert update_in(two) == 20  # but for the newline at its end
            continue
        assert_found(two, ending, said)
        caplog.clear()
        assert weights_in(two) == weights_in(two, "last") == 10
        caplog.clear()
    for longer in (whole + b"\0", whole + whole):
        file.write_bytes(longer)
        assert_found(two, ending, said)
        caplog.clear()
    file.unlink()
    assert update_in(two) == 10
    assert len(said()) == (0 if ending == "json" else 1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_flipped_bit_is_found_and_the_checkpoint_before_it_used(
    two: Path, ending: str, said: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    file, chance = two / f"00000020.{ending}", random.Random(4)
    whole, harmless = file.read_bytes(), 0
    content = json.loads(whole) if ending == "json" else None
    for bit in [*range(0, 64, 3), *(chance.randrange(8 * len(whole)) for _ in range(60))]:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        if content is not None:
            try:
                if json.loads(flipped) == content:  # the e of 1e-300 as an E
                    harmless += 1
                    continue
            except ValueError:
                pass
        assert_found(two, ending, said)
        caplog.clear()
    assert harmless < 5


def test_nothing_whole_is_left(two: Path, said: Callable[[], list[str]]) -> None:
    for update in (10, 20):
        (two / f"{update:08d}.weights.safetensors").write_bytes(b"")
    assert Checkpoints(two).load_newest(Small(0)) is None
    assert len(said()) == 2
    with refuses(f"{two} holds no checkpoint that can be used: all are damaged"):
        Checkpoints(two).weights("best")


def test_nothing_was_saved(folder: Path) -> None:
    for place in (folder, folder / "no"):
        assert Checkpoints(place).newest() == []
        assert Checkpoints(place).load_newest(Small(0)) is None
        with refuses(f"{place} holds no checkpoint that can be used: its training saved none yet"):
            Checkpoints(place).weights("last")


# The average of the best.


def mean_of(*updates: int) -> dict[str, Tensor]:
    """Summed up in float64; the counter and the flags are the first one's."""
    models = [distinct(Small(update)) for update in updates]
    return {
        name: torch.stack([model[name].double() for model in models]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in models[0].items()
    }


def average(folder: Path, count: int) -> tuple[list[int], dict[str, Tensor], str]:
    used, weights, origin = Checkpoints(folder).average(count)
    return [manifest.update for manifest in used], weights, origin


def test_the_average_is_of_the_best_that_were_validated(checkpoints: Checkpoints, folder: Path) -> None:
    for update, rank in ((10, 3.0), (20, 1.0), (30, None), (40, 2.0), (50, 1.0), (60, None)):
        save(checkpoints, update, rank, last=2, best=9)
    for count, expected in ((2, [20, 50]), (3, [20, 50, 40]), (4, [20, 50, 40, 10]), (9, [20, 50, 40, 10])):
        used, weights, origin = average(folder, count)
        assert used == expected
        assert same(dict(sorted(weights.items())), dict(sorted(mean_of(*expected).items())))
        assert origin == f"{folder}, the mean of updates {', '.join(map(str, expected))}"
    model = Small(0)
    fit(model, weights, origin)
    assert model.output.weight is model.embedding.weight  # what is tied is one weight, and is averaged once


def test_a_damaged_one_gives_its_place_in_the_average_to_the_next(
    checkpoints: Checkpoints, folder: Path, said: Callable[[], list[str]]
) -> None:
    for update in (10, 20, 30):
        save(checkpoints, update, rank=float(update), last=1, best=9)
    file = folder / "00000010.weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert average(folder, 2)[0] == [20, 30]
    assert len(said()) == 1
    assert str(file) in said()[0]


@pytest.mark.parametrize(("ranks", "count", "left"), [([1.0, 2.0], 1, 1), ([1.0, None], 5, 1), ([None, None], 5, 0)])
def test_there_is_no_average_of_one(
    checkpoints: Checkpoints, folder: Path, ranks: list[float | None], count: int, left: int
) -> None:
    for update, rank in enumerate(ranks):
        save(checkpoints, update, rank, last=2, best=2)
    with refuses(
        "checkpoint=average is the mean of two or more checkpoints, but trainer.keep_best="
        f"{count} leaves {left} in {folder}; train with trainer.keep_best=5, or use checkpoint=best or last"
    ):
        checkpoints.average(count)


@pytest.mark.parametrize("part", PARTS)
def test_parts_swapped_between_updates_are_found(two: Path, part: str, said: Callable[[], list[str]]) -> None:
    one, other = (two / f"{update:08d}.{part}.safetensors" for update in (10, 20))
    assert one.stat().st_size == other.stat().st_size
    one.rename(two / "x")
    other.rename(one)
    (two / "x").rename(other)
    assert Checkpoints(two).load_newest(Small(0)) is None
    assert len(said()) == 2
    assert all("its SHA-256 is not that of the manifest; another checkpoint is used" in line for line in said())


def test_parts_swapped_for_one_another_are_found(two: Path, said: Callable[[], list[str]]) -> None:
    one, other = (two / f"00000020.{part}.safetensors" for part in PARTS)
    one.rename(two / "x")
    other.rename(one)
    (two / "x").rename(other)
    assert_found(two, "weights.safetensors", said)


def test_the_manifest_of_another_update_is_found(two: Path, said: Callable[[], list[str]]) -> None:
    shutil.copy(two / "00000010.json", two / "00000020.json")
    assert_found(two, "json", said)
    assert "it is not the manifest of this checkpoint" in said()[0]


def sealed(content: dict[str, Any]) -> bytes:
    """A manifest with a digest that is right, as anybody can make one."""
    content = {key: value for key, value in content.items() if key != "digest"}
    total = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "digest": total}).encode()


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "no text": bytes(range(256)) * 10,
    "a list": b"[]",
    "a number": b"7",
    "an empty object": b"{}",
    "nested lists": b"[" * 1_000_000,
    "nested objects": b'{"state": ' * 100_000 + b"1" + b"}" * 100_000,
    "500 lists": b'{"state": ' + b"[" * 500 + b"]" * 500 + b"}",
    "10,000 digits": b'{"update": ' + b"7" * 10_000 + b"}",
    "a digest alone": sealed({}),
    "huge": b'{"update": "' + b"x" * (17 * 2**20) + b'"}',
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_in_place_of_a_manifest_is_found(two: Path, name: str, said: Callable[[], list[str]]) -> None:
    (two / "00000020.json").write_bytes(GARBAGE[name])
    assert_found(two, "json", said)


DEEP: Any = []
for _ in range(40):
    DEEP = [DEEP]

# Changes to a manifest whose digest is right all the same.
FORGED: list[dict[str, Any]] = [
    *({"update": value} for value in ("20", 20.0, 20.5, None, [20], math.inf, math.nan, -20, 10, 10**4000, 10**16)),
    *({"rank": value} for value in ("1.0", math.nan, math.inf, -math.inf, [1.0], {}, 10**400)),
    *({"state": value} for value in (None, [], "x", 5)),
    *({"scores": value} for value in (None, [], "x")),
    *({"again": value} for value in (1, None, "no")),
    *({"files": value} for value in (None, [], "x", {}, {"weights": {}}, {"weights": 1, "training": 2})),
    {"extra": 1},
    {"__class__": "os.system"},
]
FILE_CHANGES: list[dict[str, Any]] = [
    *({"bytes": value} for value in ("12", 12.0, None, -1, math.inf, 10**4000, 10**12, [1])),
    *({"sha256": value} for value in (None, 5, [], "x", "../../etc/passwd", "0" * 64)),
]


@pytest.mark.parametrize("place", range(len(FORGED)))
def test_a_forged_manifest_is_refused(two: Path, place: int, said: Callable[[], list[str]]) -> None:
    file = two / "00000020.json"
    file.write_bytes(sealed({**json.loads(file.read_bytes()), **FORGED[place]}))
    assert_found(two, "json", said)
    save(Checkpoints(two), 30, 0.5)
    assert names(two) == files(10, 30)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("place", range(len(FILE_CHANGES)))
def test_a_manifest_with_forged_files_is_refused(
    two: Path, place: int, part: str, said: Callable[[], list[str]]
) -> None:
    file = two / "00000020.json"
    content = json.loads(file.read_bytes())
    content["files"][part] |= FILE_CHANGES[place]
    file.write_bytes(sealed(content))
    assert update_in(two) == 10
    (warning,) = said()
    assert warning.startswith(f"{two}/00000020.")
    assert len(warning) < len(str(two)) + 250


def test_a_missing_key_is_refused(two: Path, said: Callable[[], list[str]], caplog: pytest.LogCaptureFixture) -> None:
    file = two / "00000020.json"
    content = json.loads(file.read_bytes())
    for key in content.keys() - {"digest"}:
        file.write_bytes(sealed({name: value for name, value in content.items() if name != key}))
        assert_found(two, "json", said)
        caplog.clear()


@pytest.mark.parametrize("reference", ["/none", "", None, ["/a"], {}, 5])
def test_a_state_that_names_a_tensor_that_is_not_there(two: Path, reference: object) -> None:
    file = two / "00000020.json"
    content = json.loads(file.read_bytes())
    (key,) = content["state"]["list"][0]
    content["state"]["list"][0] = {key: reference}
    file.write_bytes(sealed(content))
    with pytest.raises(CheckpointError, match="a tensor of the training state is not there"):
        Checkpoints(two).load_newest(Small(0))


def test_a_state_as_deep_as_can_be_read(two: Path) -> None:
    file = two / "00000020.json"
    content = json.loads(file.read_bytes())
    content["state"] = {"x": DEEP}
    file.write_bytes(sealed(content))
    found = Checkpoints(two).load_newest(Small(0))
    assert found is not None
    assert found[1] == {"x": DEEP}


STRAYS = [
    "0x.json", "x.json", "1.json", "00000020.json.bak", "00000030.json~", "٠٠٠٠٠٠٣٠.json", "000000030.json",
    "-0000030.json", "+0000030.json", "00000030.JSON", "00000000000000000030.json", "00000030.weights.safetensors.tmp",
    "best.json", "last.json", ".json", "00000030.other.safetensors", " 0000030.json", "00000030.json\n",
]  # fmt: skip


def test_stray_files_are_left_alone(two: Path, said: Callable[[], list[str]]) -> None:
    for name in STRAYS:
        (two / name).write_text("{}")
    assert update_in(two) == 20
    save(Checkpoints(two), 40, 0.5, 1, 1)
    assert update_in(two) == 40
    assert names(two) == sorted([*files(40), *STRAYS])
    assert said() == []


def test_folders_with_the_names_of_files_are_left_alone(two: Path, said: Callable[[], list[str]]) -> None:
    for name in ("00000030.json", "00000005.weights.safetensors", ".x.partial", "00000005.json"):
        (two / name).mkdir()
        (two / name / "file").touch()
    assert update_in(two) == 20
    save(Checkpoints(two), 40, 0.5, 1, 1)
    assert update_in(two) == 40
    assert said() == []
    with pytest.raises(CheckpointError, match="a checkpoint can't be written: Is a directory"):
        save(Checkpoints(two), 30)
    assert update_in(two) == 40


def test_leftovers_of_an_interrupted_writing_go(two: Path) -> None:
    leftovers = [".00000030.json.partial", "00000030.weights.safetensors", "00000010.again.training.safetensors"]
    for name in [*leftovers, ".tmp7SgB1o"]:  # the last as safetensors itself leaves it
        (two / name).write_text("x")
    assert update_in(two) == 20
    save(Checkpoints(two), 40, 3.0)
    assert names(two) == files(20, 40)


def test_a_pipe_is_not_waited_for(two: Path, said: Callable[[], list[str]]) -> None:
    for name in files(20):
        (two / name).unlink()
        os.mkfifo(two / name)
    os.mkfifo(two / "00000030.json")
    assert update_in(two) == 10
    (two / "00000010.weights.safetensors").unlink()
    os.mkfifo(two / "00000010.weights.safetensors")
    assert Checkpoints(two).newest() == []
    assert said()[-1].startswith(f"{two / '00000010.weights.safetensors'} is missing")


def test_a_file_that_cannot_be_read_says_why(
    two: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    def deny(path: Path) -> str:
        if path.name.startswith("00000020"):
            raise OSError(errno.EIO, "Input/output error")
        return before(path)

    before = seq2seq.checkpoints.sha256
    monkeypatch.setattr(seq2seq.checkpoints, "sha256", deny)
    for which in ("best", "last"):
        with pytest.raises(
            CheckpointError, match=r"00000020\.weights\.safetensors can't be read: .*Input/output error"
        ):
            Checkpoints(two).weights(which)  # what may be whole is neither passed over nor dropped
    assert not said()


def test_a_training_at_work_may_drop_what_is_about_to_be_read(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer, read = Checkpoints(two), Checkpoints(two), Checkpoints.read

    def late(self: Checkpoints, *arguments: Any) -> Any:
        monkeypatch.setattr(Checkpoints, "read", read)
        save(writer, 30, 0.5, 1, 1)  # drops 10 and 20
        return read(self, *arguments)

    monkeypatch.setattr(Checkpoints, "read", late)
    assert reader.weights("best")[0].update == 30


# Disks that are full, gone, or read-only.


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_in_its_words(*_: object) -> None:
    """As the library that writes tensors says it."""
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("fail", [full, full_in_its_words])
@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_is_said_once_and_leaves_the_checkpoint_before(
    two: Path, fail: Callable[..., None], at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, write, calls = Checkpoints(two), seq2seq.checkpoints.save_file, []

    def fails(*arguments: Any) -> None:
        calls.append(arguments)
        (fail if len(calls) == at else write)(*arguments)

    monkeypatch.setattr(seq2seq.checkpoints, "save_file", fails)
    checkpoints.save(30, Small(30), {}, rank=None, scores={}, keep_last=1, keep_best=1)
    with pytest.raises(CheckpointError, match=f"^{two}: a checkpoint can't be written: ") as caught:
        checkpoints.wait()
    assert "\n" not in str(caught.value)
    assert update_in(two) == 20
    assert weights_in(two) == 20
    checkpoints.wait()  # it was said
    save(checkpoints, 40, 0.5, 1, 1)
    assert update_in(two) == 40
    assert names(two) == files(40)


def test_the_next_save_says_it_too_and_begins_nothing(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(two)
    monkeypatch.setattr(seq2seq.checkpoints, "save_file", full)
    checkpoints.save(30, Small(30), {}, rank=None, scores={}, keep_last=1, keep_best=1)
    with refuses(f"{two}: a checkpoint can't be written: No space left on device"):
        save(checkpoints, 40)
    assert names(two) == files(10, 20)
    checkpoints.save(30, Small(30), {}, rank=None, scores={}, keep_last=1, keep_best=1)
    with refuses(f"{two}: a checkpoint can't be written: No space left on device"):
        checkpoints.ranks()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_renaming_that_fails_leaves_the_checkpoint_before(
    two: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with refuses(f"{two}: a checkpoint can't be written: {os.strerror(number)}"):
            save(Checkpoints(two), 30)
    assert names(two) == files(10, 20)
    assert update_in(two) == 20


def test_a_folder_deleted_meanwhile(checkpoints: Checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = seq2seq.checkpoints.save_file

    def deleted(*arguments: Any) -> None:
        shutil.rmtree(folder)
        write(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(seq2seq.checkpoints, "save_file", deleted)
        with pytest.raises(CheckpointError, match=f"^{folder}: a checkpoint can't be written: .*No such file"):
            save(checkpoints, 1)
    with refuses(f"{folder} is gone: it was deleted or moved while the training ran"):
        save(checkpoints, 2)
    assert not folder.exists()


def test_a_fault_of_ours_is_not_hidden(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, Small(1), {"x": object()}, rank=None, scores={}, keep_last=1, keep_best=1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoints.wait()


def test_room_for_weights_and_state_is_asked_for_before_anything_is_written(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    model, state = (
        nn.Linear(512, 512, bias=False),
        {"a": torch.zeros(2**18), "b": [torch.zeros(2**19)]},
    )  # 1 + 1 + 2 MiB
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 20 * 2**20 - 1))
    message = "the checkpoint of update 30 needs 20.0 MiB of disk, but 20.0 MiB are free"
    with refuses(f"{two}: {message}; make room and go on from the last checkpoint"):
        Checkpoints(two).save(30, model, state, rank=None, scores={}, keep_last=1, keep_best=1)
    assert names(two) == files(10, 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 20 * 2**20))
    checkpoints = Checkpoints(two)
    checkpoints.save(30, model, state, rank=None, scores={}, keep_last=1, keep_best=1)
    checkpoints.wait()
    assert names(two) == files(20, 30)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("checkpoint-")] == []
