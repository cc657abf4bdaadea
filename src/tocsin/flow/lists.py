"""Named lists that rules read: values with expiry, matched whole or as networks."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
FOR_EVER = (1 << 63) - 1
MOST_CHANGES = 4096
"""How many changes of a list are told one by one; who missed more reads the list anew."""


@lru_cache(maxsize=65_536)
def address_of(text: str) -> Address | None:
    """Return the network address that a text is, IPv4 mapped into IPv6 as IPv4; None where it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network_of(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


class Lists:
    """All named lists: name -> value -> expiry (microseconds, 0 for ever)."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, int]] = {}
        self._networks: dict[str, dict[tuple[int, int], dict[int, str]]] = {}
        self._log: dict[str, tuple[int, list[str]]] = {}

    def add(self, name: str, value: str, expires: int = 0) -> None:
        """Put a value on a list, or give it another expiry."""
        self.values.setdefault(name, {})[value] = expires
        self._note(name, value)
        network = _network_of(value)
        if network is not None:
            lengths = self._networks.setdefault(name, {})
            lengths.setdefault((network.version, network.prefixlen), {})[int(network.network_address)] = value

    def remove(self, name: str, value: str) -> None:
        """Take a value off a list; nothing happens where it is not on it."""
        if self.values.get(name, {}).pop(value, None) is None:
            return
        self._note(name, value)
        network = _network_of(value)
        if network is None:
            return
        lengths, length = self._networks[name], (network.version, network.prefixlen)
        networks, start = lengths.get(length, {}), int(network.network_address)
        if networks.get(start) == value:
            del networks[start]
            if not networks:
                del lengths[length]

    def _note(self, name: str, value: str) -> None:
        first, log = self._log.setdefault(name, (0, []))
        log.append(value)
        if len(log) > MOST_CHANGES:
            self._log[name] = (first + len(log), [])

    def version(self, name: str) -> int:
        """Return a number that grows with every change of the list."""
        first, log = self._log.get(name, (0, []))
        return first + len(log)

    def changed(self, name: str, since: int) -> list[str] | None:
        """Return the values that were added or removed after a version, None where that is too long ago."""
        first, log = self._log.get(name, (0, []))
        return log[since - first :] if since >= first else None

    def until(self, name: str, value: str) -> int:
        """Return the tau before which a value is on a list; 0 where it is not on it."""
        expires = self.values.get(name, {}).get(value)
        return 0 if expires is None else expires or FOR_EVER

    def holds(self, name: str, value: str, tau: int) -> bool:
        """Return whether a value is on a list and has not expired at ``tau``."""
        expires = self.values.get(name, {}).get(value)
        return expires is not None and (not expires or expires > tau)

    def covers(self, name: str, address: Address, tau: int) -> bool:
        """Return whether an address lies in an unexpired network of a list: one look-up a prefix length in use."""
        return self.covered_until(name, address) > tau

    def covered_until(self, name: str, address: Address) -> int:
        """Return the tau before which an address lies in a network of a list; 0 where it lies in none."""
        lengths = self._networks.get(name)
        if not lengths:
            return 0
        number, version, bits = int(address), address.version, address.max_prefixlen
        longest = 0
        for (family, length), networks in lengths.items():
            if family == version:
                text = networks.get(number >> (bits - length) << (bits - length))
                if text is not None:
                    longest = max(longest, self.until(name, text))
        return longest

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
