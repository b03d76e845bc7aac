"""`dkjax recipes`: the configurations that come along."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.report.console import show


@for_people
def recipes(
    context: typer.Context,
    shown: Annotated[
        str | None, typer.Option("--show", help="Print this recipe, with how to get what it needs.", metavar="NAME")
    ] = None,
    copied: Annotated[
        str | None, typer.Option("--copy", help="Write this recipe to NAME.toml here, to be changed.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the configurations that come along: what each does, its images, and what it needs beside dkjax.

    `dkjax simulate NAME` runs one.
    """
    from dkjax.config import nearest
    from dkjax.config.recipes import recipes as find_recipes
    from dkjax.errors import ConfigError
    from dkjax.runtime.files import refuse_existing, whole_file

    found = find_recipes()
    for name in (shown, copied):
        if name is not None and name not in found:
            raise ConfigError(f"there is no recipe {name!r}; {nearest(name, list(found))}")
    listed = [
        {"name": one.name, "summary": one.summary, "source": one.source, "needs": list(one.needs)}
        for one in found.values()
        if (shown is None and copied is None) or one.name in (shown, copied)
    ]
    if copied is not None:
        path = Path(f"{copied}.toml")
        refuse_existing(path, "folder")
        with whole_file(path) as unfinished:
            unfinished.write_text(found[copied].text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"recipes": listed}))
    elif shown is not None:
        typer.echo(found[shown].text, nl=False)
    elif copied is not None:
        show(f"written: {copied}.toml")
    else:
        for one in found.values():
            show(f"{one.name}: {one.summary}")
            show(f"  images: {one.source}; needs: {', '.join(one.needs) or 'nothing more'}")
