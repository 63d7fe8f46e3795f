"""Every field of Settings as a command line option, made from the dataclass."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ..editions import EDITIONS, current_edition, edition
from ..errors import DFRError
from ..settings import Settings, paper, released

PRESETS = {"paper": paper, "released": released}
_METAVARS = {"weights": "NAME|FILE", "layers": "SET"}
_NAMED_WEIGHTS = ("imagenet", "untrained")
_NOTHING = ("none", "all")


def whole_or_none(text: str) -> int | None:
    """A whole number; ``none`` (or ``all``, which reads better for positions) is None."""
    return None if text.lower() in _NOTHING else int(text)


# What argparse calls it in "invalid ... value".
whole_or_none.__name__ = "whole number"
_TYPES = {"int": int, "float": float, "str": str, "int | None": whole_or_none}


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
    group = parser.add_argument_group("settings (each replaces one of the base settings)")
    for field in fields(Settings):
        words = f"{field.metadata['help']} [{_defaults(field.name)}]".replace("%", "%%")
        flag = f"--{field.name.replace('_', '-')}"
        if field.type == "bool":
            # SUPPRESS: what was not given is not in the namespace, so that `none` can be told from "not given".
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=words)
        else:
            metavar = _METAVARS.get(field.name, {"int": "N", "float": "X", "int | None": "N|none"}.get(field.type, "NAME"))
            group.add_argument(flag, type=_TYPES[field.type], default=argparse.SUPPRESS, metavar=metavar, help=words)


def settings_from(args: argparse.Namespace) -> Settings:
    """The settings that the options say.

    Raises:
        DFRError: an impossible value, or options that contradict each other.
    """
    base = PRESETS[args.preset]() if args.preset else (edition(args.edition) if args.edition else current_edition()).settings
    changes: dict[str, Any] = {name: value for name, value in vars(args).items() if name in asdict(base)}
    if changes.get("epochs") and changes.get("steps"):
        raise DFRError("steps: given beside --epochs, and both say how long to train; give one of them")
    if "epochs" in changes:
        changes["steps"] = None  # the slim editions count steps, which would override the epochs asked for
    if changes.get("weights") and changes["weights"] not in _NAMED_WEIGHTS:
        changes["weights"] = str(Path(changes["weights"]).resolve())  # the model may be used from another folder
    return replace(base, **changes)


def as_options(message: str, known: set[str]) -> str:
    """A core message in the words of the command line: ``image_size: ...`` becomes ``--image-size: ...``.

    Args:
        known: names of the options that the command has.
    """

    heads, colon, rest = message.partition(": ")
    names = [name.removeprefix("n_") for name in heads.split(", ")]  # synthetic.make_dataset counts n_train, dfr make-data --train
    if colon and all(name in known - {"test", "masks"} for name in names):  # of these the core says something about the pictures
        message = f"{', '.join(map(_flag, names))}: {rest}"

    def assigned(match: re.Match) -> str:
        name, quoted, bare = match.groups()
        if name not in known:
            return match.group(0)
        value = quoted or bare
        return f"{_flag(name)} {value}" if value else _flag(name)

    def named(match: re.Match) -> str:
        return _flag(match.group(0)) if match.group(0) in known else match.group(0)

    message = re.sub(r"(?<![\w./-])([a-z_]+)=(?:'([^']*)'|([\d.]*\d)?)", assigned, message)
    # Words with an underscore are no English: learning_rate, image_size.
    return re.sub(r"(?<![\w./'-])[a-z]+_[a-z_]+(?![\w./'])", named, message)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
