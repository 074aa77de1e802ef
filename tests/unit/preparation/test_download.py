"""Downloads from a server of our own on 127.0.0.1: whole, cut off, gone on with, refused."""

from __future__ import annotations

import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seq2seq.errors import DataError
from seq2seq.preparation.download import FetchError, SameScheme, fetch

CONTENT = bytes(range(256)) * 3000  # several reads
KNOWN = "0" * 64  # that a hash is expected, and which, is the caller's business


class Handler(BaseHTTPRequestHandler):
    """/whole, /cut (half of it), /whole-each-time (knows no ranges), /away (to a file), /missing."""

    def do_GET(self) -> None:  # the library's name
        self.server.asked.append((self.path, self.headers.get("Range")))  # type: ignore[attr-defined]
        if self.path == "/missing":
            self.send_error(404)
        elif self.path in ("/away", "/near"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd" if self.path == "/away" else "/whole")
            self.end_headers()
        else:
            self.send_content()

    def send_content(self) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(match[1]) if match and self.path != "/whole-each-time" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : len(CONTENT) // 2 if self.path == "/cut" else None])

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("path", ["/whole", "/near"])
def test_a_whole_file(server: Server, tmp_path: Path, path: str) -> None:
    fetch(server.url(path), tmp_path / "new" / "file", None)
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert [found.name for found in (tmp_path / "new").iterdir()] == ["file"]


def test_a_file_that_is_cut_off_is_none(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"ended after 384,000 of 768,000 bytes; run the same command again"):
        fetch(server.url("/cut"), tmp_path / "file", KNOWN)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.partial").read_bytes() == CONTENT[: len(CONTENT) // 2]


def test_what_was_cut_off_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(CONTENT[:1000])
    fetch(server.url("/whole"), tmp_path / "file", KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [("/whole", "bytes=1000-")]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"something")
    fetch(server.url("/whole-each-time"), tmp_path / "file", KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_more_than_there_is_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(CONTENT + b"and more")
    fetch(server.url("/whole"), tmp_path / "file", KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [f"bytes={len(CONTENT) + 8}-", None]


def test_without_a_hash_nothing_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    """Nobody could tell whether the two parts are of one file."""
    (tmp_path / "file.partial").write_bytes(b"of another time")
    fetch(server.url("/whole"), tmp_path / "file", None)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [("/whole", None)]


def test_the_servers_error_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="/missing: the server says 404 Not Found"):
        fetch(server.url("/missing"), tmp_path / "file", None)
    assert list(tmp_path.iterdir()) == []


def test_no_redirection_leads_out_of_the_web(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"/away: the server says .*file:///etc/passwd' is not allowed"):
        fetch(server.url("/away"), tmp_path / "file", None)


@pytest.mark.parametrize(
    ("first", "second", "followed"),
    [("https", "http", False), ("https", "ftp", False), ("http", "ftp", False), ("http", "https", True),
     ("https", "https", True)],
)  # fmt: skip
def test_a_redirection_may_not_give_up_encryption(first: str, second: str, followed: bool) -> None:
    asked = urllib.request.Request(f"{first}://a.example/x")
    moved = (asked, None, 302, "Found", Message(), f"{second}://b.example/y")
    if followed:
        assert SameScheme().redirect_request(*moved).full_url == f"{second}://b.example/y"
        return
    with pytest.raises(
        FetchError, match=f"{first}://a.example/x sends us to {second}://b.example/y, which is not {first}"
    ):
        SameScheme().redirect_request(*moved)


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FetchError, match=r"can't be reached: .*Connection refused"):
        fetch(f"http://127.0.0.1:{port}/", tmp_path / "new" / "file", None)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DataError, match="folder/file can't be written: Not a directory"):
        fetch(server.url("/whole"), tmp_path / "folder" / "file", None)
