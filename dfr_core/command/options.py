"""What the commands share: every field of Settings as an option, made from the dataclass, and the common arguments."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..editions import EDITIONS
from ..errors import DFRError, Setting
from ..methods import METHODS
from ..settings import MethodSettings, Settings, Size, checked_size, current_edition_name, paper, released

if TYPE_CHECKING:
    from ..data import Category
    from ..methods.base import Detector

FPR = 0.005  # III-D: the larger of the paper's two acceptable false positive rates
PRESETS = {"paper": paper, "released": released}
_METAVARS = {"weights": "NAME|FILE", "layers": "SET"}
_NOTHING = ("none", "all")


def whole_or_none(text: str) -> int | None:
    """A whole number; ``none`` (or ``all``, which reads better for positions) is None."""
    return None if text.lower() in _NOTHING else int(text)


def image_size(text: str) -> Size:
    """``256``, or ``256x512``: height x width."""
    try:
        numbers = [int(number) for number in text.lower().split("x")]
        return checked_size(numbers[0] if len(numbers) == 1 else numbers)
    except ValueError:
        words = f"{text!r} is no number of pixels; write the side of a square, such as 256, or height x width, such as 256x512"
        raise argparse.ArgumentTypeError(words) from None


# What argparse calls it in "invalid ... value".
whole_or_none.__name__ = "whole number"
_TYPES = {"int": int, "float": float, "str": str, "int | None": whole_or_none, "Size": image_size}


def _defaults(name: str) -> str:
    """``quick, embedded: 0.125; paper, released: 1.0``: the value in each edition and preset."""
    bases = {key: value.settings for key, value in EDITIONS.items()} | {"released": released()}
    holders: dict[str, list[str]] = {}
    for base, settings in bases.items():
        holders.setdefault(str(getattr(settings, name)).lower(), []).append(base)
    if len(holders) == 1:
        return f"default {next(iter(holders))}"
    return "; ".join(f"{', '.join(names)}: {value}" for value, names in holders.items())


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Options for the base settings and for every field of Settings."""
    group = parser.add_argument_group("base settings")
    base = group.add_mutually_exclusive_group()
    base.add_argument(
        "--edition", choices=tuple(EDITIONS), help="settings of this edition (default: the variable DFR_EDITION, else embedded)"
    )
    base.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="instead of an edition: the paper's settings, or the authors' public code's where it differs",
    )
    words = "DFR, or one of the methods that the paper compares it with: %(choices)s (default DFR)"
    base_method = parser.add_argument_group("method")
    base_method.add_argument("--method", choices=tuple(METHODS), default="DFR", metavar="NAME", help=words)
    words = "a setting of the method by its name, as docs/choices.md and `dfr info` have it (again for more)"
    base_method.add_argument("--set", type=named_value, action="append", default=[], metavar="NAME=VALUE", help=words)
    parser.set_defaults(settings=tuple(field.name for field in fields(Settings)))  # options that are absent unless given
    group = parser.add_argument_group("settings (each replaces one of the base settings)")
    for field in fields(Settings):
        words = f"{field.metadata['help']} [{_defaults(field.name)}]".replace("%", "%%")
        flag = f"--{field.name.replace('_', '-')}"
        if field.type == "bool":
            # SUPPRESS: what was not given is not in the namespace, so that `none` can be told from "not given".
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=words)
        else:
            metavar = _METAVARS.get(field.name, {"int": "N", "float": "X", "int | None": "N|none", "Size": "N|HxW"}.get(field.type, "NAME"))
            group.add_argument(flag, type=_TYPES[field.type], default=argparse.SUPPRESS, metavar=metavar, help=words)


