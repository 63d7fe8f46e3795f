"""The command `dfr`.

A user's mistake is one line on standard error and exit code 2; nothing here shows a traceback for it.
PyTorch is imported inside the commands, so that `dfr --help` is there at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .editions import EDITIONS
from .errors import DFRError
from .options import add_settings, as_options, settings_from
from .settings import Settings

if TYPE_CHECKING:
    from .data import Category
    from .detector import DFR

MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
FPR = 0.005  # III-D: the larger of the paper's two acceptable false positive rates
FEW = 10  # measured on four photographs of leather: a quarter of the normal test pixels above a threshold meant for 0.5 %


class _Help(argparse.RawDescriptionHelpFormatter):
    """Examples as they are written; room for names beside their words."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, **{"max_help_position": 26, **kwargs})


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, and learns its options only when it is used."""

    def __init__(self, *args: Any, declare: Callable[[argparse.ArgumentParser], None] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, formatter_class=_Help, allow_abbrev=False, **kwargs)
        self._declare = declare

    def parse_known_args(self, args=None, namespace=None):
        declare, self._declare = self._declare, None
        if declare:
            declare(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"dfr: error: {_line(message)} (see `{self.prog} --help`)\n")


# ------------------------------------------------------------------------------------------- the commands


def _fit_arguments(parser: argparse.ArgumentParser) -> None:
    _data_arguments(parser)
    parser.add_argument("--out", required=True, metavar="MODEL", help="file to write the model to, such as leather.safetensors")
    parser.add_argument("--checkpoint", metavar="FILE", help="keep the state of training there; run again to go on after an interruption")
    parser.add_argument("--calibrate", metavar="DIR", help="take the thresholds from the normal images in DIR, which are not trained on")
    parser.add_argument("--memory-gb", type=float, metavar="X", help="GiB that cached features may take (default: 40 %% of what is free)")
    _device_argument(parser)
    _quiet_argument(parser)
    add_settings(parser)


def _fit(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    out = Path(args.out)
    _check_target("out", out)
    if args.checkpoint:
        _check_target("checkpoint", Path(args.checkpoint))
        if Path(args.checkpoint).resolve() == out.resolve():
            raise DFRError("checkpoint: is the same file as --out; name another one")
    data = _data(args)
    _check_model_target(out)
    from .detector import DFR
    from .inputs import as_images

    kept = as_images(args.calibrate, settings.image_size) if args.calibrate else None  # read first: a mistake is told before the training
    started = time.perf_counter()
    detector = DFR(settings, device=args.device, memory_gb=args.memory_gb, progress=not args.quiet)
    detector.fit(data, checkpoint=args.checkpoint)
    if kept is not None:
        detector.calibrate(kept)
    detector.save(out)
    if kept is None and len(data.train) < FEW:
        words = "%d training images are few, so more of a new normal image will lie above the threshold than the FPR says; %s"
        logging.getLogger("dfr").info(words, len(data.train), "keep some normal images for --calibrate")
    seconds = time.perf_counter() - started
    thresholds = f"threshold {detector.threshold(FPR):.6g} at FPR {FPR} ({detector.threshold(0):.6g} at 0)"
    print(f"{out}: fitted to {len(data.train)} images, c_o {detector.c_o_}, c_d {detector.c_d_}, {seconds:.1f} s, {thresholds}")
    return 0


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files, or folders (with all folders in them)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures; made if missing")
    _fpr_argument(parser)
    _model_arguments(parser)


def _score(args: argparse.Namespace) -> int:
    from .data import load_images
    from .pictures import GREY_THRESHOLD, WHITE, find_images, output_names, write_pictures
    from .plotting import to_image

    out = Path(args.out)
    _check_folder("out", out)
    paths = find_images(args.images, out)
    names = output_names(paths)
    _check_not_input(out, names, paths)
    detector = _load(args)
    threshold, highest = detector.threshold(args.fpr), detector.threshold(0)
    batch = detector.extractor.batch
    for start in range(0, len(paths), batch):
        images = load_images(paths[start : start + batch], detector.settings.image_size)
        maps = detector.maps(images).cpu().numpy()
        for path, name, image, scores in zip(paths[start:], names[start:], images, maps, strict=False):
            written = write_pictures(out, name, to_image(image), scores, threshold)
            score = float(scores.max())
            line = {
                "file": str(path),
                "image_score": score,
                "verdict": "anomalous" if score > highest else "normal",
                "verdict_threshold": highest,
                "fpr": args.fpr,
                "threshold": threshold,
                "anomalous_share": round(float((scores > threshold).mean()), 6),
                "scale": 2 * threshold / WHITE,
                "grey_threshold": GREY_THRESHOLD,
                "size": list(scores.shape),
            }
            print(json.dumps(line | written), flush=True)
    return 0


_SCORE_EPILOG = """\
for each image, in DIR:
  NAME_map.png           the anomaly map as 16-bit grey: score = grey * scale. The threshold is at the
                         middle: grey levels above 32767 are scores above it; white is twice the threshold or more.
  NAME_overlay.png       the image, with heat where scores exceed the threshold and the segmentation outlined in blue
  NAME_segmentation.png  255 where the score exceeds the threshold, else 0
