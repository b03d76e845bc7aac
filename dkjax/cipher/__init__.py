"""The encryption: blocks, permutations, transforms, schemes, and the kernels that apply them."""

from dkjax.cipher import schemes
from dkjax.cipher.batch import encrypt_batch
from dkjax.cipher.encryption import decrypt, encrypt, key_space_bits, sample
from dkjax.cipher.scheme import Scheme
from dkjax.cipher.stream import encrypt_stream

__all__ = ["Scheme", "decrypt", "encrypt", "encrypt_batch", "encrypt_stream", "key_space_bits", "sample", "schemes"]
