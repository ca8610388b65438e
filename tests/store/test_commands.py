"""Other processes ask through a file, and the one that runs the run answers."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    GovernorRequested,
    InterruptRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    RetryRequested,
    SetAsideRequested,
    UnpauseRequested,
    WorkersRequested,
    WorkersStepRequested,
)
from qtui.store.commands import CommandQueue, decode_request, put_aside
from qtui.store.errors import JournalDamaged, JournalError

REQUESTS: list[Request] = [
    CancelRequested((1, 2), "by \u00fc"),
    CancelRunRequested("drain"),
    InterruptRequested(15),
    RetryRequested((3,), "dependents"),
    EditRequested((2,), ("A=b=\u00fc",), "make", 1.5, 1 << 30, 0.5, -3, args=("x=3",)),
    SetAsideRequested((1,), "done"),
    ApproveRequested((0,)),
    ReleaseRequested(("tag:x",)),
    ReleaseRequested(),
    PauseRequested(),
    UnpauseRequested("x"),
    WorkersRequested(3),
    WorkersStepRequested(-1),
    GovernorRequested(on=True),
]


ANOTHER = """
import sys
from pathlib import Path
from qtui.store.commands import CommandQueue
queue = CommandQueue(Path(sys.argv[1]))
print(len(queue.all()))
queue.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "commands.db"


def test_every_request_arrives_as_it_was(path: Path) -> None:
    assert {type(request) for request in REQUESTS} >= set(get_args(Request)) - _MORE
    with closing(CommandQueue(path)) as asking, closing(CommandQueue(path)) as running:
        numbers = [asking.ask("me", request, attempt) for attempt, request in enumerate(REQUESTS)]
        found = running.pending()
        assert [command.request for command in found] == REQUESTS
        for command, request in zip(found, REQUESTS, strict=True):
            assert command.request is not None and type(command.request) is type(request)
            assert [type(field) for field in command.request] == [type(field) for field in request]
        assert [command.id for command in found] == numbers == sorted(numbers)
        assert [command.attempt for command in found] == list(range(len(REQUESTS)))
        assert {command.who for command in found} == {"me"}


_MORE: set[type] = {cls for cls in get_args(Request) if "lane" in cls._fields}
"""Wishes of the governor, which nobody else has."""


def test_an_answer_is_found_by_who_asked_and_the_first_one_stays(path: Path) -> None:
    with closing(CommandQueue(path)) as asking, closing(CommandQueue(path)) as running:
        first, second = asking.ask("me", PauseRequested()), asking.ask("you", PauseRequested())
        assert asking.answer_of(first) is None
        running.answer(first, "done")
        running.answer(first, "too late")
        assert asking.answer_of(first) == "done"
        assert [command.id for command in running.pending()] == [second]
        everything = asking.all()
        assert [(command.who, command.answer) for command in everything] == [("me", "done"), ("you", None)]
        assert everything[0].answered_at is not None and everything[0].answered_at >= everything[0].at
        assert asking.answer_of(999) is None


def test_a_change_by_another_is_seen_once(path: Path) -> None:
    with closing(CommandQueue(path)) as asking, closing(CommandQueue(path)) as running:
        assert running.changed() and not running.changed()
        asking.ask("me", PauseRequested())
        assert running.changed() and not running.changed()


def test_a_request_of_a_newer_version_is_there_to_be_refused(path: Path) -> None:
    with closing(CommandQueue(path)) as queue:
        with closing(sqlite3.connect(path)) as database:
            for text in ('{"request": "DanceRequested"}', '{"request": "PauseRequested", "style": 1}', "[]", "no"):
                database.execute("INSERT INTO command (who, at, request, attempt) VALUES ('x', 1, ?, 0)", (text,))
            database.commit()
        assert [command.request for command in queue.pending()] == [None] * 4


@pytest.mark.parametrize("number", [0, -9, 65, 10**6, 1 << 40])
def test_a_signal_that_there_is_not_is_no_request(number: int) -> None:
    assert decode_request(f'{{"request": "InterruptRequested", "signal": {number}}}') is None


@pytest.mark.parametrize("number", [2**63 - 1, 2**53, -(2**63)])
def test_a_strange_number_of_a_row_is_in_nobodys_way(path: Path, number: int) -> None:
    with closing(CommandQueue(path)) as queue:
        before = queue.ask("me", PauseRequested())
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                "INSERT INTO command (id, who, at, request, attempt) VALUES (?, 'x', 1, 'no', 0)", (number,)
            )
            database.commit()
        asked = [queue.ask("me", PauseRequested()) for _ in range(3)]
        assert asked == [before + 1, before + 2, before + 3]
        for each in (before, *asked):
            queue.answer(each, "done")
            assert queue.answer_of(each) == "done"


