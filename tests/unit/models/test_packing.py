import pytest
import torch

from seq2seq.models.packing import Packing

CPU = torch.device("cpu")
LENGTHS = [[3], [2, 5, 1, 5, 3], [4, 4, 4], [1, 1, 6]]

lengths_given = pytest.mark.parametrize("lengths", LENGTHS, ids=str)


def tokens(lengths):
    """(sentence, position) of each token as packed: position by position, the longest sentence first."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])  # stable
    return [(row, t) for t in range(max(lengths)) for row in order if t < lengths[row]]


@lengths_given
def test_the_places_of_all_tokens(lengths):
    size = max(lengths) + 2
    packing, laid = Packing.of(torch.tensor(lengths), size, CPU), tokens(lengths)
    where = {token: place for place, token in enumerate(laid)}
    assert packing.order.tolist() == sorted(range(len(lengths)), key=lambda row: -lengths[row])
    assert packing.counts == [sum(t < length for length in lengths) for t in range(max(lengths))]
    assert packing.places.tolist() == [row * size + t for row, t in laid]
    assert packing.last.tolist() == [where[row, lengths[row] - 1] for row in packing.order.tolist()]
    assert packing.mirrored.tolist() == [where[row, lengths[row] - 1 - t] for row, t in laid]
    rank = {row: place for place, row in enumerate(packing.order.tolist())}
    before = [rank[row] if t == 0 else len(lengths) + where[row, t - 1] for row, t in laid]
    assert packing.previous.tolist() == before
    spans = packing.spans()
    assert [span.stop - span.start for span in spans] == packing.counts
    assert [place for span in spans for place in range(span.start, span.stop)] == list(range(len(laid)))


@lengths_given
def test_packing_and_padding_again(lengths, tensors):
    size = max(lengths) + 1
    packing, padded = Packing.of(torch.tensor(lengths), size, CPU), tensors(1)(len(lengths), size, 3)
    packed = packing.pack(padded)
    assert torch.equal(packed, torch.stack([padded[row, t] for row, t in tokens(lengths)]))
    real = torch.arange(size) < torch.tensor(lengths)[:, None]
    assert torch.equal(packing.pad(packed, size), padded.masked_fill(~real[:, :, None], 0.0))


@lengths_given
def test_what_stood_before_each_token(lengths, tensors):
    draw = tensors(2)
    packing, first = Packing.of(torch.tensor(lengths), max(lengths), CPU), draw(2, len(lengths), 3)
    packed, laid = draw(2, sum(lengths), 3), tokens(lengths)
    before, order = packing.before(first, packed), packing.order.tolist()
    for place, (row, t) in enumerate(laid):
        expected = first[:, order.index(row)] if t == 0 else packed[:, laid.index((row, t - 1))]
        assert torch.equal(before[:, place], expected)
