"""Passwords, tokens and keys: made, hashed, compared.

Reference: RFC 7914 (scrypt); cost as OWASP's password storage cheat sheet asks (N = 2^14, r = 8, p = 5).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

SHORTEST = 10
LONGEST = 200
_N, _R, _P = 2**14, 8, 5
_WORDS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def hashed(password: str) -> str:
    """Return ``scrypt$N$r$p$salt$hash`` with a fresh salt; takes about a tenth of a second on purpose."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_N}${_R}${_P}${_b64(salt)}${_b64(_scrypt(password, salt, _N, _R, _P))}"


def matches(password: str, stored: str) -> bool:
    """Return whether a password is the one whose hash is stored."""
    scheme, n, r, p, salt, digest = stored.split("$")
    if scheme != "scrypt" or len(password) > LONGEST:
        return False
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


def objection(password: str, user: str) -> str:
    """Return why a password is not good enough, or nothing: length counts, kinds of characters do not (NIST 800-63)."""
    if len(password) < SHORTEST:
        return f"the password must have at least {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"the password must have at most {LONGEST} characters"
    if len(set(password)) < 5:
        return "the password repeats itself"
    if user.lower() in password.lower() or "tocsin" in password.lower():
        return "the password holds the name of the user or of the product"
    return ""


def generated() -> str:
    """Return a password of 20 characters (117 bits) without look-alikes, in groups of five."""
    letters = "".join(secrets.choice(_WORDS) for _ in range(20))
    return "-".join(letters[start : start + 5] for start in range(0, 20, 5))


def token(prefix: str = "") -> str:
    """Return a random token of 256 bits, readable in a header."""
    return prefix + secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a token: tokens have 256 bits of their own and need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
