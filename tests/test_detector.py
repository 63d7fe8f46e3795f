"""DFR as a whole: what it does beyond the contract of every method (test_methods)."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import rewritten

from dfr_core import DFR, edition, scoring
from dfr_core.data import fingerprint
from dfr_core.errors import DFRError
from dfr_core.extract import CachedFeatures, Extractor, StreamedFeatures, feature_source, sample
from dfr_core.files import save_tensors
from dfr_core.methods.cae import CAE
from dfr_core.methods.train import reconstruction_loss
from dfr_core.settings import Settings, released

CPU = torch.device("cpu")


def fit(settings: Settings, images, **options) -> DFR:
    return DFR(settings, device="cpu", progress=False, **options).fit(images)


def weights(detector: DFR) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in detector.model.state_dict().items()}


# ---- fitting and mapping -------------------------------------------------------------------------------


def test_map_is_equation_5_upsampled(fitted, odd_images):
    images, _ = odd_images
    maps = fitted.anomaly_map(images)
    assert maps.shape == (4, 64, 64) and maps.dtype == np.float32
    f = fitted.extractor(images).dense()
    with torch.no_grad():
        expected = scoring.upsample(scoring.residual(f, fitted.model(f)), (64, 64))
    assert torch.allclose(torch.from_numpy(maps), expected, rtol=1e-4, atol=1e-5 * float(expected.max()))
    assert torch.allclose(fitted.reconstruct(f), fitted.model(f), rtol=1e-4, atol=1e-6)


def test_what_a_fit_keeps(fitted, tiny, images):
    assert fitted.c_o_ == fitted.extractor(images[:1]).c_o
    assert 1 <= fitted.c_d_ <= fitted.c_o_
    assert fitted.loss_curve_.shape == (tiny.steps,) and np.isfinite(fitted.loss_curve_).all()
    assert fitted.weights_fingerprint_ == fitted.extractor.backbone.fingerprint()
    assert fitted.architecture()[2] == f"[layer 3]: Conv. (1, 1, {fitted.c_d_}), stride=1;"


def test_anomalies_score_higher(fitted, odd_images):
    images, masks = odd_images
    maps = fitted.anomaly_map(images)
    assert maps[2:][masks[2:].numpy()].mean() > 2 * maps[:2].mean()
    assert fitted.segment(images)[masks.numpy()].mean() > 0.2 and fitted.evaluate(odd_images)["image_roc_auc"] == 1.0
    assert fitted.image_score(images)[2:].min() > fitted.image_score(images)[:2].max()


def test_latent_dimension_is_as_asked(tiny, images):
    assert fit(replace(tiny, latent_dim=3, steps=1), images).c_d_ == 3
    detector = fit(replace(tiny, latent_dim=10_000, steps=1), images)
    assert detector.c_d_ == detector.c_o_


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_norm": True}, {"initialisation": "default"}, {"initialisation": "pca"}, {"loss": "squared", "score": "squared"},
        {"layers": "4"}, {"kernel": 3, "stride": 5}, {"kernel": 8, "stride": 2, "interpolation": "bilinear"},
        {"padding": "zeros", "positions": None, "epochs": 2, "steps": None}, {"map_interpolation": "bilinear-aligned"},
        {"hidden": "released"}, {"batch_size": 100}, {"pca_samples": 50, "pca_images": 1},
    ],
)  # fmt: skip
def test_every_choice_runs(tiny, images, odd_images, changes):
    detector = fit(replace(tiny, **({"steps": 3} | changes)), images)
    maps = detector.anomaly_map(odd_images[0])
    assert maps.shape == (4, 64, 64) and np.isfinite(maps).all() and maps.std() > 0


def test_released_preset_end_to_end(images, odd_images, tmp_path):
    s = released(image_size=64, weights="untrained", width=0.02, layers="1:12", steps=4)
    detector = fit(s, images)
    f = detector.extractor(odd_images[0]).dense()
    with torch.no_grad():
        expected = (f - detector.model(f)).square().mean(-1)
    found = detector.regional_anomaly_map(detector.extractor(odd_images[0]))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))
    assert " BN;" in detector.architecture()[0]
    detector.save(tmp_path / "m")
    assert np.array_equal(DFR.load(tmp_path / "m", device="cpu").anomaly_map(odd_images[0]), detector.anomaly_map(odd_images[0]))


def test_training_lowers_the_loss(tiny, images):
    curve = fit(replace(tiny, steps=100), images).loss_curve_
    assert curve[-10:].mean() < 0.8 * curve[:10].mean()


@pytest.mark.parametrize("changes", [{}, {"projection": 6}, {"batch_norm": True}, {"loss": "squared"}])
def test_the_last_layer_can_be_solved_for_when_training_ends(tiny, images, changes):
    trained, solved = (fit(replace(tiny, solve_samples=n, **changes), images) for n in (None, 1024))
    f = trained.extractor(images).dense().flatten(0, 2)
    losses = [float(reconstruction_loss(f, detector.reconstruct(f), changes.get("loss", "l2"))) for detector in (trained, solved)]
    assert losses[1] < losses[0] and np.array_equal(trained.loss_curve_, solved.loss_curve_)
    changed = {name for name, tensor in trained.model.state_dict().items() if not torch.equal(tensor, solved.model.state_dict()[name])}
    last = list(trained.model.state_dict())[-2:]
    assert changed == set(last)


def test_default_settings_are_the_current_editions(monkeypatch):
    monkeypatch.setenv("DFR_EDITION", "quick")
    assert DFR().settings == edition("quick").settings


# ---- determinism ---------------------------------------------------------------------------------------


def test_another_seed_is_another_backbone(tiny, images, fitted):
    assert fit(replace(tiny, seed=1), images).weights_fingerprint_ != fitted.weights_fingerprint_


# ---- features cached or recomputed ---------------------------------------------------------------------


@pytest.mark.parametrize("positions", [32, None])
def test_recomputed_features_give_the_same_weights(tiny, images, positions):
    s = replace(tiny, positions=positions, steps=4)
    assert weights(fit(s, images, memory_gb=0)) == weights(fit(s, images, memory_gb=1))


def test_the_choice_is_logged(tiny, images, caplog):
    extractor = Extractor(tiny, CPU)
    need = extractor(images[:1]).nbytes * len(images)
    with caplog.at_level(logging.INFO, "dfr"):
        assert isinstance(feature_source(extractor, images, need), CachedFeatures)
        assert isinstance(feature_source(extractor, images, need - 1), StreamedFeatures)
    assert [message.split(":")[0] for message in caplog.messages] == ["features cached", "features recomputed in every batch"]


def test_sources_agree(tiny, images):
    extractor = Extractor(tiny, CPU)
    cached, streamed = CachedFeatures(extractor.all(images)), StreamedFeatures(extractor, images)
    dense = torch.cat([extractor(image[None]).dense() for image in images])
    for source in (cached, streamed):
        assert (len(source), source.shape) == (6, (16, 16))
        assert torch.allclose(torch.cat([batch.dense() for batch in source.batches()]), dense, rtol=1e-5, atol=1e-6)
        which, places = torch.tensor([4, 1]), torch.tensor([[0, 255, 17], [3, 2, 1]])
        expected = dense.flatten(1, 2)[which[:, None], places].flatten(0, 1)
        assert torch.allclose(source.rows(which, places), expected, rtol=1e-5, atol=1e-6)
        assert torch.allclose(source.rows(which, None), dense[which].flatten(0, 2), rtol=1e-5, atol=1e-6)
        part = source.select((2, 5)).rows(which, places)
        assert torch.equal(
            part, Extractor(replace(tiny, layers="2,5"), CPU)(images[which]).at(torch.tensor([0, 0, 0, 1, 1, 1]), places.flatten())
        )


def test_samples_are_drawn_once_each_and_seeded(tiny, images):
    source = CachedFeatures(Extractor(tiny, CPU).all(images))
    everything = source.rows(torch.arange(6), None)
    assert torch.equal(sample(source, 10**6, 0), everything)
    assert sample(source, 100, 0).shape == (100, everything.shape[1])
    assert torch.equal(sample(source, 100, 0), sample(source, 100, 0))
    assert not torch.equal(sample(source, 100, 0), sample(source, 100, 1))
    assert torch.equal(sample(source, 10**6, 0, first_images=2), everything[:512])


def test_shared_features_and_extractor_change_nothing(tiny, images, fitted):
    extractor = Extractor(replace(tiny, layers="1:8"), CPU).select(range(1, 7))
    detector = DFR(tiny, device="cpu", progress=False).use_extractor(extractor)
    detector.fit_features(CachedFeatures(extractor.all(images)), fingerprint(images), (64, 64))
    assert weights(detector) == weights(fitted)


def test_a_detector_on_a_larger_backbone_keeps_its_own_layers(tiny, images, tmp_path):
    """One extractor for several layer sets: maps, a saved model and a checkpoint are those of the detector's own layers."""
    shared = Extractor(replace(tiny, layers="1:8"), CPU)
    settings = replace(tiny, layers="2")
    detector = DFR(settings, device="cpu", progress=False).use_extractor(shared)
    detector.fit_features(CachedFeatures(shared.all(images)).select((2,)), fingerprint(images), (64, 64))
    alone = fit(settings, images)
    assert detector.weights_fingerprint_ == alone.weights_fingerprint_
    assert np.array_equal(detector.anomaly_map(images), alone.anomaly_map(images))
    assert weights(DFR(settings, device="cpu", progress=False).use_extractor(shared).fit(images)) == weights(alone)
    detector.save(tmp_path / "m.safetensors")
    assert np.array_equal(DFR.load(tmp_path / "m.safetensors", device="cpu").anomaly_map(images), alone.anomaly_map(images))


