"""What a node is told by its YAML file: who it is, whom it knows, and what it refuses; docs/node.md has all keys."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipeline.core.errors import InputError
from pipeline.core.nearest_name import did_you_mean

# DICOM's application entity titles: 16 characters, no backslash
AE_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")
LOOPBACK = "127.0.0.1"
# Bytes of what limits call a megabyte
MIB = 1 << 20
Made = TypeVar("Made")


@dataclass(frozen=True)
class Tls:
    """Files in PEM format.

    Args:
        certificate, key: of this node.
        authorities: certificates that those of the others are signed by; with them everybody has to show one.
    """

    certificate: str
    key: str
    authorities: str = ""


@dataclass(frozen=True)
class Peer:
    """Another program of the network, by its AE title.

    Args:
        name: the AE title; of one with a `url` any name.
        host, port: where it is reached by C-STORE, and the address that it calls from.
        calls_from: addresses that it calls from, where `host` is not it.
        may_send: whether its series are taken.
        send_to: names of peers that get what its series gave; empty for itself.
        find: whether it is asked by C-FIND how many images a series has that it sent.
        tls: whether it is sent to by TLS.
        url: of a peer that is sent to by STOW-RS: `http://host/dicom-web/studies`.
        credentials: file with `user:password` for that.
    """

    name: str
    host: str = ""
    port: int = 0
    calls_from: tuple[str, ...] = ()
    may_send: bool = False
    send_to: tuple[str, ...] = ()
    find: bool = True
    tls: bool = False
    url: str = ""
    credentials: str = ""

    @property
    def targets(self) -> tuple[str, ...]:
        return self.send_to or (self.name,)


@dataclass(frozen=True)
class Web:
    """STOW-RS, the page and /health.

    Args:
        host, port: where it listens.
        may_call: addresses that are answered.
        may_store: whether they may send series.
        send_to: names of peers that get what those gave.
        names: what the node may be called in a request; any where it is empty.
    """

    port: int
    host: str = LOOPBACK
    may_call: tuple[str, ...] = (LOOPBACK, "::1")
    may_store: bool = True
    send_to: tuple[str, ...] = ()
    names: tuple[str, ...] = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Limits:
    """Where it says no.

    Args:
        associations: at a time.
        association_mb: megabytes that one association may bring.
        object_mb: megabytes of one object, or of one request by STOW-RS.
        series_images: images of a series.
        series_mb: megabytes of a series.
        queue: series that are not sent back yet.
        free_disk_mb: megabytes that have to stay free.
    """

    associations: int = 8
    association_mb: int = 16384
    object_mb: int = 2048
    series_images: int = 4096
    series_mb: int = 4096
    queue: int = 500
    free_disk_mb: int = 2048


@dataclass(frozen=True)
class Settings:
    """All of it.

    Args:
        aet: this node's own AE title.
        host, port: where it listens for DICOM.
        peers: by name.
        web: None for none.
        tls: None for none.
        quiet_s: seconds without an image after which a series is complete, once its sender has ended its association.
        broken_off_s: seconds in which a sender that broke off may go on.
        idle_s: seconds without a word after which an association is broken off.
        retry_s, longest_retry_s: the pause after the first failed attempt to send, which doubles up to the other.
        give_up_h: hours after which what could not be sent is told as failed.
        kept_h: hours in which the images of a settled series are kept.
        kept_series: settled series that are remembered.
        rtstruct: whether an RT structure set goes back too.
    """

    aet: str
    peers: Mapping[str, Peer]
    port: int = 11112
    host: str = LOOPBACK
    web: Web | None = None
    tls: Tls | None = None
    limits: Limits = field(default_factory=Limits)
    quiet_s: float = 10.0
    broken_off_s: float = 120.0
    idle_s: float = 60.0
    retry_s: float = 5.0
    longest_retry_s: float = 600.0
    give_up_h: float = 72.0
    kept_h: float = 24.0
    kept_series: int = 1000
    rtstruct: bool = False

    def send_to(self, sender: str) -> tuple[str, ...]:
        """Names of the peers that get what a sender's series gave; an empty name is whoever stored by STOW-RS."""
        if sender:
            return self.peers[sender].targets if sender in self.peers else ()
        return self.web.send_to if self.web else ()


