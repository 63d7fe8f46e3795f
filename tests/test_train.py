"""Training: what is drawn, the loss, the schedule; killed at any moment it goes on and ends with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfr_core import DFR
from dfr_core.errors import DFRError
from dfr_core.files import load_tensors, save_tensors
from dfr_core.methods import dfr as detector
from dfr_core.methods.adam import Adam
from dfr_core.methods.cae import CAE
from dfr_core.methods.train import (
    Checkpoint,
    Progress,
    batch,
    check_training,
    learning_rate,
    reconstruction_loss,
    run_name,
    total_steps,
    train,
)
from dfr_core.settings import Settings

# ---- what a step trains on ---------------------------------------------------------------------------


@given(st.integers(1, 23), st.integers(1, 9), st.integers(1, 40), st.none() | st.integers(1, 50), st.integers(0, 99))
def test_an_epoch_takes_every_image_once(n_images, batch_size, n_positions, positions, seed):
    settings = Settings(batch_size=batch_size, positions=positions, seed=seed, epochs=3)
    per_epoch = -(-n_images // batch_size)
    assert total_steps(settings, n_images) == 3 * per_epoch
    orders = []
    for epoch in range(3):
        taken = []
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            images, places = batch(settings, n_images, n_positions, step)
            taken += images.tolist()
            if positions is None or positions >= n_positions:
                assert places is None
            else:
                assert places.shape == (len(images), positions)
                for row in places.tolist():
                    assert len(set(row)) == positions and min(row) >= 0 and max(row) < n_positions
        assert sorted(taken) == list(range(n_images))
        orders.append(taken)
    if n_images > 8:
        assert orders[0] != orders[1] or orders[1] != orders[2]


def test_draws_depend_on_seed_and_step_only():
    settings = Settings(positions=7, seed=3)
    for step in (0, 5, 1000):
        first, again = (batch(settings, 10, 50, step) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(batch(settings, 10, 50, 0)[1], batch(settings, 10, 50, 1)[1])
    assert not torch.equal(batch(settings, 10, 50, 0)[1], batch(replace(settings, seed=4), 10, 50, 0)[1])


def test_positions_are_drawn_evenly():
    settings = Settings(positions=5, batch_size=4)
    drawn = torch.cat([batch(settings, 4, 20, step)[1].flatten() for step in range(500)])
    counts = torch.bincount(drawn, minlength=20)
    assert counts.sum() == 500 * 4 * 5 and (counts - 500).abs().max() < 120  # more than five standard deviations


def test_steps_replace_epochs():
    assert total_steps(Settings(steps=17), 100) == 17
    assert total_steps(Settings(), 10) == 700 * 3


# ---- the schedule ------------------------------------------------------------------------------------


def test_learning_rate_is_constant_in_the_paper():
    assert {learning_rate(Settings(), step, 50) for step in range(50)} == {1e-4}


def test_one_cycle_rises_for_three_tenths_and_falls():
    settings = Settings(schedule="onecycle", learning_rate=2e-3)
    rates = np.array([learning_rate(settings, step, 1000) for step in range(1001)])
    assert rates.argmax() == 300 and rates[300] == pytest.approx(2e-3)
    assert (np.diff(rates[:301]) > 0).all() and (np.diff(rates[300:]) < 0).all()
    assert rates[0] == pytest.approx(2e-3 / 25) and rates[-1] == pytest.approx(2e-7)
    assert rates[150] == pytest.approx((rates[0] + 2e-3) / 2)  # half a cosine


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_short_runs_have_positive_rates(steps):
    settings = Settings(schedule="onecycle")
    assert all(0 < learning_rate(settings, step, steps) <= 1e-4 for step in range(steps))


# ---- the loss ----------------------------------------------------------------------------------------


def test_loss_is_equation_4_by_brute_force():
    generator = torch.Generator().manual_seed(0)
    f, found = torch.randn(6, 5, generator=generator), torch.randn(6, 5, generator=generator)
    norms = [sum((float(a) - float(b)) ** 2 for a, b in zip(x, y)) ** 0.5 for x, y in zip(f, found)]
    assert float(reconstruction_loss(f, found)) == pytest.approx(sum(norms) / 6, rel=1e-6)
    assert float(reconstruction_loss(f, found, "squared")) == pytest.approx(sum(n * n for n in norms) / 30, rel=1e-6)


def test_loss_of_a_perfect_reconstruction_has_a_finite_gradient():
    f = torch.ones(3, 4, requires_grad=True)
    reconstruction_loss(f, torch.ones(3, 4)).backward()
    assert torch.isfinite(f.grad).all()


# ---- training ----------------------------------------------------------------------------------------


class Rows:
    """A training source: 5 images of 3 x 4 regional features."""

    shape = (3, 4)

    def __init__(self) -> None:
        self.data = torch.randn(5, 12, 6, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return 5

    def rows(self, images, positions):
        return (self.data[images] if positions is None else self.data[images[:, None], positions]).flatten(0, 1)


SETTINGS = Settings(steps=25, positions=5, batch_size=2, learning_rate=1e-2)


def loss_of(model, rows):
    return reconstruction_loss(rows, model(rows))


def run(settings=SETTINGS, loss=loss_of, **options):
    model = CAE(6, 2, batch_norm=settings.batch_norm)
    return train(model, Rows(), settings, loss, **options), model


def test_training_is_adam_by_hand():
    source, model, twin, expected = Rows(), CAE(6, 2).double(), CAE(6, 2).double(), []
    source.data = source.data.double()
    curve = train(model, source, SETTINGS, loss_of)
    optimiser = torch.optim.Adam(twin.parameters(), lr=1e-2)
    for step in range(25):
        images, positions = batch(SETTINGS, 5, 12, step)
        rows = torch.stack([source.data[i, p] for i, places in zip(images, positions) for p in places])
        loss = (rows - twin(rows)).square().sum(1).sqrt().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        expected.append(loss.item())
    assert np.allclose(curve, expected, rtol=1e-6)
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(model.parameters(), twin.parameters()))
    assert curve.dtype == np.float32 and curve.shape == (25,)
    assert not model.training


def test_adam_has_the_bits_of_torchs():
    start = [torch.randn(7, 3), torch.randn(5)]
    ours, theirs = ([p.clone().requires_grad_() for p in start] for _ in range(2))
    adam, reference = Adam(ours, 0.1), torch.optim.Adam(theirs, 0.1, fused=True)
    for step in range(5):
        for optimiser, parameters in ((adam, ours), (reference, theirs)):
            optimiser.param_groups[0]["lr"] = 0.1 / (step + 1)
            for p in parameters:
                p.grad = (p.detach() - step).sin()
            optimiser.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    for a, b in zip(ours, theirs):
        assert all(torch.equal(adam.state[a][name], reference.state[b][name]) for name in ("step", "exp_avg", "exp_avg_sq"))


def test_training_does_not_load_torchs_compiler():
    code = """
