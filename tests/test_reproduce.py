"""`dfr reproduce`: plans what is missing, survives kills, and a cluster gives the same records."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfr_core.command import main
from dfr_core.command.reproduce import add_arguments
from dfr_core.editions import edition
from dfr_core.figures.items import ITEMS
from dfr_core.figures.measured import Evidence
from dfr_core.lab import laboratory, reproduce, worker
from dfr_core.lab.laboratory import Laboratory
from dfr_core.lab.measures.images import showcase
from dfr_core.lab.plan import plan, speed_jobs
from dfr_core.lab.trial import Needs, Trial
from dfr_core.lab.worker import run_job
from dfr_core.methods.train import total_steps
from dfr_core.paper_numbers import BASELINES, REFINING
from dfr_core.records import Store

CATEGORIES = ("leather", "hazelnut")
KILLS = int(os.environ.get("DFR_KILLS", "1"))
VOLATILE = ("seconds", "created")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Laboratory:
    """A laboratory small enough to try everything in: two categories, few steps."""
    chosen = edition("quick")
    root = chosen.data_root(CATEGORIES)
    settings = replace(chosen.settings, steps=40, positions=32, pca_samples=600)
    return Laboratory(chosen, settings, root.resolve(), tmp_path_factory.mktemp("results"), "cpu", 1, synthetic=True)


def arguments(results: Path, out: Path, *more: str) -> list[str]:
    return [
        "reproduce", "--edition", "quick", "--categories", *CATEGORIES, "--steps", "40", "--results", str(results), "--out", str(out),
        "--device", "cpu", *more,
    ]  # fmt: skip


def contents(results: Path) -> dict[str, tuple]:
    """All records of a folder without what differs from run to run."""
    found = {}
    for file in sorted(results.glob("*.json")):
        record = Store(results).get(file.stem)
        about = {k: v for k, v in record.about.items() if k not in VOLATILE}
        found[file.stem] = (json.dumps(about, sort_keys=True), {k: v.tobytes() for k, v in record.arrays.items()})
    return found


def needs(*items: str) -> Needs:
    """What some items need, or all."""
    return Needs.union(ITEMS[name].needs for name in items or ITEMS)


def test_the_plan_covers_the_paper(lab):
    jobs = plan(lab, needs(), CATEGORIES, seeds=2) + speed_jobs(lab, needs(), [], CATEGORIES)
    rivals = [job for job in jobs if job.kind == "training" and job.method]
    assert [job.method for job in rivals] == [*sorted(BASELINES) * len(CATEGORIES)]
    assert {record.about["method"] for job in rivals for record in job.records} == set(BASELINES)
    training = [job for job in jobs if job.kind == "training" and not job.method]
    assert len(training) == len(CATEGORIES) * 2  # paddings; the seeds share the features of a network that has learnt
    trials = [Trial(**record.about) for job in training for record in job.records]
    zeros = {trial.layers for trial in trials if trial.padding == "zeros"}
    reflect = {trial.layers for trial in trials if trial.padding == "reflect"}
    assert {(trial.method, trial.backbone, trial.weights, trial.width) for trial in trials} == {("DFR", "vgg19", "distilled", 0.125)}
    every = {"1:2", "1:4", "1:8", "1:12", "1:16", "12", "9:12", "5:12", "3:12"}
    assert lab.settings.padding == "reflect" and reflect == every and zeros == {"1:12"}  # Table V and Fig. 9 compare the two
    assert {job.kind for job in jobs} == {"training", "images", "statistics", "network", "pipeline", "speed", "rival_speed"}
    keys = [key for job in jobs for key in job.keys]
    assert len(keys) == len(set(keys))


def test_seeds_of_an_untrained_network_share_no_features(lab):
    untrained = replace(lab, settings=replace(lab.settings, weights="untrained"))
    jobs = plan(untrained, needs("table4"), CATEGORIES, seeds=2)
    assert len(jobs) == len(CATEGORIES) * 2 and all(len({r.about["seed"] for r in job.records}) == 1 for job in jobs)


def test_only_plans_what_the_items_need(lab):
    (job,) = plan(lab, needs("table1"), CATEGORIES, 1)
    assert job.kind == "network"
    jobs = plan(lab, needs("table4"), CATEGORIES, 1)
    assert [record.about["layers"] for job in jobs for record in job.records] == sorted(REFINING) * 2


@pytest.mark.parametrize("change", [{"steps": 6}, {"variance": 0.5}, {"weights": "untrained"}])
def test_other_settings_give_other_keys(lab, change):
    def keys(laboratory: Laboratory) -> set[str]:
        return {key for job in plan(laboratory, needs("table4"), CATEGORIES, 1) for key in job.keys}

    assert not keys(lab) & keys(replace(lab, settings=replace(lab.settings, **change)))


def test_other_data_or_code_give_other_keys(lab, monkeypatch):
    before = {key for job in plan(lab, needs("table4"), CATEGORIES, 1) for key in job.keys}
    with monkeypatch.context() as patch:
        patch.setattr(laboratory, "code_version", lambda *_: "other")
        assert not before & {key for job in plan(lab, needs("table4"), CATEGORIES, 1) for key in job.keys}
    monkeypatch.setattr(laboratory, "_data_fingerprint", lambda root, category: "other")
    assert not before & {key for job in plan(lab, needs("table4"), CATEGORIES, 1) for key in job.keys}


def test_a_rivals_record_holds_what_figures_need(lab):
    lab = replace(lab, settings=edition("quick").settings)
    job = next(job for job in plan(lab, needs("rivals"), ("leather",), 1) if job.method == "AE-l2")
    run_job(lab, job)
    record = lab.store.get(job.keys[0])
    assert Trial.read(record.about).method == "AE-l2" and record.about["kind"] == "training"
    assert record.about["settings"]["image_size"] == 256 and 0 <= record.about["metrics"]["pro_auc"] <= 1
    assert record.about["smaller"] and all(here != theirs for here, theirs in record.about["smaller"].values())
    assert set(record.about["thresholds"]) == {"0", "0.005"} and record.arrays["maps"].shape[1:] == (256, 256)
    found = Evidence([record], lab.protocol)
    assert found.methods == ["AE-l2"] and found.training("leather", "1:12", lab.settings.padding, "AE-l2") == {0: record}


def test_a_training_record_holds_what_figures_need(lab):
    job = next(job for job in plan(lab, needs("table4"), CATEGORIES, 1) if job.records[0].about["category"] == "leather")
    run_job(lab, job)
    written = {key: (lab.results / f"{key}.json").stat().st_mtime_ns for key in job.keys}
    record = lab.store.get(job.keys[0])
    assert record.about["layers"] in REFINING and record.about["padding"] == "reflect" and record.about["edition"] == "quick"
    assert Trial.read(record.about) == lab.protocol.trial("leather", 0, record.about["layers"], "reflect")
    assert record.about["synthetic"] and not record.about["mvtec"] and record.about["trained"]
    assert all(0 <= record.about["metrics"][name] <= 1 for name in ("pro_auc", "roc_auc"))
    assert record.about["counts"]["anomalous_images"] == len(record.arrays["maps"]) - 1
    assert len(record.arrays["loss_curve"]) == 40 and record.arrays["border_profile"].shape == (32,)
    assert len(record.about["architecture"]) == 6
    run_job(lab, job)  # everything is there: nothing is done again
    assert written == {key: (lab.results / f"{key}.json").stat().st_mtime_ns for key in job.keys}


def test_showcase_takes_one_image_of_each_kind():
    category = edition("quick").category("leather")
    kinds = [category.test[k].defect for k in showcase(category)]
    assert kinds[0] == "good" and len(kinds) == len(set(kinds)) == 1 + len(category.defects)


def test_a_second_run_measures_nothing(tmp_path, monkeypatch, capsys):
    args = arguments(tmp_path / "results", tmp_path / "out", "--only", "table1", "table7")
    assert main(args) == 0
    assert "2 to measure" in capsys.readouterr().err
    monkeypatch.setattr(worker, "run_job", lambda *_: pytest.fail("measured again"))
    assert main(args) == 0
    assert "0 to measure" in capsys.readouterr().err


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert main(arguments(tmp_path / "results", tmp_path / "out", "--dry-run")) == 0
    assert "to measure" in capsys.readouterr().err
    assert not (tmp_path / "results").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--only", "fig99"), "--only: 'fig99'"),
        (("--seeds", "0"), "--seeds"),
        (("--jobs", "-1"), "--jobs: -1 is not at least 1; leave it out for one worker per core"),
        (("--jobs", "0"), "--jobs: 0 is not at least 1"),
        (("--epochs", "3"), "--steps: given beside --epochs, and both say how long to train; give one of them"),
        (("--epochs", "3", "--steps", "0"), "--steps: given beside --epochs"),
        (("--dask", "tcp://127.0.0.1:9"), "--dask"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, more, says):
    if "--dask" in more:
        more = (*more, "--only", "table4")
    assert main(arguments(tmp_path / "results", tmp_path / "out", *more)) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_epochs_replace_the_steps_of_a_slim_edition(tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    lab = reproduce.laboratory(parser.parse_args(["--edition", "quick", "--epochs", "3"]))
    assert total_steps(lab.settings, 8) == 6 and (lab.edition.name, lab.edition.title) == ("quick", "quick (3 epochs)")


def test_data_are_called_what_they_are(tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)

    def words(*arguments: str) -> str:
        lab = reproduce.laboratory(parser.parse_args([*arguments, "--weights", "untrained"]))
        assert (lab.synthetic, lab.mvtec) == (lab.edition.data == "synthetic data", False)
        return lab.edition.data

    made = edition("quick").data_root(("leather",))
    assert words("--edition", "quick") == words("--edition", "paper", "--data", str(made)) == "synthetic data"
    for k in range(3):
        (tmp_path / "leather" / "train" / "good").mkdir(parents=True, exist_ok=True)
        shutil.copy(edition("quick").category("leather").train[0], tmp_path / "leather" / "train" / "good" / f"{k}.png")
    shutil.copytree(made / "leather" / "test" / "good", tmp_path / "leather" / "test" / "good")
    assert words("--edition", "paper", "--data", str(tmp_path)) == f"data in {tmp_path.name}"


def test_a_folder_without_categories(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    args = ["reproduce", "--edition", "paper", "--weights", "untrained", "--data", str(tmp_path / "empty"), "--dry-run"]
    assert main(args) == 2
    assert "holds no category" in capsys.readouterr().err


def test_speed_is_measured_again_when_the_trainings_are_others(lab):
    def keys(categories: tuple[str, ...]) -> set[str]:
        return {k for job in speed_jobs(lab, needs("table6"), plan(lab, needs("table6"), categories, 1), categories) for k in job.keys}

    assert len(keys(CATEGORIES)) == 5 and not keys(CATEGORIES) & keys(CATEGORIES[:1])


def test_a_checkpoint_outlives_a_kill_before_the_record(lab, monkeypatch):
    slow = replace(lab, settings=replace(lab.settings, steps=None, epochs=1))
    (job,) = plan(slow, needs("table4"), ("leather",), 1)
    job = replace(job, records=job.records[:1])
    monkeypatch.setattr(Store, "put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_job(slow, job)
    checkpoint = slow.results / "checkpoints" / f"{job.keys[0]}.safetensors"
    assert checkpoint.exists()
    monkeypatch.undo()
    run_job(slow, job)
    assert slow.store.has(job.keys[0]) and not checkpoint.exists()


def test_unknown_category(tmp_path, capsys):
    args = ["reproduce", "--edition", "quick", "--categories", "sock", "--results", str(tmp_path / "r"), "--out", str(tmp_path / "o")]
    assert main(args) == 2
    assert "'sock'" in capsys.readouterr().err


def start(results: Path, out: Path, *more: str) -> subprocess.Popen:
    """The run as a process group of its own, so that its workers can be killed with it."""
    command = [sys.executable, "-m", "dfr_core", *arguments(results, out, "--only", "table4", "--jobs", "2", *more)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, tuple]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder / "results", folder / "out").wait(300) == 0
    found = contents(folder / "results")
    assert len(found) == 2 * 5  # the five sets of Table IV
    return found


@pytest.mark.parametrize("kill", range(KILLS))
def test_killed_anywhere_it_goes_on(tmp_path, undisturbed, kill):
    results = tmp_path / "results"
    wanted = int(np.random.default_rng(kill).integers(1, len(undisturbed)))
    process = start(results, tmp_path / "out")
    deadline = time.monotonic() + 200
    while len(list(results.glob("*.json"))) < wanted and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(results.glob("*.json"))) < len(undisturbed), "killed too late to tell anything"
    assert start(results, tmp_path / "out").wait(300) == 0
    assert contents(results) == undisturbed


def below(pid: int) -> set[int]:
    """The living processes that a process has started, and those have started."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                child = int(status.parent.name)
                found |= {child} | below(child)
    return found


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with suppress(OSError):
            found |= {pid} if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" else set()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in Linux's /proc")
@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_they_work_for(tmp_path, way):
    """The parent alone is told to end; nothing goes on computing, and the next run goes on."""
    results = tmp_path / "results"
    process = start(results, tmp_path / "out", "--seeds", "9")
    deadline = time.monotonic() + 200
    while not list(results.glob("*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = below(process.pid)
    assert process.poll() is None and len(workers) >= 2
    os.kill(process.pid, way)
    process.wait(60)
    while alive(workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(workers)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_as_many_workers_as_cores_that_may_be_used(monkeypatch):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        args = parser.parse_args(["--edition", "quick", "--device", "cpu"])
        lab = reproduce.laboratory(args)
    finally:
        os.sched_setaffinity(0, before)
    assert (args.jobs, lab.threads) == (1, 1)


def test_a_dask_cluster_gives_the_same_records(tmp_path, undisturbed):
    distributed = pytest.importorskip("distributed")
    results = tmp_path / "results"
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)) as cluster:
        process = start(results, tmp_path / "out", "--dask", cluster.scheduler_address)
        deadline = time.monotonic() + 200
        while not list(results.glob("*.json")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)  # in the middle; its nanny starts another
        assert process.wait(300) == 0
    assert contents(results) == undisturbed
