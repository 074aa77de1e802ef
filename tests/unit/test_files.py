"""Files that are written whole or not at all, read with limits, and kept inside their folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import CheckpointError
from seq2seq.files import (
    DEEPEST_JSON,
    LARGEST_JSON,
    SPARE,
    check_space,
    read_json,
    refuse_foreign,
    sha256,
    write_atomically,
    write_json,
)


def refuses(message: str) -> Any:
    return pytest.raises(CheckpointError, match=f"^{re.escape(message)}$")


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, lambda path: path.write_text("old"))

    def fail(path: Path) -> None:
        path.write_text("half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(file, fail)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def write(path: Path) -> None:
        path.write_text("new")
        assert path.parent == file.parent
        assert file.read_text() == "old"

    write_atomically(file, write)
    assert file.read_text() == "new"


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        steps.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_atomically(tmp_path / "file", lambda path: path.write_text("new"))
    file, folder = (tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino
    assert steps == [("sync", file), ("rename", file), ("sync", folder)]


def test_who_may_read_a_file_follows_the_umask(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.unlink()
        path.touch(mode=0o600)

    for mask in (0o022, 0o007, 0o077):
        before = os.umask(mask)
        try:
            write_atomically(tmp_path / "file", write)
        finally:
            os.umask(before)
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    content = {
        "ü": [0.1, 1e-300, -0.0, 5e-324, 2**62, None, True],
        "path": os.fsdecode(b"caf\xe9"),
        "\u2028": {"a": {}},
    }
    write_json(tmp_path / "file", content)
    assert read_json(tmp_path / "file") == content
    assert "ü" in (tmp_path / "file").read_text(encoding="utf-8")
    write_json(tmp_path / "file", {"x": [float("inf"), float("-inf"), float("nan")]})
    assert str(read_json(tmp_path / "file")["x"]) == "[inf, -inf, nan]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,', "is not valid JSON: "),
        (b"", "is not valid JSON: "),
        (b"\xff\xfe", "is not valid JSON: "),
        (b'\xef\xbb\xbf{"a": 1}', "is not valid JSON: "),
        (b'{"a": ' + b"9" * 10_000 + b"}", "is not valid JSON: "),
        (b"[1]", "must hold a JSON object"),
        (b"null", "must hold a JSON object"),
        (b"[" * 100_000, "is not valid JSON: too many lists or objects inside each other"),
        (b'{"a":' * 100_000, "is not valid JSON: too many lists or objects inside each other"),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", "is not valid JSON: too many lists or objects inside each other"),
    ],
)
def test_what_is_not_an_object_of_json_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{re.escape(f'{file} {message}')}") as caught:
        read_json(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 200


def test_depth_is_counted_exactly(tmp_path: Path) -> None:
    def nested(depth: int) -> dict[str, Any]:
        content: Any = 1
        for i in range(depth):
            content = {"a": content} if i % 2 or i == depth - 1 else [content]
        return content

    for depth in (1, 2, DEEPEST_JSON):
        write_json(tmp_path / "file", nested(depth))
        assert read_json(tmp_path / "file") == nested(depth)
    write_json(tmp_path / "file", nested(DEEPEST_JSON + 1))
    with refuses(f"{tmp_path / 'file'} is not valid JSON: too many lists or objects inside each other"):
        read_json(tmp_path / "file")


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(LARGEST_JSON + 1)  # a hole, which takes no room
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("it was read"))
    with refuses(f"{file} is larger than {LARGEST_JSON // 2**20} MiB; no file of a run is"):
        read_json(file)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "folder", "link", "loop"):
        with refuses(f"{tmp_path / name} is not a file"):
            read_json(tmp_path / name)
    with refuses(f"{tmp_path / 'no'} is missing"):
        read_json(tmp_path / "no")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "file").touch()
    monkeypatch.setattr(Path, "read_text", deny)
    with refuses(f"{tmp_path / 'file'} can't be read: Permission denied"):
        read_json(tmp_path / "file")


def linked(name: str, target: str) -> Any:
    return lambda folder: (folder / name).symlink_to(target)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "deep" / "pipe")


def listening(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("socket")
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (linked("link", "/etc/passwd"), "link"),
        (linked("link", "../outside"), "link"),
        (linked("link", ".."), "link"),
        (linked("link", "/nowhere/at/all"), "link"),
        (linked("deep/link", "../../run-2"), "deep/link"),  # the folder's name is only the beginning of this one's
        (linked("deep/link", "/dev/zero"), "deep/link"),
    ],
)
def test_links_out_of_a_folder_are_refused(tmp_path: Path, make: Any, name: str) -> None:
    folder = tmp_path / "run"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "run-2").mkdir()
    refuse_foreign(folder)
    make(folder)
    with refuses(f"{folder / name} is a link out of its folder; a run reads and writes nothing elsewhere"):
        refuse_foreign(folder)


def test_a_link_to_a_link_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "out").symlink_to(tmp_path)
    (folder / "link").symlink_to("deep/out/file")
    with pytest.raises(
        CheckpointError, match=r"is a link out of its folder; a run reads and writes nothing elsewhere$"
    ):
        refuse_foreign(folder)


@pytest.mark.parametrize(("make", "name"), [(pipe, "deep/pipe"), (listening, "socket")])
def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path, make: Any, name: str) -> None:
    (tmp_path / "deep").mkdir()
    make(tmp_path)
    with refuses(f"{tmp_path / name} is neither a file nor a folder"):
        refuse_foreign(tmp_path)


def test_a_device_is_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    except OSError:
        pytest.skip("only root makes devices, and not everywhere")
    with refuses(f"{tmp_path / 'zero'} is neither a file nor a folder"):
        refuse_foreign(tmp_path)


def test_links_inside_a_folder_do_no_harm(tmp_path: Path) -> None:
    folder, name = tmp_path / "run", tmp_path / "name"
    (folder / "deep").mkdir(parents=True)
    (folder / "file").touch()
    name.symlink_to(folder)  # the folder itself may be reached by a link
    (folder / "deep" / "link").symlink_to("../file")
    (folder / "up").symlink_to("deep/..")
    (folder / "loop").symlink_to("loop")
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    (folder / "whole").symlink_to(folder)
    refuse_foreign(folder)
    refuse_foreign(name)


def test_a_hostile_name_is_shown_without_what_a_terminal_obeys(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "\x1b[2J\nerror: all is well\r")
    with pytest.raises(CheckpointError) as caught:
        refuse_foreign(tmp_path)
    assert str(caught.value).isprintable()


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", deny)
    with refuses(f"{tmp_path} can't be read: Permission denied"):
        refuse_foreign(tmp_path)


def test_room_on_the_disk_is_checked_with_some_to_spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    asked = []

    def having(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage(10**12, 0, free))

    having(5 * 2**20 + SPARE)
    check_space(tmp_path, 5 * 2**20, "a thing")
    having(5 * 2**20 + SPARE - 1)
    message = "a thing needs 21.0 MiB of disk, but 21.0 MiB are free; make room and go on from the last checkpoint"
    with refuses(f"{tmp_path}: {message}"):
        check_space(tmp_path, 5 * 2**20, "a thing")
    assert asked == [tmp_path, tmp_path]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


def test_json_is_never_seen_half_written(tmp_path: Path) -> None:
    file, stop, seen = tmp_path / "file", threading.Event(), set()
    write_json(file, {"n": 0, "rest": "x" * 100_000})

    def read() -> None:
        while not stop.is_set():
            content = json.loads(file.read_text(encoding="utf-8"))
            seen.add(len(content["rest"]))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(20):
        write_json(file, {"n": i, "rest": "x" * 100_000})
    stop.set()
    reader.join()
    assert seen == {100_000}
