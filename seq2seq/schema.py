"""Plain data into dataclasses, strictly: every fault is found in one pass and named by its full key.

Types understood in a field: bool, int, float, str, None, Literal, list[...], dict[str, ...], unions of these, nested
dataclasses, and `Component` bases, whose subclass is chosen by the key `name`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

T = TypeVar("T")

COMPONENTS: dict[str, dict[str, type[Any]]] = {}  # group -> name -> the dataclass of its options


def component(group: str, name: str) -> typing.Callable[[type[T]], type[T]]:
    """Class decorator: this dataclass holds the options of `group=name` on the command line."""

    def add(options: type[T]) -> type[T]:
        COMPONENTS.setdefault(group, {})[name] = options
        return options

    return add


class Faults(list[str]):
    """The faults found so far, one line each."""


def parse(
    cls: type[T],
    plain: object,
    faults: Faults,
    where: str = "",
    others: Mapping[str, type[Any]] = types.MappingProxyType({}),
) -> T | None:
    """An instance of dataclass `cls` from a mapping; None when there were faults (appended to `faults`).

    `others` are the components of its group, by name, whose options a user may have had in mind.
    """
    if dataclasses.is_dataclass(plain) and isinstance(plain, cls):
        return plain
    if not isinstance(plain, Mapping):
        faults.append(f"{where or 'the config'} must be a mapping of options, not {plain!r}")
        return None
    before = len(faults)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in plain.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in fields:
            faults.append(_unknown(str(key), fields, where, others, plain.get("name")))
        else:
            values[key] = _convert(hints[key], value, path, fields[key].metadata, faults)
    if len(faults) > before:
        return None
    return cls(**values)


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The tail of an error: the nearest known word, or else all of them; each is shown behind `prefix`."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f": did you mean {prefix}{near[0]}?"
    return f"; allowed are {', '.join(prefix + name for name in known)}" if known else ""


def parse_component(group: str, plain: object, faults: Faults) -> Any:
    """The options of one of `group`'s components: a name alone, or a mapping with the key `name`."""
    if dataclasses.is_dataclass(plain):
        return plain
    if isinstance(plain, str):
        plain = {"name": plain}
    if not isinstance(plain, Mapping) or "name" not in plain:
        faults.append(f"{group} must be a name or a mapping with a name, not {plain!r}")
        return None
    name = plain["name"]
    if not isinstance(name, str) or name not in COMPONENTS[group]:
        faults.append(f"unknown {group}={name}{did_you_mean(str(name), COMPONENTS[group])}")
        return None
    return parse(COMPONENTS[group][name], plain, faults, group, COMPONENTS[group])


def _unknown(key: str, known: Iterable[str], where: str, others: Mapping[str, type[Any]], name: object) -> str:
    """An option that there is not: mistyped, or another component's."""
    prefix = f"{where}." if where else ""
    having = [
        other for other, options in others.items() if key in {field.name for field in dataclasses.fields(options)}
    ]
    if not having:
        return f"unknown option {prefix}{key}{did_you_mean(key, known, prefix)}"
    owners = _listed([f"{where}={other}" for other in having]) + (" have" if len(having) > 1 else " has")
    if len(having) > 1 and len(having) == len(others) - 1:
        owners = f"every other {where} has"
    allowed = ", ".join(prefix + option for option in known if option != "name")
    return f"{where}={name} has no {prefix}{key}, which {owners}; allowed are {allowed}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _convert(hint: Any, value: Any, path: str, metadata: Mapping[str, Any], faults: Faults) -> Any:
    if "group" in metadata:
        return parse_component(metadata["group"], value, faults)
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type[Any], hint), value, faults, path)
    fitting = [option for option in _options(hint) if _fits(option, value)]
    if not fitting:
        faults.append(f"{path}={_show(value)} is not allowed: it must be {describe(hint)}")
        return None
    converted = _shape(fitting[0], value)
    low, high = metadata.get("low"), metadata.get("high")
    numbers = converted if isinstance(converted, list) else [converted]
    if any(_outside(number, low, high) for number in numbers if isinstance(number, int | float)):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        allowed = describe(fitting[0]) if low is None else bounds
        faults.append(f"{path}={_show(value)} is not allowed: it must be {allowed}")
    return converted


def _outside(number: float, low: float | None, high: float | None) -> bool:
    """NaN and infinity are outside of everything."""
    return not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high)


def _options(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (typing.Union, types.UnionType) else [hint]


def _fits(hint: Any, value: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return any(value is choice or (value == choice and type(value) is type(choice)) for choice in get_args(hint))
    if origin is list:
        return isinstance(value, list | tuple) and all(_fits(get_args(hint)[0], item) for item in value)
    if origin is dict:
        item_hint = get_args(hint)[1]
        return isinstance(value, Mapping) and all(
            isinstance(k, str | int) and any(_fits(option, v) for option in _options(item_hint))
            for k, v in value.items()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is Any:
        return True
    return isinstance(value, hint)


def _shape(hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin is list:
        return list(value)
    if origin is dict:
        return {str(key): item for key, item in value.items()}  # names such as 2016 are numbers to YAML and Hydra
    return float(value) if hint is float else value


def describe(hint: Any) -> str:
    """A type in a user's words: `a whole number`, `one of none, output, all`, ..."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    parts = []
    for option in _options(hint):
        if get_origin(option) is Literal:
            choices = ", ".join(_show(choice) for choice in get_args(option))
            parts.append(choices if len(get_args(option)) == 1 else f"one of {choices}")
        elif get_origin(option) is list:
            parts.append("a list of numbers" if get_args(option)[0] in (int, float) else "a list")
        elif get_origin(option) is dict:
            parts.append("a mapping")
        else:
            parts.append(words.get(option, str(option)))
    return " or ".join(parts)


def _show(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
