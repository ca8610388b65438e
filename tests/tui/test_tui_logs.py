"""The log: what is found in it, how its lines are broken, what stands beside them, and what leaves the screen."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style
from scenes import CALL, TRACEBACK, diamond, failed, unit
from scripted import START, ScriptedSession
from stage import GENEROUS, MEDIUM, SMALL, Stage, staged
from test_tui_text import HOSTILE

from qtui.core.logtimes import LogTimes
from qtui.core.model import RetryPolicy, UnitError
from qtui.core.session import LogChunk
from qtui.engine.files import RunFiles
from qtui.engine.logs import LogStore
from qtui.tui import clipboard, loglines
from qtui.tui.clipboard import (
    MOST_BYTES,
    SCREEN_BYTES,
    clipboard_sequence,
    give_to_tmux,
    keep_copy,
    last_part,
    new_file,
)
from qtui.tui.drawn import Drawn
from qtui.tui.failing import failing_line
from qtui.tui.gutter import UNKNOWN, WIDTH, Gutter, gutter_text, gutter_width
from qtui.tui.loglines import LINE_BYTES, PIECE, LogLines
from qtui.tui.logsearch import MOST_HITS_OF_ONE, AllLogsSearch, Log, LogSearch, scan
from qtui.tui.pager import pager_command
from qtui.tui.patterns import BadPattern, Pattern, highlighted
from qtui.tui.screens.logged import logs_of
from qtui.tui.text import PLAIN, Span, parse_line, plain_lines
from qtui.tui.wrapped import Place, end_place, moved, wrap


def printed(*texts: str | bytes) -> ScriptedSession:
    """A run whose unit `a` has printed this."""
    session = ScriptedSession([unit("a", action=CALL)])
    for text in texts:
        session.prints("a", text)
    return session


def lines_of(session: ScriptedSession) -> LogLines:
    lines = LogLines(session, 0, 1)
    while lines.advance():
        pass
    return lines


def shown(line: str) -> str:
    return "".join(span.text for span in parse_line(line))


def found(session: ScriptedSession, typed: str) -> list[int]:
    """The numbers of the lines that a search finds, from 0."""
    return [number for part in scan(Log(session, 0, 1), Pattern(typed)) for number in part.numbers]


# -- what is searched for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "text", "there"),
    [
        ("error", "an ERROR here", True),
        ("a.b", "a+b", False),
        ("~a.b", "a+b", True),
        ("~^b", "a\nb", False),
        ("é", "É", True),
        ("(", "f(x)", True),
    ],
)
def test_typed_text_is_meant_literally_in_any_case_and_an_expression_after_a_tilde(typed, text, there) -> None:
    assert Pattern(typed).matches(text.split("\n")[0]) is there


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("~(", "missing ): ("),
        ("~)(", "unexpected ): )("),
        ("~a**", "bad repetition operator: **"),
        ("~", "a regular expression follows ~"),
        (r"~a\z", r"\z has no meaning here; $ is the end of a line"),
        (r"~\C", r"\C has no meaning here; bytes cannot be searched for"),
    ],
)
def test_an_expression_that_is_none_says_why(typed: str, why: str) -> None:
    with pytest.raises(BadPattern, match="^" + why.translate({ord(char): f"\\{char}" for char in r"()*\^$"})):
        Pattern(typed)


def test_an_expression_that_would_backtrack_for_ever_is_over_at_once() -> None:
    assert not Pattern("~(a+)+$").matches("a" * 100_000 + "b")


def test_what_was_found_is_told_apart_and_keeps_its_colours() -> None:
    red = Style(color="red")
    line = highlighted((Span("abc", PLAIN), Span("def", red)), Pattern("cd"), current=False)
    assert [span.text for span in line] == ["ab", "c", "d", "ef"]
    assert line[2].style == red + Style(bold=True, underline=True)
    current = highlighted((Span("abc", PLAIN),), Pattern("b"), current=True)
    assert current[1] == Span("b", Style(bold=True, reverse=True))


ALPHABET = st.sampled_from(["a", "b", "ab", " ", "é", "漢", "~a|b", "~^a", "~a*", "~b$", "~[^a]b", "x"])


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE.map(lambda text: text.replace("\n", "")), max_size=8), ALPHABET, st.booleans())
def test_a_search_finds_the_lines_that_show_what_is_searched_for_and_no_others(lines, typed: str, ended: bool) -> None:
    text = "\n".join(lines) + ("\n" if ended else "")
    session = printed(text.encode("utf-8", "surrogatepass"))
    log = lines_of(session)
    pattern = Pattern(typed)

    seen = [shown(log.text(number)) for number in range(len(log))]

    assert found(session, typed) == [number for number, line in enumerate(seen) if pattern.matches(line)]
    for line in seen:
        marked = highlighted((Span(line, PLAIN),), pattern, current=False)
        assert "".join(span.text for span in marked) == line


@settings(max_examples=100, deadline=None)
@given(st.lists(HOSTILE.map(lambda text: text.replace("\n", "")), min_size=1, max_size=6))
def test_lines_made_plain_in_bulk_are_those_that_are_shown(lines: list[str]) -> None:
    assert plain_lines("\n".join(lines)).split("\n") == [shown(line) for line in lines]


def test_colours_inside_a_word_do_not_hide_it_and_what_was_overwritten_is_not_found() -> None:
    session = printed("one er\x1b[31mr\x1b[0mor\r\n", "error\rfine\n", "tab\there\n")
    assert found(session, "error") == [0]
    assert found(session, "fine") == [1]
    assert found(session, "tab     here") == [2]


def test_lines_across_pieces_and_lines_longer_than_a_piece_are_searched() -> None:
    filler = "x" * 1000 + "\n"
    pieces = PIECE // len(filler)
    session = printed(filler * pieces, "needle across the pieces\n", "needle" + "y" * (2 * PIECE) + "\n", "a needle\n")
    starts = [start for part in scan(Log(session, 0, 1), Pattern("needle")) for start in part.starts]
    log = lines_of(session)
    assert [log.line_at(start) for start in starts] == [pieces, pieces + 1, pieces + 2]
    assert found(session, "needle") == [pieces, pieces + 1, pieces + 2]


def test_what_nobody_sees_of_a_long_line_is_not_found() -> None:
    assert found(printed("y" * (LINE_BYTES + 10) + "needle\nz\n"), "needle") == []


def await_end(search: LogSearch | AllLogsSearch) -> None:
    deadline = time.monotonic() + GENEROUS
    while search.busy:
        assert time.monotonic() < deadline, "the search never ended"
        time.sleep(0.001)


def test_a_search_goes_on_where_the_log_has_grown() -> None:
    session = printed("a needle\nhalf a nee")
    search = LogSearch(Log(session, 0, 1), Pattern("needle"))

    def gone_on() -> list[int]:
        search.go_on()
        await_end(search)
        return list(search.starts)

    assert gone_on() == [0]
    session.prints("a", "dle\n")
    assert gone_on() == [0, 9]
    session.prints("a", "no\nneedle")
    assert gone_on() == [0, 9, 26]
    assert gone_on() == [0, 9, 26]
    search.stop()


@pytest.mark.parametrize("from_the_begin", [True, False])
async def test_lines_that_are_dropped_while_one_looks_leave_a_line_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_the_begin: bool
) -> None:
    monkeypatch.setattr(loglines, "TAIL", 5000)
    session = ScriptedSession([unit("a", log_max=4000)])
    session.log_files[(0, 1)] = "/somewhere/a.1.log"
    store = LogStore(RunFiles(tmp_path), session.view().plan)
    session.read_log = store.read  # type: ignore[method-assign]
    writer, lines = store.writer(0, 1), LogLines(session, 0, 1)
    for count in range(0, 5000, 100):  # the file is shortened after each 8,000 bytes
        writer.write(b"".join(b"line %06d\n" % number for number in range(count, count + 100)))
        if from_the_begin or count > 500:
            lines.advance()
            texts = [lines.text(at) for at in range(len(lines))]
            assert "" not in texts
            assert sum("bytes of output were dropped here" in text for text in texts) <= from_the_begin
            assert (texts[0], texts[-1]) == ("line 000000" if from_the_begin else texts[0], f"line {count + 99:06}")
    assert lines.dropped and lines.skipped is not from_the_begin
    assert ("bytes of output were dropped here" in "".join(texts)) is from_the_begin
    async with staged(session, (200, 24)) as stage:
        await stage.press("2", "z", "g")
        await stage.shows("earlier output is not shown; its beginning and its end: /somewhere/a.1.log")


async def test_a_long_search_stays_in_the_title_of_a_narrow_log() -> None:
    session = ScriptedSession([unit("a-unit-with-a-name-of-some-length")])
    session.prints("a-unit-with-a-name-of-some-length", "here: the-seventeenth-shard\n")
    async with staged(session, MEDIUM) as stage:
        await stage.press("2", "slash", *"the-seventeenth-shard", "enter")
        await stage.shows("1/1 /")


def test_logs_of_failed_units_are_searched_first_and_earlier_attempts_last() -> None:
    session = ScriptedSession([unit("a"), unit("b", retry=RetryPolicy(max=1, delay=1)), unit("c", "a")])
    session.fails("b")
    session.after(1)
    session.fails("b")
    assert logs_of(session.view()) == [(1, 2), (0, 1), (1, 1)]


def test_a_search_of_all_logs_says_what_it_has_left_out_and_could_not_read() -> None:
    class Broken(ScriptedSession):
        def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
            if unit == 1:
                return LogChunk(b"", 0, 0, "the log cannot be read: Permission denied")
            return super().read_log(unit, attempt, offset, limit)

    session = Broken([unit("a"), unit("b"), unit("c")])
    session.prints("a", "it\n" * (MOST_HITS_OF_ONE + 1))
    session.prints("c", "no\nwith \x1b[1mit\x1b[0m\n")
    search = AllLogsSearch(session, logs_of(session.view()), Pattern("it"))
    await_end(search)

    assert search.searched == 3
    assert [(hit.unit, hit.number, hit.text) for hit in search.hits[-2:]] == [(0, 100, "it"), (2, 2, "with it")]
    assert search.cut == 1
    assert search.troubles == [(1, 1, "the log cannot be read: Permission denied")]


# -- long lines -----------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="ab 漢é\u0301👍", max_size=12), max_size=4), st.integers(2, 9))
def test_a_wrapped_line_says_the_same_in_rows_that_fit(texts: list[str], width: int) -> None:
    line = [Span(text, PLAIN) for text in texts]
    rows = wrap(line, width)
    assert "".join(span.text for row in rows for span in row) == "".join(texts)
    assert all(sum(cell_len(span.text) for span in row) <= width for row in rows)
    if len(rows) > 1:  # none is shorter than need be
        fullest = [sum(cell_len(span.text) for span in row) for row in rows[:-1]]
        assert min(fullest) >= width - 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=9), st.integers(-50, 50), st.data())
def test_moving_by_rows_is_moving_through_all_rows_one_after_another(heights, by: int, data) -> None:
    rows = [Place(line, row) for line, height in enumerate(heights) for row in range(height)]
    at = data.draw(st.integers(0, len(rows) - 1))
    last = data.draw(st.integers(at, len(rows) - 1))
    there = moved(rows[at], by, heights.__getitem__, rows[last])
    assert there == rows[max(0, min(at + by, last))]
    height = data.draw(st.integers(1, 12))
    assert end_place(len(heights), height, heights.__getitem__) == rows[max(0, len(rows) - height)]


# -- times ----------------------------------------------------------------------------------------------------


def test_the_gutter_is_as_wide_for_every_time_and_says_when_it_knows_none(monkeypatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert gutter_text(Gutter.CLOCK, START, None) == "22:13:20 "
    assert gutter_text(Gutter.ELAPSED, START + 3725, START) == " 1:02:05 "
    assert gutter_text(Gutter.ELAPSED, START - 1, START) == " 0:00:00 "
    assert gutter_text(Gutter.CLOCK, None, START).strip() == UNKNOWN
    assert gutter_text(Gutter.ELAPSED, START, None).strip() == UNKNOWN
    assert gutter_width(Gutter.CLOCK, 40) == WIDTH
    assert gutter_width(Gutter.CLOCK, 20) == gutter_width(Gutter.NONE, 100) == 0


def test_a_line_was_written_at_the_last_moment_before_it() -> None:
    times = LogTimes((0, 10, 20), (1.0, 2.0, 3.0))
    assert [times.at(offset) for offset in (0, 9, 10, 25)] == [1.0, 1.0, 2.0, 3.0]
    assert LogTimes((5,), (1.0,)).at(4) is None


# -- copies ---------------------------------------------------------------------------------------------------


def test_a_copy_goes_to_the_terminal_as_it_is() -> None:
    assert clipboard_sequence(b"hi", {"TERM": "xterm"}) == "\x1b]52;c;aGk=\x07"


def test_tmux_gets_a_copy_for_itself_and_one_to_pass_on_with_escapes_doubled() -> None:
    environ = {"TMUX": "/tmp/tmux-0/default,1,0", "TERM": "screen-256color", "STY": "1.x"}
    passed_on = "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"
    assert clipboard_sequence(b"hi", environ) == f"\x1b]52;c;aGk=\x07{passed_on}"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_a_tmux_that_passes_nothing_on_takes_a_copy_itself(tmp_path: Path) -> None:
    (tmp_path / "sequence").write_text(clipboard_sequence(b"hi", {"TMUX": "/tmp/tmux-0/default,1,0"}))
    environ = {**os.environ, "TMUX_TMPDIR": str(tmp_path), "TERM": "xterm"}
    environ.pop("TMUX", None)

    def tmux(*words: str) -> str:
        done = subprocess.run(["tmux", "-f", "/dev/null", *words], env=environ, capture_output=True, text=True)
        return done.stdout

    tmux("new-session", "-d", "sleep 60", ";", "set", "-g", "set-clipboard", "on")
    try:
        tmux("set", "-g", "allow-passthrough", "off")
        tmux("new-window", f"cat '{tmp_path}/sequence'; tmux wait-for -S written; sleep 60")
        tmux("wait-for", "written")
        deadline = time.monotonic() + 10
        while not (copied := tmux("show-buffer")):
            assert time.monotonic() < deadline, "tmux took nothing"
    finally:
        tmux("kill-server")
    assert copied == "hi"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_a_tmux_that_takes_nothing_from_programs_is_given_a_copy(tmp_path: Path) -> None:
    environ = {**os.environ, "TMUX_TMPDIR": str(tmp_path), "TERM": "xterm"}
    environ.pop("TMUX", None)

    def tmux(*words: str) -> str:
        done = subprocess.run(["tmux", "-f", "/dev/null", *words], env=environ, capture_output=True, text=True)
        return done.stdout.strip()

    tmux("new-session", "-d", "sleep 60", ";", "set", "-s", "set-clipboard", "external")
    try:
        inside = {**environ, "TMUX": tmux("display-message", "-p", "#{socket_path},#{pid},0")}
        assert give_to_tmux(b"two\nlines", inside) == ""
        assert tmux("show-buffer") == "two\nlines"
    finally:
        tmux("kill-server")
    assert give_to_tmux(b"hi", inside), "nobody is there any more"


def test_a_tmux_that_is_not_there_or_hangs_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert give_to_tmux(b"hi", {**os.environ}) == "No such file or directory"
    (tmp_path / "tmux").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "tmux").chmod(0o755)
    monkeypatch.setattr(clipboard, "TMUX_SECONDS", 0.1)
    assert give_to_tmux(b"hi", {**os.environ}).startswith("no answer in ")


def test_gnu_screen_passes_a_copy_on_in_short_strings() -> None:
    data = bytes(range(256)) * 8
    sequence = clipboard_sequence(data, {"STY": "1.x", "TERM": "screen"})
    strings = sequence.split("\x1bP")[1:]
    assert all(string.endswith("\x1b\\") and len(string) + 2 <= SCREEN_BYTES for string in strings)
    joined = "".join(string.removesuffix("\x1b\\") for string in strings)
    assert joined == f"\x1b]52;c;{base64.b64encode(data).decode()}\x07"
    assert clipboard_sequence(b"hi", {"STY": "1.x", "TERM": "screen"}) == "\x1bP\x1b]52;c;aGk=\x07\x1b\\"


def test_of_what_is_too_long_the_last_lines_are_copied_whole() -> None:
    assert last_part(b"one\ntwo\nthree\n", 10) == b"two\nthree\n"
    assert last_part(b"one\ntwo\nthree\n", 9) == b"three\n"
    assert last_part(b"abcdef", 3) == b"def"
    assert last_part("é".encode() * 5, 3) == "é".encode()
    assert len(base64.b64encode(b"x" * MOST_BYTES)) <= 100_000


def test_a_copy_is_kept_where_only_its_owner_reads_it(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    for text in (b"one", b"two"):
        path = keep_copy(text, environ)
    assert path == tmp_path / "qtui" / "copied"
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["copied"]


def test_saving_never_overwrites_and_no_name_of_a_unit_leads_elsewhere(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        made, path = new_file(tmp_path, "../a/b [x=1]", 3)
        os.close(made)
        names.append(path)
    assert names == [tmp_path / "a_b_x=1.3.log", tmp_path / "a_b_x=1.3-2.log"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in names)


def test_a_path_is_one_word_for_the_pager_and_one_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "view er").touch(mode=0o755)
    environ = {"PATH": str(tmp_path), "PAGER": "'view er' -S"}
    assert pager_command(environ, "/x; rm y") == ["view er", "-S", "/x; rm y"]
    assert pager_command({"PATH": str(tmp_path)}, "/x") == "less is not there; PAGER says what shows logs"
    assert "cannot be read" in pager_command({"PAGER": "'"}, "/x")


# -- failures ---------------------------------------------------------------------------------------------------


def test_the_line_that_tells_of_a_failure_is_the_last_error_and_of_a_traceback_its_end() -> None:
    assert failing_line(["fine", "error: a", "then", "error: b", "bye"]) == 3
    begin = "Traceback (most recent call last):"
    assert failing_line([begin, "  File", "ValueError: error"]) == 2
    frames = [begin, '  File "errors.py", line 1', '    raise Odd("fatal error")']
    assert failing_line([*frames, "Odd: the column is missing", "bye"]) == 3
    assert failing_line([*frames, "Odd: a", "", "During handling of the above exception", *frames, "Odd: b"]) == 9
    assert failing_line([*frames, "Odd: a", "exit after error: b"]) == 4
    assert failing_line(frames) == 2
    assert failing_line(["all is well", "terrors"]) is None


# -- the pane ---------------------------------------------------------------------------------------------------


async def test_the_log_is_searched_from_where_one_looks_on_and_goes_round() -> None:
    session = diamond()
    text = "".join(f"line {number}{' needle' if number in (3, 40, 90) else ''}\n" for number in range(100))
    session.prints("fetch", text)
    async with staged(session, MEDIUM) as stage:
        await stage.press("2", "g", "slash", *"NEEDLE", "enter")
        await stage.shows("1/3 /NEEDLE", "line 3 needle")
        await stage.press("n")
        await stage.shows("2/3 /NEEDLE", "line 40 needle")
        await stage.press("N", "N")
        await stage.shows("3/3 /NEEDLE", "line 90 needle", "the search went on from the end")
        session.prints("fetch", "one more needle\n")
        await stage.shows("3/4 /NEEDLE")
        await stage.press("y")
        await stage.shows("copied to ", 'the line "line 90 needle"')
        await stage.press("escape")
        await stage.hides("/NEEDLE")
        await stage.press("slash", "~", "(", "enter")
        await stage.shows("missing ): (")
        await stage.press("backspace", *"nothing", "enter")
        await stage.shows("~nothing is not in this log")


async def test_wrapping_lines_and_back_loses_neither_the_place_nor_the_end() -> None:
    session = diamond()
    session.prints("fetch", "".join(f"{number:03} {'x' * 100}\n" for number in range(200)))
    async with staged(session, MEDIUM) as stage:
        await stage.press("2", "W")
        await stage.shows("199 xxx")
        await stage.press("k", "k", "k", "k")
        await stage.hides("199 xxx")
        before = numbers_in(stage)
        await stage.press("W")
        await stage.shows("199 xxx")
        await stage.press("W")
        await stage.hides("199 xxx")
        assert numbers_in(stage) == before
        await stage.press("G", "F", "W")
        await stage.shows("long lines of the log are cut off", "199 xxx")
        await stage.press("W")
        await stage.shows("long lines of the log are wrapped", "199 xxx")


async def test_nothing_of_the_former_content_stays_when_a_row_is_painted_before_the_frame() -> None:
    session = diamond()
    session.prints("fetch", "".join(f"line {number}\n" for number in range(8)))
    session.completes("fetch")
    session.prints("clean", "short\n")
    async with staged(session, MEDIUM) as stage:
        await stage.shows("line 7")
        log, view = stage.main.log_pane, session.view()
        await stage.pilot.pause(0.2)
        log.watch_unit(view, session.number("clean"))
        log.changed()
        log.render_line(0)  # as the screen does where something else has passed over one row
        stage.main.tree_pane.select_unit(session.number("clean"))
        await stage.shows("short")
        await stage.hides("line 7")


async def test_what_is_found_beyond_the_edge_of_a_cut_line_is_brought_into_sight() -> None:
    session = diamond()
    session.prints("fetch", f"needle at the begin\n{'x' * 150} a needle far away\n")
    async with staged(session, MEDIUM) as stage:
        await stage.press("2", "slash", *"needle", "enter")
        await stage.shows("1/2 /needle", "needle at the begin")
        await stage.press("n")
        await stage.shows("2/2 /needle", "a needle")
        await stage.press("n")
        await stage.shows("1/2 /needle", "needle at the begin")


def numbers_in(stage: Stage) -> list[str]:
    return re.findall(r"\b(\d\d\d) x", stage.text())


async def test_what_a_unit_died_of_is_searched_too_and_its_long_lines_are_wrapped() -> None:
    session = failed()
    session.prints("features", "x" * 200 + " THE END\n")
    async with staged(session, MEDIUM) as stage:
        await stage.shows("THE END", "ValueError: bad row 17")
        await stage.press("W")
        await stage.hides("THE END")
        await stage.press("2", "slash", *"bad", "enter")
        await stage.shows("1/1 /bad")
        await stage.press("y")
        await stage.shows("copied to ", 'the line "ValueError: bad row 17"')
        await stage.press("W")
        await stage.shows("THE END")


async def test_the_log_of_what_has_failed_stands_where_its_output_tells_of_the_failure() -> None:
    session = diamond()
    session.completes("fetch", "clean")
    farewell = "".join(f"cleaning up {number}\n" for number in range(100))
    session.prints("features", f"reading\nerror: bad row 17\n{farewell}")
    async with staged(session, MEDIUM) as stage:
        session.fails("features", exit_code=3)
        await stage.shows("FAILED", "error: bad row 17", "cleaning up 0")
        await stage.press("2", "G")
        await stage.shows("cleaning up 99")
        await stage.hides("error: bad row 17")
        await stage.press("f")
        await stage.shows("error: bad row 17", "cause 1/1")


async def test_a_failure_is_shown_at_the_end_of_its_traceback_where_the_message_is() -> None:
    chained = ""
    for level in range(6):
        frames = "".join(f'  File "load.py", line {at}, in load\n    error = load({at})\n' for at in range(5))
        chained += (
            f"Traceback (most recent call last):\n{frames}RuntimeError: level {level} {'of the table ' * 8}END\n\n"
        )
    session = diamond()
    session.completes("fetch")
    session.prints("clean", f"reading\n{chained.rstrip()}\n")
    session.fails("clean", exit_code=1)
    session.fails("features", UnitError("KeyError", "'price'", traceback=TRACEBACK * 9 + "KeyError: 'price'"))
    async with staged(session, SMALL) as stage:
        stage.main.tree_pane.select_unit(session.number("fetch"))
        for name, message in (("clean", "RuntimeError: level 5"), ("features", "KeyError: 'price'")):
            await stage.press("f")
            await stage.until(lambda name=name: stage.main.tree_pane.unit == session.number(name), name)
            await stage.until(lambda message=message: message in log_text(stage), message)
            assert stage.main.log_pane.following
        assert "RuntimeError: level 5" not in log_text(stage)


async def test_a_message_behind_which_much_was_printed_is_on_the_screen_as_a_whole() -> None:
    session = diamond()
    session.prints("fetch", f"error: {'x' * 300} THE END\n" + "".join(f"tidy {at}\n" for at in range(40)))
    session.fails("fetch", exit_code=1)
    async with staged(session, SMALL) as stage:
        await stage.press("2", "G")
        await stage.until(lambda: "tidy 39" in log_text(stage), "the end")
        await stage.press("f")
        await stage.until(lambda: "error: xxx" in log_text(stage) and "THE END" in log_text(stage), "the message")
        assert "tidy 0" in log_text(stage)


def log_text(stage: Stage) -> str:
    """What stands in the pane of the log."""
    log = stage.main.log_pane
    return "\n".join("".join(span.text for span in row) for _, row in log._screen_rows())


async def test_beside_the_lines_stands_when_they_were_written() -> None:
    session = diamond()
    session.prints("fetch", "first\nsecond\n")
    session.times[(session.number("fetch"), 1)] = LogTimes((0, 6), (START + 5, START + 65))
    async with staged(session) as stage:
        await stage.press("number_sign", "number_sign")
        await stage.shows(" 0:00:05 first", " 0:01:05 second")
        await stage.press("number_sign")
        await stage.hides("0:01:05 second")


async def test_all_logs_are_searched_and_enter_goes_to_the_line() -> None:
    session = ScriptedSession([unit("a"), unit("b", retry=RetryPolicy(max=1, delay=1)), unit("c")])
    session.prints("b", "the first needle\n")
    session.fails("b")
    session.after(1)
    session.prints("c", "".join(f"line {number}\n" for number in range(200)) + "a needle\n")
    async with staged(session, MEDIUM) as stage:
        await stage.press("ctrl+f", *"needle", "enter")
        await stage.shows("4 of 4 logs, 2 found", "201 a needle", "b try 1", "1 the first needle")
        await stage.press("j", "enter")
        await stage.shows("the first needle", "b  1/1 /needle", "this was try 1; L shows the latest, try 2")
        await stage.press("ctrl+f", "enter")
        await stage.shows("2 found")
        await stage.press("enter")
        await stage.shows("line 199", "a needle", "c  1/1 /needle")


async def test_in_the_log_of_a_failed_unit_the_error_is_copied_wherever_one_looks() -> None:
    session = failed()
    session.prints("features", "shard 22: reading s3\nrow 17 is bad\nbye\n")
    async with staged(session, MEDIUM) as stage:
        await stage.select("features")
        await stage.press("2", "y")
        await stage.shows("copied to ", 'the error (6 lines) "features: ValueError: bad row 17"')
        await stage.press("slash", *"shard", "enter")
        await stage.shows("1/1 /shard")
        await stage.press("y")
        await stage.shows("copied to ", 'the line "shard 22: reading s3"')


async def test_the_error_is_copied_with_the_name_of_its_unit_and_its_last_lines(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TMUX", "")
    session = failed()
    async with staged(session, (200, 24)) as stage:
        await stage.select("features")
        await stage.press("y")
        await stage.shows(f"copied to {tmp_path / 'qtui' / 'copied'} and the clipboard: the error (")
        lines = (tmp_path / "qtui" / "copied").read_text().splitlines()
    assert lines[0] == "features: ValueError: bad row 17"
    assert lines[1:] == TRACEBACK.splitlines()


async def test_of_a_command_the_last_lines_it_printed_are_copied(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TMUX", "/nowhere,1,0")
    monkeypatch.setenv("PATH", str(tmp_path))
    session = diamond()
    session.prints("fetch", "".join(f"\x1b[31mline {number}\x1b[0m  \n\n" for number in range(1000)))
    session.fails("fetch", exit_code=3)
    async with staged(session, (160, 24)) as stage:
        await stage.select("fetch")
        await stage.press("y")
        await stage.shows("qtui/copied; tmux may not have it: No such file or directory")
        lines = (tmp_path / "qtui" / "copied").read_text().splitlines()
    assert lines == ["fetch: exit 3: exit code 3", *(f"line {number}" for number in range(990, 1000))]


async def test_in_tmux_a_copy_is_made_once(tmp_path: Path, monkeypatch) -> None:
    """A sequence as well as the command would make two equal buffers."""
    given: list[str] = []
    monkeypatch.setattr(Drawn, "to_terminal", lambda _, sequence: given.append(sequence))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TMUX", "/nowhere,1,0")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tmux = tmp_path / "tmux"
    tmux.write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked; cat > {tmp_path}/taken\n")
    tmux.chmod(0o755)
    async with staged(diamond()) as stage:
        await stage.press("y")
        await stage.until((tmp_path / "taken").exists, "tmux asked")
        await stage.until(lambda: (tmp_path / "taken").read_text() == "fetch", "the copy")
        assert (tmp_path / "asked").read_text() == "load-buffer -w -\n"
        assert not given
        tmux.write_text("#!/bin/sh\necho unknown flag -w >&2; exit 1\n")
        await stage.press("y")
        await stage.until(lambda: given, "the terminal written to")
    assert given == [clipboard_sequence(b"fetch", {"TMUX": "/nowhere,1,0"})]


async def test_copies_and_saved_logs_say_where_they_are(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))  # or the path would fill the line
    monkeypatch.setenv("PAGER", "no-such-pager")
    monkeypatch.setattr(clipboard, "MOST_BYTES", MOST_BYTES)
    session = diamond()
    session.prints("fetch", "one \x1b[31mred\x1b[0m line\n" * 10_000)
    session.log_files[(session.number("fetch"), 1)] = "/somewhere/fetch.1.log"
    async with staged(session, (200, 24)) as stage:
        written: list[str] = []
        monkeypatch.setattr(stage.app, "to_terminal", written.append)
        await stage.press("y")
        await stage.shows("copied to ", 'the name "fetch"')
        await stage.press("2", "y")
        await stage.shows("copied to ", 'the last line "one')
        await stage.press("Y")
        await stage.shows("copied to ", "copied and the clipboard: the last ", "(s saves all)")
        assert (tmp_path / "state" / "qtui" / "copied").read_text().startswith("one red line\n")
        assert len(written) == 3
        await stage.press("s")
        await stage.shows("saved 220,000 bytes: ", "fetch.1.log")
        assert (tmp_path / "fetch.1.log").read_bytes() == session.logs[(session.number("fetch"), 1)]
        await stage.press("O")
        await stage.shows("no-such-pager is not there")


async def test_a_log_that_cannot_be_read_is_told_in_its_place() -> None:
    session = diamond()
    session.read_log = lambda *_: LogChunk(b"", 0, 0, "the log cannot be read: Is a directory: /x")  # type: ignore[method-assign]
    async with staged(session, SMALL) as stage:
        await stage.shows("the log cannot be read: Is a directory: /x")
        await stage.press("Y")
        await stage.shows("the log cannot be read")


async def test_a_log_that_ends_in_a_long_progress_line_is_copied_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("TMUX", raising=False)
    session = diamond()
    session.prints("fetch", "".join(f"important {number}\n" for number in range(200)))
    session.prints("fetch", "".join(f"\rstep {number}" for number in range(60_000)))
    async with staged(session, (160, 24)) as stage:
        await stage.press("2", "Y")
        await stage.shows("201 lines of the log")
        lines = (tmp_path / "qtui" / "copied").read_text().splitlines()
    assert lines == [*(f"important {number}" for number in range(200)), "step 59999"]