and one line of JSON on standard output. Pictures have the size at which the model sees an image (256 x 256), whatever the
photograph's own. NAME is the image's name, with its folder in front where two images have the same name.

The threshold lets a share FPR of the pixels of the normal training images pass as anomalous, so a few pixels above it are
no alarm. The verdict on the whole image is stricter: "anomalous" if its largest score exceeds every score of
the training images (verdict_threshold).

examples:
  dfr score leather.safetensors photo.jpg --out scored
  dfr score leather.safetensors data/leather/test --out scored --fpr 0 > scores.jsonl"""


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    _data_arguments(parser)
    parser.add_argument("--test", metavar="DIR", help="photographs: images to test with (default: DATA/test)")
    parser.add_argument("--masks", metavar="DIR", help="photographs: their masks, named as the images (default: DATA/masks)")
    _fpr_argument(parser)
    _model_arguments(parser)


def _evaluate(args: argparse.Namespace) -> int:
    data = _data(args)
    import torch

    from .detector import evaluation
    from .inputs import as_labelled

    detector = _load(args)
    threshold = detector.threshold(args.fpr)
    settings = detector.settings
    images, masks = as_labelled(data, settings.image_size)
    if not masks.any():
        raise DFRError(f"{args.data}: no anomalous pixel in its test images, so there is nothing to measure; add anomalous test images")
    started = time.perf_counter()
    maps = detector.maps(images)
    if maps.is_cuda:
        torch.cuda.synchronize(maps.device)
    seconds = time.perf_counter() - started
    masks = masks.to(maps.device)
    metrics = evaluation(maps, masks)
    normal = maps[~masks.flatten(1).any(1)]
    metrics["counts"] |= {"normal_images": len(normal), "anomalous_pixels": int(masks.sum()), "pixels": masks.numel()}
    report = {"model": args.model, "data": args.data, "category": data.name} | metrics
    report |= {
        "fpr": args.fpr,
        "threshold": threshold,
        "fpr_on_normal_test_images": round(float((normal > threshold).float().mean()), 6) if len(normal) else None,
        "seconds": round(seconds, 4),
        "fps": round(len(images) / seconds, 2),
        "peak_memory_gib": _peak_memory(),
        "device": str(detector.device),
        "edition": _edition_of(detector),
        "c_o": detector.c_o_,
        "c_d": detector.c_d_,
        "settings": asdict(settings),
    }
    print(json.dumps(report, indent=2), flush=True)
    return 0


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _info(args: argparse.Namespace) -> int:
    from .info import as_text, collect

    report = collect()
    print(json.dumps(report, indent=2) if args.json else as_text(report))
    return 0


def _make_data_arguments(parser: argparse.ArgumentParser) -> None:
    embedded = EDITIONS["embedded"]
    parser.add_argument("folder", metavar="DIR", help="folder to make; a category that is there with the same numbers is left alone")
    parser.add_argument("--categories", metavar="A,B", help="which of MVTec AD's fifteen names (default: all)")
    numbers = (
        ("train", embedded.n_train, "normal images to train with"),
        ("good", embedded.n_good, "normal test images"),
        ("defect", embedded.n_defect, "test images of each kind of defect"),
        ("seed", 0, "seed of all drawings"),
    )
    for name, default, words in numbers:
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{words} (default {default})")
    _quiet_argument(parser)


def _make_data(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .synthetic import CATEGORIES, defect_types, make_dataset

    names = list(CATEGORIES)
    if args.categories is not None:
        names = list(dict.fromkeys(name.strip() for name in args.categories.split(",")))
    for name in names:
        defect_types(name)  # a wrong name is reported before the first image is drawn
    for name in tqdm(names, desc="drawing", unit="category", disable=args.quiet, leave=False):
        make_dataset(args.folder, [name], n_train=args.train, n_good=args.good, n_defect=args.defect, seed=args.seed)
    print(f"{args.folder}: {', '.join(names)}; next: dfr fit {args.folder} --category {names[0]} --out {names[0]}.safetensors")
    return 0


def _fetch_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder for the data, with the archive in it if you have it; made if missing")
    parser.add_argument("--accept-unverified", action="store_true", help="unpack archives of which no checksum is known")
    _quiet_argument(parser)


def _fetch_data(args: argparse.Namespace) -> int:
    from .fetch import fetch_data

    print(fetch_data(args.folder, accept_unverified=args.accept_unverified, progress=not args.quiet))
    return 0


def _statistics_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a folder in MVTec AD's layout")
    parser.add_argument("--categories", metavar="A,B", help="which (default: all there are)")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each category")


def _statistics(args: argparse.Namespace) -> int:
    from .data import statistics

    rows = statistics(args.data, None if args.categories is None else [name.strip() for name in args.categories.split(",")])
    if args.json:
        for row in rows:
            print(json.dumps(row._asdict()))
        return 0
    print(f"{'category':<14}{'train':>8}{'test':>8}{'defects':>9}{'regions':>9}")
    for row in rows:
        print(f"{row.category:<14}{row.n_train:>8}{row.n_test:>8}{row.n_defect_types:>9}{row.n_regions:>9}")
    return 0


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    from .reproduce import add_arguments

    add_arguments(parser)


def _reproduce(args: argparse.Namespace) -> int:
    from .reproduce import main

    return main(args)


def _distil_arguments(parser: argparse.ArgumentParser) -> None:
    from .command.distil import add_arguments

    add_arguments(parser)


def _distil(args: argparse.Namespace) -> int:
    from .command.distil import main

    return main(args)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    from .bench import add_arguments

    add_arguments(parser)


def _bench(args: argparse.Namespace) -> int:
    from .bench import main

    return main(args)


# name: (what it does, its options, what runs it, what stands below its help)
COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int], str]] = {
    "fit": (
        "fit a model to normal images",
        _fit_arguments,
        _fit,
        "DATA is a data set in MVTec AD's layout (with --category), one category's folder, or a folder of your own photographs of\n"
        "normal things (in it or in its folder 'normal'). Prints one line: the model, its size, seconds and thresholds.\n\n"
        "examples:\n"
        "  dfr fit data --category leather --out leather.safetensors\n"
        "  dfr fit my-photographs --out mine.safetensors --seed 1\n"
        "  dfr fit photographs/good --out part.safetensors --calibrate photographs/more-good\n"
        "  dfr fit data --category tile --out tile.safetensors --edition paper --padding reflect --layers 1:16\n"
        "  dfr fit data --category tile --out tile.safetensors --preset released --checkpoint tile.ckpt --device cuda",
    ),
    "score": ("map the anomalies of images", _score_arguments, _score, _SCORE_EPILOG),
    "evaluate": (
        "measure a model on labelled test images (JSON)",
        _evaluate_arguments,
        _evaluate,
        "roc_auc is over pixels, pro_auc over regions up to an FPR of 0.3, image_roc_auc over images (null unless there are normal\n"
        "and anomalous ones). seconds and fps are for scoring alone, without reading files.\n\n"
        "examples:\n"
        "  dfr evaluate leather.safetensors data --category leather\n"
        "  dfr evaluate mine.safetensors my-photographs --test suspects --masks drawn",
    ),
    "info": ("show versions, devices, weights and data, and what to do about what is missing", _info_arguments, _info, ""),
    "make-data": (
        "make synthetic categories in MVTec AD's layout",
        _make_data_arguments,
        _make_data,
        "examples:\n  dfr make-data data\n  dfr make-data data --categories leather,bottle --train 8 --good 2 --defect 1",
    ),
    "fetch-data": (
        "say how to get MVTec AD, verify and unpack its archive",
        _fetch_data_arguments,
        _fetch_data,
        "Nothing is downloaded: a note is written into DIR that says where to get the archive. Put it there and run this again.\n\n"
        "example:\n  dfr fetch-data mvtec",
    ),
    "statistics": (
        "count images, defects and regions as in Table VII",
        _statistics_arguments,
        _statistics,
        "example:\n  dfr statistics data",
    ),
    "reproduce": ("make the figures and tables", _reproduce_arguments, _reproduce, ""),
    "bench": ("measure speed and memory", _bench_arguments, _bench, ""),
    "distil": ("make a slim network that has learnt", _distil_arguments, _distil, ""),
}

_EPILOG = """\
examples:
  dfr make-data data --categories leather
  dfr fit data --category leather --out leather.safetensors
  dfr evaluate leather.safetensors data --category leather
  dfr score leather.safetensors photo.jpg --out scored

