"""The contract that every method keeps: one set of tests over all of them, and over a toy that shows what a method supplies."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch
from conftest import TINY, rewritten
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from test_st import TINY_ST, TINY_STM
from torch import nn

import dfr_core
from dfr_core import Detector, DFRError, load_detector, method, scoring
from dfr_core.data import fingerprint
from dfr_core.files import load_tensors
from dfr_core.methods import METHODS
from dfr_core.methods.ae import AEL2Settings, AESSIMSettings
from dfr_core.methods.anogan import AnoGANSettings
from dfr_core.methods.cnn_fd import CNNFDSettings
from dfr_core.methods.train import Checkpoint
from dfr_core.methods.vae_grad import VAEGradSettings
from dfr_core.methods.verdict import Verdict
from dfr_core.settings import released


@dataclass(frozen=True)
class ToySettings:
    """The least that a method's settings are."""

    image_size: int = 64
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values):
        for name in values:
            if name not in ("image_size", "seed"):
                raise DFRError(name, "no such setting", "known are image_size, seed")
        return cls(**values)


class MeanColour(Detector):
    """All that a method has to write: a pixel is as anomalous as its colour, seen from a random side, is far from the mean one."""

    name = "mean colour"
    settings_class = ToySettings

    def _learn(self, images, data, checkpoint):
        side = torch.randn(3, generator=torch.Generator().manual_seed(self.settings.seed))
        self._model = self._module(side, images.float().mean((0, 2, 3)))
        return self._map(images)

    def _map(self, images):
        shifted = images.to(self.device).float() - self._model.mean[:, None, None]
        return (shifted * self._model.side[:, None, None]).sum(1).abs()

    def _rebuilt(self, state, about):
        module = self._module(torch.zeros(3), torch.zeros(3))
        module.load_state_dict(state)
        return module

    @staticmethod
    def _module(side, mean):
        module = nn.Module()
        module.register_buffer("side", side)
        module.register_buffer("mean", mean)
        return module.eval()


#: Of methods on pixels.
PIXELS = {"image_size": 64, "patch": 32, "stride": 16, "width": 0.1, "latent_dim": 8, "learning_rate": 1e-3, "batch_size": 4, "steps": 6}
#: Method -> small settings to try it with; a new method needs a line here, too.
TRIED = {
    "DFR": {
        "whole": TINY,
        "zeros": replace(TINY, padding="zeros", initialisation="pca"),
        "projected": replace(TINY, projection=6),
        "released": released(image_size=64, weights="untrained", width=0.02, layers="1:12", steps=4),
        "bilinear": replace(TINY, interpolation="bilinear", kernel=8, stride=2, positions=None, steps=3),
    },
    "CNN-FD": {
        "one pass": CNNFDSettings(
            image_size=64, backbone="vgg19", weights="untrained", width=0.02, padding="reflect", layer=4, cut=False, clusters=8
        ),
        "cut": CNNFDSettings(image_size=64, backbone="vgg19", weights="untrained", width=0.02, layer=4, stride=8, clusters=8, nearest=2),
    },
    "AE-l2": {"patches": AEL2Settings(**PIXELS), "whole, smaller": AEL2Settings(**PIXELS | {"patch": None, "zoom": 2})},
    "AE-ssim": {"patches, smaller": AESSIMSettings(**PIXELS | {"zoom": 2, "patch": 16, "stride": 8})},
    "ST-p65": {"one scale": TINY_ST},
    "ST-m": {"three scales": TINY_STM},
    "AnoGAN": {"patches": AnoGANSettings(**PIXELS | {"search_steps": 4, "search_rate": 0.1, "candidates": 4})},
    "VAE-grad": {"patches": VAEGradSettings(**PIXELS | {"iterations": 4})},
    MeanColour.name: {"toy": ToySettings()},
}
CASES = [pytest.param((name, settings), id=f"{name}, {case}") for name, cases in TRIED.items() for case, settings in cases.items()]
FPRS = [0, 1e-4, 0.001, 0.005, 0.0123, 0.05]
each = pytest.mark.parametrize("case", CASES, indirect=True)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def toy_has_a_row(monkeypatch):
    monkeypatch.setitem(METHODS, MeanColour.name, f"{__name__}:MeanColour")


