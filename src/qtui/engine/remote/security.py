"""Whether a cluster may be used: where it is, and whether what runs there understands what runs here."""

from __future__ import annotations

import platform
import socket
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from qtui import __version__

Versions = Mapping[str, str]
"""Versions by name: ``python``, ``qtui``, ``cloudpickle`` and ``distributed``; empty for what is not installed."""

_ENCRYPTED: Final = ("tls", "wss")
_HERE: Final = ("inproc", "unix")


def refusal(address: str, insecure: bool, resolve: Callable[[str], Iterable[str]] | None = None) -> str:
    """Why the scheduler at `address` may not be used; empty if it may.

    A cluster runs what it is sent, and qtui unpickles what comes back, so whoever can speak on the connection can run
    commands at both ends. Without encryption only this machine will do, unless `insecure`. Names count as this machine
    if all that they resolve to does; `resolve` looks them up, and raises OSError for those that are not known.
    """
    scheme, _, rest = address.rpartition("://")
    if not address or insecure or scheme in (*_ENCRYPTED, *_HERE):
        return ""
    host = host_of(rest)
    try:
        if _is_here(host, resolve or _resolved):
            return ""
    except OSError as error:
        return f"{address}: nobody knows the name {host or 'of no host'} ({error.strerror or error})"
    return (
        f"{address} is another machine, and the connection is not encrypted: whoever can reach it can run commands "
        "there and here. Use tls://, a tunnel to 127.0.0.1, or --insecure in a network where you trust everybody"
    )


def host_of(location: str) -> str:
    """The host of ``host:port`` or ``[host]:port``, without brackets."""
    host = location.rpartition(":")[0] if location.rpartition("]")[2].count(":") else location
    return host.removeprefix("[").removesuffix("]")


def _is_here(host: str, resolve: Callable[[str], Iterable[str]]) -> bool:
    if host == "localhost":
        return True
    try:
        return _is_loopback(host)
    except ValueError:  # a name
        found = list(resolve(host))
        return bool(found) and all(map(_is_loopback, found))


def _is_loopback(text: str) -> bool:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:  # which Python before 3.13 does not count
        address = address.ipv4_mapped
    return address.is_loopback


def _resolved(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(str(error)) from None


# -- versions --------------------------------------------------------------------------------------------


def own_versions() -> dict[str, str]:
    """Those of this process."""
    return {
        "python": platform.python_version(),
        "qtui": __version__,
        "cloudpickle": version("cloudpickle"),
        "distributed": version("distributed"),
    }


def versions_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Those of a scheduler or a worker, as Dask tells them: ``get_versions(packages=["qtui"])``."""
    packages = told.get("packages") or {}
    return {name: str(packages.get(name) or "") for name in ("python", "qtui", "cloudpickle", "distributed")}


def versions_differ(ours: Versions, theirs: Mapping[str, Versions]) -> str:
    """Why units cannot run there, with what to do about it; empty if they can. `theirs` are the versions of the
    scheduler and the workers, by name.

    What breaks: functions that are sent by value are byte code, which is another one in each Python 3.x, and
    cloudpickle 2 cannot read what cloudpickle 3 writes; both ends of qtui speak to each other.
    """
    for name, there in theirs.items():
        for package, same, why in _MUST_MATCH:
            here, found = ours[package], there.get(package, "")
            if not found:
                return f"{name} has no {package}: install {_wanted(package, here)} there"
            if same(here) != same(found):
                return f"{name} has {package} {found}, and here it is {here}: {why}. Install the same at both ends"
    return ""


def versions_doubted(ours: Versions, theirs: Mapping[str, Versions]) -> str:
    """A warning about versions that differ and may do nevertheless; empty if there are none."""
    told = [
        f"{name} has {package} {there[package]}"
        for name, there in theirs.items()
        for package in ("cloudpickle", "distributed")
        if there.get(package) and there[package] != ours[package]
    ]
    if not told:
        return ""
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f"{', '.join(told[:3])}{more}; here it is {_here(ours)}. That may do, the same at both ends is safer"


def _minor(text: str) -> list[str]:
    return text.split(".")[:2]


def _major(text: str) -> list[str]:
    return text.split(".")[:1]


_MUST_MATCH: Final[tuple[tuple[str, Callable[[str], Any], str], ...]] = (
    ("python", _minor, "functions that are sent by value would not run"),
    ("qtui", str, "they would not understand each other"),
    ("cloudpickle", _major, "neither could read what the other sends"),
)


def _wanted(package: str, text: str) -> str:
    return f'"qtui[dask]=={text}"' if package == "qtui" else f"{package} {text}"


def _here(ours: Versions) -> str:
    return " and ".join(f"{package} {ours[package]}" for package in ("cloudpickle", "distributed"))
