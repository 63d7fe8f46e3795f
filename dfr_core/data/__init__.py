"""Images, masks and data sets (Sections IV-A1 and IV-A4, Table VII): what the other rooms use of it.

:mod:`.decode` opens a file; :mod:`.images` and :mod:`.masks` say what is in it. :mod:`.listing` says what lies in a folder and
:mod:`.pairs` which mask is for which image; :mod:`.folders` (MVTec AD's layout) and :mod:`.photographs` make a :class:`Category` of it.
:mod:`.arrays` takes what Python callers hand over, :mod:`.statistics` counts Table VII, :mod:`.fetch` unpacks MVTec AD,
:mod:`.synthetic` draws categories like it.

One rule stands above all: what is handed over is used, or :mod:`.notes` tells in one line why not.
"""

from ..paper_numbers import CATEGORIES, OBJECTS, TEXTURES
from .arrays import as_images, as_labelled, fingerprint
from .category import GOOD, UNKNOWN, Category, Sample
from .decode import EXTENSIONS
from .folders import all_categories, available, is_category, load_category
from .images import load_images, read_image
from .masks import read_mask
from .photographs import is_photographs, load_photographs
from .statistics import Statistics, statistics, survey
