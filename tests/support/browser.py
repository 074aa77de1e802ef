"""A real browser without a library: Chromium, headless, driven by the DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 60  # that an answer is waited for


def browser() -> str | None:
    """The path of a Chromium or Chrome, where there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page in a browser of its own, as a context manager; `events` are all that the browser told of, in order."""

    def __init__(self, folder: Path, width: int = 1100, height: int = 900, dark: bool = False) -> None:
        command, answers = os.pipe(), os.pipe()
        words = [
            str(browser()), "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            f"--user-data-dir={folder}", "about:blank",
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        ]  # fmt: skip
        # Chromium reads descriptor 3 and writes descriptor 4
        script = f'exec 3<&{command[0]} 4>&{answers[1]}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *words], pass_fds=(command[0], answers[1]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(command[0])
        os.close(answers[1])
        self._out, self._in = command[1], answers[0]
        self._rest, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", {"features": theme})

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=SECONDS)
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": dict(parameters or {})}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, address: str) -> None:
        """Loads a page, and waits until it has run."""
        self.call("Page.navigate", {"url": address})
        end = time.monotonic() + SECONDS
        while self.evaluate("document.readyState") != "complete":
            assert time.monotonic() < end, f"{address} didn't load"
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript, as plain data."""
        parameters = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", parameters)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", metrics)

    def hover(self, selector: str) -> None:
        """Moves the mouse to the middle of an element."""
        self.call("Input.dispatchMouseEvent", {"type": "mouseMoved", **self._middle(selector)})

    def tap(self, selector: str) -> None:
        """A finger on the middle of an element."""
        point = self._middle(selector)
        self.call("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        self.call("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def until(self, condition: str) -> None:
        """Waits for what the browser does in its own time, such as making a click of a touch."""
        end = time.monotonic() + 20
        while not self.evaluate(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def press(self, key: str) -> None:
        code = {"ArrowRight": 39, "ArrowLeft": 37, "Tab": 9, "Escape": 27, "Enter": 13}[key]
        for kind in ("keyDown", "keyUp"):
            parameters = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", parameters)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        parameters: dict[str, Any] = {"captureBeyondViewport": whole}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            parameters["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", parameters)["data"]))

    def told(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def _middle(self, selector: str) -> dict[str, float]:
        element = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        where = f"(b => [b.x + b.width / 2, b.y + b.height / 2])({element}.getBoundingClientRect())"
        box = None
        while box != (box := self.evaluate(where)):  # what was focused before may still be scrolling
            self.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(done), 300))")
        return {"x": box[0], "y": box[1]}

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("the browser has gone")
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return dict(json.loads(message))
