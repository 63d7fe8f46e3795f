"""Images, masks and data sets (Sections IV-A1 and IV-A4, Table VII): what the other rooms use of it.

:mod:`.decode` reads a file, :mod:`.folders` knows which files belong together, :mod:`.arrays` takes what Python callers
hand over, :mod:`.statistics` counts Table VII, :mod:`.fetch` unpacks MVTec AD, :mod:`.synthetic` draws categories like it.
"""

from ..paper_numbers import CATEGORIES, OBJECTS, TEXTURES
from .arrays import as_images, as_labelled, fingerprint
from .decode import EXTENSIONS, load_images, read_image, read_mask
from .folders import GOOD, Category, Sample, all_categories, available, load_category, load_photographs
from .statistics import Statistics, statistics

__all__ = [
    "CATEGORIES",
    "EXTENSIONS",
    "GOOD",
    "OBJECTS",
    "TEXTURES",
    "Category",
    "Sample",
    "Statistics",
    "all_categories",
    "as_images",
    "as_labelled",
    "available",
    "fingerprint",
    "load_category",
    "load_images",
    "load_photographs",
    "read_image",
    "read_mask",
    "statistics",
]
