"""Plain data into dataclasses, strictly: every fault is found in one pass and named by its full key.

Types understood in a field: bool, int, float, str, None, Literal, list[...], dict[str, ...], unions of these, nested
dataclasses, and `Component` bases, whose subclass is chosen by the key `name`.

The data may be a stranger's: whatever their size or depth, they cost no more than a look at each item, and no message
quotes more of a value than MOST_SHOWN characters.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

T = TypeVar("T")

MOST_FAULTS = 20
MOST_SHOWN = 100  # characters of a value
MOST_ITEMS = 10_000  # of a list or a mapping
LONGEST_TEXT = 4096  # as a path on Linux
LARGEST = 2**63 - 1  # a tensor's whole numbers end here

COMPONENTS: dict[str, dict[str, type[Any]]] = {}  # group -> name -> the dataclass of its options


def component(group: str, name: str) -> typing.Callable[[type[T]], type[T]]:
    """Class decorator: this dataclass holds the options of `group=name` on the command line."""

    def add(options: type[T]) -> type[T]:
        COMPONENTS.setdefault(group, {})[name] = options
        return options

    return add


class Faults(list[str]):
    """The faults found so far, one line each; after the first MOST_FAULTS a last line counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    @property
    def full(self) -> bool:
        """Whether another fault is only counted."""
        return self.found >= MOST_FAULTS

    def append(self, fault: str) -> None:
        self.found += 1
        line = f"and {self.found - MOST_FAULTS:,} more like these" if self.found > MOST_FAULTS else fault
        self[MOST_FAULTS if self.found > MOST_FAULTS else len(self) :] = [line]

    def extend(self, faults: Iterable[str]) -> None:
        for fault in faults:
            self.append(fault)


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
    if isinstance(plain, cls):
        return plain if parse(type(plain), _values(plain), faults, where) is not None else None
    if not isinstance(plain, Mapping):
        faults.append(f"{where or 'the config'} must be a mapping of options, not {show(plain, quoted=True)}")
        return None
    before = faults.found
    hints = _hints(cls)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in plain.items():
        if key in fields:
            path = f"{where}.{key}" if where else key
            values[key] = _convert(hints[key], value, path, fields[key].metadata, faults)
        else:
            faults.append("" if faults.full else _unknown(show(key), fields, where, others, plain.get("name")))
    if faults.found > before:
        return None
    return cls(**values)


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """The types of its fields, which take most of a parse's time to work out."""
    return typing.get_type_hints(cls)


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The tail of an error: the nearest known word, or else all of them; each is shown behind `prefix`."""
    known = list(known)
    near = difflib.get_close_matches(word[:MOST_SHOWN], known, n=1, cutoff=0.6)  # slow on long words
    if near:
        return f": did you mean {prefix}{near[0]}?"
    return f"; allowed are {', '.join(prefix + name for name in known)}" if known else ""


def parse_component(group: str, plain: object, faults: Faults) -> Any:
    """The options of one of `group`'s components: a name alone, or a mapping with the key `name`."""
    if type(plain) in COMPONENTS[group].values():
        plain = _values(plain)
    if isinstance(plain, str):
        plain = {"name": plain}
    if not isinstance(plain, Mapping) or "name" not in plain:
        faults.append(f"{group} must be a name or a mapping with a name, not {show(plain, quoted=True)}")
        return None
    name = plain["name"]
    if not isinstance(name, str) or name not in COMPONENTS[group]:
        faults.append(f"unknown {group}={show(name)}{did_you_mean(show(name), COMPONENTS[group])}")
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
    return f"{where}={name} has no {prefix}{key}, which {owners}" + (f"; allowed are {allowed}" if allowed else "")


def _values(options: Any) -> dict[str, Any]:
    """The fields of a dataclass's instance, not copied."""
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _convert(hint: Any, value: Any, path: str, metadata: Mapping[str, Any], faults: Faults) -> Any:
    if "group" in metadata:
        return parse_component(metadata["group"], value, faults)
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type[Any], hint), value, faults, path)
    fitting = [option for option in _options(hint) if _fits(option, value)]
    allowed = _beyond(fitting[0], value, metadata) if fitting else describe(hint)
    if allowed is not None:
        faults.append(f"{path}={show(value)} is not allowed: it must be {allowed}")
        return None
    return _shape(fitting[0], value)


def _beyond(hint: Any, value: Any, metadata: Mapping[str, Any]) -> str | None:
    """What a value of the right type must be, where it is beyond a bound."""
    if isinstance(value, list | tuple | Mapping):
        least, most = metadata.get("items", (0, MOST_ITEMS))
        if not least <= len(value) <= most:
            count = least if least == most else f"at most {most}" if least == 0 else f"{least} to {most}"
            return f"{describe(hint)}, {count} of them"
    parts = _parts(value)
    if any(len(part) > LONGEST_TEXT or "\0" in part for part in parts if isinstance(part, str)):
        return f"text of at most {LONGEST_TEXT} characters, none of them NUL"
    numbers = [part for part in parts if isinstance(part, int | float)]
    low, high = metadata.get("low"), metadata.get("high")
    if any(isinstance(number, int) and abs(number) > LARGEST for number in numbers):
        low, high = -LARGEST if low is None else low, LARGEST if high is None else high
    return _bounds(hint, low, high) if any(_outside(number, low, high) for number in numbers) else None


def _parts(value: Any) -> list[Any]:
    """A list's items, a mapping's keys and values, or the one value."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _bounds(hint: Any, low: float | None, high: float | None) -> str:
    if high is None:
        return describe(hint) if low is None else f"at least {low}"
    return f"at most {high}" if low is None else f"from {low} to {high}"


def _outside(number: float, low: float | None, high: float | None) -> bool:
    """NaN and infinity are outside of everything."""
    if isinstance(number, float) and not math.isfinite(number):
        return True
    return (low is not None and number < low) or (high is not None and number > high)


def _options(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (typing.Union, types.UnionType) else [hint]


def _fits(hint: Any, value: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
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
            choices = ", ".join(show(choice) for choice in get_args(option))
            parts.append(choices if len(get_args(option)) == 1 else f"one of {choices}")
        elif get_origin(option) is list:
            parts.append("a list of numbers" if get_args(option)[0] in (int, float) else "a list")
        elif get_origin(option) is dict:
            parts.append("a mapping")
        else:
            parts.append(words.get(option, str(option)))
    return " or ".join(parts)


class _Shown(reprlib.Repr):
    """The first few items of the first few levels, so that neither size nor depth costs anything."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MOST_SHOWN
        self.maxlevel = 4

    def repr_int(self, number: int, level: int) -> str:
        """Python itself refuses to spell a number of more than 4,300 digits."""
        digits = round(number.bit_length() * math.log10(2))
        return repr(number) if digits < 40 else f"a number of about {digits:,} digits"


_SHOWN = _Shown()


def show(value: object, quoted: bool = False) -> str:
    """A value for a message, as a user wrote it: in one line, with nothing that a terminal obeys, and not too long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    spelled = _SHOWN.repr(value)
    if isinstance(value, str) and not quoted:
        spelled = value if value.isprintable() else spelled[1:-1]
    return spelled if len(spelled) <= MOST_SHOWN else f"{spelled[: MOST_SHOWN - 3]}..."
