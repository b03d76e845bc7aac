"""The launch scripts, run with stand-ins for the programs of a cluster, and what clusters are told to run."""

import contextlib
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml
from made_data_sets import digits, encrypted

from dkjax.cli.main import app
from dkjax.config import load_config

ROOT = Path(__file__).parent.parent


@pytest.fixture
def stand_ins(tmp_path):
    """A folder at the head of PATH, and a function that puts a stand-in for a program there."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def add(name, script):
        (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (folder / name).chmod(0o755)

    add.env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return add


SCRIPTS = sorted([*(ROOT / "launch").glob("*.sh"), *(ROOT / "launch").glob("*.sbatch")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_without_a_configuration_says_how_to_call(script):
    done = subprocess.run(["bash", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


# Several processes on one machine

LOCAL = ["bash", str(ROOT / "launch/local.sh")]


def test_local_tells_each_process_where_it_stands(stand_ins, tmp_path):
    told = "$JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES $JAX_LOCAL_DEVICE_IDS $*"
    stand_ins("dkjax", f'echo "{told}" > {tmp_path}/process-$JAX_PROCESS_ID')
    done = subprocess.run([*LOCAL, "3", "a.toml", "--set", "b=c d"], env={**stand_ins.env, "DKJAX_PORT": "4711"})
    assert done.returncode == 0
    said = {path.name: path.read_text() for path in tmp_path.glob("process-*")}
    assert said == {f"process-{n}": f"127.0.0.1:4711 3 {n} simulate a.toml --set b=c d\n" for n in range(3)}


@pytest.mark.parametrize("wrong", [[], ["2"], ["0", "a.toml"], ["two", "a.toml"], ["a.toml"]])
def test_local_wants_a_number_of_processes(wrong):
    done = subprocess.run([*LOCAL, *wrong], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


@pytest.mark.parametrize(("codes", "expected"), [((0, 0), 0), ((75, 75), 75), ((2, 2), 2), ((75, 4), 4), ((0, 75), 75)])
def test_local_says_what_became_of_all(codes, expected, stand_ins):
    stand_ins(
        "dkjax", f"codes=({' '.join(map(str, codes))}); sleep 0.$JAX_PROCESS_ID; exit ${{codes[$JAX_PROCESS_ID]}}"
    )
    done = subprocess.run([*LOCAL, "2", "train", "a.toml"], env={**stand_ins.env, "DKJAX_GRACE": "1"})
    assert done.returncode == expected


def test_local_ends_those_that_wait_for_one_that_failed(stand_ins, tmp_path):
    stand_ins("dkjax", '[[ $JAX_PROCESS_ID == 1 ]] && exit 1\ntrap "" TERM\nsleep 600 & wait; sleep 600')
    # Far sooner than they would end by themselves, on a busy machine too.
    done = subprocess.run([*LOCAL, "3", "train", "a.toml"], env={**stand_ins.env, "DKJAX_GRACE": "0"}, timeout=120)
    assert done.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_local_passes_signals_on(number, stand_ins, tmp_path):
    running = f"{tmp_path}/running-$JAX_PROCESS_ID"
    stand_ins("dkjax", f"trap 'sleep 0.2; exit 75' TERM; touch {running}; while :; do sleep 0.05; done")
    with subprocess.Popen([*LOCAL, "2", "train", "a.toml"], env=stand_ins.env, start_new_session=True) as script:
        try:
            until = time.monotonic() + 120
            while len(list(tmp_path.glob("running-*"))) < 2 and time.monotonic() < until:
                time.sleep(0.02)
            script.send_signal(number)
            assert script.wait(timeout=120) == 75
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)


def test_local_for_real(tmp_path):
    """Two processes of one CPU device each: they join, train, and one of them prints."""
    data = encrypted(tmp_path / "a.dkds", digits(16))
    (tmp_path / "run.toml").write_text(
        '[model]\nvariant = "mu"\nwidth = 8\nheads = 2\nmlp_dim = 8\n[train]\nepochs = 1\nbatch_size = 8\n'
    )
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMPI_"))},
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [*LOCAL, "2", "train", "run.toml", "--data", str(data), "--workdir", "run", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert (results["train"]["steps"], results["device"]["count"]) == (2, 2)


# SLURM


def test_slurm_passes_arguments_and_exit_code_on(stand_ins, tmp_path):
    stand_ins("dkjax", f'echo "$@" > {tmp_path}/arguments; exit 4')
    done = subprocess.run(["bash", ROOT / "launch/slurm.sbatch", "a.toml", "--set", "b=c d"], env=stand_ins.env)
    assert done.returncode == 4
    assert (tmp_path / "arguments").read_text() == "simulate a.toml --set b=c d\n"


def test_slurm_runs_any_command(stand_ins, tmp_path):
    stand_ins("dkjax", f'echo "$@" > {tmp_path}/arguments')
    subprocess.run(["bash", ROOT / "launch/slurm.sbatch", "encrypt", "photos", "--shard", "auto"], env=stand_ins.env)
    assert (tmp_path / "arguments").read_text() == "encrypt photos --shard auto\n"


def test_slurm_starts_a_process_for_each_task(stand_ins, tmp_path):
    stand_ins("dkjax", "exit 1")
    stand_ins("srun", f'echo "$@" > {tmp_path}/arguments; exit 75')
    stand_ins("scontrol", f'echo "$@" > {tmp_path}/requeued')
    env = {**stand_ins.env, "SLURM_NTASKS": "4", "SLURM_JOB_ID": "17"}
    done = subprocess.run(["bash", ROOT / "launch/slurm.sbatch", "train", "a.toml", "--data", "b.dkds"], env=env)
    assert done.returncode == 75
    assert (tmp_path / "arguments").read_text() == "--kill-on-bad-exit=0 dkjax train a.toml --data b.dkds\n"
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"


def test_slurm_tells_in_time_and_may_come_again():
    lines = (ROOT / "launch/slurm.sbatch").read_text().splitlines()
    assert {"#SBATCH --signal=B:TERM@120", "#SBATCH --requeue"} <= set(lines)


def test_slurm_requeues_what_was_stopped(stand_ins, tmp_path):
    # Like dkjax: on SIGTERM it finishes what it has to, and exits with 75.
    stand_ins("dkjax", f"trap 'sleep 0.3; exit 75' TERM; touch {tmp_path}/running; while :; do sleep 0.05; done")
    stand_ins("scontrol", f'echo "$@" > {tmp_path}/requeued')
    env = {**stand_ins.env, "SLURM_JOB_ID": "17"}
    with subprocess.Popen(["bash", ROOT / "launch/slurm.sbatch", "a.toml"], env=env) as job:
        until = time.monotonic() + 120
        while not (tmp_path / "running").exists() and time.monotonic() < until:
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=120) == 75
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"


def test_tpu_vm_runs_what_is_installed(stand_ins, tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    installed = tmp_path / ".venv/bin/dkjax"
    installed.write_text('#!/usr/bin/env bash\necho "$@"\n')
    installed.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "launch/tpu_vm.sh", "a.toml"], cwd=tmp_path, capture_output=True, text=True, env=stand_ins.env
    )
    assert done.stdout == "simulate a.toml\n"


COMMANDS = typer.main.get_command(app).commands


def check_command(words):
    """Whether there is such a command with such options, and such a configuration where it is one of ours."""
    command = COMMANDS[words[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("--")} <= options, words
    for word in words[1:]:
        if word.startswith("configs/"):
            load_config(ROOT / word)


JOB_SETS = sorted((ROOT / "launch").glob("jobset*.yaml"))


@pytest.mark.parametrize("path", JOB_SETS, ids=lambda path: path.stem)
def test_jobset(path):
    job_set = yaml.safe_load(path.read_text())
    assert (job_set["apiVersion"], job_set["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = job_set["spec"]["replicatedJobs"]
    for name in (job_set["metadata"]["name"], replicated["name"]):
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    # Kubernetes takes a failure policy with this restart policy alone.
    assert pod["restartPolicy"] == "Never"
    codes = {
        code: rule["action"]
        for rule in job["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    }
    assert codes == {75: "Ignore", 2: "FailJob", 4: "FailJob"}
    (container,) = pod["containers"]
    # One process uses all chips of its host, and the hosts hold the whole topology.
    chips = math.prod(map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")))
    hosts = job["parallelism"]
    assert (replicated["replicas"], job["completions"]) == (1, hosts)
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"google.com/tpu": chips // hosts}
    assert chips % hosts == 0 and (hosts == 1) == (path.stem == "jobset")
    if hosts > 1:
        # Where one is lost, all begin again; a mistake ends all.
        policy = job_set["spec"]["failurePolicy"]
        assert policy["maxRestarts"] > 0 and job["backoffLimit"] == 0
        assert policy["rules"] == [{"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    check_command(container["args"])
    assert container["args"][-1].startswith(f"{mounted['runs']}/")


@pytest.mark.parametrize("path", JOB_SETS, ids=lambda path: path.stem)
def test_the_job_of_a_jobset_follows_the_schema_of_kubernetes(path):
    (replicated,) = yaml.safe_load(path.read_text())["spec"]["replicatedJobs"]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "server"},
        "spec": replicated["template"]["spec"],
    }
    kubernetes_validate.validate(job, "1.30", strict=True)
    job["spec"]["template"]["spec"]["containers"][0]["arguments"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="arguments"):
        kubernetes_validate.validate(job, "1.30", strict=True)


def test_image():
    lines = [line.split() for line in (ROOT / "launch/Dockerfile").read_text().splitlines()]
    copied = [source for words in lines if words[:1] == ["COPY"] for source in words[1:-1]]
    assert copied and all((ROOT / source).exists() for source in copied)
    assert ["ENTRYPOINT", '["dkjax"]'] in lines


def test_sky():
    task = yaml.safe_load((ROOT / "launch/sky.yaml").read_text())
    assert task.keys() == {"name", "workdir", "resources", "envs", "run"}
    shell, script, config = task["run"].split()
    assert shell == "bash" and (ROOT / script).exists() and (ROOT / config).exists()
    extras = set(task["envs"]["DKJAX_EXTRAS"].split(","))
    assert extras <= set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))


def documented():
    """The lines of shell on the page, without comments."""
    for code in re.findall(r"```bash\n(.*?)```", (ROOT / "docs/launch.md").read_text(), re.DOTALL):
        yield from (shlex.split(line, comments=True) for line in code.splitlines())


def test_page_names_what_there_is():
    seen = set()
    for words in documented():
        if "--command" in words:
            words = shlex.split(words[words.index("--command") + 1])
        scripts = [number for number, word in enumerate(words) if word.startswith("launch/") and word.count(".s")]
        if scripts:
            assert (ROOT / words[scripts[0]]).exists()
            words = words[scripts[0] + 1 + (words[scripts[0]] == "launch/local.sh") :]
            words = ["simulate", *words] if words[0].endswith(".toml") else words
        elif words and words[0].endswith("dkjax"):
            words = words[1:]
        else:
            continue
        check_command(words)
        seen.add(words[0])
    assert seen == {"doctor", "simulate", "plan", "train", "encrypt"}
