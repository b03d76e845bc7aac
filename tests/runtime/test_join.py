"""Joining other processes: who is asked, what is passed on, and what is refused. `test_processes.py` really does it."""

import socket
from typing import Any

import jax
import pytest

from dkjax.errors import ConfigError, TransportError
from dkjax.runtime import join as joining
from dkjax.runtime.join import Place, join

SRUN = {"SLURM_JOB_ID": "17", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
MPIRUN = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "1"}
MPIRUN_4 = {**MPIRUN, "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.0.0.1:34911"}
POD = {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2", "TPU_WORKER_ID": "1"}
TOLD = Place("10.0.0.1:4711", 4, 2)


@pytest.fixture(autouse=True)
def initialised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple, dict[str, Any]]]:
    """What JAX is asked for, in a process that stays alone."""
    calls: list[tuple[tuple, dict[str, Any]]] = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **named: calls.append((args, named)))
    monkeypatch.setattr(jax, "process_count", lambda: 4 if calls else 1)
    monkeypatch.setattr(joining, "_wait_for", lambda *_: None)
    monkeypatch.setattr(joining.machine, "has_tpu", lambda: False)
    return calls


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_ID": "17"}, {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}])
def test_alone(environ: dict[str, str], initialised: list) -> None:
    said: list[str] = []
    assert join(Place(), environ, said.append) is False
    assert (initialised, said) == ([], [])


@pytest.mark.parametrize("environ", [SRUN, MPIRUN_4, POD])
def test_the_cluster_says_where(environ: dict[str, str], initialised: list) -> None:
    said: list[str] = []
    assert join(Place(), environ, said.append)
    [(args, named)] = initialised
    assert args == () and "coordinator_address" not in named
    assert said[0].startswith("joining the processes of ")


@pytest.mark.parametrize("environ", [{}, SRUN, POD])
def test_one_process_is_alone_wherever(environ: dict[str, str], initialised: list) -> None:
    assert join(Place(processes=1), environ) is False
    assert initialised == []


def test_told(initialised: list) -> None:
    said: list[str] = []
    assert join(TOLD, {}, said.append)
    [(args, named)] = initialised
    assert args == ("10.0.0.1:4711", 4, 2)
    assert named["cluster_detection_method"] == "deactivate"
    assert named["coordinator_bind_address"] is None
    assert said == ["process 2 of 4: waiting for the others at 10.0.0.1:4711"]


@pytest.mark.parametrize("environ", [SRUN, {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}])
def test_what_is_told_wins_over_the_cluster(environ: dict[str, str], initialised: list) -> None:
    join(TOLD, environ)
    assert initialised[0][0] == ("10.0.0.1:4711", 4, 2)


def test_the_cluster_fills_in(initialised: list) -> None:
    join(Place("10.0.0.1:4711"), MPIRUN)
    assert initialised[0][0] == ("10.0.0.1:4711", 3, 1)
    assert initialised[0][1]["cluster_detection_method"] is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_one_machine_nobody_outside_gets_through(host: str, initialised: list) -> None:
    join(Place(f"{host}:4711", 2, 1), {})
    assert initialised[0][1]["coordinator_bind_address"] == f"{host}:4711"


@pytest.mark.parametrize(
    ("place", "environ", "text"),
    [
        (Place("10.0.0.1"), {}, "--coordinator 10.0.0.1: expected HOST:PORT of process 0"),
        (Place("10.0.0.1:http"), {}, "expected HOST:PORT"),
        (Place("10.0.0.1:70000"), {}, "expected HOST:PORT"),
        (Place("a:1", 2, 2), {}, "--process-id 2 of --num-processes 2: processes are counted from 0"),
        (Place("a:1"), {}, "to join other processes, --num-processes, --process-id must be given too"),
        (Place(processes=2, index=0), {}, "to join other processes, --coordinator must be given too"),
        (Place(), MPIRUN, "Open MPI started 3 processes and does not say where process 0 is: set JAX_COORDINATOR_ADD"),
    ],
)
def test_what_is_refused(place: Place, environ: dict[str, str], text: str, initialised: list) -> None:
    with pytest.raises(ConfigError, match=text):
        join(place, environ)
    assert initialised == []


def test_pods_of_a_job(initialised: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX asks Kubernetes by a package of its own, where that is installed."""
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.9", "JOB_COMPLETION_INDEX": "1"}
    monkeypatch.setattr(joining.importlib.util, "find_spec", lambda name: None)
    assert join(Place(), pod) is False
    assert initialised == []
    monkeypatch.setattr(joining.importlib.util, "find_spec", lambda name: name == "kubernetes")
    assert join(Place(), {"KUBERNETES_SERVICE_HOST": "10.0.0.9"}) is False
    assert join(Place(), pod) is True


def test_a_port_that_is_taken(initialised: list) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TransportError, match=f"--coordinator {address}: the port is taken; choose another"):
            join(Place(address, 2, 0), {})
    assert join(Place(address, 2, 0), {})


def test_a_tpu_vm_asks_jax_whether_there_are_others(initialised: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining.machine, "has_tpu", lambda: True)
    assert join(Place(), {"JAX_PLATFORMS": "cpu"}) is False
    assert initialised == []
    assert join(Place(), {}) is True


def test_a_tpu_that_is_in_no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_answers(**_: Any) -> None:
        raise ConnectionError("metadata.google.internal")

    monkeypatch.setattr(joining.machine, "has_tpu", lambda: True)
    monkeypatch.setattr(jax.distributed, "initialize", nobody_answers)
    said: list[str] = []
    assert join(Place(), {}, said.append) is False
    assert said == ["alone on this TPU: metadata.google.internal"]
    with pytest.raises(TransportError, match="JAX cannot join the processes of this cluster: metadata"):
        join(Place(), POD)
