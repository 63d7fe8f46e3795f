"""The one exception a user is meant to read."""


class DFRError(ValueError):
    """A mistake in what the user gave: a file, an option, a data set.

    The message names the file or option and says what to do. The command line prints it in one line
    and exits with code 2; it never shows a traceback for it.
    """
