"""Sealing in the format age v1 (https://c2sp.org/age), to X25519 recipients, with the primitives of `cryptography`.

Written here because `pyrage` encrypts at a sixth of the speed and keeps the interpreter meanwhile; opening, where the
bytes are a stranger's, is `pyrage`'s.
"""

import base64
import os
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dkjax.errors import DataError, DkjaxError
from dkjax.transport.packages import needed

_VERSION = b"age-encryption.org/v1"
_CHUNK = 64 << 10
_TAG = 16
_SEED = 32
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def seal(
    plain: bytes | memoryview, recipients: Sequence[str], into: bytearray | None = None, *, seed: bytes | None = None
) -> memoryview:
    """Encrypt to recipients, any one of whom can open it.

    Args:
        plain: the bytes.
        recipients: public keys as age writes them, `age1...`; at least one.
        into: memory of at least `sealed_length`, to be used again; new memory by default.
        seed: 32 random bytes that open the result as a recipient's key does, and make it anew from the same `plain` and
            `recipients`. Never use one for two different plains: whoever has both results learns how they differ. By
            default, one that nobody sees.

    Returns:
        A file of age, in that memory; two calls never give the same, unless they have one seed.

    Raises:
        DataError: a recipient is none.

    Guarantees:
        - `age` of Debian and `pyrage` open it with the key of each recipient, and with no other
          (`test_age.py::test_debian_opens_it`, `test_age.py::test_every_length_opens`).
        - all that is random in it depends on the seed alone (`test_age.py::test_a_seed_makes_the_same`).
    """
    seed = os.urandom(_SEED) if seed is None else seed
    file_key, nonce = _derived(seed, b"", b"dkjax file key")[:16], _derived(seed, b"", b"dkjax nonce")[:16]
    ephemerals = [_derived(seed, b"", b"dkjax share %d" % number) for number in range(len(recipients))]
    stanzas = [_stanza(file_key, *pair) for pair in zip(recipients, ephemerals, strict=True)]
    header = b"".join([_VERSION, b"\n", *stanzas, b"---"])
    mac = hmac.HMAC(_derived(file_key, b"", b"header"), hashes.SHA256())
    mac.update(header)
    cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    plain = memoryview(plain).cast("B")
    chunks = max(1, -(-len(plain) // _CHUNK))
    header += b" " + _base64(mac.finalize()) + b"\n" + nonce
    length = len(header) + len(plain) + _TAG * chunks
    sealed = memoryview(bytearray(length) if into is None else into)[:length]
    sealed[: len(header)] = header
    # Into its place at once: memory that is new for every chunk would take longer than the cipher.
    payload = sealed[len(header) :]
    for number in range(chunks):
        counter = number.to_bytes(11, "big") + bytes([number == chunks - 1])
        chunk = plain[number * _CHUNK : (number + 1) * _CHUNK]
        first = number * (_CHUNK + _TAG)
        cipher.encrypt_into(counter, chunk, None, payload[first : first + len(chunk) + _TAG])
    return sealed


def sealed_length(plain_length: int, recipients: int) -> int:
    """Return how many bytes `seal` makes of so many."""
    header = len(_VERSION) + 1 + recipients * (len("-> X25519 ") + 43 + 1 + 43 + 1) + len("--- ") + 43 + 1
    return header + 16 + plain_length + _TAG * max(1, -(-plain_length // _CHUNK))


def unseal(sealed: bytes, identities: Sequence[object]) -> bytes:
    """Open what was sealed.

    Args:
        sealed: a file of age.
        identities: of `pyrage`; one of them has to be a recipient's.

    Returns:
        The bytes.

    Raises:
        DataError: it is sealed for others, damaged, or nothing of age.
    """
    pyrage = needed("pyrage")
    try:
        return pyrage.decrypt(bytes(sealed), list(identities))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise DataError("it is sealed for another recipient than the server's keys") from None
        raise DataError("it is damaged, or was not sealed with age") from None


def public_key(recipient: str) -> bytes:
    """Decode the recipient of an X25519 key, `age1...`, to its 32 bytes.

    Raises:
        DataError: it is none.
    """
    data = _from_bech32(recipient, "age")
    if data is None or len(data) != 32:
        raise DataError(f"{recipient[:80]!r} is no recipient of age: expected age1 and 58 letters and digits")
    return data


def _stanza(file_key: bytes, recipient: str, private: bytes) -> bytes:
    other = public_key(recipient)
    ephemeral = X25519PrivateKey.from_private_bytes(private)
    share = ephemeral.public_key().public_bytes_raw()
    try:
        secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise DkjaxError(f"{recipient} is a point of low order: nothing can be sealed to it") from None
    wrap = ChaCha20Poly1305(_derived(secret, share + other, _VERSION + b"/X25519"))
    return b"-> X25519 " + _base64(share) + b"\n" + _base64(wrap.encrypt(bytes(12), file_key, None)) + b"\n"


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=purpose).derive(secret)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _from_bech32(text: str, prefix: str) -> bytes | None:
    """Decode Bech32 (BIP 173); None if it is none, of another prefix, or mistyped."""
    name, _, rest = text.rpartition("1")
    if name != prefix or len(rest) < 6 or any(letter not in _BECH32 for letter in rest):
        return None
    values = [_BECH32.index(letter) for letter in rest]
    check = 1
    for value in [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix), *values]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, part in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= part if top >> bit & 1 else 0
    if check != 1:
        return None
    number = 0
    for value in values[:-6]:
        number = number << 5 | value
    bits = 5 * len(values[:-6])
    if number & ((1 << bits % 8) - 1):
        return None
    return (number >> bits % 8).to_bytes(bits // 8, "big")
