"""The masker: secrets never come out, and how a stream is cut makes no difference."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qtui.core.masking import Masker, masked, masks_of

# few letters, so that secrets overlap each other, themselves, and what they look like the beginning of
letters = st.text("ab\n", max_size=60).map(str.encode)
secrets = st.lists(st.text("ab\n", min_size=1, max_size=8).map(str.encode), min_size=1, max_size=4, unique=True)
splits = st.lists(st.integers(0, 60), max_size=12)


def by_hand(data: bytes, masks: tuple[bytes, ...]) -> bytes:
    """Every covered byte becomes a 1, and every run of overlapping secrets one mask: slowly, byte by byte."""
    spans = sorted((at, at + len(mask)) for mask in masks for at in range(len(data)) if data.startswith(mask, at))
    out, at = b"", 0
    for start, stop in spans:
        if start >= at or not out:
            out += data[at:start] + b"***"
        at = max(at, stop)
    return out + data[at:]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


@given(letters, secrets)
@example(b"abab", [b"aba", b"bab"])
def test_what_secrets_cover_is_masked(data: bytes, patterns: list[bytes]) -> None:
    assert masked(data, tuple(patterns)) == by_hand(data, tuple(patterns))


@settings(max_examples=500)
@given(letters, secrets, splits)
def test_a_stream_is_masked_as_the_whole_is_however_it_is_cut(
    data: bytes, patterns: list[bytes], cuts: list[int]
) -> None:
    masker = Masker(tuple(patterns))

    out = b"".join(masker.feed(piece) for piece in pieces(data, cuts)) + masker.feed(b"", last=True)

    assert out == by_hand(data, tuple(patterns))
    assert not masker.holding


@settings(max_examples=500)
@given(letters, st.lists(st.text("abc", min_size=4, max_size=8).map(str.encode), min_size=1, max_size=4), splits)
def test_what_is_shown_early_is_too_little_to_tell_a_secret(
    data: bytes, patterns: list[bytes], cuts: list[int]
) -> None:
    masker = Masker(tuple(patterns))
    out, fed = b"", b""
    for piece in pieces(data, cuts):
        out += masker.feed(piece)
        fed += piece
        out += masker.show()
    out += masker.feed(b"", last=True)

    assert not any(pattern in out for pattern in patterns)
    assert b"***" in out or out == data


@given(letters, secrets)
def test_no_more_is_held_back_than_may_become_a_secret(data: bytes, patterns: list[bytes]) -> None:
    masker = Masker(tuple(patterns))

    shown = masker.feed(data)

    assume(not any(pattern in data for pattern in patterns))
    held = data[len(shown) :]
    assert data == shown + held
    assert not held or any(pattern.startswith(held) for pattern in patterns)


def test_a_prompt_that_ends_like_a_secret_begins_is_shown_whole_after_a_while() -> None:
    masker = Masker((b"swordfish",))

    assert masker.feed(b"Your words") == b"Your word"
    assert masker.holding
    assert masker.show() == b"s"
    assert not masker.holding
    assert masker.feed(b": ") == b": "


def test_a_secret_that_comes_slowly_is_masked_where_it_tells_something() -> None:
    masker = Masker((b"swordfish",))
    out = b""
    for sign in b"a swordfish!":
        out += masker.feed(bytes([sign])) + masker.show()

    assert out == b"a swo***!"


def test_each_line_of_a_secret_is_masked_but_not_what_is_short() -> None:
    masks = masks_of(["-----BEGIN\r\nMIIBVg==\n  \nab\n  indented\n", "token", ""])

    assert masked(b"a MIIBVg== b ab c indented -----BEGIN\r\n token", masks) == b"a *** b ab c *** ***\r\n ***"


SECRETS = ["back\\slash", "new\nline", "sword'fish", 'sword"fish', "sword'\"fish", "pässwörd", "tab\t\x00", "plain"]
ALONE = {
    "as it is": str,
    "quoted by Python": repr,
    "quoted by Python as bytes": lambda secret: repr(secret.encode()),
    "quoted as JSON": json.dumps,
    "quoted as JSON with letters as they are": lambda secret: json.dumps(secret, ensure_ascii=False),
    "quoted for shells": shlex.quote,
    "quoted by bash": lambda secret: "'" + secret.replace("'", "'\\''") + "'",
}


def shown(form: Callable[[str], str], secret: str) -> str:
    return masked(form(secret).encode(), masks_of([secret])).decode()


@pytest.mark.parametrize("form", ALONE.values(), ids=ALONE)
@pytest.mark.parametrize("secret", SECRETS, ids=ascii)
def test_nothing_of_a_secret_is_left_in_whatever_quotes_it_comes(secret: str, form: Callable[[str], str]) -> None:
    assert shown(form, secret) in ("***", '"***"', "'***'", "b'***'", 'b"***"')


@given(st.text(min_size=4), st.sampled_from(list(ALONE.values())))
def test_any_secret_is_masked_in_whatever_quotes_it_comes(secret: str, form: Callable[[str], str]) -> None:
    assert shown(form, secret).strip("b'\"") == "***"


@given(st.text(min_size=4))
def test_any_secret_is_masked_among_other_quotes(secret: str) -> None:
    assert shown(lambda text: repr({"other's": f'"{text}"', "own": text}), secret).count("***") == 2


def test_without_secrets_nothing_changes() -> None:
    assert masks_of([]) == ()
    assert masked(b"as it is", ()) == b"as it is"