def settings_from(args: argparse.Namespace) -> MethodSettings:
    """The settings that the options say, of the method they name.

    Raises:
        DFRError: an impossible value, a setting that the method has not, or options that contradict each other.
    """
    from ..backbones.weights import WEIGHTS  # here, so that --help need not wait for torch
    from ..methods import method, one_length

    if args.preset and args.method != "DFR":
        raise DFRError("--preset", f"is for DFR, not for {args.method}", "use --edition paper for the sizes of the method's own paper")
    name = args.edition or current_edition_name()
    base = PRESETS[args.preset]() if args.preset else method(args.method).of_edition(name)
    changes: dict[str, Any] = {name: value for name, value in vars(args).items() if name in asdict(Settings())}
    changes |= {name: _value(base, name, text) for name, text in args.set}
    if unknown := sorted(set(changes) - set(asdict(base))):
        raise DFRError(Setting(unknown[0]), f"{args.method} has no such setting", f"it has {', '.join(sorted(asdict(base)))}")
    changes = one_length(changes)
    if changes.get("weights") and changes["weights"] not in WEIGHTS:
        changes["weights"] = str(Path(changes["weights"]).resolve())  # the model may be used from another folder
    return replace(base, **changes)


def named_value(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` in its two parts."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.replace("-", "_"), value


def _value(base: MethodSettings, name: str, text: str) -> Any:
    """The value of a setting as its field has it."""
    kinds = {field.name: str(field.type) for field in fields(base)}
    if kinds.get(name) == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return _TYPES.get(kinds.get(name, "str"), str)(text)
    except (ValueError, argparse.ArgumentTypeError):
        raise DFRError("--set", f"{text!r} is no value for {name} ({kinds[name]})") from None


# ----------------------------------------------------------------------------------- arguments, and what they name


def data_arguments(parser: argparse.ArgumentParser) -> None:
    """DATA and --category."""
    parser.add_argument("data", metavar="DATA", help="a data set in MVTec AD's layout, one of its categories, or a folder of photographs")
    parser.add_argument("--category", metavar="NAME", help="which category of the data set")


def model_arguments(parser: argparse.ArgumentParser) -> None:
    """How a model is loaded."""
    parser.add_argument("--weights", metavar="NAME|FILE", help="where the network's weights are now (default: where they were for the fit)")
    device_argument(parser)


def tested_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, and what it is measured on."""
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    data_arguments(parser)
    parser.add_argument("--test", metavar="DIR", help="photographs: images to test with (default: DATA/test)")
    parser.add_argument("--masks", metavar="DIR", help="photographs: their masks, named as the images (default: DATA/masks)")
    fpr_argument(parser)
    model_arguments(parser)


def fpr_argument(parser: argparse.ArgumentParser) -> None:
    """--fpr."""
    words = "share of normal training pixels that may lie above the threshold, 0 to 0.05"
    parser.add_argument("--fpr", type=float, default=FPR, metavar="X", help=f"{words} (default {FPR})")


def device_argument(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default auto: CUDA if there is any)")


def quiet_argument(parser: argparse.ArgumentParser) -> None:
    """--quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes, but of what is not used")


def chosen_data(args: argparse.Namespace) -> Category:
    """The category or the photographs that DATA names."""
    from ..data import available, is_category, is_photographs, load_category, load_photographs

    root = Path(args.data)
    names = available(root)
    test, masks = getattr(args, "test", None), getattr(args, "masks", None)  # of `dfr evaluate` only
    if args.category is not None or is_category(root):
        if test or masks:
            raise DFRError("", "--test and --masks are for photographs", "a category has its own")
        return load_category(root, args.category)
    if names and not is_photographs(root):
        raise DFRError(root, "holds categories", f"name one of them with --category: {', '.join(names)}")
    return load_photographs(root, test, masks)


def chosen_model(args: argparse.Namespace) -> Detector:
    """The model that MODEL names, on the device asked for."""
    from ..device import pick_device
    from ..methods import load_detector

    pick_device(args.device)  # else the error would seem to be the model's
    return load_detector(args.model, device=args.device, weights=args.weights, progress=False)


def check_folder(option: str, folder: Path) -> None:
    """Say before hours of training, not after, that a folder cannot be made or written to."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not nearest.is_dir():
        raise DFRError(Setting(option), f"{nearest} is not a folder", "name another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise DFRError(Setting(option), f"{nearest} cannot be written to", "choose a folder with write permission")


def check_target(option: str, path: Path) -> None:
    """Say before hours of training that a file cannot be written."""
    if path.is_dir():
        raise DFRError(Setting(option), f"{path} is a folder", "name a file in it")
    check_folder(option, path.parent)