def fresh(settings, images=None, **options) -> Detector:
    """A detector of the method whose settings these are, fitted if there are images."""
    kind = next(name for name, cases in TRIED.items() if type(settings) is type(next(iter(cases.values()))))
    detector = method(kind)(settings, device="cpu", progress=False, **options)
    return detector if images is None else detector.fit(images)


_fitted: dict[str, Detector] = {}


@pytest.fixture
def case(request, images, tmp_path_factory):
    """(a fitted detector, which is not to be changed; its settings; its saved file)."""
    kind, settings = request.param
    key = f"{kind} {settings}"
    if key not in _fitted:
        file = tmp_path_factory.mktemp("model") / "model.safetensors"
        detector = fresh(settings, images)
        detector.save(file)
        _fitted[key] = detector, settings, file
    return _fitted[key]


def bits(detector: Detector) -> dict[str, bytes]:
    """All that it has learnt but the thresholds."""
    learnt = {name: value.numpy().tobytes() for name, value in detector.model.state_dict().items()}
    return learnt | {"loss curve": detector.loss_curve_.tobytes()}


def thresholds(detector: Detector) -> list[float]:
    return [detector.threshold(fpr) for fpr in FPRS]


# ---- the table -----------------------------------------------------------------------------------------


def test_every_method_is_tried_and_has_its_name():
    assert set(METHODS) == set(TRIED)
    for name in METHODS:
        assert issubclass(method(name), Detector) and method(name).name == name
        assert all(isinstance(settings, method(name).settings_class) for settings in TRIED[name].values())


def test_unknown_method():
    with pytest.raises(DFRError, match="method: 'PaDiM2' is not one of DFR") as caught:
        method("PaDiM2")
    assert "\n" not in str(caught.value)


def test_the_table_imports_nothing_heavy():
    code = "import sys; from dfr_core.methods import METHODS; print(*({'torch', 'numpy', 'dfr_core.methods.base'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
    assert dfr_core.DFR is method("DFR")


# ---- fitting and mapping -------------------------------------------------------------------------------


@each
def test_fit_returns_the_detector_and_tells_what_it_is_fitted_to(case, images):
    detector, settings, _ = case
    again = fresh(settings)
    assert again.fit(images) is again and bits(again) == bits(detector)
    assert detector.settings == settings == type(settings).from_dict(json.loads(settings.to_json()))
    assert detector.n_normal_pixels_ == images[:, 0].numel() and detector.data_fingerprint_ == fingerprint(images)
    assert detector.loss_curve_.dtype == np.float32 and np.isfinite(detector.loss_curve_).all()
    assert not detector.model.training


@each
def test_maps_are_float32_of_the_images_size(case, odd_images):
    detector, settings, _ = case
    images, masks = odd_images
    maps = detector.anomaly_map(images)
    assert maps.shape == (4, 64, 64) and maps.dtype == np.float32 and np.isfinite(maps).all() and maps.std() > 0
    assert np.array_equal(detector.anomaly_tensor(images).numpy(), maps)
    assert maps[2:][masks[2:].numpy()].mean() > maps[:2].mean()
    assert detector.image_score(images).tolist() == maps.max(axis=(1, 2)).tolist() == scoring.image_score(torch.from_numpy(maps)).tolist()
    assert detector.anomaly_map(np.zeros((48, 80, 3), np.uint8)).shape == (1, 48, 80)  # other sizes are taken as they are


@each
def test_a_map_does_not_depend_on_its_batch(case, odd_images):
    detector, *_ = case
    apart = np.concatenate([detector.anomaly_map(image) for image in odd_images[0]])
    assert np.array_equal(apart, detector.anomaly_map(odd_images[0]))  # bit for bit


@each
@pytest.mark.parametrize("form", ["array", "channels last", "list", "folder"])
def test_fit_takes_every_form(case, images, form, tmp_path):
    from PIL import Image

    detector, settings, _ = case
    last = images.permute(0, 2, 3, 1).numpy()
    if form == "folder":
        for k, image in enumerate(last):
            Image.fromarray(image).save(tmp_path / f"{k}.png")
    given = {"array": images.numpy(), "channels last": last, "list": list(images), "folder": tmp_path}[form]
    assert bits(fresh(settings, given)) == bits(detector)