def test_features_or_models_of_other_layers_are_refused(tiny, images):
    features = CachedFeatures(Extractor(replace(tiny, layers="1:3"), CPU).all(images))
    with pytest.raises(DFRError, match="source: its features have"):
        DFR(tiny, device="cpu", progress=False).fit_features(features, fingerprint(images), (64, 64))
    with pytest.raises(DFRError, match="model: is for 5 channels"):
        DFR(tiny, device="cpu", progress=False).adopt(CAE(5, 2))
    with pytest.raises(DFRError, match="beyond layer 3"):
        DFR(tiny, device="cpu", progress=False).use_extractor(Extractor(replace(tiny, layers="1:3"), CPU))


def test_no_training_pixel_exceeds_the_threshold_of_a_tiled_image(tiny, monkeypatch):
    """Tiles round differently from whole images, and an FPR of 0 allows no pixel."""
    monkeypatch.setattr(Extractor.tiles, "__defaults__", (48,))
    monkeypatch.setattr(Extractor.scores, "__defaults__", (48,))
    for seed in range(6):
        images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        detector = fit(replace(tiny, image_size=128, seed=seed, layers="1:3", steps=3), images)
        assert len(detector.extractor.tiles((128, 128))[0]) > 1
        assert detector.anomaly_map(images).max() <= detector.threshold(0)


