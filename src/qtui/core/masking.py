"""Replaces secrets in output by ``***``, also where they come in pieces. Needs nothing, for keepers import it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = b"***"

SHORTEST_LINE = 4
"""Lines of a secret that are shorter are not masked by themselves: that would hide too much else."""


def masks_of(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """What is to be masked for these secrets: each one, its lines if it has several, and all of them escaped.

    Escaped as Python, JSON, shells and messages of qtui's own write a text between quotes.
    """
    found: set[bytes] = set()
    for secret in filter(None, secrets):
        lines = [line.strip() for line in secret.splitlines()]
        for text in (secret, *(line for line in lines if len(line) >= SHORTEST_LINE)):
            found |= {text.encode("utf-8", "surrogateescape"), *_escaped(text)}
    return tuple(sorted(found, key=lambda mask: (-len(mask), mask)))


def _escaped(text: str) -> Iterator[bytes]:
    import json  # only qtui itself makes masks, and keepers start sooner without it

    data = text.encode("utf-8", "surrogateescape")
    # Python escapes one kind of quotes if there are both, so how a secret looks depends on what is around it
    for form in (repr(text)[1:-1], repr(f'"{text}')[2:-1], repr(data)[2:-1], repr(b'"' + data)[3:-1]):
        yield form.encode()
    yield "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text).encode("utf-8", "surrogateescape")
    for readable in (True, False):
        yield json.dumps(text, ensure_ascii=readable)[1:-1].encode("utf-8", "surrogateescape")
    for quote in (b"'\\''", b"'\"'\"'"):
        yield data.replace(b"'", quote)


def masked(data: bytes, masks: tuple[bytes, ...]) -> bytes:
    """`data` with ``***`` for each piece that secrets cover, be it one or several that overlap."""
    return Masker(masks).feed(data, last=True) if masks else data


class TextMasker:
    """Masks single texts."""

    def __init__(self, masks: tuple[bytes, ...]) -> None:
        self._texts = [mask.decode("utf-8", "surrogateescape") for mask in masks]
        self._masks = tuple(text.encode("utf-8", "surrogatepass") for text in self._texts)

    def text(self, text: str) -> str:
        """The text with ``***`` for each piece that secrets cover."""
        if not any(secret in text for secret in self._texts):
            return text
        return masked(text.encode("utf-8", "surrogatepass"), self._masks).decode("utf-8", "surrogatepass")

    def quoting_text(self, text: str) -> str:
        """The same for a text with quotations that may be cut short: what is before a ``…`` may begin a secret."""
        parts = text.split("…")
        return "…".join([*map(self.beginning, parts[:-1]), self.text(parts[-1])])

    def beginning(self, text: str) -> str:
        """The same for the beginning of a text: what stands at its end may begin a secret."""
        if not self._masks:
            return text
        masker = Masker(self._masks)
        shown = masker.feed(text.encode("utf-8", "surrogatepass"))
        if masker.holding:
            shown += masker.show() or MASK
        return shown.decode("utf-8", "surrogatepass")


class Masker:
    """Masks a stream. What may be the beginning of a secret is held back, at most the longest one but its last byte.

    The output is the same however the stream is cut into pieces, but for what `show` lets out early.
    """

    def __init__(self, masks: tuple[bytes, ...]) -> None:
        self._masks = masks
        self._shortest = min(SHORTEST_LINE, *map(len, masks))
        self._held = b""
        self._done = 0  # so many bytes of what is held are out already, as they are or as the end of a mask
        self._covered = False  # whether that was as the end of a mask

    @property
    def holding(self) -> bool:
        """True while something is held back."""
        return len(self._held) > self._done

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """The next piece of output; with `last` nothing more will come, and nothing is held back."""
        data = self._held + data
        end = len(data) if last else self._hold_from(data)
        at, covered = self._done, self._covered
        out = []
        for start, stop in self._spans(data):
            if start >= end:
                break
            if stop <= at:
                continue
            if start >= at or not covered:
                out += [data[at:start], MASK]
            at, covered = stop, True
        if at < end:
            out.append(data[at:end])
            at, covered = end, False
        self._held = data[end:]
        self._done, self._covered = at - end, covered and at > end
        return b"".join(out)

    def show(self) -> bytes:
        """What is held back, if it is too little to tell anything of a secret: nothing more has come for a while.

        Should the rest of a secret come after all, that is masked.
        """
        if len(self._held) >= self._shortest:
            return b""
        shown = self._held[self._done :]
        if shown:
            self._done, self._covered = len(self._held), False
        return shown

    def _hold_from(self, data: bytes) -> int:
        """Where the first piece at the end of `data` begins that may become a secret."""
        first = len(data)
        for mask in self._masks:
            at = data.find(mask[:1], max(0, len(data) - len(mask) + 1), first)
            while at >= 0:
                if mask.startswith(data[at:]):
                    first = at
                    break
                at = data.find(mask[:1], at + 1, first)
        return first

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """The pieces that secrets cover, in order; what overlaps is one piece."""
        found = []
        for mask in self._masks:
            at = data.find(mask)
            while at >= 0:
                found.append((at, at + len(mask)))
                at = data.find(mask, at + 1)
        if len(found) < 2:
            return found
        found.sort()
        spans = [found[0]]
        for start, stop in found[1:]:
            if start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
            else:
                spans.append((start, stop))
        return spans
