"""Images that come as a Python package: where the package lies, without running any of it."""

import importlib.util
from pathlib import Path

from dkjax.errors import MissingPackageError


def package_folder(package: str, distribution: str, source: str) -> Path:
    """Find the folder of an installed package.

    Args:
        package: the name to import it by; of the top level, so that finding it imports nothing.
        distribution: the name to install it by.
        source: the source that needs it, for the message.

    Returns:
        The folder that holds the package's files.

    Raises:
        MissingPackageError: it is not installed.

    Guarantees:
        The package is not imported (`tests/sources/test_packages.py::test_a_package_is_found_and_not_imported`).
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            f"the source {source} needs {distribution}, which is not installed: pip install {distribution}, "
            f"or name a folder: {source}:/the/folder"
        )
    return Path(spec.submodule_search_locations[0])
