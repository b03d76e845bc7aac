"""From a site to the server over a store: tickets, sealing and signing, upload, ingest, withdrawal.

The client's side (`ticket`, `sealed_set`, `upload`) loads neither JAX nor anything of training
(`test_light_transport.py`). docs/transport.md specifies the bytes and says what this protects against.
"""
