"""`dkjax doctor`: what there is here, and which known traps it holds."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.report.console import show

if TYPE_CHECKING:
    from dkjax.cipher.native import Status
    from dkjax.doctor import Facts
    from dkjax.runtime.cluster import Cluster


@for_people
def doctor(
    context: typer.Context,
    workdir: Annotated[Path, typer.Option(help="Where runs are to go.", metavar="DIR")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Say what dkjax finds here, and which known traps, with the way out of each.

    Looks at this host alone and starts nothing. Exits with 1 if dkjax cannot work here, else with 0.
    """
    # To look at a GPU takes none of its memory from whoever is at work on it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    from dkjax.doctor import find_traps, gather

    facts = gather(workdir, os.environ)
    findings = find_traps(facts)
    usable = not any(finding.unusable for finding in findings)
    if as_json:
        traps = [dataclasses.asdict(finding) for finding in findings]
        typer.echo(json.dumps({"usable": usable, "traps": traps, "facts": dataclasses.asdict(facts)}))
    else:
        for name, text in _lines(facts):
            show(f"{name:<10} {text}")
        show()
        for finding in findings:
            show(f"{'UNUSABLE' if finding.unusable else 'trap'}: {finding.problem}")
            show(f"  fix: {finding.fix}")
        if not findings:
            show("no known trap")
    if not usable:
        raise typer.Exit(1)


def _lines(facts: "Facts") -> list[tuple[str, str]]:
    devices = f"{facts.devices} x {facts.device_kind} ({facts.platform})" if facts.platform else "not started"
    shm = "none" if facts.shm_bytes is None else f"{facts.shm_bytes / (1 << 30):,.1f} GiB"
    return [
        ("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())),
        ("devices", f"{devices}; {facts.processes} process" + ("es" if facts.processes > 1 else "")),
        ("cluster", _cluster(facts.cluster)),
        ("kernel", _kernel(facts.native_kernel)),
        ("cache", facts.compile_cache or "compiled programs are not kept: JAX_ENABLE_COMPILATION_CACHE is off"),
        ("CPU", f"{facts.cpu_cores} cores, {facts.memory_bytes / (1 << 30):,.1f} GiB of memory, /dev/shm {shm}"),
        (
            "disk",
            f"{facts.disk_free_bytes / (1 << 30):,.1f} of {facts.disk_bytes / (1 << 30):,.1f} GiB free in "
            f"{facts.folder}",
        ),
    ]


def _kernel(native: "Status | None") -> str:
    if native is None:
        return "not started"
    kind = "native code" if native.runs else "XLA's operations"
    return f"on a CPU, images are encrypted by {kind} ({native.reason})"


def _cluster(cluster: "Cluster | None") -> str:
    if cluster is None:
        return "none"
    index = "" if cluster.index is None else f", this is number {cluster.index}"
    joins = "; dkjax train and simulate join them" if (cluster.processes or 1) > 1 else ""
    return f"{cluster.kind}, {cluster.processes or 'unknown number of'} processes{index}{joins}"
