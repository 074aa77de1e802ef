"""A model's word alignments, alone or put together with those of a model of the other direction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from seq2seq.alignment.extraction import Extraction
from seq2seq.alignment.links import Links
from seq2seq.evaluation.translation import EOS
from seq2seq.evaluation.translator import Translator
from seq2seq.evaluation.words import Words

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class Aligner:
    """Aligns lines with translations, given or its own, word by word as `str.split` finds the words.

    `first_line` is the number of the first line in messages.
    """

    translator: Translator
    extraction: Extraction
    batch_size: int = 64

    def forced(self, sources: Sequence[str], targets: Sequence[str], first_line: int = 1) -> list[Links]:
        """Links of given translations, by the attention of a decoder that is made to write them.

        Raises:
            DataError: as `Translator.score`.
        """
        pairs = self.translator.score(
            sources, targets, batch_size=self.batch_size, attention=True, first_pair=first_line
        )
        return [
            self._links(first_line + i, pair.attention, (targets[i], pair.tokens), (sources[i], pair.source_tokens))
            for i, pair in enumerate(pairs)
        ]

    def translated(self, sources: Sequence[str], first_line: int = 1) -> tuple[list[str], list[Links]]:
        """The translations that the search finds, and their links by its own attention."""
        translations = self.translator.translate(
            sources, batch_size=self.batch_size, attention=True, first_line=first_line
        )
        links = []
        for number, found in enumerate(translations, start=first_line):
            target, source = (found.text, [*found.tokens, EOS]), (found.source, found.source_tokens)
            links.append(self._links(number, found.attention, target, source))
        return [found.text for found in translations], links

    def _links(
        self, number: int, attention: Tensor | None, target: tuple[str, list[str]], source: tuple[str, list[str]]
    ) -> Links:
        """Attention (T, S) of a pair, each side a line and its pieces; None where nothing was translated."""
        if attention is None or not (target[0].split() and source[0].split()):
            return frozenset()
        of_sides = []
        for line, pieces in (target, source):
            words = Words.of(pieces)
            if len(words.texts) - 1 != len(line.split()):  # cut to search.max_source_length, or with "▁" in the text
                LOGGER.warning("line %d: its pieces don't make the line's words; it is left without links", number)
                return frozenset()
            of_sides.append(words)
        return self.extraction.links(attention, *of_sides)


@dataclass(frozen=True)
class Symmetrized:
    """The same with a second model, from the target to the source, whose links are put together with the first's."""

    forward: Aligner
    reverse: Aligner
    symmetrize: Callable[[Links, Links], Links]

    def forced(self, sources: Sequence[str], targets: Sequence[str], first_line: int = 1) -> list[Links]:
        """See Aligner."""
        return self._joined(self.forward.forced(sources, targets, first_line), sources, targets, first_line)

    def translated(self, sources: Sequence[str], first_line: int = 1) -> tuple[list[str], list[Links]]:
        """See Aligner; the second model is made to write the source again, from the first's translation."""
        targets, links = self.forward.translated(sources, first_line)
        return targets, self._joined(links, sources, targets, first_line)

    def _joined(
        self, links: list[Links], sources: Sequence[str], targets: Sequence[str], first_line: int
    ) -> list[Links]:
        backwards = self.reverse.forced(targets, sources, first_line)
        return [
            self.symmetrize(forward, frozenset((source, target) for target, source in backward))
            for forward, backward in zip(links, backwards, strict=True)
        ]
