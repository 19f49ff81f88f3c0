"""Whether somebody calls from an address that is known."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from pipeline.node.settings import Peer


def is_among(address: str, known: Sequence[str]) -> bool:
    """Whether an address is one of several, or in one of these networks."""
    try:
        caller = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    # One of IPv4 that a socket for both tells in IPv6
    caller = getattr(caller, "ipv4_mapped", None) or caller
    return any(caller in ipaddress.ip_network(each, strict=False) for each in known)


def calls_from(peer: Peer) -> list[str]:
    """The addresses of a peer: those that it names, or else those of its host, looked up each time it calls."""
    if peer.calls_from:
        return list(peer.calls_from)
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(peer.host, None)]
    except OSError:
        # Nobody's: a name that is not known is nobody who could call
        return []
