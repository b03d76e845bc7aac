"""`python -m dkjax`: the command line, where no command `dkjax` is on the path."""

from dkjax.cli.start import main

if __name__ == "__main__":
    main()
