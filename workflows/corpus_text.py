"""Documents of the corpus: what the docstrings of the Python standard library say, cut into passages."""

from __future__ import annotations

import ast
import inspect
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from sysconfig import get_paths

PASSAGE_WORDS = 90
OVERLAP_WORDS = 15

_WORD = re.compile(r"[a-z][a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMON = (
    "about above after all also an and any are argument arguments as at be been before being but by can cannot could "
    "default did do does done each either else for from given had has have how if in instead into is it its itself "
    "may more most must no none not object of on one only or other otherwise over return returned returns same see "
    "self set should so some such than that the their them then there these they this those to under until up use "
    "used using value values was were what when where whether which while who why will with within without would you "
    "your class def false true str int bytes"
)
_STOP_WORDS = frozenset(_COMMON.split())

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One docstring: the dotted name it belongs to, a title for people, and where it stands."""

    id: str
    title: str
    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document that is short enough to be compared as a whole; `number` counts from 0."""

    document: str
    number: int
    title: str
    file: str
    line: int
    text: str


def standard_library() -> Path:
    """The directory that holds the standard library of this Python."""
    return Path(get_paths()["stdlib"])


def words(text: str) -> list[str]:
    """The lower-case words of `text` that carry meaning; ``snake_case`` and ``CamelCase`` names give their parts."""
    found = _WORD.findall(_CAMEL.sub(" ", text).lower())
    return [word for word in found if word not in _STOP_WORDS]


def source_files(name: str, limit: int) -> list[Path]:
    """The source files of the standard library's package or module `name`, at most `limit`.

    A package gives the modules directly in it: ``__init__`` first, then the largest ones. A name that this
    machine does not have gives none.
    """
    place = standard_library().joinpath(*name.split("."))
    module = place.with_name(f"{place.name}.py")
    if module.is_file():
        return [module]
    if not place.is_dir():
        return []
    files = sorted(place.glob("*.py"), key=lambda file: (file.name != "__init__.py", -file.stat().st_size, file.name))
    return files[:limit]


def module_name(file: Path) -> str:
    """The dotted name by which a file of the standard library is imported."""
    parts = file.relative_to(standard_library()).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def documents_in(file: Path, max_chars: int) -> list[Document]:
    """One document for the module and for every public class and function in `file` that has a docstring.

    Texts are cut after `max_chars` characters. A file that does not parse gives none: some of the library's files
    are broken on purpose.
    """
    try:
        with tokenize.open(file) as stream:
            tree = ast.parse(stream.read())
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    module = module_name(file)
    place = file.relative_to(standard_library()).as_posix()
    found: dict[str, Document] = {}
    for name, title, line, text in _docstrings(tree, module):
        # the first definition counts where a name is defined twice, as in the branches of an `if`
        document = Document(id=name, title=title, file=place, line=line, text=text[:max_chars])
        found.setdefault(document.id, document)
    return list(found.values())


def _docstrings(tree: ast.Module, module: str) -> Iterator[tuple[str, str, int, str]]:
    text = ast.get_docstring(tree)
    if text:
        yield module, f"module {module}", 1, text
    pending: list[tuple[str, ast.AST]] = [(module, node) for node in reversed(tree.body)]
    while pending:
        owner, node = pending.pop()
        if isinstance(node, Definition):
            if node.name.startswith("_"):
                continue
            name = f"{owner}.{node.name}"
            text = ast.get_docstring(node)
            if text:
                yield name, _title(node, name), node.lineno, text
            if isinstance(node, ast.ClassDef):
                pending.extend((name, child) for child in reversed(node.body))
        elif isinstance(node, ast.If | ast.Try):
            pending.extend((owner, child) for child in reversed(list(ast.iter_child_nodes(node))))


def _title(node: Definition, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {name}"
    return f"{name}({ast.unparse(node.args)})"


def language_topics(max_chars: int) -> list[Document]:
    """The pages of the language reference behind ``help("if")``.

    Raises FileNotFoundError where a distribution has left them out.
    """
    if util.find_spec("pydoc_data") is None or util.find_spec("pydoc_data.topics") is None:
        raise FileNotFoundError("this Python comes without pydoc_data.topics, the pages of the language reference")
    from pydoc_data.topics import topics  # a large module that nothing else needs

    return [
        Document(
            id=f"topic.{name}",
            title=f"language topic {name}",
            file="pydoc_data/topics.py",
            line=1,
            text=inspect.cleandoc(text)[:max_chars],
        )
        for name, text in sorted(topics.items())
    ]


def passages_of(document: Document) -> Iterator[Passage]:
    """Cut a document into passages of at most `PASSAGE_WORDS` words, each with the end of the one before it."""
    starts = [match.start() for match in re.finditer(r"\S+", document.text)]
    step = PASSAGE_WORDS - OVERLAP_WORDS
    for number, first in enumerate(range(0, max(len(starts) - OVERLAP_WORDS, 1), step)):
        if not starts:
            return
        end = first + PASSAGE_WORDS
        text = document.text[starts[first] : starts[end] if end < len(starts) else None]
        yield Passage(
            document=document.id,
            number=number,
            title=document.title,
            file=document.file,
            line=document.line,
            text=text.rstrip(),
        )


def shares(sizes: dict[str, int], count: int) -> list[list[str]]:
    """Divide names among `count` shares so that the sums of their sizes are close; the same for the same input."""
    loads = [0] * count
    parts: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        lightest = loads.index(min(loads))
        parts[lightest].append(name)
        loads[lightest] += sizes[name]
    return parts
