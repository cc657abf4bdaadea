"""Named lists that rules read: values with expiry, matched whole or as networks."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=65_536)
def address_of(text: str) -> Address | None:
    """Return the network address that a text is, IPv4 mapped into IPv6 as IPv4; None where it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Lists:
    """All named lists: name -> value -> expiry (microseconds, 0 for ever)."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, int]] = {}
        self._networks: dict[str, dict[Network, str]] = {}

    def add(self, name: str, value: str, expires: int = 0) -> None:
        """Put a value on a list, or give it another expiry."""
        self.values.setdefault(name, {})[value] = expires
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return
        self._networks.setdefault(name, {})[network] = value

    def remove(self, name: str, value: str) -> None:
        """Take a value off a list; nothing happens where it is not on it."""
        if self.values.get(name, {}).pop(value, None) is None:
            return
        networks = self._networks.get(name, {})
        for network in [network for network, text in networks.items() if text == value]:
            del networks[network]

    def holds(self, name: str, value: str, tau: int) -> bool:
        """Return whether a value is on a list and has not expired at ``tau``."""
        expires = self.values.get(name, {}).get(value)
        return expires is not None and (not expires or expires > tau)

    def covers(self, name: str, address: Address, tau: int) -> bool:
        """Return whether an address lies in an unexpired network of a list: one look-up a prefix length in use."""
        networks = self._networks.get(name)
        if not networks:
            return False
        lengths = {network.prefixlen for network in networks if network.version == address.version}
        for length in lengths:
            text = networks.get(ipaddress.ip_network((address, length), strict=False))
            if text is not None and self.holds(name, text, tau):
                return True
        return False

    def sweep(self, tau: int) -> None:
        """Forget what has expired."""
        for name, values in self.values.items():
            for value in [value for value, expires in values.items() if expires and expires <= tau]:
                self.remove(name, value)

    def canonical(self, tau: int) -> list[tuple[str, str, int]]:
        """Return all unexpired entries in order."""
        return sorted(
            (name, value, expires)
            for name, values in self.values.items()
            for value, expires in values.items()
            if not expires or expires > tau
        )
