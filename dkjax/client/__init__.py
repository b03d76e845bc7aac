"""What a client does: it encrypts its images and hands them over.

It needs neither a model nor a trainer: nothing of Flax, Optax or Orbax is imported (`test_light_client.py`).
"""

from dkjax.client.encryption import encrypt

__all__ = ["encrypt"]
