"""Where the command `dkjax` begins: what has to come before anything is imported."""

import os

from dkjax.runtime.huge_pages import start_again_with_huge_pages


def main() -> None:
    """Run the command line as a process of its own."""
    start_again_with_huge_pages(os.environ)
    from dkjax.cli.main import main

    main()