# ---- saving and loading --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_file(fitted, tmp_path_factory):
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    fitted.save(file)
    return file


def test_a_loaded_model_has_its_architecture(fitted, model_file):
    loaded = DFR.load(model_file, device="cpu")
    assert loaded.architecture() == fitted.architecture() and (loaded.c_o_, loaded.c_d_) == (fitted.c_o_, fitted.c_d_)


DAMAGED = {
    "impossible setting": ({"settings": '{"layers": "1:99"}'}, "layers"),
    "no c_o": ({"c_o": None}, "damaged"),
    "c_d is no number": ({"c_d": "many"}, "damaged"),
    "c_d is another": ({"c_d": "1"}, "damaged"),
    "another backbone": ({"weights_fingerprint": "0123456789abcdef"}, "fingerprint 0123456789abcdef, but untrained has"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_model_files_that_cannot_be_used(model_file, tmp_path, case):
    changes, match = DAMAGED[case]
    file = rewritten(model_file, tmp_path / "model.safetensors", **changes)
    with pytest.raises(DFRError, match=match) as caught:
        DFR.load(file, device="cpu")
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_moved_weights_are_named_when_loading(tiny, images, fitted, tmp_path):
    state = Extractor(tiny, CPU).backbone.stack.state_dict()
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_tensors(first, state, {})
    fit(replace(tiny, weights=str(first), steps=1), images).save(tmp_path / "m")
    first.rename(second)
    with pytest.raises(DFRError, match=r"first.safetensors is not a file"):
        DFR.load(tmp_path / "m", device="cpu")
    loaded = DFR.load(tmp_path / "m", device="cpu", weights=str(second))
    assert loaded.anomaly_map(images[:1]).shape == (1, 64, 64)
    with pytest.raises(DFRError, match="fitted on a backbone with fingerprint"):
        save_tensors(second, {name: value * 2 for name, value in state.items()}, {})
        DFR.load(tmp_path / "m", device="cpu", weights=str(second))


# ---- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda d: d.c_o_,
        lambda d: d.c_d_,
        lambda d: d.architecture(),
        lambda d: d.reconstruct(torch.zeros(1, 3)),
    ],
)
def test_using_an_unfitted_detector(tiny, use):
    with pytest.raises(DFRError, match="not fitted; call fit"):
        use(DFR(tiny, device="cpu"))


def test_an_adopted_model_maps_but_has_no_threshold(tiny, fitted, odd_images, tmp_path):
    detector = DFR(tiny, device="cpu").adopt(fitted.model)
    assert np.array_equal(detector.anomaly_map(odd_images[0]), fitted.anomaly_map(odd_images[0]))
    for use in (lambda: detector.threshold(), lambda: detector.save(tmp_path / "m")):
        with pytest.raises(DFRError, match="fit"):
            use()
    refitted = fit(replace(tiny, steps=1), odd_images[0])
    refitted.adopt(CAE(fitted.c_o_, 2))
    with pytest.raises(DFRError, match="fit"):
        refitted.threshold()  # not the threshold of the model it held before


