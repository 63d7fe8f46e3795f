"""The command `dfr`: the parser, exit codes, notes and mistakes. What a command does is in the module of its name.

A user's mistake is one line on standard error and exit code 2; nothing here shows a traceback for it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from .. import __version__
from ..errors import DFRError, Setting

#: The commands in the order of the help. Each is a module here with WORDS, EPILOG, add_arguments(parser) and main(args) -> exit code.
COMMANDS = (
    "fit", "score", "watch", "evaluate", "report", "export", "info",
    "make-data", "fetch-data", "statistics", "reproduce", "bench", "distil",
)  # fmt: skip
MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
#: What the core calls otherwise than the command line.
ALIASES = {"n_train": "train", "n_good": "good", "n_defect": "defect"}

#: A command whose options are others has a LESS_MEMORY of its own.
_LESS_MEMORY = "use a smaller --batch-size, --image-size or --width, fewer --layers, or --memory-gb 0"

_EPILOG = """\
examples:
  dfr make-data data --categories leather
  dfr fit data --category leather --out leather.safetensors
  dfr evaluate leather.safetensors data --category leather
  dfr score leather.safetensors photo.jpg --out scored

`dfr COMMAND --help` says more about each command. Exit codes: 0 done, 1 done in part (the last
lines say what was not), 2 a mistake (one line says which), 130 interrupted."""


#: Examples as they are written; room for names beside their words.
_HELP = partial(argparse.RawDescriptionHelpFormatter, max_help_position=26)


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, and learns its options only when it is used."""

    def __init__(self, *args: Any, declare: Callable[[argparse.ArgumentParser], None] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, formatter_class=_HELP, allow_abbrev=False, **kwargs)
        self._declare = declare

    def parse_known_args(self, args=None, namespace=None):
        declare, self._declare = self._declare, None
        if declare:
            declare(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"dfr: error: {_line(message)} (see `{self.prog} --help`)\n")


@contextmanager
def _notes(shown: bool) -> Iterator[None]:
    """Show what the core logs on standard error; what is handed over and not used (a warning) also where notes are not wanted."""
    log = logging.getLogger("dfr")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("dfr: %(message)s"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if shown else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def command(name: str) -> ModuleType:
    """The module of a command; PyTorch is imported only when its ``main`` runs, so that `dfr --help` is there at once."""
    return import_module(f".{name.replace('-', '_')}", __package__)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    top = _Parser(
        prog="dfr", description="Deep Feature Reconstruction: unsupervised anomaly segmentation (arXiv 2012.07122).", epilog=_EPILOG
    )
    top.add_argument("--version", action="version", version=f"dfr {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Parser)
    for name in COMMANDS:
        module = command(name)
        description = f"{module.WORDS[0].upper()}{module.WORDS[1:]}."
        commands.add_parser(name, help=module.WORDS, description=description, epilog=module.EPILOG, declare=module.add_arguments)
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


def _run(argv: Sequence[str] | None) -> int:
    top = parser()
    try:
        args = top.parse_args(argv)
    except SystemExit as stop:  # argparse, after --help or a mistake
        return stop.code if isinstance(stop.code, int) else MISTAKE
    if args.command is None:
        top.print_help()
        return 0
    try:
        with _notes(not getattr(args, "quiet", False)):
            return command(args.command).main(args)
    except DFRError as error:
        return _mistake(error.line(spelling({*vars(args), *getattr(args, "settings", ())})))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
            return _mistake(f"out of memory; {getattr(command(args.command), 'LESS_MEMORY', _LESS_MEMORY)}")
        raise


def spelling(options: Collection[str]) -> Callable[[Any], str]:
    """How the pieces of a message are said to somebody at the command line: ``image_size`` is ``--image-size`` there.

    Args:
        options: names of the options that the command has; other settings are said as in Python.
    """

    def spell(piece: Any) -> str:
        if not isinstance(piece, Setting) or (name := ALIASES.get(piece.name, piece.name)) not in options:
            return str(piece)
        flag = f"--{name.replace('_', '-')}"
        return flag if piece.value is None or piece.value is ... else f"{flag} {piece.value}"

    return spell


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
