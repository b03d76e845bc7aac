"""Builds the native kernel of dkjax/cipher/native with the package, where there is a C++ compiler.

Without one, or if it fails, the package is built all the same, and XLA's own kernels run. `CXX` names a compiler, and
`DKJAX_NATIVE=0` builds without. An editable installation has the library in the source tree.
"""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The oldest jaxlib that dkjax supports: each accepts handlers that were built with headers of an earlier one.
_HEADERS = 'jaxlib==0.10.2; python_version < "3.15"'
_FOLDER = "dkjax/cipher/native"
_LIBRARY = "libdkjax.so"
_FLAGS = ["-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-pthread", "-s"]


class NativeKernel(BuildHookInterface[Any]):
    """Compiles one file, or explains why not."""

    def dependencies(self) -> list[str]:
        """XLA's headers come with jaxlib; whoever cannot compile need not download it."""
        return [_HEADERS] if self.target_name == "wheel" and _compiler() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put the library into the wheel or beside its source."""
        if self.target_name != "wheel":
            return
        source = Path(self.root, _FOLDER, "kernel.cc")
        self._built = Path(tempfile.mkdtemp(prefix="dkjax-build-"))
        in_place = source.with_name(_LIBRARY)
        if version == "editable":
            in_place.unlink(missing_ok=True)  # of an earlier source
        try:
            library = _compile(source, self._built / _LIBRARY)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.app.display_warning(f"dkjax is built without its native kernel, XLA's own run instead: {error}")
            return
        if version == "editable":
            shutil.copy(library, in_place)
            return
        build_data["force_include"][str(library)] = f"{_FOLDER}/{_LIBRARY}"
        build_data["pure_python"] = False
        # It is loaded by ctypes and knows nothing of Python: any version will do.
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was built aside."""
        if self.target_name == "wheel":
            shutil.rmtree(self._built, ignore_errors=True)


def _compiler() -> str | None:
    if os.environ.get("DKJAX_NATIVE") == "0":
        return None
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, names)), None)


def _compile(source: Path, library: Path) -> Path:
    compiler, jaxlib = _compiler(), importlib.util.find_spec("jaxlib")
    if compiler is None:
        raise RuntimeError("there is no C++ compiler, or DKJAX_NATIVE=0")
    if jaxlib is None or not jaxlib.submodule_search_locations:
        raise RuntimeError("there is no jaxlib with the headers of XLA")
    headers = Path(jaxlib.submodule_search_locations[0], "include")
    command = [compiler, *_FLAGS, "-isystem", str(headers), str(source), "-o", str(library)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if ran.returncode:
        raise RuntimeError((ran.stderr.strip().splitlines() or [f"{compiler} failed"])[0])
    if not hasattr(ctypes.CDLL(str(library)), "DkjaxPermute"):
        raise RuntimeError("the library lacks its handler")
    return library
