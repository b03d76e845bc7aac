"""Where the command `dkjax` begins: what has to come before anything is imported."""

import os
import warnings

from dkjax.runtime.huge_pages import start_again_with_huge_pages


def main() -> None:
    """Run the command line as a process of its own."""
    start_again_with_huge_pages(os.environ)
    # What Pillow finds odd in a file it still reads; what it cannot read is told by name.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    from dkjax.cli.main import main

    main()
