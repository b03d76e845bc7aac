"""The packages of `dkjax[transport]`, imported when they are needed."""

import importlib
from types import ModuleType

from dkjax.errors import MissingPackageError
from dkjax.runtime.install import how_to_install


def needed(name: str) -> ModuleType:
    """Import a package of the extra `transport`.

    Args:
        name: the module.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise MissingPackageError(
            f"this command needs {package}, which is not installed: {how_to_install('transport')}"
        ) from None
