"""Files from the web: in part until they are whole, gone on with where they ended, and only what was expected."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from seq2seq.errors import DataError
from seq2seq.files import mebibytes
from seq2seq.progress import Progress

CHUNK = 1 << 18  # bytes
PATIENCE = 30.0  # seconds without a byte


class FetchError(DataError):
    """The network's fault, or the server's: another time, or a file fetched by hand, may help."""


class SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to http or https only, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in (old, "https"):
            raise FetchError(f"{req.full_url} sends us to {newurl}, which is not {old}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, path: Path, expected: str | None) -> None:
    """Downloads `url` to `path` by way of PATH.partial.

    What a download that broke off has left is gone on with where a hash is `expected`, which tells whether the parts
    belong together. The hash itself is checked by whoever knows what it is of.

    Raises:
        FetchError: no answer, not the whole file, an error of the server.
        DataError: a file that can't be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        if expected is None:
            partial.unlink(missing_ok=True)
        _download(url, partial)
        os.replace(partial, path)
    except urllib.error.HTTPError as error:
        raise FetchError(f"{url}: the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise FetchError(f"{url} can't be reached: {error.reason}") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise FetchError(f"{url} broke off: {error or type(error).__name__}") from error
    except OSError as error:
        raise DataError(f"{path} can't be written: {error.strerror}") from error


def _download(url: str, partial: Path) -> None:
    """Into `partial`, after what is there."""
    have = partial.stat().st_size if partial.exists() else 0
    with closing(_opened(url, have)) as answer:
        if have and not _continues(answer, have):  # the server begins at the beginning
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None and length.isdigit() else None
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab" if have else "wb") as file:
            done = _copy(answer, file, partial.name.removesuffix(".partial"), have, total)
    if total is not None and done != total:
        raise FetchError(f"{url} ended after {done:,} of {total:,} bytes; run the same command again")


def _opened(url: str, have: int) -> Any:
    """The server's answer: the rest of the file, or all of it."""
    opener = urllib.request.build_opener(SameScheme)
    headers = {"User-Agent": "seq2seq", "Accept-Encoding": "identity"}
    if not have:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    try:
        return opener.open(
            urllib.request.Request(url, headers={**headers, "Range": f"bytes={have}-"}), timeout=PATIENCE
        )
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return _opened(url, 0)  # there is no more than we have: the file was another one


def _continues(answer: Any, have: int) -> bool:
    return (
        answer.status == HTTPStatus.PARTIAL_CONTENT
        and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-")
    )  # fmt: skip


def _copy(answer: Any, file: BinaryIO, name: str, have: int, total: int | None) -> int:
    """The bytes that there are then, those that we had included."""
    with Progress(name, total, "bytes", every=10.0, done=have) as bar:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            if bar.due:
                bar.say(f"{name}: {mebibytes(bar.done)}" + (f" of {mebibytes(total)}" if total else ""))
        return bar.done