import sys, torch
from dfr_core import DFR
from dfr_core.settings import Settings
images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
DFR(Settings(weights="untrained", image_size=32, width=0.05, layers="1:3", steps=2, positions=4), device="cpu", progress=False).fit(images)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_progress_tells_the_end():
    told: list[Progress] = []
    curve, _ = run(progress=told.append)
    assert (told[-1].step, told[-1].steps) == (25, 25)
    assert told[-1].loss == pytest.approx(float(curve[-1]))


class Stop(Exception):
    """Raised in the middle of a run, as a user's Ctrl-C would be."""


def stopping_loss(at: int):
    calls = []

    def loss(model, rows):
        calls.append(1)
        if len(calls) > at:
            raise Stop
        return loss_of(model, rows)

    return loss


def bits(model) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("every", [1, 4])
def test_interrupted_anywhere_it_ends_with_the_same_bits(tmp_path, batch_norm, every):
    settings = replace(SETTINGS, batch_norm=batch_norm, schedule="onecycle")
    curve, undisturbed = run(settings)

    class Often(Checkpoint):
        asked = 0

        def due(self) -> bool:
            self.asked += 1
            return self.asked % every == 0

    drawn = random.Random(every)
    for k, first in enumerate([0, 1, 24, *drawn.sample(range(2, 24), 4)]):
        path = tmp_path / f"{k}.safetensors"
        for at in (first, drawn.randrange(1, 20)):  # stopped twice
            try:
                run(settings, stopping_loss(at), checkpoint=Often(path, "run"))
            except Stop:
                assert path.exists() == (at >= every or path.exists())
        again, resumed = run(settings, checkpoint=Often(path, "run"))
        assert again.tobytes() == curve.tobytes()
        assert bits(resumed) == bits(undisturbed)