`dfr COMMAND --help` says more about each command. Exit codes: 0 done, 2 a mistake (one line says which), 130 interrupted."""


# ------------------------------------------------------------------------------------- options they share


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a data set in MVTec AD's layout, one of its categories, or a folder of photographs")
    parser.add_argument("--category", metavar="NAME", help="which category of the data set")


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="NAME|FILE", help="where the network's weights are now (default: where they were for the fit)")
    _device_argument(parser)


def _fpr_argument(parser: argparse.ArgumentParser) -> None:
    words = "share of normal training pixels that may lie above the threshold, 0 to 0.05"
    parser.add_argument("--fpr", type=float, default=FPR, metavar="X", help=f"{words} (default {FPR})")


def _device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default auto: CUDA if there is any)")


def _quiet_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes")


# --------------------------------------------------------------------------------------- what they share


def _data(args: argparse.Namespace) -> Category:
    """The category or the photographs that DATA names."""
    from .data import EXTENSIONS, GOOD, available, load_category, load_photographs

    root = Path(args.data)
    names = available(root)
    test, masks = getattr(args, "test", None), getattr(args, "masks", None)  # of `dfr evaluate` only
    if args.category is not None or (root / "train" / GOOD).is_dir():
        if test or masks:
            raise DFRError("--test and --masks are for photographs; a category has its own")
        return load_category(root, args.category)
    photographs = (root / "normal").is_dir() or any(path.suffix.lower() in EXTENSIONS for path in root.iterdir())
    if names and not photographs:
        raise DFRError(f"{root}: holds categories; name one of them with --category: {', '.join(names)}")
    return load_photographs(root, test, masks)


def _load(args: argparse.Namespace) -> DFR:
    from .detector import DFR
    from .device import pick_device

    pick_device(args.device)  # else the error would seem to be the model's
    return DFR.load(args.model, device=args.device, weights=args.weights, progress=False)


def _check_folder(option: str, folder: Path) -> None:
    """Say before hours of training, not after, that a folder cannot be made or written to."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not nearest.is_dir():
        raise DFRError(f"{option}: {nearest} is not a folder; name another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise DFRError(f"{option}: {nearest} cannot be written to; choose a folder with write permission")


def _check_target(option: str, path: Path) -> None:
    if path.is_dir():
        raise DFRError(f"{option}: {path} is a folder; name a file in it")
    _check_folder(option, path.parent)


def _check_model_target(path: Path) -> None:
    """An earlier model may be replaced; a photograph or anything else may not."""
    if not path.exists():
        return
    from .detector import FORMAT
    from .files import load_tensors

    with suppress(DFRError):
        if load_tensors(path)[1].get("format") == FORMAT:
            return
    raise DFRError(f"out: {path} is there already and is not a model; choose another name, or remove it")


def _check_not_input(out: Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    inputs = {path.resolve() for path in paths}
    for name in names:
        for kind in ("map", "overlay", "segmentation"):
            path = out / f"{name}_{kind}.png"
            if path.resolve() in inputs:
                raise DFRError(f"out: would overwrite the image {path}; name another folder for the results")


def _edition_of(detector: DFR) -> str | None:
    """The edition with these settings (whatever the seed); None if there is none."""
    own = {**asdict(detector.settings), "seed": 0}
    return next((name for name, edition in EDITIONS.items() if {**asdict(edition.settings), "seed": 0} == own), None)


def _peak_memory() -> float | None:
    """The most main memory this process has taken, GiB."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


@contextmanager
def _notes(shown: bool) -> Iterator[None]:
    """Show what the core logs on standard error."""
    log = logging.getLogger("dfr")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("dfr: %(message)s"))
    before = log.level
    if shown:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


# ------------------------------------------------------------------------------------------------- main


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    top = _Parser(
        prog="dfr", description="Deep Feature Reconstruction: unsupervised anomaly segmentation (arXiv 2012.07122).", epilog=_EPILOG
    )
    top.add_argument("--version", action="version", version=f"dfr {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Parser)
    for name, (words, declare, _, epilog) in COMMANDS.items():
        commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.", epilog=epilog, declare=declare)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    Args:
        argv: the arguments after ``dfr``; None takes them from the command line.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()  # a full disk or a reader that went away is met here, not after the last line of this program
        return code
    except KeyboardInterrupt:
        print("\ndfr: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _give_up_stdout()
        return BROKEN_PIPE
    except OSError as error:  # nothing in the core foresaw it, but it is still the machine's matter, not a bug
        _give_up_stdout()
        return _mistake(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
            return _mistake("out of memory; use a smaller --batch-size, --image-size or --width, fewer --layers, or --memory-gb 0")
        raise


def _run(argv: Sequence[str] | None) -> int:
    top = parser()
    try:
        args = top.parse_args(argv)
    except SystemExit as stop:  # argparse, after --help or a mistake
        return stop.code if isinstance(stop.code, int) else MISTAKE
    if args.command is None:
        top.print_help()
        return 0
    known = set(vars(args)) - {"command", "model", "data", "images", "folder"} | (
        {field.name for field in fields(Settings)} if args.command == "fit" else set()
    )
    try:
        with _notes(not getattr(args, "quiet", False)):
            return COMMANDS[args.command][2](args)
    except DFRError as error:
        return _mistake(as_options(str(error), known))


def _give_up_stdout() -> None:
    """What cannot be written any more must not be tried again when Python ends: it would complain."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _mistake(message: str) -> int:
    print(f"dfr: error: {_line(message)}", file=sys.stderr)
    return MISTAKE


def _line(message: str) -> str:
    return " ".join(message.split())
