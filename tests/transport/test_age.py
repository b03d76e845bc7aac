"""Sealed bytes are age's: opened by its own programs, with the right keys alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest

from dkjax.errors import DataError
from dkjax.transport.age import public_key, seal, sealed_length, unseal

IDENTITIES = [pyrage.x25519.Identity.generate() for _ in range(2)]
RECIPIENTS = [str(one.to_public()) for one in IDENTITIES]


@pytest.mark.parametrize("length", [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200_000])
def test_every_length_opens(length: int) -> None:
    plain = os.urandom(length)
    sealed = seal(plain, RECIPIENTS)
    for identity in IDENTITIES:
        assert unseal(bytes(sealed), [identity]) == plain
    assert len(sealed) == sealed_length(length, 2)
    assert plain[:40] not in sealed or length < 2
    with pytest.raises(DataError, match="sealed for another recipient"):
        unseal(bytes(sealed), [pyrage.x25519.Identity.generate()])


def test_two_are_never_the_same() -> None:
    assert seal(b"one image", RECIPIENTS)[200:] != seal(b"one image", RECIPIENTS)[200:]


def test_a_seed_makes_the_same() -> None:
    plain, seed = os.urandom(70_000), os.urandom(32)
    sealed = bytes(seal(plain, RECIPIENTS, seed=seed))
    assert bytes(seal(plain, RECIPIENTS, bytearray(len(sealed)), seed=seed)) == sealed
    assert unseal(sealed, IDENTITIES[1:]) == plain
    shares = {line for line in sealed[:400].split(b"\n") if line.startswith(b"-> X25519 ")}
    other = bytes(seal(plain, RECIPIENTS, seed=os.urandom(32)))
    assert len(shares) == 2 and not any(line in other for line in shares)
    assert sealed[-1000:] != other[-1000:]


@pytest.mark.parametrize("place", [5, 40, 100, 240, 300, -20, -1])
def test_every_change_is_noticed(place: int) -> None:
    sealed = seal(bytes(1000), RECIPIENTS)
    sealed[place] ^= 1
    with pytest.raises(DataError):
        unseal(bytes(sealed), IDENTITIES)


@pytest.mark.parametrize("cut", [0, 10, 200, 1200])
def test_what_is_cut_is_noticed(cut: int) -> None:
    with pytest.raises(DataError, match="damaged, or was not sealed"):
        unseal(bytes(seal(bytes(1000), RECIPIENTS)[:cut]), IDENTITIES)


@pytest.mark.skipif(shutil.which("age") is None, reason="Debian's age is not installed; .ci/run installs it")
def test_debian_opens_it(tmp_path: Path) -> None:
    (tmp_path / "server.agekey").write_text(f"{IDENTITIES[0]}\n")
    plain = os.urandom(150_000)
    (tmp_path / "piece.age").write_bytes(seal(plain, RECIPIENTS))
    command = ["age", "--decrypt", "-i", tmp_path / "server.agekey", tmp_path / "piece.age"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == plain


def test_recipients() -> None:
    assert len(public_key(RECIPIENTS[0])) == 32
    wrong = RECIPIENTS[0][:-1] + ("q" if RECIPIENTS[0][-1] != "q" else "p")
    for text in ("", "age1", wrong, RECIPIENTS[0].upper(), "ssh-ed25519 AAAA", RECIPIENTS[0].replace("age", "agf")):
        with pytest.raises(DataError, match="is no recipient of age"):
            public_key(text)
