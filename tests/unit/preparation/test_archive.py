"""Archives give the members that were asked for, and write nowhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from seq2seq.errors import DataError
from seq2seq.preparation.archive import take_out


def packed(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_only_what_was_asked_for_and_where_it_was_asked_for(tmp_path: Path) -> None:
    archive = packed(
        tmp_path / "a.tgz", **{"./in/one": b"1", "../outside": b"bad", "/absolute": b"bad", "in/two": b"2" * 3_000_000}
    )
    take_out(archive, {"in/one": tmp_path / "out" / "first", "in/two": tmp_path / "out" / "second"})
    assert (tmp_path / "out" / "first").read_bytes() == b"1"
    assert (tmp_path / "out" / "second").read_bytes() == b"2" * 3_000_000
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tgz", "first", "out", "second"]
    assert not (tmp_path.parent / "outside").exists()


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.tgz has no b, c; is it another archive\?"):
        take_out(packed(tmp_path / "a.tgz", a=b""), {"a": tmp_path / "a", "b": tmp_path / "b", "c": tmp_path / "c"})


def test_a_link_is_no_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("text")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(DataError, match="'text' is not a file but a link or a device"):
        take_out(tmp_path / "a.tar", {"text": tmp_path / "text"})
    assert not (tmp_path / "text").exists()


@pytest.mark.parametrize("kept", [0, 5, 100, 300])
def test_an_archive_that_is_cut_off(tmp_path: Path, kept: int) -> None:
    whole = packed(tmp_path / "a.tgz", text=bytes(range(256)) * 400).read_bytes()
    (tmp_path / "a.tgz").write_bytes(whole[:kept])
    with pytest.raises(DataError, match=r"a.tgz is not a complete tar archive|a.tgz can't be taken apart"):
        take_out(tmp_path / "a.tgz", {"text": tmp_path / "text"})
    assert not (tmp_path / "text").exists()
