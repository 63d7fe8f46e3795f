"""MVTec AD's layout (Section IV-A1), and those near it that other data sets have; :mod:`.photographs` has the other layout.

::

    root/leather/train/good/000.png                    normal images to learn from
    root/leather/test/good/000.png                     normal images to test with
    root/leather/test/cut/000.png                      defective ones, a folder a kind of defect
    root/leather/ground_truth/cut/000_mask.png         where the defect is

* ``good`` may be called ``normal``, ``ok``, ``nominal`` or ``defect-free``; ``ground_truth`` may be ``gt`` or ``masks``, in any case.
* Folders within a kind (``test/cut/day1/000.png``) belong to it, and links are followed.
* :mod:`.pairs` says which mask is for which image; masks may also lie beside their images (``test/cut/000_mask.png``).
* Defective images without masks can be scored and ranked; only their pixels cannot be evaluated.

What lies there and is not read is told, one line a reason; mistakes raise :class:`DFRError` that names the file and says what to do.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import DFRError, Setting
from ..paper_numbers import CATEGORIES
from .category import GOOD, Category, Sample
from .decode import EXTENSIONS, PathLike
from .listing import HIDDEN, NORMAL, TRUTH, entries, list_images, named, only_named, some_images
from .notes import Note, tell
from .pairs import pair

EXPECTED = "images are expected in train/good, test/good, test/KIND, and masks in ground_truth/KIND"


def normal_folder(category: Path) -> Path | None:
    """The folder of normal images to train with; None if ``category`` is not in MVTec AD's layout.

    Raises:
        DFRError: there are two of them.
    """
    train = only_named(category, ("train",))
    return train and only_named(train, NORMAL)


def is_category(folder: PathLike) -> bool:
    """Whether the folder holds one category in MVTec AD's layout."""
    return any(named(train, NORMAL) for train in named(Path(folder), ("train",)))


def available(root: PathLike) -> tuple[str, ...]:
    """The categories in a folder of MVTec AD's layout: MVTec AD's own in the paper's order, then the others."""
    names = [path.name for path in entries(Path(root), "the data set") if path.is_dir() and is_category(path)]
    return tuple(name for name in CATEGORIES if name in names) + tuple(name for name in names if name not in CATEGORIES)


def all_categories(root: PathLike) -> tuple[str, ...]:
    """Those of :func:`available`, at least one; what else lies there is told.

    Raises:
        DFRError: there is none.
    """
    names = available(root)
    if not names:
        raise DFRError(root, "holds no category with a folder train/good", f"name a folder in MVTec AD's layout ({EXPECTED})")
    others = [path for path in entries(Path(root), "the data set") if path.name not in names]
    tell(Note(path, "not a category (no folder train/good), so it is not read") for path in others)
    return names


def find_category(root: Path, name: str | None) -> Path:
    """The folder of a category.

    Raises:
        DFRError: there is none of that name, or several and no name.
    """
    here = is_category(root)
    if name is None and here:
        return root
    if name is not None and (name in ("", ".", "..") or Path(name).name != name or "\\" in name):
        raise DFRError(Setting("category"), f"{name!r} is not the name of a category", "give the name of one folder, such as leather")
    if name is not None and (root / name).is_dir():
        return root / name
    if here and name == root.resolve().name:
        return root
    names = ", ".join(available(root)) or ", ".join(all_categories(root))
    if name is None:
        raise DFRError(root, "holds several categories", f"name one as category: {names}")
    raise DFRError(Setting("category"), f"{name!r} is not in {root}", f"available: {names}")


def load_category(root: PathLike, name: str | None = None) -> Category:
    """Find the files of one category in MVTec AD's layout (IV-A1). No picture is read yet; what is not used is told.

    Args:
        root: the folder of the categories, or the category's own folder.
        name: the category's name; None when ``root`` is the category's own folder.

    Returns:
        the category; its ``test`` is empty when there is no test folder.

    Raises:
        DFRError: root or category missing, no training images, a mask without an image, images of which nobody
            can say what they are.
    """
    category = find_files(root, name)
    tell(category.passed)
    return category


def find_files(root: PathLike, name: str | None = None) -> Category:
    """As :func:`load_category`, and nothing is told."""
    root = Path(root)
    entries(root, "the data set")
    folder = find_category(root, name)
    good = normal_folder(folder) or folder / "train" / GOOD
    what = "normal images to train with"
    train = some_images(good, list_images(good, what), what)
    truth = only_named(folder, TRUTH)
    passed = [*train.unused_masks()]
    passed += [Note(path, f"not read: only {good.name} is trained on") for path in entries(good.parent, what) if path != good]
    tests = only_named(folder, ("test",)) or folder / "test"
    known = {good.parent, tests, truth}
    others = [path for path in entries(folder, "the category") if path not in known]
    passed += [Note(path, "not read: neither train, test nor ground_truth") for path in others]
    test, unused = find_test(tests, truth)
    return Category(name=folder.resolve().name, train=train.images, test=test, passed=(*passed, *unused))


def find_test(folder: Path, truth: Path | None) -> tuple[tuple[Sample, ...], list[Note]]:
    """The test images, if there are any, kind after kind, each with its mask; and what is not used."""
    kinds: dict[Path, str] = {}
    masks: list[Path] = []
    passed: list[Note] = []
    for entry in entries(folder, "test images") if folder.exists() else ():
        if entry.name.startswith("."):
            passed.append(Note(entry, HIDDEN))
            continue
        if not entry.is_dir():
            if entry.suffix.lower() in EXTENSIONS:
                raise DFRError(entry, "lies directly in 'test'", "put it into a folder named for its defect, or test/good")
            passed.append(Note(entry, "not read: lies directly in 'test'"))
            continue
        found = list_images(entry, "test images")
        if not (found.images or found.passed):
            passed.append(Note(entry, "an empty folder, so there is no such kind of defect"))
        elif not found.images:
            some_images(entry, found, "test images")
        kinds |= dict.fromkeys(found.images, GOOD if entry.name.lower() in NORMAL else entry.name)
        masks += found.masks
        passed += found.passed
    roots = [folder]
    if truth is not None:
        drawn = list_images(truth, "masks", masks=True)
        masks += drawn.images
        passed += drawn.passed
        roots.append(truth)
    pairs = pair(list(kinds), masks, folder, roots)
    samples = tuple(Sample(path, pairs.get(path), kind) for path, kind in kinds.items())
    return samples, passed
