"""Textiles: 2 000 simulated pictures of woven fabric, 250x250 pixels, from the package conformal-clip-data.

Megahed et al., arXiv 2501.12596: 1 000 without a defect (`nominal`), 500 with one in a place (`local`), 500 whose
whole weave is off (`global`). The package is under the MIT licence.
"""

from functools import partial
from pathlib import Path

from dkjax.sources.image_folder import ImageFolderSource, open_image_folder
from dkjax.sources.packages import package_folder
from dkjax.sources.preparation import AS_IS, Preparation

_OWN_SIZE = (250, 250)


def open_textiles(
    folder: Path | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[ImageFolderSource]]:
    """Open the textiles, which are an image folder.

    Args:
        folder: holds the class folders `global`, `local` and `nominal`; the one in the installed package if None.
        image_size: (H, W); 250x250 if None.
        channels: 1 or 3; 3 if None, as in the files, though all are grey.
        preparation: what becomes of other proportions and of more than 8 bits.

    Returns:
        As `dkjax.sources.image_folder.open_image_folder`.

    Raises:
        MissingPackageError: no folder is given and conformal-clip-data is not installed.
        DataError: the folder is not there.
    """
    if folder is None:
        package = package_folder("conformal_clip_data", "conformal-clip-data", "textiles")
        folder = package / "data" / "textile_images" / "simulated"
    size = _OWN_SIZE if image_size is None else image_size
    return open_image_folder(folder, size, channels, preparation=preparation)
