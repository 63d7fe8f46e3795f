"""The command `dfr`, one module a command; :mod:`.main` puts them together."""

from .main import COMMANDS, main

__all__ = ["COMMANDS", "main"]
