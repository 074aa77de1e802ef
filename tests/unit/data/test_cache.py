"""Entries are made once, whole or not at all, and again when they are damaged."""

import threading
from pathlib import Path

import pytest

from seq2seq.data.cache import Cache, key_of
from seq2seq.errors import CheckpointError, DataError
from seq2seq.locks import Lock


class Maker:
    """Builds an entry of one file, counts how often, and reads it with a check."""

    def __init__(self, content: str = "whole") -> None:
        self.content, self.built = content, 0

    def build(self, folder: Path) -> None:
        assert list(folder.iterdir()) == []
        self.built += 1
        (folder / "file").write_text(self.content)

    def read(self, folder: Path) -> str:
        try:
            content = (folder / "file").read_text()
        except OSError as error:
            raise CheckpointError("no file") from error
        if content != "whole":
            raise CheckpointError(f"it holds {content!r}")
        return content

    def get(self, folder: Path) -> str:
        return Cache(folder).get("key", self.build, self.read)


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    maker, folder = Maker(), tmp_path / "a" / "cache"
    assert [maker.get(folder) for _ in range(3)] == ["whole"] * 3
    assert maker.built == 1
    assert sorted(path.name for path in folder.iterdir()) == ["key", "key.lock"]


def test_what_is_there_is_read_without_a_lock(tmp_path: Path) -> None:
    maker = Maker()
    maker.get(tmp_path)
    (tmp_path / "key.lock").unlink()
    maker.get(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]  # a folder that others can't write serves as well


def test_what_a_killed_process_left_is_wiped(tmp_path: Path) -> None:
    (tmp_path / "key.partial" / "inner").mkdir(parents=True)
    (tmp_path / "key.partial" / "file").write_text("half")
    maker = Maker()
    assert maker.get(tmp_path) == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.lock"]


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    maker = Maker()

    def fail(folder: Path) -> None:
        maker.build(folder)
        raise error("enough")

    with pytest.raises(error):
        Cache(tmp_path).get("key", fail, maker.read)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]
    assert maker.get(tmp_path) == "whole"


def test_a_damaged_entry_is_named_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maker = Maker()
    maker.get(tmp_path)
    assert caplog.records == []
    (tmp_path / "key" / "file").write_text("flipped")
    (tmp_path / "key" / "other").write_text("")
    assert maker.get(tmp_path) == "whole"
    assert maker.built == 2
    assert not (tmp_path / "key" / "other").exists()
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage() == f"{tmp_path}/key is damaged and is made again: it holds 'flipped'"


def test_one_makes_it_and_the_other_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maker, found = Maker(), list[str]()
    with caplog.at_level("INFO", logger="seq2seq"):
        with Lock(tmp_path / "key.lock") as lock:
            assert lock.acquire()
            waiting = threading.Thread(target=lambda: found.append(maker.get(tmp_path)))
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive()
            (tmp_path / "key").mkdir()
            (tmp_path / "key" / "file").write_text("whole")
        waiting.join(5)
    assert (found, maker.built) == (["whole"], 0)
    (line,) = caplog.records
    assert line.getMessage() == f"waiting for this process, which prepares the same data in {tmp_path}/key"


def test_a_folder_that_cant_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "x", "Not a directory")):
        with pytest.raises(DataError) as raised:
            Maker().get(folder)
        assert str(raised.value) == (
            f"data.cache={folder} can't be written: {reason}; set data.cache=FOLDER to a folder that can"
        )


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"can't be written: No space left on device; set data\.cache=FOLDER"):
        Cache(tmp_path).get("key", fail, Maker().read)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_keys_tell_facts_apart() -> None:
    keys = {key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1"), key_of(a=[1]), key_of(a=1, b=1)}
    assert len(keys) == 6
    assert key_of(a=1, b=2) == key_of(b=2, a=1)
