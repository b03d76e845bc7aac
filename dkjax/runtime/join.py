"""Joining the other processes of a training, by the cluster's settings or by options."""

import dataclasses
import errno
import importlib.util
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from dkjax.errors import ConfigError, TransportError
from dkjax.runtime import machine
from dkjax.runtime.cluster import Cluster, detect_cluster

WAIT_SECONDS = 300
"""How long the processes wait for each other at the start, unless another time is given."""

_END_SECONDS = 30
"""How long a finished process waits for the others to finish."""


@dataclasses.dataclass(frozen=True)
class Place:
    """The address and index of a process; None is taken from the cluster.

    Attributes:
        coordinator: `HOST:PORT` of process 0.
        processes: their number.
        index: of this process, from 0.
    """

    coordinator: str | None = None
    processes: int | None = None
    index: int | None = None


def join(
    place: Place,
    environ: Mapping[str, str],
    say: Callable[[str], None] = lambda text: None,
    wait_seconds: int = WAIT_SECONDS,
) -> bool:
    """Join the other processes; called before any computation.

    A process that SLURM, Open MPI, a TPU pod or a Kubernetes Job started together with others joins those. Explicit
    options override the cluster's settings.

    Args:
        place: the explicit options.
        environ: the environment variables.
        say: called with a line about what is awaited.
        wait_seconds: how long to wait for process 0, and then for all.

    Returns:
        Whether there are others.

    Raises:
        ConfigError: the options are invalid or incomplete.
        TransportError: process 0 does not respond, or another is missing.

    Guarantees:
        - a process that is missing ends the wait with one line (`test_processes.py::test_a_process_that_is_missing`).
    """
    _check(place)
    cluster = detect_cluster(environ)
    if place.processes == 1:
        return False
    if place == Place():
        return _join_cluster(cluster, environ, say, wait_seconds)
    place = _completed(place, cluster)
    assert place.coordinator is not None
    say(f"process {place.index} of {place.processes}: waiting for the others at {place.coordinator}")
    if place.index == 0:
        _check_free(place.coordinator)
    else:
        _wait_for(place.coordinator, wait_seconds)
    _initialize(
        wait_seconds,
        place.coordinator,
        place.processes,
        place.index,
        # On one machine, no other host has to connect.
        coordinator_bind_address=place.coordinator if _is_loopback(place.coordinator) else None,
        cluster_detection_method=None if cluster is not None else "deactivate",
    )
    return True


def _initialize(wait_seconds: int, *place: Any, **named: Any) -> None:
    """Join as JAX does it, but for what happens if others are missing: JAX ends the process with a stack trace."""
    named |= {"shutdown_timeout_seconds": _END_SECONDS, "initialization_timeout": wait_seconds + _END_SECONDS}
    problem: list[Exception] = []

    def run() -> None:
        try:
            jax.distributed.initialize(*place, **named)
        except Exception as error:  # it is raised in the thread that waits
            problem.append(error)

    waiting = threading.Thread(target=run, name="join", daemon=True)
    waiting.start()
    waiting.join(wait_seconds)
    if waiting.is_alive():
        raise TransportError(
            f"after {wait_seconds} s not all processes are here: start those that are missing, look into their output, "
            "or wait longer by --join-timeout"
        )
    if problem:
        raise problem[0]


def _check(place: Place) -> None:
    if place.coordinator is not None and not _address(place.coordinator):
        raise ConfigError(f"--coordinator {place.coordinator}: expected HOST:PORT of process 0")
    if place.processes is not None and place.index is not None and not place.index < place.processes:
        raise ConfigError(
            f"--process-id {place.index} of --num-processes {place.processes}: processes are counted from 0"
        )


def _address(text: str) -> tuple[str, int] | None:
    host, colon, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and host and port.isdecimal() and int(port) < 1 << 16 else None


def _is_loopback(coordinator: str) -> bool:
    return coordinator.rpartition(":")[0] in ("localhost", "127.0.0.1", "[::1]")


def _join_cluster(
    cluster: Cluster | None, environ: Mapping[str, str], say: Callable[[str], None], wait_seconds: int
) -> bool:
    """Join the processes that a cluster started, if it did."""
    several = cluster is not None and ((cluster.processes or 1) > 1 or _kubernetes_tells(cluster))
    # The variables of a TPU VM do not say whether it is one of several hosts of a slice; JAX queries it.
    if not several and not (cluster is None and machine.has_tpu() and environ.get("JAX_PLATFORMS", "tpu") != "cpu"):
        return False
    if cluster is not None:
        _check_reachable_by_jax(cluster, environ)
        say(f"joining the processes of {cluster.kind}")
    try:
        _initialize(wait_seconds)
    except TransportError:
        raise
    except Exception as error:  # whatever keeps JAX from finding out
        if several:
            raise TransportError(f"JAX cannot join the processes of this cluster: {error}") from error
        say(f"alone on this TPU: {error}")
        return False
    return jax.process_count() > 1


def _completed(place: Place, cluster: Cluster | None) -> Place:
    """Fill in the cluster's settings."""
    processes, index = place.processes, place.index
    if cluster is not None:
        processes = cluster.processes if processes is None else processes
        index = cluster.index if index is None else index
    missing = [
        option
        for option, value in (
            ("--coordinator", place.coordinator),
            ("--num-processes", processes),
            ("--process-id", index),
        )
        if value is None
    ]
    if missing:
        raise ConfigError(f"to join other processes, {', '.join(missing)} must be given too")
    return Place(place.coordinator, processes, index)


def _kubernetes_tells(cluster: Cluster) -> bool:
    """Return whether JAX can query Kubernetes for the number of pods of an indexed Job; few images have the package."""
    indexed = cluster.kind == "Kubernetes" and cluster.index is not None
    return indexed and importlib.util.find_spec("kubernetes") is not None


def _check_reachable_by_jax(cluster: Cluster, environ: Mapping[str, str]) -> None:
    """Refuse a cluster that JAX cannot detect, where every process would train alone."""
    if not says_where(cluster, environ):
        raise ConfigError(
            f"{cluster.kind} started {cluster.processes} processes and does not say where process 0 is: set "
            "JAX_COORDINATOR_ADDRESS to HOST:PORT on its machine, or --num-processes 1 for each on its own"
        )


def says_where(cluster: Cluster, environ: Mapping[str, str]) -> bool:
    """Return whether the processes of a cluster can find each other; those of Open MPI 5 cannot.

    Args:
        cluster: what started them.
        environ: the environment variables.
    """
    return cluster.kind != "Open MPI" or bool({"OMPI_MCA_orte_hnp_uri", "JAX_COORDINATOR_ADDRESS"} & environ.keys())


def _check_free(coordinator: str) -> None:
    """Raise if another process uses the port; JAX would abort without saying so."""
    address = _address(coordinator)
    assert address is not None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1" if _is_loopback(coordinator) else "", address[1]))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise TransportError(f"--coordinator {coordinator}: the port is taken; choose another") from None


def _wait_for(coordinator: str, seconds: int) -> None:
    """Wait until process 0 responds; JAX would abort without saying so."""
    address = _address(coordinator)
    assert address is not None
    until = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(address, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > until:
                raise TransportError(
                    f"process 0 does not answer at {coordinator} ({error}): is it running, and is the port open?"
                ) from None
            time.sleep(0.2)
