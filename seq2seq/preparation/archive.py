"""Members of tar archives, taken out one by one under names of our own."""

from __future__ import annotations

import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from seq2seq.errors import DataError


def take_out(archive: Path, members: Mapping[str, Path]) -> None:
    """Writes the named members, and nothing else, to the given places.

    No name, link, owner or mode in the archive says where or how anything is written. The archive is read once, without
    going back in it.

    Raises:
        DataError: not a whole archive, no such member or one that is no file.
    """
    missing = dict(members)
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                place = missing.pop(posixpath.normpath(member.name), None)
                if place is not None:
                    _write(tar, member, place, archive)
                if not missing:
                    return
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is not a complete tar archive ({error})") from error
    except OSError as error:
        raise DataError(f"{archive} can't be taken apart: {error.strerror or error}") from error
    raise DataError(f"{archive} has no {', '.join(missing)}; is it another archive?")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path, archive: Path) -> None:
    if not member.isfile():
        raise DataError(f"{archive}: {member.name!r} is not a file but a link or a device, and is not taken out")
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f"{place.name}.partial")
    source = tar.extractfile(member)
    assert source is not None  # as it is of a file
    with source, partial.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    partial.replace(place)
