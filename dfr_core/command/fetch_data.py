"""`dfr fetch-data`: where to get MVTec AD, and unpacking its archive."""

from __future__ import annotations

import argparse

from .options import quiet_argument

WORDS = "say how to get MVTec AD, verify and unpack its archive"
EPILOG = """\
Nothing is downloaded: a note is written into DIR that says where to get the archive. Put it there and run this again.

example:
  dfr fetch-data mvtec"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr fetch-data`."""
    parser.add_argument("folder", metavar="DIR", help="folder for the data, with the archive in it if you have it; made if missing")
    parser.add_argument("--accept-unverified", action="store_true", help="unpack archives of which no checksum is known")
    quiet_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr fetch-data`."""
    from ..data.fetch import fetch_data

    print(fetch_data(args.folder, accept_unverified=args.accept_unverified, progress=not args.quiet))
    return 0
