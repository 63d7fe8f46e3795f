"""`dfr bench --device cuda`: Table VI's layer sets end to end, training for 700 epochs, metrics on the GPU.

Timed with the images (uint8) and the models resident on the GPU, between two synchronisations, many batches at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .. import scoring
from ..device import arithmetic
from ..methods.flops import cae_flops
from ..metrics import pro_auc, roc_auc
from ..settings import Settings
from .cpu import Row, normal_images, projected_settings
from .tools import peak_flops, synchronise
from .variants import COMPONENTS, LATENT, Variants

LAYER_SETS = ("12", "9:12", "5:12", "3:12", "1:12")  # Table VI
PRECISIONS = ("fp32", "tf32", "bf16")
BATCHES = (1, 4, 8, 16, 32, 64)
EPOCHS, IMAGES = 700, 209  # IV-A4; the bottles of Table VII


def measure(device: torch.device, quick: bool) -> list[Row]:
    """All parts that need a GPU."""
    rows = speed(device, quick)
    torch.cuda.empty_cache()
    rows += training(device, quick)
    torch.cuda.empty_cache()
    return rows + metrics(device, quick)


def speed(device: torch.device, quick: bool) -> list[Row]:
    """Frames a second of image to full-size map at batch 1 and at the best batch, exact and projected, and the share of the peak."""
    rows = []
    for precision in PRECISIONS:
        with arithmetic(precision, device):
            peak = peak_flops(device, 8192, torch.bfloat16 if precision == "bf16" else torch.float32)
        rows.append(Row("speed", precision, "peak of a matrix product", peak / 1e12, "TFLOP/s"))
        for layers in LAYER_SETS[-1:] if quick else LAYER_SETS:
            variants = Variants(layers, 1, device=device)
            work = variants.settings.architecture.flops(layers) + cae_flops(variants.c_o, min(LATENT, variants.c_o))
            for name in ("score", "projected"):
                by_batch = {batch: _frames(variants, name, batch, precision, device) for batch in BATCHES[: 2 if quick else None]}
                by_batch = {batch: fps for batch, fps in by_batch.items() if fps}
                best = max(by_batch, key=by_batch.get)
                case = f"{precision}, layers {layers}"
                goal = 1000.0 if (precision, layers) == ("bf16", "1:12") else None
                rows.append(Row("speed", case, f"{name}: frames a second at batch 1", by_batch[1], "fps"))
                rows.append(Row("speed", case, f"{name}: frames a second at batch {best}", by_batch[best], "fps", goal, True))
                if name == "score":  # counted as the paper's form counts: some of it is saved
                    rows.append(Row("speed", case, "score: share of the peak", by_batch[best] * work / peak, "x"))
                graphed = _frames(variants, name, 1, precision, device, graph=True)
                if graphed:
                    rows.append(Row("speed", case, f"{name}: batch 1 as one CUDA graph", graphed, "fps"))
    return rows


def _frames(variants: Variants, name: str, batch: int, precision: str, device: torch.device, graph: bool = False) -> float | None:
    """Frames a second; None where the memory does not suffice, or the work cannot be captured as a graph."""
    variants.extractor.batch = batch
    variants.images = torch.randint(0, 256, (batch, 3, 256, 256), dtype=torch.uint8, device=device)
    run = variants.run(name)
    try:
        with arithmetic(precision, device):
            run()  # cuDNN and cuBLAS take their work space
            if graph:
                run = _captured(run)
            return batch / _seconds(run, device)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
    except RuntimeError:
        if not graph:
            raise
    return None


def _captured(run: Callable[[], object]) -> Callable[[], object]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _seconds(run: Callable[[], object], device: torch.device, least: float = 0.5) -> float:
    """Seconds of one call, from as many as fill half a second; the median of three such series."""
    run()
    synchronise(device)
    started = time.perf_counter()
    run()
    synchronise(device)
    calls = max(3, int(least / max(time.perf_counter() - started, 1e-6)))
    series = []
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(calls):
            run()
        synchronise(device)
        series.append((time.perf_counter() - started) / calls)
    return sorted(series)[1]


def training(device: torch.device, quick: bool) -> list[Row]:
    """Seconds to fit one category, features included: the paper's schedule, exact and projected, and the extension's own.

    The metrics of each on a synthetic category (embedded edition's test images) say what the precision changes.
    """
    from ..editions import edition
    from ..methods.dfr import DFR

    epochs, n = (2, 16) if quick else (EPOCHS, IMAGES)
    images, test = normal_images(n), edition("embedded").category("leather").load_test(256)
    rows = []
    for precision in PRECISIONS[-1:] if quick else ("tf32", "bf16", "fp32"):
        paper = Settings(weights="untrained", padding="reflect", precision=precision)
        kinds = {
            f"exact, {epochs} epochs": {"epochs": epochs},
            f"projected, {epochs} epochs": {"epochs": epochs, "projection": COMPONENTS},
        }
        if precision == "fp32" and not quick:
            kinds.pop(f"exact, {epochs} epochs")  # an hour or so even on a large GPU
        settings = {name: Settings(**{**paper.__dict__, **changes}) for name, changes in kinds.items()}
        settings["projected, short schedule"] = projected_settings(precision=precision)
        for name, chosen in settings.items():
            synchronise(device)
            started = time.perf_counter()
            detector = DFR(chosen, device=str(device), progress=False).fit(images)
            synchronise(device)
            seconds = time.perf_counter() - started
            found = detector.evaluate(test)
            case = f"{precision}, {n} images"
            rows.append(Row("training", case, f"{name}: seconds", seconds, "s", 180.0))
            rows += [
                Row("training", case, f"{name}: {metric} on synthetic leather", found[metric], "") for metric in ("roc_auc", "pro_auc")
            ]
    return rows


def metrics(device: torch.device, quick: bool) -> list[Row]:
    """PRO-AUC and ROC-AUC of 160 maps that never leave the GPU, against one sort there."""
    n, side = (8, 64) if quick else (160, 256)
    values = torch.rand(n, 1, 64, 64, device=device)
    values = scoring.upsample(values[:, 0], (side, side))
    masks = torch.zeros(n, side, side, dtype=torch.bool, device=device)
    masks[::2, side // 4 : side // 3, side // 2 : side // 2 + side // 8] = True
    runs = {
        "torch.sort": lambda: values.flatten().sort(),
        "roc_auc": lambda: roc_auc(values, masks),
        "pro_auc": lambda: pro_auc(values, masks),
    }
    seconds = {name: _seconds(run, device) for name, run in runs.items()}
    case = f"{n} maps {side} x {side}"
    rows = [Row("metrics", case, f"{name}: seconds", value, "s") for name, value in seconds.items()]
    return rows + [
        Row("metrics", case, f"{name}: of one torch.sort", seconds[name] / seconds["torch.sort"], "x", 1.5)
        for name in ("roc_auc", "pro_auc")
    ]
