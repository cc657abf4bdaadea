"""Keyed hashes: the kernel says what the plain twin says, and who does not know the seed cannot choose."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.hashing import DEFAULT_SEED, Hasher, joined, joined_columns, siphash

WORDS = st.integers(0, 2**64 - 1)


@given(st.text(max_size=60), st.binary(min_size=16, max_size=16))
def test_the_kernel_gives_the_hash_of_the_plain_twin(text: str, seed: bytes) -> None:
    """Whatever the length and the seed, also of no text."""
    assert Hasher(seed).text(text) == siphash(seed, text.encode())


def test_siphash_is_the_published_function() -> None:
    """The 1-3 variant: Rust's vectors under the reference key, and Python's own hash of bytes under the zero key."""
    vectors = {0: 0xABAC0158050FC4DC, 8: 0x369095118D299A8E}
    assert {n: siphash(bytes(range(16)), bytes(range(n))) for n in vectors} == vectors
    if sys.hash_info.algorithm == "siphash13":
        say = "print([hash(bytes(range(n))) % 2**64 for n in range(8, 40)])"
        run = [sys.executable, "-c", say]
        said = subprocess.run(run, env={"PYTHONHASHSEED": "0"}, check=True, capture_output=True, text=True).stdout
        assert said.strip() == str([siphash(bytes(16), bytes(range(n))) for n in range(8, 40)])


def test_half_a_surrogate_has_a_hash() -> None:
    """JSON can hold what UTF-8 cannot."""
    assert Hasher().text("\ud83d") == siphash(DEFAULT_SEED, b"\xed\xa0\xbd")


@given(st.lists(st.tuples(WORDS, WORDS), max_size=20))
def test_columns_are_joined_as_single_keys_are(pairs: list[tuple[int, int]]) -> None:
    """One mixing for both ways."""
    texts, shops = (np.array([pair[side] for pair in pairs], np.uint64) for side in (0, 1))
    assert joined_columns(texts, shops).tolist() == [joined(*pair) for pair in pairs]


@given(st.text(max_size=20), st.text(max_size=8), st.text(max_size=8))
def test_the_same_key_in_another_shop_is_another_key(key: str, shop: str, other: str) -> None:
    """Nothing of one shop is counted in another."""
    hasher = Hasher()
    same = joined(hasher.text(key), hasher.text(shop)) == joined(hasher.text(key), hasher.text(other))
    assert same == (shop == other)


def test_another_seed_gives_other_hashes() -> None:
    """Keys that collide in one installation do not in the next."""
    texts = [f"card-{at}" for at in range(500)]
    one, other = Hasher(), Hasher(bytes(16))
    assert not {one.text(text) for text in texts} & {other.text(text) for text in texts}
    with pytest.raises(ValueError, match="16 bytes"):
        Hasher(b"short")


def test_the_memory_of_texts_is_bounded() -> None:
    """Millions of one-off keys cost no memory, and what was let go of has the same hash again."""
    hasher = Hasher()
    first = hasher.text("k0")
    for at in range(70_000):
        hasher.text(f"k{at}")
    assert len(hasher._kept) <= 65_536
    assert hasher.text("k0") == first


def test_texts_that_are_missing_are_said_to_be() -> None:
    """A missing text has no hash: its place is not to be read."""
    hashes, present = Hasher().texts(["a", None, ""])
    assert present.tolist() == [True, False, True]
    assert (hashes[0], hashes[2]) == (Hasher().text("a"), Hasher().text(""))


@given(st.lists(st.none() | st.text(max_size=12), max_size=40))
def test_many_texts_have_the_hashes_of_each(texts: list[str | None]) -> None:
    """Whether they are kept, hashed one by one or in one call."""
    hasher, other = Hasher(), Hasher()
    for text in texts[::3]:
        if text is not None:
            hasher.text(text)
    hashes, present = hasher.texts(texts)
    assert hashes.tolist() == [0 if text is None else other.text(text) for text in texts]
    assert present.tolist() == [text is not None for text in texts]
