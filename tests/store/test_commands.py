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
    GovernorRequested,
    InterruptRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    RetryRequested,
    UnpauseRequested,
    WorkersRequested,
    WorkersStepRequested,
)
from qtui.store.commands import CommandQueue
from qtui.store.errors import JournalDamaged, JournalError

REQUESTS: list[Request] = [
    CancelRequested((1, 2), "by \udcff"),
    CancelRunRequested("drain"),
    InterruptRequested(15),
    RetryRequested((3,), "dependents"),
    ApproveRequested((0,)),
    ReleaseRequested(("tag:x",)),
    ReleaseRequested(),
    PauseRequested(),
    UnpauseRequested("x"),
    WorkersRequested(3),
    WorkersStepRequested(-1),
    GovernorRequested(on=True),
]


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
