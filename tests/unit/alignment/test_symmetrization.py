"""Symmetrised alignments: by hand, and as the loops of Moses' symal over arrays, written from what it does."""

import random

import pytest

from seq2seq.alignment.links import parse
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS, grow_diag_final_and, intersection, union

NEIGHBOURS = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]


def test_intersection_and_union():
    forward, reverse = parse("0-0 1-1 2-1"), parse("0-0 1-1 1-2")
    assert intersection(forward, reverse) == parse("0-0 1-1")
    assert union(forward, reverse) == parse("0-0 1-1 2-1 1-2")


def test_growing_takes_neighbours_that_have_a_word_without_a_link():
    # 1-1 is common. 2-1 stands beside it and source word 2 has no link; 3-1 then stands beside 2-1. 0-3 stands alone.
    assert grow_diag_final_and(parse("1-1 2-1 3-1"), parse("1-1")) == parse("1-1 2-1 3-1")
    # diagonally: 2-2 touches 1-1
    assert grow_diag_final_and(parse("1-1 2-2"), parse("1-1")) == parse("1-1 2-2")


def test_growing_leaves_out_neighbours_whose_words_both_have_links():
    assert grow_diag_final_and(parse("0-0 1-1 0-1"), parse("0-0 1-1")) == parse("0-0 1-1")


def test_final_and_takes_links_apart_from_all_others_where_both_words_have_none():
    # 4-4 touches nothing; 4-0 neither, but target word 0 has a link already
    assert grow_diag_final_and(parse("0-0 4-4"), parse("0-0 4-0")) == parse("0-0 4-4")


def test_the_first_direction_goes_first():
    """Both want source word 4, and neither touches a common link."""
    assert grow_diag_final_and(parse("0-0 4-6"), parse("0-0 4-2")) == parse("0-0 4-6")
    assert grow_diag_final_and(parse("0-0 4-2"), parse("0-0 4-6")) == parse("0-0 4-2")


def test_nothing_in_common():
    assert grow_diag_final_and(parse("0-0"), parse("")) == parse("0-0")
    assert grow_diag_final_and(parse(""), parse("")) == frozenset()


def symal(forward, reverse, sources, targets):
    """Over arrays from 1 as symal's: b[i] the source word of target word i, a[j] the target word of source word j."""
    b, a = [0] * (targets + 1), [0] * (sources + 1)
    for j, i in forward:
        b[i + 1] = j + 1
    for j, i in reverse:
        a[j + 1] = i + 1
    cell = [[0] * (sources + 1) for _ in range(targets + 1)]
    fa, ea, current, joined = [False] * (sources + 1), [False] * (targets + 1), set(), set()

    def add(point):
        current.add(point)
        cell[point[0]][point[1]] = 2
        ea[point[0]] = fa[point[1]] = True

    for j in range(1, sources + 1):
        if a[j]:
            joined.add((a[j], j))
            cell[a[j]][j] = -1
            if b[a[j]] == j:
                add((a[j], j))
    for i in range(1, targets + 1):
        if b[i] and a[b[i]] != i:
            joined.add((i, b[i]))
            cell[i][b[i]] = 1
    added = True
    while added:
        added, k = False, (0, 0)
        while later := [point for point in current if point > k]:  # an ordered set, that grows as one goes through it
            k = min(later)
            for di, dj in NEIGHBOURS:
                i, j = k[0] + di, k[1] + dj
                if 1 <= i <= targets and 1 <= j <= sources and (b[i] == j or a[j] == i) and not (ea[i] and fa[j]):
                    add((i, j))
                    added = True
    for direction in (1, -1):
        for i, j in sorted(joined):
            if cell[i][j] == direction and not ea[i] and not fa[j]:
                add((i, j))
    return {(j - 1, i - 1) for i, j in current}


@pytest.mark.parametrize("seed", range(4))
def test_the_same_links_as_moses(seed):
    """Alignments near a diagonal, of which some words have no link, with noise: growth, competition and leftovers."""
    rng = random.Random(seed)
    grown = 0
    for _ in range(150):
        sources, targets = rng.randint(1, 9), rng.randint(1, 9)

        def near(place, size, other):
            return min(other - 1, max(0, round(place * other / size) + rng.choice((-3, -1, -1, 0, 0, 0, 1, 1, 4))))

        forward = frozenset((near(i, targets, sources), i) for i in range(targets) if rng.random() < 0.8)
        reverse = frozenset((j, near(j, sources, targets)) for j in range(sources) if rng.random() < 0.8)
        links = grow_diag_final_and(forward, reverse)
        assert links == symal(forward, reverse, sources, targets)
        assert forward & reverse <= links <= forward | reverse
        grown += forward & reverse < links < forward | reverse
    assert grown > 50


def test_each_has_a_name():
    assert SYMMETRIZATIONS["union"](parse("0-0"), parse("1-1")) == parse("0-0 1-1")
    assert set(SYMMETRIZATIONS) == {"intersection", "union", "grow_diag_final_and"}
