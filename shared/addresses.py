"""Which addresses are not public: what a setting names must not lead into the house."""

from __future__ import annotations

import ipaddress
import re
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# The address under which Azure's own platform services answer every machine.
_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")
# Public by Python's table of the day, and yet nobody's on the internet: protocol assignments
# (among them a cloud's metadata) and the relays of 6to4.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_RESERVED = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
# https://www.iana.org/assignments/ipv6-address-space
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# IPv4 in the last 32 bits: by NAT64, compatible (long gone) and translated.
_HOLD_IPV4 = tuple(ipaddress.ip_network(n) for n in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"))
_LEGACY = re.compile(r"[0-9a-fx]+(?:\.[0-9a-fx]+){1,3}")


def internal(address: str, *, allow_loopback: bool) -> bool:
    """Whether an IP address must not be sent to: anything that is not public.

    Link-local and metadata addresses, private and unique local ones, multicast, reserved; loopback
    unless it is allowed. IPv4 in IPv6 counts as what is inside.
    """
    found = _inner(ipaddress.ip_address(address))
    if found.is_loopback:
        return not allow_loopback
    if isinstance(found, ipaddress.IPv6Address) and found not in _GLOBAL_UNICAST:
        return True
    reserved = any(found in network for network in _RESERVED)
    return reserved or not found.is_global or found.is_multicast or found == _WIRE_SERVER


def of_the_machine(address: str) -> bool:
    """Whether an IP address is this machine's, its metadata's or its platform's: never a server's.

    Private addresses are none of these: a private endpoint has one.
    """
    found = _inner(ipaddress.ip_address(address))
    itself = found.is_loopback or found.is_unspecified or found == _WIRE_SERVER
    return itself or found.is_link_local or found.is_multicast


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    address = literal(host)
    return bool(address) and ipaddress.ip_address(address).is_loopback


def literal(host: str) -> str:
    """The address that `host` is, empty if it is a name.

    Also in the dotted forms that resolvers take: `127.1`, `0x7f.1`, `0177.0.0.1`. A bare number may
    be a name: in many channels' URLs a token stands where the host would.
    """
    bare = host.strip("[]").partition("%")[0].rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if not _LEGACY.fullmatch(bare) or not bare[0].isdigit():
        return ""
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))
    except OSError:
        return ""


def resolved(host: str) -> set[str]:
    """The addresses of a host, none if there is no such name."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {str(entry[4][0]).partition("%")[0] for entry in found}


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in _HOLD_IPV4) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
