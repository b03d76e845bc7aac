"""Clusters by the variables that they set."""

import pytest

from dkjax.runtime.cluster import Cluster, detect_cluster

SLURM = {"SLURM_JOB_ID": "17", "SLURM_NTASKS": "4"}
SRUN = {**SLURM, "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
POD = {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2", "TPU_WORKER_ID": "1"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.9"}

CASES = [
    ({}, None),
    ({"HOSTNAME": "somewhere"}, None),
    (SLURM, Cluster("SLURM", 1, None)),
    (SRUN, Cluster("SLURM", 4, 2)),
    ({**SRUN, "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "0"}, Cluster("Open MPI", 3, 0)),
    (POD, Cluster("TPU pod", 2, 1)),
    ({**KUBERNETES, **POD}, Cluster("TPU pod", 2, 1)),
    ({"TPU_WORKER_HOSTNAMES": "localhost"}, Cluster("TPU pod", 1, None)),
    (KUBERNETES, Cluster("Kubernetes", None, None)),
    ({**KUBERNETES, "JOB_COMPLETION_INDEX": "5"}, Cluster("Kubernetes", None, 5)),
    ({"SLURM_JOB_ID": "17", "SLURM_STEP_NUM_TASKS": "many"}, Cluster("SLURM", None, None)),
]


@pytest.mark.parametrize(("environ", "cluster"), CASES)
def test_detected(environ: dict[str, str], cluster: Cluster | None) -> None:
    assert detect_cluster(environ) == cluster