@each
def test_same_seed_same_bits_other_seed_others(case, images, odd_images):
    detector, settings, _ = case
    torch.manual_seed(123)  # the caller's generator plays no part
    again = fresh(settings, images)
    assert bits(again) == bits(detector) and thresholds(again) == thresholds(detector)
    assert again.anomaly_map(odd_images[0]).tobytes() == detector.anomaly_map(odd_images[0]).tobytes()
    assert again.weights_fingerprint_ == detector.weights_fingerprint_
    assert bits(fresh(replace(settings, seed=1), images)) != bits(detector)


@each
def test_fitting_again_forgets_the_first_fit(case, images):
    detector, settings, _ = case
    assert bits(fresh(settings, images[:3]).fit(images)) == bits(detector)


@each
def test_an_interrupted_fit_leaves_no_half_trained_detector(case, images, monkeypatch):
    detector = fresh(case[1], images)
    learn = detector._learn

    def interrupted(*given):
        learn(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(detector, "_learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(images)
    with pytest.raises(DFRError, match="not fitted"):
        detector.anomaly_map(images)


@each
@pytest.mark.parametrize("stop_at", [1, 3])
def test_killed_and_resumed_is_identical(case, images, tmp_path, monkeypatch, stop_at):
    """Where the method keeps checkpoints; one that keeps none takes the argument and fits."""
    detector, settings, _ = case
    save, saved = Checkpoint.save, []

    def kill(self, *given):
        save(self, *given)
        saved.append(1)
        if len(saved) == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    monkeypatch.setattr(Checkpoint, "save", kill)
    stopped = fresh(settings)
    if len(detector.loss_curve_):
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(images, checkpoint=tmp_path / "c")
        assert int(load_tensors(tmp_path / "c")[1]["step"]) == stop_at
    resumed = fresh(settings).fit(images, checkpoint=tmp_path / "c")
    assert bits(resumed) == bits(detector) and thresholds(resumed) == thresholds(detector)


# ---- thresholds, segmentation, metrics -----------------------------------------------------------------


@each
def test_threshold_is_exact_on_the_training_maps_and_higher_for_a_lower_rate(case, images):
    detector, *_ = case
    maps = torch.from_numpy(detector.anomaly_map(images))
    for fpr in FPRS:
        # Upsampling repeats values at the border, so pixels may tie with the threshold; no lower one would do.
        allowed, limit = int(fpr * maps.numel()), detector.threshold(fpr)
        assert limit == scoring.threshold(maps, fpr)
        assert int((maps > limit).sum()) <= allowed < int((maps >= limit).sum())
    assert thresholds(detector) == sorted(thresholds(detector), reverse=True) and detector.threshold(0) > detector.threshold(0.05)


@each
def test_calibrating_changes_the_thresholds_only(case, images, odd_images, tmp_path):
    fitted, settings, _ = case
    others, _ = odd_images
    detector = fresh(settings, images)
    assert detector.calibrate(others) is detector
    maps = torch.from_numpy(detector.anomaly_map(others))
    for fpr in (0, 0.005, 0.05):
        assert detector.threshold(fpr) == scoring.threshold(maps, fpr) != fitted.threshold(fpr)
    assert bits(detector) == bits(fitted) and np.array_equal(detector.anomaly_map(images), fitted.anomaly_map(images))
    detector.save(tmp_path / "m.safetensors")
    assert thresholds(load_detector(tmp_path / "m.safetensors", device="cpu")) == thresholds(detector)


@each
def test_the_verdict_is_taken_from_all_normal_images(case, images, odd_images, tmp_path):
    _, settings, _ = case
    detector = fresh(settings, images)
    trained = detector.image_score(images).max()
    assert detector.verdict_threshold() == pytest.approx(trained, rel=1e-6) == pytest.approx(detector.threshold(0), rel=1e-6)
    assert detector.verdict_.rate is None
    for kept in (odd_images[0], odd_images[0][:2]):  # the second time it takes the place of the first
        detector.calibrate(kept)
        assert detector.verdict_threshold() == pytest.approx(max(trained, detector.image_score(kept).max()), rel=1e-6)
        assert detector.verdict_.rate == 1 / (len(kept) + 1)
    detector.save(tmp_path / "m")
    again = load_detector(tmp_path / "m", device="cpu")
    assert (again.verdict_threshold(), again.verdict_.rate) == (detector.verdict_threshold(), 1 / 3)
    with pytest.raises(DFRError, match="calibration images: all of them were trained on"):
        again.calibrate(images[:2])
    file = rewritten(tmp_path / "m", tmp_path / "old", drop=["training_peaks", "kept_peaks", "training_images"])  # of earlier times
    assert load_detector(file, device="cpu").verdict_threshold() == detector.threshold(0)


@each
def test_calibration_images_are_new_and_many_or_something_is_said(case, images, odd_images, caplog):
    detector = fresh(case[1], images)
    detector.calibrate(torch.cat([images[:3], odd_images[0], odd_images[0][:1]]))
    assert "4 of 8 calibration images were trained on, or are there twice, and are left out" in caplog.text
    assert "4 calibration images are few: up to 1 in 5 good images" in caplog.text
    alone = fresh(case[1], images).calibrate(odd_images[0])
    assert thresholds(alone) == thresholds(detector) and alone.verdict_threshold() == detector.verdict_threshold()
    caplog.clear()
    many = torch.randint(0, 256, (19, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    detector.calibrate(many)
    assert not caplog.records and detector.verdict_.rate == 1 / 20


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 99))
def test_the_promise_is_kept_whatever_was_trained_on(n, trained, seed):
    """Of n + 1 exchangeable images at most one is above the n others: each in turn is the new one."""
    random = torch.Generator().manual_seed(seed)
    peaks, training = torch.rand(n + 1, generator=random), torch.rand(trained, generator=random)
    alarms = 0
    for new in range(n + 1):
        kept = torch.cat([peaks[:new], peaks[new + 1 :]])
        alarms += float(peaks[new]) > Verdict(training, kept).threshold
    assert alarms <= 1 and Verdict(training, peaks[1:]).rate == 1 / (n + 1)


@each
def test_segmentation_is_strictly_above(case, odd_images):
    detector, *_ = case
    images, _ = odd_images
    assert np.array_equal(detector.segment(images, fpr=0.005), detector.anomaly_map(images) > detector.threshold(0.005))
    assert np.array_equal(detector.segment(images), detector.segment(images, 0.005)) and detector.segment(images).dtype == bool
    assert detector.segment(images, 0.05).sum() >= detector.segment(images, 0.005).sum() >= detector.segment(images, 0).sum()


@each
@pytest.mark.parametrize("fpr", [-0.001, 0.0501, 1, float("nan")])
def test_rates_without_a_threshold(case, fpr):
    with pytest.raises(DFRError, match="^fpr: "):
        case[0].threshold(fpr)


@each
def test_evaluation(case, odd_images):
    detector, *_ = case
    images, masks = odd_images
    found = detector.evaluate((images, masks))
    maps = detector.anomaly_map(images)
    assert found.keys() == {"roc_auc", "pro_auc", "image_roc_auc", "counts", "seconds", "fps"}
    assert found["roc_auc"] == pytest.approx(roc_auc_score(masks.flatten(), maps.ravel()), abs=1e-6)
    assert found["image_roc_auc"] == roc_auc_score([0, 0, 1, 1], maps.max(axis=(1, 2))) and 0 < found["pro_auc"] <= 1
    assert found["counts"] == {"images": 4, "anomalous_images": 2, "anomalous_regions": 2}
    assert found["seconds"] >= 0 and found["fps"] > 0
    assert json.loads(json.dumps(found)) == found
    assert detector.evaluate((images[2:], masks[2:].numpy() * 255))["image_roc_auc"] is None
    with pytest.raises(DFRError, match="no anomalous pixel"):
        detector.evaluate((images[:2], masks[:2]))


# ---- saving and loading --------------------------------------------------------------------------------


@each
def test_a_loaded_model_is_the_saved_one(case, odd_images, tmp_path):
    detector, settings, file = case
    for loaded in (load_detector(file, device="cpu"), type(detector).load(file, device="cpu", progress=False)):
        assert type(loaded) is type(detector) and loaded.settings == settings
        assert loaded.anomaly_map(odd_images[0]).tobytes() == detector.anomaly_map(odd_images[0]).tobytes()
        assert bits(loaded) == bits(detector) and thresholds(loaded) == thresholds(detector)
        for name in ("n_normal_pixels_", "data_fingerprint_", "weights_fingerprint_"):
            assert getattr(loaded, name) == getattr(detector, name)
        loaded.save(tmp_path / "again.safetensors")
        (again, about), (saved, about_saved) = load_tensors(tmp_path / "again.safetensors"), load_tensors(file)
        assert about == about_saved and again.keys() == saved.keys() and all(torch.equal(again[name], saved[name]) for name in saved)


@each
def test_equal_fits_are_equal_files(case, images, tmp_path):
    _, settings, file = case
    fresh(settings, images).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


@each
def test_the_file_tells_what_it_is(case):
    detector, settings, file = case
    _, about = load_tensors(file)
    assert about["method"] == detector.name and type(settings).from_dict(json.loads(about["settings"])) == settings
    assert json.loads(about["thresholds"]) == {"0": detector.threshold(0), "0.005": detector.threshold(0.005)}
    assert about["seed"] == "0" and {"python", "torch", "numpy", "dfr-lab"} <= json.loads(about["versions"]).keys()
    assert about["data_fingerprint"] == detector.data_fingerprint_


@each
def test_the_file_is_words_and_numbers_and_no_pickle(case):
    """safetensors by its definition: the length of the header, JSON, and then nothing but the tensors' bytes."""
    content = case[2].read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    assert max(part["data_offsets"][1] for part in header.values()) == len(content) - 8 - length
    with pytest.raises((pickle.UnpicklingError, ValueError)):  # the latter where the length begins with a pickle's first byte
        pickle.loads(content)


DAMAGED = {
    "not a model": ({"format": "other"}, "not a DFR model"),
    "no words": ({"format": None}, "not a DFR model"),
    "another version": ({"format_version": "99"}, "format version 99, but this package reads version 3"),
    "no settings": ({"settings": None}, "damaged"),
    "settings are no JSON": ({"settings": "{"}, "damaged"),
    "settings are a list": ({"settings": "[1]"}, "no such setting"),
    "settings are a number": ({"settings": "3"}, "damaged"),
    "unknown setting": ({"settings": '{"sterps": 1}'}, "sterps: no such setting"),
    "no number of pixels": ({"n_normal_pixels": "many"}, "damaged"),
    "no tail": ({"drop": ["normal_tail"]}, "damaged"),
    "a weight is missing": ({"drop": ["first"]}, "damaged"),
    "a weight is too many": ({"tensors": {"model.extra": torch.zeros(1)}}, "damaged"),
}


@each
@pytest.mark.parametrize("damage", DAMAGED)
def test_model_files_that_cannot_be_used(case, tmp_path, damage):
    detector, _, model_file = case
    changes, match = DAMAGED[damage]
    if changes.get("drop") == ["first"]:
        changes = {"drop": [f"model.{next(iter(detector.model.state_dict()))}"]}
    file = rewritten(model_file, tmp_path / "model.safetensors", **changes)
    for load in (load_detector, type(detector).load):
        with pytest.raises(DFRError, match=match) as caught:
            load(file, device="cpu")
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@each
def test_a_file_of_another_method_is_one_clear_line(case, tmp_path):
    detector, _, model_file = case
    other = next(method(name) for name in METHODS if name != detector.name)
    with pytest.raises(DFRError, match=f"method {detector.name}, not of {other.name}; load it with dfr_core.load_detector") as caught:
        other.load(model_file, device="cpu")
    assert str(caught.value).startswith(str(model_file)) and "\n" not in str(caught.value)
    file = rewritten(model_file, tmp_path / "m", method="of 2031")
    with pytest.raises(DFRError, match=r"m: method: 'of 2031' is not one of DFR"):
        load_detector(file, device="cpu")


def test_a_file_that_names_no_method_is_dfrs(fitted, odd_images, tmp_path):
    """Files written when there was but one method."""
    fitted.save(tmp_path / "new")
    file = rewritten(tmp_path / "new", tmp_path / "old", method=None)
    for load in (load_detector, method("DFR").load):
        assert np.array_equal(load(file, device="cpu").anomaly_map(odd_images[0]), fitted.anomaly_map(odd_images[0]))


def test_weights_for_a_method_without_a_backbone(images, tmp_path):
    fresh(ToySettings(), images).save(tmp_path / "m")
    with pytest.raises(DFRError, match="weights: a model of the method mean colour holds all its weights; leave it away"):
        load_detector(tmp_path / "m", device="cpu", weights="vgg19.safetensors")


@each
def test_truncated_model_and_no_model(case, tmp_path):
    detector, _, model_file = case
    file = tmp_path / "model.safetensors"
    file.write_bytes(model_file.read_bytes()[:-8])
    with pytest.raises(DFRError, match="not a whole safetensors file"):
        type(detector).load(file)
    with pytest.raises(DFRError, match="no such file"):
        type(detector).load(tmp_path / "nothing")


@pytest.mark.parametrize("name", TRIED)
def test_a_pickle_is_not_run(name, tmp_path):
    """A model file that is a pickle with code in it: refused, the code not executed."""
    victim = tmp_path / "victim"

    class Evil:
        def __reduce__(self):
            return open, (str(victim), "w")

    file = tmp_path / "model.safetensors"
    for content in (pickle.dumps(Evil()), pickle.dumps({"model": Evil()}, protocol=0)):
        file.write_bytes(content)
        with pytest.raises(DFRError, match="not a whole safetensors file"):
            method(name).load(file)
    torch.save({"a": Evil()}, file)
    with pytest.raises(DFRError):
        method(name).load(file)
    assert not victim.exists()


# ---- mistakes ------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize(
    "use",
    [
        lambda d: d.anomaly_map(np.zeros((64, 64, 3), np.uint8)),
        lambda d: d.anomaly_tensor(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)),
        lambda d: d.segment(np.zeros((64, 64, 3), np.uint8)),
        lambda d: d.image_score(np.zeros((64, 64, 3), np.uint8)),
        lambda d: d.evaluate((np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64)))),
        lambda d: d.calibrate(np.zeros((64, 64, 3), np.uint8)),
        lambda d: d.threshold(),
        lambda d: d.save("model.safetensors"),
        lambda d: d.model,
    ],
)
def test_using_an_unfitted_detector(case, use):
    with pytest.raises(DFRError, match="not fitted; call fit"):
        use(fresh(case[1]))


