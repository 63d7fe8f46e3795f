"""``python -m dfr_core`` is the command ``dfr``."""

import sys

from .command import main

sys.exit(main())
