"""Rows in their slots, against plain lists."""

import pytest
import torch

from seq2seq.grid import Grid

CPU = torch.device("cpu")
TAKEN = [[True, False, True], [False, False, False], [True, True, True], [False, True, False]]
ROWS = [(0, 0), (0, 2), (2, 0), (2, 1), (2, 2), (3, 1)]  # sentence and slot of each


def test_rows_stand_in_the_slots_that_are_taken():
    grid = Grid.where(torch.tensor(TAKEN), CPU)
    assert (grid.sentences, grid.slots, grid.size) == (4, 3, len(ROWS))
    assert grid.owners(CPU).tolist() == [sentence for sentence, _ in ROWS]
    rows = torch.arange(1.0, 1 + 2 * len(ROWS)).view(len(ROWS), 2)
    spread = grid.spread(rows, empty=-7.0)
    assert spread.shape == (4, 3, 2)
    for sentence, slots in enumerate(TAKEN):
        for slot, taken in enumerate(slots):
            expected = rows[ROWS.index((sentence, slot))] if taken else torch.full((2,), -7.0)
            assert torch.equal(spread[sentence, slot], expected)
    assert torch.equal(grid.rows(spread), rows)
    numbers = grid.numbers(CPU)
    assert [int(numbers[place]) for place in ROWS] == list(range(len(ROWS)))


@pytest.mark.parametrize("slots", [1, 3])
def test_a_grid_without_gaps_copies_nothing(slots):
    for grid in (Grid.full(4, slots), Grid.where(torch.ones(4, slots, dtype=torch.bool), CPU)):
        assert grid == Grid(4, slots, None)
        rows = torch.arange(4.0 * slots * 2).view(-1, 2)
        assert grid.size == len(rows)
        assert grid.spread(rows).data_ptr() == rows.data_ptr()
        assert torch.equal(grid.rows(grid.spread(rows)), rows)
        assert grid.numbers(CPU).flatten().tolist() == list(range(4 * slots))
        assert grid.owners(CPU).tolist() == [row // slots for row in range(4 * slots)]


def test_no_row_at_all():
    grid = Grid.where(torch.zeros(2, 3, dtype=torch.bool), CPU)
    assert grid.size == 0
    assert torch.equal(grid.spread(torch.empty(0, 5), empty=1.0), torch.ones(2, 3, 5))
    assert grid.rows(torch.ones(2, 3, 5)).shape == (0, 5)
