"""The cluster that started this process, from environment variables alone."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The cluster that started this process.

    Attributes:
        kind: `Open MPI`, `SLURM`, `TPU pod` or `Kubernetes`.
        processes: number of processes started together; None where it is not set.
        index: of this process among them, from 0; None where it is not set.
    """

    kind: str
    processes: int | None
    index: int | None


def detect_cluster(environ: Mapping[str, str]) -> Cluster | None:
    """Detect the cluster that started this process.

    Args:
        environ: the environment variables.

    Returns:
        The cluster, the most specific one where several set their variables: mpirun within a SLURM job is Open MPI.
        None without a cluster.

    Example:
        >>> detect_cluster({"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"})
        Cluster(kind='SLURM', processes=4, index=2)
    """
    if "OMPI_COMM_WORLD_SIZE" in environ:
        return _cluster("Open MPI", environ, environ["OMPI_COMM_WORLD_SIZE"], "OMPI_COMM_WORLD_RANK")
    if "SLURM_JOB_ID" in environ:
        # A batch script is one process, whatever the job may start: only srun sets the tasks of a step.
        return _cluster("SLURM", environ, environ.get("SLURM_STEP_NUM_TASKS", "1"), "SLURM_PROCID")
    if environ.get("TPU_WORKER_HOSTNAMES"):
        hosts = environ["TPU_WORKER_HOSTNAMES"].split(",")
        return _cluster("TPU pod", environ, str(len(hosts)), "TPU_WORKER_ID")
    if "KUBERNETES_SERVICE_HOST" in environ:
        # An indexed Job says which pod this is, and not how many there are.
        return _cluster("Kubernetes", environ, None, "JOB_COMPLETION_INDEX")
    return None


def _cluster(kind: str, environ: Mapping[str, str], processes: str | None, index: str) -> Cluster:
    return Cluster(kind, _number(processes), _number(environ.get(index)))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
