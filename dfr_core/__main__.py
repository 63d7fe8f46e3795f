"""``python -m dfr_core`` is the command ``dfr``."""

import sys

from .cli import main

sys.exit(main())
