"""Ed25519 keys and signatures over canonical JSON (RFC 8785): who says it, and that it was not changed.

A key is kept as OpenSSH keeps it, so that the same key can be a recipient of age: reports are sealed to it.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dkjax.errors import DataError
from dkjax.runtime.files import sync, whole_file
from dkjax.transport.packages import needed

SIGNATURE = "signature"
"""The field of an object that holds its signature, and is not signed itself."""


def canonical(tree: Any) -> bytes:
    """Return the bytes of a JSON value that are signed and hashed: RFC 8785.

    Raises:
        DataError: a value has none, such as a whole number from 2^53 on.
    """
    rfc8785 = needed("rfc8785")
    try:
        return rfc8785.dumps(tree)
    except rfc8785.CanonicalizationError as error:
        raise DataError(f"this cannot be written as canonical JSON: {error}") from None


def signed(tree: dict[str, Any], purpose: str, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return an object with its signature.

    Args:
        tree: JSON values, without a signature.
        purpose: what it is, so that a signature of one kind is none of another.
        key: whose signature.
    """
    return {**tree, SIGNATURE: key.sign(_message(tree, purpose)).hex()}


def is_signed(tree: dict[str, Any], purpose: str, public_key: str) -> bool:
    """Say whether an object bears the signature of a public key, in 64 hexadecimal digits; arguments as `signed`."""
    rest = {name: value for name, value in tree.items() if name != SIGNATURE}
    try:
        signature = bytes.fromhex(tree[SIGNATURE])
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, _message(rest, purpose))
    except (InvalidSignature, ValueError, TypeError, KeyError):
        return False
    return True


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public key in 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def fingerprint(public_key: str) -> str:
    """Return a public key as people compare it: six groups of four hexadecimal digits of its SHA-256.

    96 bits: to make a key with the fingerprint of another takes 2^96 tries.
    """
    digits = hashlib.sha256(bytes.fromhex(public_key)).hexdigest()
    return " ".join(digits[place : place + 4] for place in range(0, 24, 4))


def open_ssh(public_key: str) -> str:
    """Return a public key as OpenSSH writes it, which age takes as a recipient."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Read a key, or make one where there is no file; only its owner may read the file.

    Args:
        path: an OpenSSH private key of the kind ed25519, without a passphrase.

    Raises:
        DataError: the file is no such key.
    """
    if path.exists():
        return load_key(path)
    key = Ed25519PrivateKey.generate()
    write_secret(
        path,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
    )
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a key; as `load_or_make_key`, for a file that is there."""
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    except OSError as error:
        raise DataError(f"the key {path} cannot be read: {error.strerror}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise DataError(f"{path} is no Ed25519 key of OpenSSH without a passphrase: remove it, and one is made")
    return key


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file(path) as unfinished:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
    sync(path.parent)


def _message(tree: dict[str, Any], purpose: str) -> bytes:
    return f"dkjax {purpose} v1\n".encode() + canonical(tree)
