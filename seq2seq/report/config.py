"""The options of a run, with those that differ from the defaults standing out."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any, Literal, NamedTuple

from seq2seq.config import Config
from seq2seq.report.markup import Markup, element, join
from seq2seq.schema import show

UNSAID = frozenset({"run", "resume", "dry_run"})  # of the command, not of the model
# auto, until training puts a value in its place
SETTLED = frozenset({"device", "precision", "threads", "attention.prior_slope", "scheduler.decay_updates"})
NOTE = (
    "Those that differ from the defaults, as a command line; below in bold, among all. Where the default is auto and "
    "the value isn't bold, it is what auto came to, or was chosen."
)


class Option(NamedTuple):
    """An option's value and its default; `resolved` where that is `auto` and training puts a value in its place."""

    group: str  # "" at the root
    name: str
    value: str
    default: str
    state: Literal["usual", "changed", "resolved"]

    @property
    def word(self) -> str:
        """As on the command line, where a component's name is its group's choice."""
        key = _key(self.group, self.name)
        return shlex.quote(f"{self.group if self.group and self.name == 'name' else key}={self.value}")


def options_of(config: Config) -> list[Option]:
    """All options, each against the default of the component that it belongs to; a component against the usual one."""
    usual = Config()
    groups = [
        field.name for field in dataclasses.fields(config) if dataclasses.is_dataclass(getattr(config, field.name))
    ]
    options = [
        _option("", field.name, getattr(config, field.name), getattr(usual, field.name))
        for field in dataclasses.fields(config)
        if field.name not in UNSAID and field.name not in groups
    ]
    for group in groups:
        chosen = getattr(config, group)
        own = type(chosen)()
        for field in dataclasses.fields(chosen):
            default = getattr(usual, group) if field.name == "name" else own
            options.append(_option(group, field.name, getattr(chosen, field.name), getattr(default, field.name)))
    return options


def options_table(config: Config) -> Markup:
    """What was chosen as a command line, and below it everything."""
    options = options_of(config)
    changed = [option.word for option in options if option.state == "changed"]
    command = element("code", {"class": "command"}, " ".join(["python scripts/train.py", *changed]))
    groups = dict.fromkeys(option.group for option in options)
    blocks = [_block(group or "general", [option for option in options if option.group == group]) for group in groups]
    return join([element("p", {"class": "note"}, NOTE), command, element("div", {"class": "options"}, *blocks)])


def _block(title: str, options: list[Option]) -> Markup:
    rows = []
    for option in options:
        default = element("span", {"class": "default"}, f"default {option.default}")
        value = [option.value, None if option.state == "usual" else default]
        cells = element("dt", None, option.name), element("dd", None, join(value, " "))
        rows.append(element("div", {"class": option.state}, *cells))
    return element("section", None, element("h3", None, title), element("dl", None, *rows))


def _option(group: str, name: str, value: Any, default: Any) -> Option:
    settled = default == "auto" and _key(group, name) in SETTLED
    state: Literal["usual", "changed", "resolved"] = "resolved" if settled else "changed"
    return Option(group, name, _spelled(value), _spelled(default), "usual" if value == default else state)


def _key(group: str, name: str) -> str:
    return f"{group}.{name}".removeprefix(".")


def _spelled(value: object) -> str:
    """As on the command line; lists of paths are shown whole."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {_spelled(item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) else show(value)
