"""`dfr watch`: photographs scored as they arrive in a folder."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DFRError, Setting
from .options import check_folder, chosen_model
from .score import LESS_MEMORY as LESS_MEMORY  # main asks each command for it
from .score import scoring_arguments

WORDS = "score photographs as they arrive in a folder"
EPILOG = """\
Looks into FOLDER and the folders in it every X seconds. A photograph is scored when its file has not changed from one look to the
next and can be read; what is written of it is what `dfr score` writes. One line of JSON each goes to standard output, and into
DIR/scores.jsonl, where it is the mark that the pictures are whole.

Said once on standard error, and passed over: files that are no photographs or cannot be read (looked at again when they change),
photographs that are gone before they could be scored, and those that are byte for byte the same as one that is scored already,
copied or renamed. A photograph that changes is scored again; that it was deleted later does not matter.

Ctrl-C or SIGTERM stops it: what was begun is finished and written, and the exit code is 0. Started again with the same DIR, it goes
on: what has its row and its pictures there (by this model, --fpr and --size) is not scored again, also after it was killed. DIR may lie
in FOLDER.
Each photograph is taken alone, so grey levels of more than 8 bit get the white that the model was trained with.

examples:
  dfr watch camera --model leather.safetensors --out results
  dfr watch camera --model leather.safetensors --out results --new --interval 0.2 >> all.jsonl"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr watch`."""
    parser.add_argument("folder", metavar="FOLDER", help="where photographs arrive")
    parser.add_argument("--model", required=True, metavar="MODEL", help="a file that `dfr fit` wrote")
    scoring_arguments(parser)
    parser.add_argument("--interval", type=float, default=1.0, metavar="X", help="seconds between two looks (default 1)")
    parser.add_argument("--new", action="store_true", help="only what arrives or changes from now on, not what is there already")


def main(args: argparse.Namespace) -> int:
    """Run `dfr watch`."""
    with _stop_signals() as stop:  # before anything is loaded, which takes seconds
        folder, out = Path(args.folder), Path(args.out)
        if not 0 < args.interval < float("inf"):
            raise DFRError(Setting("interval"), f"{args.interval} is not a number of seconds above 0")
        if not folder.is_dir():
            raise DFRError(folder, "is not a folder" if folder.exists() else "no such folder", "name the one where photographs arrive")
        check_folder("out", out)
        from ..files import sha256
        from .arrivals import Arrivals
        from .journal import Journal, remove_leftovers
        from .places import check_out
        from .scorer import Scorer, in_order

        check_out(folder, out)
        detector = chosen_model(args)
        detector.threshold(args.fpr)
        journal = Journal(out, [sha256(args.model)[:16], args.fpr, args.size])
        remove_leftovers(out)
        arrivals = Arrivals(folder, out, journal, stop, detector.white_)
        scorer = Scorer(detector, out, args.fpr, args.size, args.compress, detector.white_, arrivals.unchanged)
        try:
            if args.new:
                arrivals.leave_what_is_there()
            while not stop:
                for done in in_order(scorer, arrivals.jobs()):
                    if (row := arrivals.finished(done)) is not None:
                        print(json.dumps(row), flush=True)
                _wait(args.interval, stop)
        finally:
            journal.close()
    print("dfr: stopped; what was begun is written", file=sys.stderr)
    return 0


def _wait(seconds: float, stop: list[int]) -> None:
    until = time.monotonic() + seconds
    while not stop and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))  # a handler that returns does not end a sleep


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that SIGINT and SIGTERM put their number into, in place of ending the process; a second one ends it as ever."""
    stop: list[int] = []
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: object) -> None:
        stop.append(number)
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