def read_settings(file: str | Path) -> Settings:
    """The settings of a YAML file; InputError that names the key where something does not fit."""
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"SETTINGS is {file}, which cannot be read ({error.strerror}); check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is no YAML ({str(error).splitlines()[0]}); see docs/node.md for one.") from error
    found = _made(Settings, content, str(file), peers=_peers(content, str(file)))
    _check(found, str(file))
    return found


def _peers(content: Any, where: str) -> dict[str, Peer]:
    peers = content.get("peers") if isinstance(content, dict) else None
    if not isinstance(peers, dict) or not peers:
        raise InputError(f"{where}: names no peers; expected at least one, by its AE title; see docs/node.md.")
    return {str(name): _made(Peer, told, f"{where}, peer {name}", name=str(name)) for name, told in peers.items()}


def _made(kind: type[Made], content: Any, where: str, **known: Any) -> Made:
    """An object of a dataclass from a mapping; InputError for other keys, other types, and for what is missing."""
    if not isinstance(content, dict):
        raise InputError(f"{where}: is {content!r}; expected keys with values; see docs/node.md.")
    kinds = typing.get_type_hints(kind)
    values: dict[str, Any] = dict(known)
    for key, value in content.items():
        if key not in kinds or (key in known and key == "name"):
            raise InputError(f"{where}: has the key {key!r}{did_you_mean(str(key), [*kinds])}; see docs/node.md.")
        if key not in known:
            values[key] = _value(kinds[key], value, f"{where}: {key}")
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    needed = [each.name for each in fields if each.default is each.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in values]:
        raise InputError(f"{where}: lacks {', '.join(missing)}; see docs/node.md.")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    # Of `Web | None` too
    for inner in (kind, *typing.get_args(kind)):
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            return _made(inner, value, where)
    if kind == tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and all(isinstance(each, str) for each in texts):
            return tuple(texts)
        raise InputError(f"{where} is {value!r}; expected texts in [ ].")
    expected: tuple[type, ...] = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}[kind]
    if not isinstance(value, expected) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{where} is {value!r}; expected {_IN_WORDS[kind]}.")
    if isinstance(value, int | float) and value < 0:
        raise InputError(f"{where} is {value}; expected no negative number.")
    return kind(value)


_IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _check(found: Settings, where: str) -> None:
    titles = [found.aet, *(name for name, peer in found.peers.items() if not peer.url)]
    for title in titles:
        if not AE_TITLE.fullmatch(title):
            raise InputError(f"{where}: {title!r} is no AE title; expected 1 to 16 characters of ASCII.")
    for name, peer in found.peers.items():
        if bool(peer.url) == bool(peer.host):
            raise InputError(f"{where}, peer {name}: expected host and port, or a url; give one of them.")
        if peer.url and (peer.may_send or not re.match(r"https?://[^\s/]+/", peer.url)):
            raise InputError(f"{where}, peer {name}: a peer with a url is sent to alone, at http://host/path.")
        if peer.host and not 0 < peer.port < 65536:
            raise InputError(f"{where}, peer {name}: port is {peer.port}; expected 1 to 65535.")
        _check_addresses(peer.calls_from, f"{where}, peer {name}: calls_from")
        if peer.tls and not found.tls:
            raise InputError(f"{where}, peer {name}: tls is true, but there are no files under tls; name them.")
    for name in [*(name for peer in found.peers.values() for name in peer.send_to), *(found.send_to(""))]:
        if name not in found.peers:
            raise InputError(f"{where}: send_to names {name!r}{did_you_mean(name, [*found.peers])}, which is no peer.")
    if found.web:
        _check_addresses(found.web.may_call, f"{where}: web: may_call")
        if found.web.may_store and not found.web.send_to:
            raise InputError(f"{where}: web: name in send_to who gets the results, or say may_store: false.")
    for file in dataclasses.astuple(found.tls) if found.tls else ():
        if file and not Path(file).is_file():
            raise InputError(f"{where}: tls names {file}, which is no file; check the path.")


def _check_addresses(addresses: tuple[str, ...], where: str) -> None:
    for address in addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise InputError(f"{where} has {address!r}; expected addresses such as 10.0.0.7, 10.0.0.0/24.") from error