BAD = {
    "floats": (np.zeros((2, 64, 64, 3)), "dtype .* is not uint8"),
    "two channels": (np.zeros((2, 2, 64, 64), np.uint8), "shape .* is not"),
    "no images": ([], "list is empty"),
    "nothing": (None, "cannot use a NoneType"),
    "no file": ("nowhere.png", "nowhere.png"),
}


@each
@pytest.mark.parametrize("bad", BAD)
def test_images_that_cannot_be_used(case, bad):
    detector, settings, _ = case
    given, match = BAD[bad]
    for use in (fresh(settings).fit, detector.anomaly_map, detector.image_score, detector.segment):
        with pytest.raises(DFRError, match=match):
            use(given)


@each
def test_masks_that_do_not_fit(case, odd_images):
    with pytest.raises(DFRError, match="masks: shape"):
        case[0].evaluate((odd_images[0], odd_images[1][:3]))


@each
@pytest.mark.parametrize("memory", [-1, float("nan"), float("inf")])
def test_impossible_memory(case, memory):
    with pytest.raises(DFRError, match="memory_gb"):
        fresh(case[1], memory_gb=memory)


@each
def test_impossible_device(case):
    with pytest.raises(DFRError, match="device: 'tpu'"):
        type(case[0])(case[1], device="tpu")