def test_an_interrupted_fit_leaves_no_half_trained_detector(tiny, images, monkeypatch):
    detector = fit(replace(tiny, steps=1), images)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(detector, "_loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(images)
    with pytest.raises(DFRError, match="not fitted"):
        detector.anomaly_map(images)


def test_divergence_is_told(tiny, images):
    with pytest.raises(DFRError, match="diverged .*lower learning_rate"):
        fit(replace(tiny, learning_rate=1e30, schedule="constant"), images)


@pytest.mark.parametrize(
    "changes",
    [{}, {"initialisation": "pca"}, {"projection": 6}, {"projection": 6, "initialisation": "pca"}, {"batch_norm": True}],
)
@pytest.mark.parametrize("memory", [0, 1])
def test_bf16_features_give_nearly_the_same_scores(tiny, images, monkeypatch, changes, memory):
    """The arithmetic of bf16 on CUDA, imitated on CPU: only the backbone's convolutions round to bf16."""
    s = replace(tiny, steps=30, **changes)
    expected = fit(s, images).anomaly_map(images)
    monkeypatch.setattr("dfr_core.methods.on_network.arithmetic", lambda *_: torch.autocast("cpu", torch.bfloat16))
    found = fit(replace(s, precision="bf16"), images, memory_gb=memory).anomaly_map(images)
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(expected.mean(), rel=0.1)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.8


def test_a_model_of_reduced_precision_scores_in_fp32_without_cuda(model_file, tmp_path, fitted, odd_images, caplog):
    settings = json.dumps(json.loads(fitted.settings.to_json()) | {"precision": "bf16"})
    file = rewritten(model_file, tmp_path / "m", settings=settings)
    with caplog.at_level(logging.WARNING, "dfr"):
        loaded = DFR.load(file, device="cpu")
    assert "bf16" in caplog.text and loaded.settings.precision == "fp32"
    assert np.array_equal(loaded.anomaly_map(odd_images[0]), fitted.anomaly_map(odd_images[0]))


def test_blank_images_are_told(tiny):
    with pytest.raises(DFRError, match="are they blank"):
        fit(tiny, np.zeros((2, 64, 64, 3), np.uint8))


def test_images_smaller_than_the_filter_or_the_network(tiny):
    with pytest.raises(DFRError, match="kernel: 32 exceeds the image"):
        fit(replace(tiny, kernel=32), np.zeros((2, 20, 20, 3), np.uint8))
    with pytest.raises(DFRError, match="too small for layer 6"):
        fit(tiny, np.zeros((2, 7, 7, 3), np.uint8))


def test_progress_bar_is_silent_when_told(tiny, images, capfd, monkeypatch):
    monkeypatch.setenv("DFR_QUIET", "1")
    DFR(replace(tiny, steps=1), device="cpu").fit(images)
    assert capfd.readouterr().err == ""
    monkeypatch.delenv("DFR_QUIET")
    DFR(replace(tiny, steps=2), device="cpu").fit(images)
    assert "training the CAE" in capfd.readouterr().err


# ---- quality -------------------------------------------------------------------------------------------


def test_quick_edition_finds_defects_and_reflection_calms_the_border(tmp_path_factory, monkeypatch):
    """Bounds well below, and directions well within, what three seeds gave."""
    monkeypatch.setenv("DFR_CACHE", str(tmp_path_factory.mktemp("cache")))
    leather = edition("quick").category("leather")
    images = leather.load_train(256)
    border = np.ones((256, 256), bool)
    border[8:-8, 8:-8] = False
    ratios, areas = {}, {}
    for padding in ("reflect", "zeros"):
        detector = fit(replace(edition("quick").settings, padding=padding), images)
        maps = detector.anomaly_map(images)
        ratios[padding] = maps[:, border].mean() / maps[:, ~border].mean()
        areas[padding] = detector.evaluate(leather)["roc_auc"]
    assert areas["reflect"] > 0.8
    assert ratios["reflect"] < ratios["zeros"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_cuda_agrees_with_cpu(tiny, images, odd_images, fitted, tmp_path):
    fitted.save(tmp_path / "m")
    on_gpu = DFR.load(tmp_path / "m", device="cuda")
    expected = fitted.anomaly_map(odd_images[0])
    assert np.allclose(on_gpu.anomaly_map(odd_images[0]), expected, rtol=1e-3, atol=1e-4 * expected.max())
    for changes in ({}, {"precision": "tf32"}, {"precision": "bf16"}, {"projection": 6}, {"batch_norm": True}, {"positions": None}):
        for memory in (0, 1):
            detector = DFR(replace(tiny, **changes), device="cuda", memory_gb=memory, progress=False).fit(images)
            found = detector.evaluate(odd_images)
            assert found["roc_auc"] > 0.7
            detector.save(tmp_path / "m")
            assert DFR.load(tmp_path / "m", device="cpu" if detector.settings.precision == "fp32" else "cuda").threshold(0) > 0
