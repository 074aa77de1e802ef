"""Plain data into dataclasses: what fits, what doesn't, and in which words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest

from seq2seq.schema import COMPONENTS, Faults, component, describe, did_you_mean, parse, parse_component


@dataclass(frozen=True)
class Inner:
    size: int = field(default=1, metadata={"low": 1, "high": None})
    rate: float = field(default=0.5, metadata={"low": 0.0, "high": 1.0})


@dataclass(frozen=True)
class Outer:
    flag: bool = False
    name: str = "x"
    maybe: int | None = None
    mode: Literal["auto", "fast"] = "auto"
    either: int | Literal["auto"] = field(default="auto", metadata={"low": 1, "high": None})
    many: list[float] = field(default_factory=list)
    named: str | dict[str, str] | None = None
    inner: Inner = field(default_factory=Inner)
    free: float = 0.0


def faults_of(plain: object) -> list[str]:
    faults = Faults()
    assert (parse(Outer, plain, faults) is None) == bool(faults)
    return faults


def parsed(**plain: Any) -> Outer:
    faults = Faults()
    outer = parse(Outer, plain, faults)
    assert faults == []
    assert outer is not None
    return outer


def test_what_is_not_named_keeps_its_default() -> None:
    assert parsed() == Outer()


def test_values_of_the_right_type_arrive_unchanged() -> None:
    outer = parsed(flag=True, name="", maybe=3, mode="fast", either=7, named={"a": "b"}, inner={"size": 4})
    assert outer == Outer(True, "", 3, "fast", 7, [], {"a": "b"}, Inner(4, 0.5))


def test_whole_numbers_become_floats_where_a_float_is_meant() -> None:
    outer = parsed(many=[1, 2.5], inner={"rate": 1})
    assert outer.many == [1, 2.5]
    assert isinstance(outer.inner.rate, float)


def test_names_that_yaml_takes_for_numbers_are_text() -> None:
    assert parsed(named={2016: "a"}).named == {"2016": "a"}


def test_instances_pass() -> None:
    assert parsed(inner=Inner(9)).inner == Inner(9)
    outer = Outer()
    assert parse(Outer, outer, Faults()) is outer


def test_instances_are_checked_as_mappings_are() -> None:
    assert faults_of({"inner": Inner(0)}) == ["inner.size=0 is not allowed: it must be at least 1"]
    assert faults_of(Outer(inner=Inner(rate=2.0))) == ["inner.rate=2.0 is not allowed: it must be from 0.0 to 1.0"]


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"flag": 1}, "flag=1 is not allowed: it must be true or false"),
        ({"flag": "true"}, "flag=true is not allowed: it must be true or false"),
        ({"name": 3}, "name=3 is not allowed: it must be text"),
        ({"maybe": True}, "maybe=true is not allowed: it must be a whole number or null"),
        ({"maybe": 1.5}, "maybe=1.5 is not allowed: it must be a whole number or null"),
        ({"mode": "slow"}, "mode=slow is not allowed: it must be one of auto, fast"),
        ({"mode": None}, "mode=null is not allowed: it must be one of auto, fast"),
        ({"either": "many"}, "either=many is not allowed: it must be a whole number or auto"),
        ({"either": 0}, "either=0 is not allowed: it must be at least 1"),
        ({"many": [1, "a"]}, "many=[1, 'a'] is not allowed: it must be a list of numbers"),
        ({"many": [1, math.nan]}, "many=[1, nan] is not allowed: it must be a list of numbers"),
        ({"free": math.nan}, "free=nan is not allowed: it must be a number"),
        ({"named": {"a": 1}}, "named={'a': 1} is not allowed: it must be text or a mapping or null"),
        ({"inner": 3}, "inner must be a mapping of options, not 3"),
        ({"inner": {"size": 0}}, "inner.size=0 is not allowed: it must be at least 1"),
        ({"inner": {"rate": 1.01}}, "inner.rate=1.01 is not allowed: it must be from 0.0 to 1.0"),
        ({"inner": {"rate": math.nan}}, "inner.rate=nan is not allowed: it must be from 0.0 to 1.0"),
        ({"inner": {"rate": math.inf}}, "inner.rate=inf is not allowed: it must be from 0.0 to 1.0"),
        ({"inner": {"rates": 1}}, "unknown option inner.rates: did you mean inner.rate?"),
        ({"innner": {}}, "unknown option innner: did you mean inner?"),
        ({7: 1}, "unknown option 7; allowed are flag, name, maybe, mode, either, many, named, inner, free"),
    ],
)
def test_each_fault_names_key_value_and_what_is_allowed(plain: dict[Any, Any], message: str) -> None:
    assert faults_of(plain) == [message]


def test_all_faults_are_found_in_one_pass() -> None:
    found = faults_of({"flag": 1, "nam": "x", "inner": {"size": 0, "rate": "x", "sise": 1}})
    assert found == [
        "flag=1 is not allowed: it must be true or false",
        "unknown option nam: did you mean name?",
        "inner.size=0 is not allowed: it must be at least 1",
        "inner.rate=x is not allowed: it must be a number",
        "unknown option inner.sise: did you mean inner.size?",
    ]


@dataclass(frozen=True)
class Bounded:
    two: list[float] = field(default_factory=list, metadata={"low": 0.0, "high": 1.0, "items": (2, 2)})
    few: list[int] = field(default_factory=list, metadata={"low": None, "high": None, "items": (0, 3)})
    many: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)
    size: int = field(default=1, metadata={"low": 1, "high": None})
    whole: int = 0
    free: float = 0.0
    least: float = field(default=0.0, metadata={"low": None, "high": 5.0})
    word: str = ""
    mode: Literal["a", "b"] = "a"


TEXT = "text of at most 4096 characters, none of them NUL"
LARGEST = 2**63 - 1
DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"two": [0.1]}, "two=[0.1] is not allowed: it must be a list of numbers, 2 of them"),
        ({"two": [0] * 10**5}, "two=[0, 0, 0, 0, 0, 0, ...] is not allowed: it must be a list of numbers, 2 of them"),
        ({"two": [0, 2]}, "two=[0, 2] is not allowed: it must be from 0.0 to 1.0"),
        ({"few": [1, 2, 3, 4]}, "few=[1, 2, 3, 4] is not allowed: it must be a list of numbers, at most 3 of them"),
        (
            {"many": ["x"] * 10_001},
            "many=['x', 'x', 'x', 'x', 'x', 'x', ...] is not allowed: it must be a list, at most 10000 of them",
        ),
        ({"many": ["x", "a\0"]}, f"many=['x', 'a\\x00'] is not allowed: it must be {TEXT}"),
        ({"named": {"a\0": "x"}}, f"named={{'a\\x00': 'x'}} is not allowed: it must be {TEXT}"),
        ({"word": "a\0b"}, f"word=a\\x00b is not allowed: it must be {TEXT}"),
        ({"word": "x" * 4097}, f"word={'x' * 97}... is not allowed: it must be {TEXT}"),
        ({"size": LARGEST + 1}, f"size={LARGEST + 1} is not allowed: it must be from 1 to {LARGEST}"),
        ({"whole": -LARGEST - 1}, f"whole=-{LARGEST + 1} is not allowed: it must be from -{LARGEST} to {LARGEST}"),
        ({"size": 10**5000}, f"size=a number of about 5,000 digits is not allowed: it must be from 1 to {LARGEST}"),
        (
            {"free": 10**400},
            f"free=a number of about 400 digits is not allowed: it must be from -{LARGEST} to {LARGEST}",
        ),
        ({"least": math.inf}, "least=inf is not allowed: it must be at most 5.0"),
        ({"least": 6}, "least=6 is not allowed: it must be at most 5.0"),
        ({"mode": DEEP}, "mode=[[[[[...]]]]] is not allowed: it must be one of a, b"),
        ({"mode": b"x" * 10**6}, f"mode=b'{'x' * 46}...{'x' * 48}' is not allowed: it must be one of a, b"),
        (DEEP, "the config must be a mapping of options, not [[[[[...]]]]]"),
    ],
    ids=lambda value: repr(value)[:40] if value is not DEEP and not isinstance(value, dict) else "",
)
def test_what_is_beyond_a_bound_is_refused_in_few_words(plain: object, message: str) -> None:
    faults = Faults()
    assert parse(Bounded, plain, faults) is None
    assert faults == [message]


def test_bounds_are_allowed_themselves() -> None:
    plain = {
        "two": [0, 1],
        "few": [1] * 3,
        "many": ["x" * 4096] * 10_000,
        "size": LARGEST,
        "whole": -LARGEST,
        "least": 5,
    }
    faults = Faults()
    assert parse(Bounded, plain, faults) == Bounded(**plain)
    assert faults == []


def test_many_faults_are_counted_and_a_long_word_is_compared_by_its_beginning() -> None:
    faults = Faults()
    assert parse(Inner, {f"option{i}" * 10_000: 0 for i in range(500)} | {"size": 0}, faults) is None
    assert len(faults) == 21
    assert faults[-1] == "and 481 more like these"
    assert faults[0] == f"unknown option {'option0' * 13}option...; allowed are size, rate"
    assert faults_of({"a" * 10**7: 1})[0].startswith(f"unknown option {'a' * 97}...; allowed are")


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert faults_of({"mode": "\x1b[31m\n\u202e"}) == [
        r"mode=\x1b[31m\n\u202e is not allowed: it must be one of auto, fast"
    ]
    assert faults_of({"\x07": 1})[0].startswith(r"unknown option \x07; allowed are")


def test_only_mappings_are_configs() -> None:
    assert faults_of([1]) == ["the config must be a mapping of options, not [1]"]


def test_suggestions_are_near_or_all() -> None:
    assert did_you_mean("hiden_size", ["hidden_size", "dropout"]) == ": did you mean hidden_size?"
    assert did_you_mean("zzz", ["hidden_size", "dropout"]) == "; allowed are hidden_size, dropout"
    assert did_you_mean("zzz", []) == ""


def test_types_in_words() -> None:
    assert describe(int | None) == "a whole number or null"
    assert describe(str | list[str]) == "text or a list"
    assert describe(list[float] | None) == "a list of numbers or null"
    assert describe(Literal["a", None]) == "one of a, null"


@pytest.fixture
def shape(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """A group `shape` with one component, `round`."""
    monkeypatch.setitem(COMPONENTS, "shape", {})

    @component("shape", "round")
    @dataclass(frozen=True)
    class Round:
        name: str = "round"
        radius: float = 1.0

    return Round


def test_components_are_chosen_by_name(shape: type[Any]) -> None:
    faults = Faults()
    assert parse_component("shape", "round", faults) == shape()
    assert parse_component("shape", {"name": "round", "radius": 2}, faults) == shape(radius=2.0)
    assert parse_component("shape", shape(radius=3.0), faults) == shape(radius=3.0)
    assert faults == []


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ("rond", "unknown shape=rond: did you mean round?"),
        ("square", "unknown shape=square; allowed are round"),
        ({"radius": 1}, "shape must be a name or a mapping with a name, not {'radius': 1}"),
        (None, "shape must be a name or a mapping with a name, not null"),
        (Inner(), "shape must be a name or a mapping with a name, not Inner(size=1, rate=0.5)"),
        ({"name": ["round"]}, "unknown shape=['round']: did you mean round?"),
        ({"name": "round", "raduis": 1}, "unknown option shape.raduis: did you mean shape.radius?"),
    ],
)
@pytest.mark.usefixtures("shape")
def test_faults_of_components(plain: object, message: str) -> None:
    faults = Faults()
    assert parse_component("shape", plain, faults) is None
    assert faults == [message]


@pytest.fixture
def shapes(shape: type[Any]) -> dict[str, type[Any]]:
    """The group `shape` with three components more; a square's angle is fixed, so that it is no option."""

    @component("shape", "square")
    @dataclass(frozen=True)
    class Square:
        angle: ClassVar[float] = 90.0
        name: str = "square"
        side: float = 1.0

    @component("shape", "oval")
    @dataclass(frozen=True)
    class Oval(shape):
        name: str = "oval"
        tilt: float = 0.0

    @component("shape", "kite")
    @dataclass(frozen=True)
    class Kite:
        name: str = "kite"
        side: float = 1.0
        angle: float = 60.0
        tilt: float = 0.0

    return COMPONENTS["shape"]


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"name": "square", "radius": 1},
            "shape=square has no shape.radius, which shape=round and shape=oval have; allowed are shape.side",
        ),
        (
            {"name": "square", "angle": 45},
            "shape=square has no shape.angle, which shape=kite has; allowed are shape.side",
        ),
        (
            {"name": "oval", "angle": 45},
            "shape=oval has no shape.angle, which shape=kite has; allowed are shape.radius, shape.tilt",
        ),
        ({"name": "square", "sde": 1}, "unknown option shape.sde: did you mean shape.side?"),
        ({"name": "square", "colour": 1}, "unknown option shape.colour; allowed are shape.name, shape.side"),
    ],
)
@pytest.mark.usefixtures("shapes")
def test_an_option_that_a_component_lacks_and_others_have(plain: object, message: str) -> None:
    faults = Faults()
    assert parse_component("shape", plain, faults) is None
    assert faults == [message]


def test_an_option_that_all_others_have(shapes: dict[str, type[Any]]) -> None:
    @component("shape", "dot")
    @dataclass(frozen=True)
    class Dot:
        name: str = "dot"
        size: float = 1.0

    del shapes["round"], shapes["oval"]
    faults = Faults()
    assert parse_component("shape", {"name": "dot", "side": 2, "size": "x"}, faults) is None
    assert faults == [
        "shape=dot has no shape.side, which every other shape has; allowed are shape.size",
        "shape.size=x is not allowed: it must be a number",
    ]
