"""A search among few tokens: each sentence has its own list of those that it may use, and no other is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seq2seq.grid import Grid
from seq2seq.search.history import Hypothesis
from seq2seq.search.protocol import SpecialIds, State, StateOut


class Decoded(Protocol[StateOut]):
    """A step up to the output layer; any NamedTuple with these fields will do."""

    @property
    def features(self) -> Tensor: ...  # (R, F)

    @property
    def weights(self) -> Tensor | None: ...  # (R, S), or None from a model without attention

    @property
    def state(self) -> StateOut: ...


class Halved(Protocol[State]):
    """A Model whose step can stop before its output layer."""

    @property
    def output(self) -> nn.Module: ...  # features (R, F) to logits (R, V)

    def start(self, source: Tensor, lengths: Tensor, bias: Tensor | None = None) -> State: ...

    def features(self, tokens: Tensor, state: State) -> Decoded[State]: ...


class Shortlist:
    """The tokens that each sentence of a batch may use, as numbers of its own: token n is the n-th of its list.

    The special ids come first, then those that all sentences may use, in the same places for each; then a sentence's
    own by rising id. So its numbers, and with them its translation, don't depend on the sentences beside it. `special`
    and `prefixes` are given in these numbers, for a search over `of(model)`, and `read` gives its hypotheses in the
    model's own.
    """

    def __init__(
        self,
        common: Sequence[int],
        allowed: Tensor,
        special: SpecialIds,
        prefixes: Sequence[Sequence[int]] | None,
    ) -> None:
        """`common` are the ids that all may use, allowed (B, V) is True at a sentence's others; both on the CPU.

        Special ids, and those that a sentence's prefix forces, are added.
        """
        shared = list(dict.fromkeys([special.bos, special.eos, *special.suppressed, *common]))
        allowed = allowed.clone()
        for sentence, prefix in enumerate(prefixes or []):
            allowed[sentence, prefix] = True
        allowed[:, shared] = False
        counts = allowed.sum(dim=1)  # (B)
        sentences, ids = allowed.nonzero(as_tuple=True)  # (N) each, by sentence and then by id
        places = torch.arange(len(ids)) - (counts.cumsum(dim=0) - counts)[sentences]
        self.padding = torch.arange(int(counts.amax())) >= counts[:, None]  # (B, C)
        self.own = torch.full(self.padding.shape, special.bos)  # (B, C)
        self.own[sentences, places] = ids
        self.shared = torch.tensor(shared)  # (U)

        numbers = {token: number for number, token in enumerate(shared)}
        suppressed = [numbers[token] for token in special.suppressed]
        self.special = SpecialIds(numbers[special.bos], numbers[special.eos], suppressed)
        self.prefixes: list[list[int]] | None = None
        if prefixes is not None:
            own = self.own.tolist()
            self.prefixes = [
                [numbers[token] if token in numbers else len(shared) + mine.index(token) for token in prefix]
                for mine, prefix in zip(own, prefixes, strict=True)
            ]

    def of(self, model: Halved[State], device: torch.device) -> Shortlisted[State]:
        """The model that computes these tokens alone."""
        shared, own, padding = (
            tensor.to(device, non_blocking=True) for tensor in (self.shared, self.own, self.padding)
        )
        return Shortlisted(model, shared, own, padding)

    def read(self, hypotheses: list[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """What a search found for each sentence of the batch, in the model's own ids."""
        shared = self.shared.tolist()
        read = []
        for own, found in zip(self.own.tolist(), hypotheses, strict=True):
            tokens = [*shared, *own]
            read.append([one._replace(tokens=[tokens[number] for number in one.tokens]) for one in found])
        return read


class ShortState(NamedTuple, Generic[State]):
    """The model's state, and of each sentence what it has alone."""

    inner: State
    grid: Grid
    ids: Tensor  # (B, U + C) of its numbers
    weight: Tensor  # (B, F, C) of the output layer, for its own tokens
    bias: Tensor  # (B, 1, C); -inf where a list is shorter than the longest

    def select(self, rows: Tensor, grid: Grid, sentences: Tensor | None = None) -> ShortState[State]:
        inner, own = self.inner.select(rows, grid, sentences), (self.ids, self.weight, self.bias)
        return ShortState(inner, grid, *(own if sentences is None else (part[sentences] for part in own)))


class ShortStep(NamedTuple, Generic[State]):
    """Logits (R, U + C) of each sentence's own list, attention weights (R, S) or None, and the state after it."""

    logits: Tensor
    weights: Tensor | None
    state: ShortState[State]


class Shortlisted(Generic[State]):
    """A Model over the numbers of a Shortlist.

    What is normalised over and chosen from is a sentence's list alone: probabilities are those of the full vocabulary,
    divided by what these give to the list. Of the output layer, the rows of the U shared tokens make one product for
    the batch, and those of the C others one for each sentence.
    """

    def __init__(self, model: Halved[State], shared: Tensor, own: Tensor, padding: Tensor) -> None:
        self.model, self.shared, self.own, self.padding = model, shared, own, padding
        self.output, _, _ = rows(model.output, shared)

    def start(self, source: Tensor, lengths: Tensor, bias: Tensor | None = None) -> ShortState[State]:
        _, weight, own_bias = rows(self.model.output, self.own.flatten())  # (B * C, F), (B * C)
        return ShortState(
            self.model.start(source, lengths, bias),
            Grid.full(len(source)),
            torch.cat([self.shared.expand(len(source), -1), self.own], dim=1),
            weight.view(*self.own.shape, weight.shape[1]).transpose(1, 2),
            own_bias.view(self.own.shape).masked_fill(self.padding, -torch.inf)[:, None],
        )

    def step(self, tokens: Tensor, state: ShortState[State]) -> ShortStep[State]:
        grid = state.grid
        ids = state.ids[grid.owners(tokens.device), tokens]  # (R,)
        features, weights, inner = self._features(ids, state.inner)
        shared = self.output(features)  # (R, U)
        own = grid.rows(torch.baddbmm(state.bias, grid.spread(features), state.weight))  # (B, K, C) to (R, C)
        logits = torch.cat([shared, own.to(shared.dtype)], dim=1)
        return ShortStep(logits, weights, state._replace(inner=inner))

    def _features(self, tokens: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        decoded = self.model.features(tokens, state)
        return decoded.features, decoded.weights, decoded.state


class Rows(NamedTuple):
    """A part of a linear layer, and its numbers as floating ones."""

    layer: Callable[[Tensor], Tensor]
    weight: Tensor  # (U, F)
    bias: Tensor  # (U,)


def rows(layer: nn.Module, ids: Tensor) -> Rows:
    """These outputs (U,) of a linear layer alone; one with a product of its own is asked by its `select`."""
    select: Callable[[Tensor], nn.Module] | None = getattr(layer, "select", None)
    if select is not None:
        part = select(ids)
        weight, bias = cast(Tensor, part.weight), cast("Tensor | None", part.bias)
        return Rows(part, weight, weight.new_zeros(len(ids)) if bias is None else bias)
    weight, bias = cast(Tensor, layer.weight)[ids], cast("Tensor | None", layer.bias)
    bias = weight.new_zeros(len(ids)) if bias is None else bias[ids]
    if torch.is_autocast_enabled(ids.device.type):  # now, and not once more at each step
        kind = torch.get_autocast_dtype(ids.device.type)
        weight, bias = weight.to(kind), bias.to(kind)
    return Rows(partial(linear, weight=weight, bias=bias), weight, bias)
