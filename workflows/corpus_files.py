"""The files between the steps of the corpus pipeline: written in one step, so that a reader never sees a half."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from corpus_text import Document, Passage

HERE = Path(__file__).resolve().parent


def directory(out: str) -> Path:
    """The directory that the param `out` means; a relative one starts at the directory of the workflow files."""
    return HERE / Path(out).expanduser()


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A new file to write, which takes the place of `file` if the block succeeds and is deleted if it fails."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    draft.unlink(missing_ok=True)  # of a run that was killed and had the same numbers
    try:
        yield draft
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Give `file` new contents in one step; characters that UTF-8 cannot hold are written as escapes."""
    with replacing(file) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(file: Path, data: bytes) -> None:
    """Give `file` new contents in one step."""
    with replacing(file) as draft:
        draft.write_bytes(data)


def write_records(file: Path, records: Iterable[Document] | Iterable[Passage]) -> None:
    """Write one JSON object a line."""
    write_text(file, "".join(json.dumps(asdict(record)) + "\n" for record in records))


def read_documents(file: Path) -> list[Document]:
    """The documents that `write_records` wrote."""
    return [Document(**json.loads(line)) for line in _lines(file)]


def read_passages(file: Path) -> list[Passage]:
    """The passages that `write_records` wrote."""
    return [Passage(**json.loads(line)) for line in _lines(file)]


def _lines(file: Path) -> list[str]:
    # not splitlines(): it also splits at characters that may stand inside a JSON string
    return [line for line in file.read_text(encoding="utf-8").split("\n") if line]


def remove_outputs(out: Path, patterns: Iterable[str]) -> None:
    """Delete the files below `out` that match `patterns`, and nothing else."""
    for pattern in patterns:
        for file in out.glob(pattern):
            file.unlink(missing_ok=True)