def test_the_file_is_for_the_user_alone_and_no_link_is_followed(path: Path) -> None:
    with closing(CommandQueue(path)) as queue:
        queue.ask("me", PauseRequested())
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    link = path.with_name("link.db")
    link.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(JournalError):
        CommandQueue(link)
    assert not path.with_name("elsewhere").exists()


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(JournalDamaged):
        CommandQueue(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
    with pytest.raises(JournalDamaged, match="another program"):
        CommandQueue(path)


def test_many_may_open_it_for_the_first_time_and_ask_at_once(path: Path) -> None:
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            with closing(CommandQueue(path)) as queue:
                for _ in range(20):
                    queue.ask("me", PauseRequested())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with closing(CommandQueue(path)) as queue:
        assert len(queue.pending()) == 120


def test_who_is_stopped_in_the_middle_of_asking_keeps_nobody_from_reading(path: Path) -> None:
    with closing(CommandQueue(path)) as queue:
        number = queue.ask("me", PauseRequested())
        code = (
            "import os, signal, sqlite3, sys\n"
            "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "database.execute('BEGIN IMMEDIATE')\n"
            "print('asking', flush=True)\n"
            "os.kill(os.getpid(), signal.SIGSTOP)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None and process.stdout.readline() == "asking\n"
            os.waitpid(process.pid, os.WUNTRACED)
            assert [command.id for command in queue.pending()] == [number]
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        queue.answer(number, "done")
        assert queue.answer_of(number) == "done"


@pytest.mark.parametrize(
    "text",
    [
        '{"request": "CancelRequested", "units": ["x"]}',
        '{"request": "CancelRequested", "units": [null]}',
        '{"request": "CancelRequested", "units": [[1]]}',
        '{"request": "CancelRequested", "units": [1.5]}',
        '{"request": "CancelRequested", "units": [true]}',
        '{"request": "CancelRequested", "units": "12"}',
        '{"request": "CancelRequested", "units": [1], "cause": 5}',
        '{"request": "CancelRunRequested", "how": ["stop"]}',
        '{"request": "ReleaseRequested", "scopes": "tag:x"}',
        '{"request": "WorkersRequested", "target": "x"}',
        '{"request": "WorkersRequested", "target": Infinity}',
        '{"request": "WorkersRequested", "target": 1' + "0" * 400 + "}",
        '{"request": "GovernorRequested", "on": 1}',
        '{"request": ["CancelRequested"]}',
        "[" * 100_000,
    ],
)
def test_a_field_of_another_type_makes_it_no_request(text: str) -> None:
    assert decode_request(text) is None


def test_a_row_of_other_types_is_there_to_be_refused(path: Path) -> None:
    pause = '{"request": "PauseRequested"}'
    with closing(CommandQueue(path)) as queue:
        with closing(sqlite3.connect(path)) as database:
            for who, at, request, attempt in (
                (b"\xff", 1, pause, 0), ("x", "now", pause, 0), ("x", 1, pause, "first"), ("x", 1, b"\xff", 0),
            ):  # fmt: skip
                values = (who, at, request, attempt)
                database.execute("INSERT INTO command (who, at, request, attempt) VALUES (?, ?, ?, ?)", values)
            database.execute("INSERT INTO command (who, at, request, attempt) VALUES (CAST(x'ff' AS TEXT), 1, '', 0)")
            database.commit()
        asked = queue.pending()
        assert [command.request for command in asked] == [PauseRequested(), None, None, None, None]
        assert all(isinstance(command.who, str) for command in asked)


def test_who_asks_has_a_name_of_a_line(path: Path) -> None:
    with closing(CommandQueue(path)) as queue:
        queue.ask("x" * 1000, PauseRequested())
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE command SET who = who || who")
            database.commit()
        (command,) = queue.pending()
        assert command.who == "x" * 200


def test_a_damaged_file_is_put_aside_and_made_anew(path: Path) -> None:
    for number in (1, 2):
        path.write_bytes(b"garbage" * 1000)
        assert put_aside(path) == path.with_name(f"commands.db.damaged-{number}")
        with closing(CommandQueue(path)) as queue:
            assert queue.pending() == []


def test_who_asks_can_tell_that_the_file_was_put_aside(path: Path) -> None:
    with closing(CommandQueue(path)) as asking:
        assert not asking.replaced
        put_aside(path)
        assert asking.replaced


def test_a_file_without_its_table_is_damaged(path: Path) -> None:
    CommandQueue(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE command")
    with pytest.raises(JournalDamaged, match="no such table"):
        CommandQueue(path)


def test_texts_of_others_are_such_as_can_be_written_and_not_long(path: Path) -> None:
    with closing(CommandQueue(path)) as queue:
        queue.ask("me", PauseRequested("by \udcff"))
        queue.ask("me", PauseRequested("x" * 5_000))
        half, long = (command.request for command in queue.pending())
    assert half == PauseRequested("by \\udcff")
    assert long is None


def test_a_second_queue_of_the_same_process_does_not_take_the_locks_of_the_first(path: Path) -> None:
    def seen_by_another() -> str:
        return subprocess.run([sys.executable, "-c", ANOTHER, str(path)], capture_output=True, text=True).stdout.strip()

    with closing(CommandQueue(path)) as first:
        first.ask("ada", PauseRequested())
        CommandQueue(path).close()
        assert seen_by_another() == "1"  # and when it closed the file, it did not take itself for the last
        first.ask("ada", UnpauseRequested())

        assert seen_by_another() == "2"
