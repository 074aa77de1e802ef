"""One alignment out of two: of a model of each direction, their links as (source word, target word) both."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from seq2seq.alignment.links import Link, Links

Symmetrization = Literal["intersection", "union", "grow_diag_final_and"]
NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def intersection(forward: Links, reverse: Links) -> Links:
    """What both say: few links, and precise ones."""
    return forward & reverse


def union(forward: Links, reverse: Links) -> Links:
    """What either says: the highest recall."""
    return forward | reverse


def grow_diag_final_and(forward: Links, reverse: Links) -> Links:
    """From the intersection towards the union: Och & Ney (2003), Koehn, Och & Marcu (2003), as Moses has it.

    grow-diag: links of the union that stand beside or diagonally to one that is taken, and have a word without a link,
    until there are none. final-and: then links of `forward`, and of `reverse`, both of whose words have none.
    What is taken first can keep another link out, so that the order counts; it is that of Moses' symal.
    """
    growing = _Growing(forward & reverse)
    growing.grow(forward | reverse)
    for rest in (forward, reverse):
        growing.finish(rest)
    return frozenset((source, target) for target, source in growing.points)


SYMMETRIZATIONS: Mapping[Symmetrization, Callable[[Links, Links], Links]] = MappingProxyType(
    {"intersection": intersection, "union": union, "grow_diag_final_and": grow_diag_final_and}
)


class _Growing:
    """Links as sorted points (target word, source word), and the words that have one."""

    def __init__(self, links: Links) -> None:
        self.points = _points(links)
        self.targets = {target for target, _ in self.points}
        self.sources = {source for _, source in self.points}

    def grow(self, union: Links) -> None:
        allowed = set(_points(union))
        before = -1
        while len(self.points) > before:
            before, place = len(self.points), 0
            while place < len(self.points):  # what comes in behind this place is visited in the same round
                target, source = point = self.points[place]
                for down, right in NEIGHBOURS:
                    near = (target + down, source + right)
                    if near in allowed and not (near[0] in self.targets and near[1] in self.sources):
                        self._take(near)
                        place += near < point
                place += 1

    def finish(self, links: Links) -> None:
        for target, source in _points(links):
            if target not in self.targets and source not in self.sources:
                self._take((target, source))

    def _take(self, point: Link) -> None:
        insort(self.points, point)
        self.targets.add(point[0])
        self.sources.add(point[1])


def _points(links: Links) -> list[Link]:
    return sorted((target, source) for source, target in links)
