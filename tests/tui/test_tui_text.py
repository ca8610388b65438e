"""The sanitizer, attacked; and cutting to a width."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from qtui.tui.text import clean, clean_lines, cut_end, cut_middle, pad, parse_line, plain_lines

DANGEROUS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

PIECES = st.sampled_from(
    [
        *("\x1b[31m", "\x1b[", "\x1b", "\x1b]0;title\x07", "\x1b]52;c;", "\x1bP", "\x1b\\", "\x9b31m", "\x9d", "\x90"),
        *("\x1b[?1049h", "\x1b[2J", "\x1b(0", "\x1b[38;2;1;2;3m", "\x1b[38;5;", "\x1b[99999999999999m", "\x9c"),
        *("\r", "\n", "\t", "\x00", "\x07", "\x08", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\ud83d", "\udc80"),
        *("é", "漢", "👍", "[/x]", "plain"),
    ]
)
HOSTILE = st.lists(PIECES | st.text(max_size=8), max_size=40).map("".join)
HOSTILE_BYTES = st.binary(max_size=200) | HOSTILE.map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(HOSTILE)
@example("\x1b\x1b[31m[31m")
@example("\x1b]0;a\x1b[2J")
@example("\x9b\x9b")
def test_nothing_that_steers_a_terminal_survives_clean(text: str) -> None:
    assert not DANGEROUS.search(clean(text))


def test_what_cannot_be_seen_or_joins_its_neighbours_is_dropped() -> None:
    """Terminals give it, or what it joins, another width than Textual: the rest of the row would be elsewhere."""
    unseen = "\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u3164\ufe0f\ufeff\uffa0\ufffb\U000e0041"
    text = "".join(f"{sign}{number}" for number, sign in enumerate(unseen))

    assert clean(text) == "".join(map(str, range(len(unseen))))
    assert [span.text for span in parse_line("\u26a0\ufe0f careful \U0001f468\u200d\U0001f467")] == [
        *("\u26a0", " careful \U0001f468", "\U0001f467")
    ]
    assert plain_lines(f"{text}\n") == clean(text) + "\n"


@given(HOSTILE)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(HOSTILE)
def test_lines_of_an_error_are_as_safe(text: str) -> None:
    assert not any(DANGEROUS.search(line) for line in clean_lines(text))


@given(HOSTILE_BYTES)
def test_nothing_that_steers_a_terminal_survives_in_a_line_of_output(data: bytes) -> None:
    spans = parse_line(data.decode("utf-8", "replace"))
    assert not any(DANGEROUS.search(span.text) for span in spans)
    for span in spans:  # a style is made of colours and attributes, never of text that was written
        assert span.style.link is None
        assert not span.style.meta
        assert not span.style.blink
        assert not span.style.conceal


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_left_alone(text: str) -> None:
    assert clean(text) == text
    assert "".join(span.text for span in parse_line(text)) == text


def test_a_window_title_and_its_payload_are_gone() -> None:
    assert clean("a\x1b]0;owned\x07b\x1b]52;c;c2VjcmV0\x1b\\c") == "abc"


def test_line_breaks_in_a_name_become_spaces() -> None:
    assert clean("two\r\nlines\tand tab") == "two lines and tab"


def test_a_carriage_return_keeps_what_was_written_last() -> None:
    assert "".join(span.text for span in parse_line("10%\r50%\r100% done\r\n")) == "100% done"


def test_tabs_reach_the_next_stop_across_colours() -> None:
    assert "".join(span.text for span in parse_line("ab\x1b[1m\tc\td")) == "ab      c       d"


def test_colours_and_attributes_are_kept_until_reset() -> None:
    first, second, third = parse_line("\x1b[1;31mred\x1b[0m plain\x1b[38;5;208morange")
    assert (first.text, first.style.bold, first.style.color and first.style.color.number) == ("red", True, 1)
    assert (second.text, second.style.color, second.style.bold) == (" plain", None, None)
    assert third.style.color is not None
    assert third.style.color.number == 208


def test_a_colour_out_of_range_is_ignored_with_its_numbers() -> None:
    (span,) = parse_line("\x1b[38;2;1;2;999mtext")
    assert span.style.color is None
    assert not span.style.bold  # the 1 and 2 were parts of the colour


def test_blinking_and_hidden_text_are_shown_plainly() -> None:
    (span,) = parse_line("\x1b[5;8mnow you see me")
    assert not span.style.blink
    assert not span.style.conceal


@given(st.text(max_size=40), st.integers(0, 30))
def test_cut_text_never_exceeds_its_room(text: str, width: int) -> None:
    text = clean(text)
    assert cell_len(cut_end(text, width)) <= width
    assert cell_len(cut_middle(text, width)) <= width
    assert cell_len(pad(text, width)) == width


def test_names_are_cut_in_the_middle() -> None:
    assert cut_middle("embed[shard=1234567]", 11) == "embed…4567]"