def test_interrupted_in_the_progress_callback(tmp_path):
    curve, undisturbed = run()

    def stop(progress: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        run(checkpoint=Checkpoint(tmp_path / "c", "run", every_seconds=0), progress=stop)
    again, resumed = run(checkpoint=Checkpoint(tmp_path / "c", "run"))
    assert again.tobytes() == curve.tobytes() and bits(resumed) == bits(undisturbed)


def test_a_finished_run_is_taken_up_without_a_step(tmp_path):
    curve, done = run(checkpoint=Checkpoint(tmp_path / "c", "run"))
    again, taken = run(loss=stopping_loss(0), checkpoint=Checkpoint(tmp_path / "c", "run"))
    assert again.tobytes() == curve.tobytes() and bits(taken) == bits(done)


def test_checkpoint_of_another_run_is_not_used(tmp_path):
    curve, _ = run()
    run(replace(SETTINGS, seed=9), checkpoint=Checkpoint(tmp_path / "c", "another run"))
    again, _ = run(checkpoint=Checkpoint(tmp_path / "c", "run"))
    assert again.tobytes() == curve.tobytes()


def test_name_of_a_run_tells_settings_data_and_weights_apart():
    names = {
        run_name(SETTINGS, "a", "b"), run_name(SETTINGS, "b", "b"), run_name(SETTINGS, "a", "c"),
        run_name(replace(SETTINGS, seed=1), "a", "b"), run_name(replace(SETTINGS, layers="1:3"), "a", "b"),
    }  # fmt: skip
    assert len(names) == 5 and all(json.loads(name) for name in names)


def test_time_decides_when_to_save(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c", "run", every_seconds=30)
    now = time.monotonic()
    assert not checkpoint.due()
    monkeypatch.setattr(time, "monotonic", lambda: now + 31)
    assert checkpoint.due()


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def without(prefix):
    def damage(path):
        tensors, about = load_tensors(path)
        save_tensors(path, {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}, about)

    return damage


def with_step(step):
    def damage(path):
        tensors, about = load_tensors(path)
        save_tensors(path, tensors, about | {"step": step})

    return damage


def without_step(path):
    tensors, about = load_tensors(path)
    save_tensors(path, tensors, {"run": about["run"]})


DAMAGES = {
    "truncated": truncated, "empty": lambda path: path.write_bytes(b""), "noise": lambda path: path.write_bytes(os.urandom(300)),
    "no weights": without("model."), "no moments": without("adam.3."), "no losses": without("losses"), "no step": without_step,
    "no number": with_step("many"), "too many steps": with_step("26"), "too few": with_step("-1"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "run.ckpt"
    run(checkpoint=Checkpoint(path, "run"))
    DAMAGES[damage](path)
    before = path.read_bytes()
    with pytest.raises(DFRError) as caught:
        run(checkpoint=Checkpoint(path, "run"))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_no_checkpoint_is_not_overwritten(tmp_path, fitted, images, tiny):
    fitted.save(tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(DFRError, match=r"model.safetensors: .*not a checkpoint"):
        DFR(tiny, progress=False, device="cpu").fit(images, checkpoint=tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 1e-3}, {"layers": "1:5"}, {"data": 1}])
def test_the_detector_uses_no_checkpoint_of_other_settings_or_data(tmp_path, tiny, images, change):
    short = replace(tiny, steps=3)
    other = images[:5] if "data" in change else images
    DFR(short if "data" in change else replace(short, **change), progress=False, device="cpu").fit(other, checkpoint=tmp_path / "c")
    plain = DFR(short, progress=False, device="cpu").fit(images)
    beside = DFR(short, progress=False, device="cpu").fit(images, checkpoint=tmp_path / "c")
    assert beside.loss_curve_.tobytes() == plain.loss_curve_.tobytes()


def test_the_detector_goes_on_from_its_checkpoint(tmp_path, tiny, images, fitted, monkeypatch):
    monkeypatch.setattr(detector, "Checkpoint", lambda path, run: Checkpoint(path, run, every_seconds=0))
    stopped = DFR(tiny, progress=False, device="cpu")
    count, loss = [], stopped._loss

    def stop(model, rows):
        count.append(1)
        if len(count) == 8:
            raise Stop
        return loss(model, rows)

    monkeypatch.setattr(stopped, "_loss", stop)
    with pytest.raises(Stop):
        stopped.fit(images, checkpoint=tmp_path / "c")
    resumed = DFR(tiny, progress=False, device="cpu").fit(images, checkpoint=tmp_path / "c")
    assert resumed.loss_curve_.tobytes() == fitted.loss_curve_.tobytes()
    assert bits(resumed._model) == bits(fitted._model)


# ---- kill -9 -----------------------------------------------------------------------------------------

#: Loads torch once, then fits in a child process for each line "checkpoint, out" it reads. The child tells its steps.
DRIVER = """
import json, os, sys
from functools import partial
import numpy as np, torch
torch.set_num_threads(1)
from dfr_core import DFR
from dfr_core.methods import dfr as detector
from dfr_core.settings import Settings
detector.Checkpoint = partial(detector.Checkpoint, every_seconds=0)
settings, images = Settings(**json.loads(sys.argv[1])), np.load(sys.argv[2])

def fit(checkpoint, out):
    dfr = DFR(settings, device="cpu", progress=False)
    loss = dfr._loss
    def tell(model, rows):
        print("step", flush=True)
        return loss(model, rows)
    dfr._loss = tell
    dfr.fit(images, checkpoint=checkpoint).save(out)

for line in sys.stdin:
    child = os.fork()
    if not child:
        fit(*json.loads(line))
        os._exit(0)
    print("pid", child, flush=True)
    print("end", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Fits:
    """The driver, and the fit it runs now."""

    def __init__(self, folder, settings: Settings, images: torch.Tensor) -> None:
        (folder / "driver.py").write_text(DRIVER)
        np.save(folder / "images.npy", images.numpy())
        command = [sys.executable, folder / "driver.py", json.dumps(asdict(settings)), folder / "images.npy"]
        self.driver = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.stdin.close()
        self.driver.wait(timeout=60)
        self.driver.stdout.close()

    def start(self, checkpoint, out) -> None:
        self.pid, self.ended, self.steps = None, None, 0
        print(json.dumps([str(checkpoint), str(out)]), file=self.driver.stdin, flush=True)

    def read(self) -> None:
        what, *number = self.driver.stdout.readline().split()
        if what == "step":
            self.steps += 1
        elif what == "pid":
            self.pid = int(number[0])
        else:
            self.ended = int(number[0])

    def run(self) -> int:
        """Let it come to its end; the exit code."""
        while self.ended is None:
            self.read()
        return self.ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork and kill")
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path, tiny, images):
    """A real SIGKILL; DFR_KILLS says how many. Every kill is of a run of its own, which is then resumed."""
    kills = int(os.environ.get("DFR_KILLS", "3"))
    settings = replace(tiny, steps=60)
    DFR(settings, device="cpu", progress=False).fit(images).save(tmp_path / "undisturbed.safetensors")
    expected, _ = load_tensors(tmp_path / "undisturbed.safetensors")
    random_moments, done = random.Random(), []
    with Fits(tmp_path, settings, images) as fits:
        for kill in range(kills):
            checkpoint, out = tmp_path / f"{kill}.ckpt", tmp_path / f"{kill}.safetensors"
            step = random_moments.randint(1, 60)
            fits.start(checkpoint, out)
            while fits.steps < step or fits.pid is None:
                fits.read()
            time.sleep(random_moments.uniform(0, 0.003))  # in the middle of a step, or of writing the checkpoint
            os.kill(fits.pid, signal.SIGKILL)
            assert fits.run() == -signal.SIGKILL and not out.exists()
            saved = int(load_tensors(checkpoint)[1]["step"]) if checkpoint.exists() else 0
            fits.start(checkpoint, out)
            assert fits.run() == 0 and fits.steps == 60 - saved
            found, _ = load_tensors(out)
            assert found.keys() == expected.keys()
            assert all(found[name].numpy().tobytes() == expected[name].numpy().tobytes() for name in expected)
            done.append(f"{step} ({saved} saved)")
    print(f"\nkilled during step {', '.join(done)} of 60: resumed, identical each time")


# ---- work is kept, and what is spoilt is not ---------------------------------------------------------


def test_an_interruption_keeps_every_whole_step(tmp_path):
    """Ctrl-C long before the next saving is due."""
    curve, undisturbed = run()
    with pytest.raises(Stop):
        run(loss=stopping_loss(9), checkpoint=Checkpoint(tmp_path / "c", "run"))
    assert load_tensors(tmp_path / "c")[1]["step"] == "9"
    again, resumed = run(checkpoint=Checkpoint(tmp_path / "c", "run"))
    assert again.tobytes() == curve.tobytes() and bits(resumed) == bits(undisturbed)


def test_an_interruption_in_the_middle_of_a_step_keeps_none_of_it(tmp_path, monkeypatch):
    curve, undisturbed = run()
    steps, adam = [], Adam.step

    def stop(self, *_):
        steps.append(1)
        adam(self)
        if len(steps) == 9:
            raise Stop  # the weights have moved, the loss is not yet noted

    class Every4(Checkpoint):
        def due(self) -> bool:
            return len(steps) % 4 == 0

    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", stop)
        with pytest.raises(Stop):
            run(checkpoint=Every4(tmp_path / "c", "run"))
    assert load_tensors(tmp_path / "c")[1]["step"] == "8"
    again, resumed = run(checkpoint=Checkpoint(tmp_path / "c", "run"))
    assert again.tobytes() == curve.tobytes() and bits(resumed) == bits(undisturbed)


def test_a_full_disk_does_not_hide_the_interruption(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Stop):
        run(loss=stopping_loss(3), checkpoint=Checkpoint(tmp_path / "file" / "c", "run"))


def test_an_early_run_is_saved_soon_and_a_long_one_seldom(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "c", "run")
    saved = []
    while now[0] < 300:
        now[0] += 0.5
        if checkpoint.due():
            checkpoint._last = now[0]
            saved.append(now[0] - 100)
    assert saved == [1, 2, 4, 8, 16, 32, 62, 92, 122, 152, 182]


@pytest.mark.parametrize("changes", [{}, {"projection": 8}, {"schedule": "constant"}, {"loss": "squared"}, {"steps": 3}])
@pytest.mark.parametrize("initialisation", ["centred", "pca", "default"])
def test_diverged_training_is_refused_and_nothing_is_left(tiny, images, changes, initialisation):
    settings = replace(tiny, initialisation=initialisation, learning_rate=10.0, **changes)
    broken = DFR(settings, device="cpu", progress=False)
    with pytest.raises(DFRError, match="training diverged .*lower learning_rate"):
        broken.fit(images)
    with pytest.raises(DFRError, match="not fitted"):
        broken.save("nowhere.safetensors")


def test_curves_are_judged_by_their_ends(caplog):
    check_training(np.array([4.0, 3.0, 2.0, 1.0]), 2.0)
    check_training(np.array([1.0, 1e6, 1.4]), 4.0)
    assert not caplog.records
    check_training(np.array([1.0, 2.5]), 4.0)
    assert "began at 1 and ends at 2.5" in caplog.text
    check_training(np.array([7.0, 6.9]), 2.0)  # a start from random weights, hardly trained: no use yet, but not spoilt
    assert "next to nothing: the loss ends at 6.9" in caplog.text
    for curve in ([1.0, float("nan"), 0.1], [1.0, 25.0, 2.0], [0.05, 5e4], [1.0, float("inf")]):
        with pytest.raises(DFRError, match="diverged"):
            check_training(np.array(curve), 2.0)
