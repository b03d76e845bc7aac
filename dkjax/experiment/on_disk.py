"""The uploads of a simulation as encrypted data sets on disk, as they would reach a real server."""

import hashlib
from pathlib import Path

import jax

from dkjax.cipher import Scheme
from dkjax.cipher.chunks import keys_of
from dkjax.client.upload import Client, Upload, Uploader, encrypt_records, upload
from dkjax.config import ExperimentConfig, KeysConfig
from dkjax.dkds import layout, open_data_set, open_writer
from dkjax.dkds.manifest import describe
from dkjax.experiment.arms.kind import Arm
from dkjax.keys import require_live
from dkjax.runtime.processes import leader_does
from dkjax.sources.source import take


def upload_to(folder: Path, config: ExperimentConfig, arm: Arm, run: int, class_names: tuple[str, ...]) -> Uploader:
    """Return how clients upload encrypted data sets `CLIENT-round-N.dkds` to a folder.

    Args:
        folder: where they are written.
        config: the size of a shard, and where the keys come from; reproducible ones give the same data sets again.
        arm: which arm.
        run: which repetition of it.
        class_names: by label.

    Returns:
        A function like `dkjax.client.upload.upload`, whose uploads are mapped from the disk; plain images
        stay in memory.

    Guarantees:
        - the server gets the very records, in the order, that it would get in memory
          (`test_on_disk.py::test_the_same_records_as_in_memory`).
    """

    def write_upload(client: Client, round_number: int, scheme: Scheme | None, image_keys: jax.Array | None) -> Upload:
        if scheme is None or image_keys is None:
            return upload(client, round_number, scheme, image_keys)  # a data set is always encrypted
        require_live(image_keys)
        key_sharing = arm.kind.key_sharing
        assert key_sharing != "none"  # the kind encrypts
        image_shape = client.records["image"].shape[1:]
        path = folder / f"{client.name}-round-{round_number}{layout.SUFFIX}"
        description = describe(
            scheme,
            image_shape,
            class_names,
            keys=config.keys.mode,
            key_sharing=key_sharing,
            prng=config.keys.prng,
        )

        def write() -> None:
            with open_writer(
                path,
                description,
                client=client.name,
                num_items=len(client.records["label"]),
                shard_images=config.store.shard_images or layout.default_shard_images(image_shape),
                request={},
                seed=_seed(config.keys, run, f"{arm.name} {path.name}"),
                shuffle=False,
            ) as writer:
                for number in writer.missing:
                    items = writer.items_of(number)
                    own_keys = keys_of(image_keys, items)
                    writer.add(number, encrypt_records(take(client.records, items), scheme, own_keys))
                writer.commit()

        leader_does(write)
        return Upload(client.name, round_number, open_data_set(path).pool)

    return write_upload


def _seed(keys: KeysConfig, run: int, name: str) -> bytes | None:
    """Return what decides the ids: nothing that anybody knows, unless keys are reproducible."""
    if keys.seed is None:
        return None
    text = f"dkjax simulated data set v1:{keys.seed + run} {name}"
    return hashlib.sha256(text.encode()).digest()[: layout.ID_BYTES]
