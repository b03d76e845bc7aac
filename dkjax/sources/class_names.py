"""Names of classes: one way to write each, the same list at every site, and doubts about names that look alike."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ConfigError, DataError
from dkjax.sources.findings import Findings, Skipped, findings_of
from dkjax.sources.source import Indices, Records, Source, check, fingerprint, natural_ids, stored_sizes

# Cyrillic and Greek letters that are drawn like Latin ones, in lower case.
_DRAWN_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u0432\u043a\u043c\u043d\u0442"
    "\u03b1\u03bf\u03b9\u03bd\u03ba\u03c1\u03c4\u03c5",
    "aeopcyxijshdqwbkmhtaoivkptu",
)


def normalised(name: str, where: str) -> str:
    """Return a class name as it is written everywhere: in Unicode's normal form C.

    A Mac writes an accented letter as two characters where Linux and Windows write one.

    Args:
        name: as a folder, file or configuration has it.
        where: what it belongs to, for the message.

    Raises:
        DataError: it is not text: the name of a folder in an encoding other than UTF-8.

    Guarantees:
        `tests/sources/test_class_names.py::test_one_way_to_write_a_name`.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise DataError(
            f"{where}: the class name '{shown}' is not UTF-8, but of an older encoding: give it a name in UTF-8"
        ) from None
    return unicodedata.normalize("NFC", name)


def name_doubts(names: Sequence[str]) -> tuple[str, ...]:
    """Find class names that may not be what they look like.

    Args:
        names: all class names of a source.

    Returns:
        A sentence for each: a name with characters that are not seen or change the direction of reading, and names
        that differ in case, spaces, invisible characters or letters that are drawn alike.

    Guarantees:
        `tests/sources/test_class_names.py::test_names_that_look_alike`.
    """
    doubts = []
    alike: dict[str, list[str]] = {}
    for name in names:
        if hidden := [character for character in name if unicodedata.category(character) == "Cf"]:
            codes = ", ".join(f"U+{ord(character):04X}" for character in dict.fromkeys(hidden))
            doubts.append(f"the class {name!a} has characters that are not seen ({codes}): remove them")
        alike.setdefault(_drawn(name), []).append(name)
    for same in alike.values():
        if len(same) > 1:
            shown = " and ".join(f"{name!r} ({name!a})" if not name.isascii() else repr(name) for name in same)
            doubts.append(f"the classes {shown} look alike: if they are one class, give them one name")
    return tuple(doubts)


# "Mueller, Anna", "MUELLER^ANNA", "patient-0017", a date of birth.
_PERSON = re.compile(
    r"\w+\s*[,^]\s*\w+|(pat|patient|person|subject|case|mrn)[\W_]*\d+|.*\d{1,2}[.\-/]\d{1,2}[.\-/](19|20)\d\d|"
    r".*(19|20)\d\d-\d\d-\d\d",
    re.IGNORECASE,
)


def person_doubts(names: Sequence[str]) -> tuple[str, ...]:
    """Ask about class names that may be those of persons: they leave the site with the images.

    Args:
        names: all class names of a source.

    Returns:
        One sentence, or nothing.
    """
    persons = [name for name in names if _PERSON.match(name)]
    if not persons:
        return ()
    return (
        f"{len(persons)} of {len(names)} class names, such as {persons[0]!r}, may name a person, a case or a day, and "
        "class names leave the site: make one folder for each class",
    )


def _drawn(name: str) -> str:
    """What is seen of a name: without case, spaces, invisible characters and differences between scripts."""
    seen = unicodedata.normalize("NFKC", name).casefold()
    visible = "".join(character for character in seen if unicodedata.category(character) != "Cf")
    return "".join(visible.split()).translate(_DRAWN_ALIKE)


def check_classes(classes: Iterable[str]) -> tuple[str, ...]:
    """Check a list of classes that several sites agree on, and return it in normal form C.

    Raises:
        ConfigError: it is empty, or has a name twice.
    """
    names = tuple(normalised(name, "data.classes") for name in classes)
    if not names:
        raise ConfigError("data.classes is empty: name the classes, or leave it out")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"data.classes has {repeated[0]!r} twice")
    return names


class WithClasses:
    """A source whose labels are positions in a list of classes that is longer or in another order.

    Args:
        source: the source.
        class_names: the classes, those of the source among them.
        where: what the source is called, for the message.

    Raises:
        DataError: the source has a class that is not in the list.
    """

    def __init__(self, source: Source, class_names: Sequence[str], where: str) -> None:
        if strangers := [name for name in source.class_names if name not in class_names]:
            raise DataError(
                f"{where} has a class {strangers[0]!r}, which is none of the classes agreed on: "
                f"{', '.join(class_names)}"
            )
        self._source = source
        self._new = np.array([class_names.index(name) for name in source.class_names], np.int32)
        self.class_names = tuple(class_names)
        self.image_shape = source.image_shape
        self.groups: NDArray[np.integer] | None = getattr(source, "groups", None)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of all records, int32[n]."""
        return self._new[self._source.labels]

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What the source has skipped so far."""
        return self._source.skipped

    @property
    def findings(self) -> Findings:
        """What was noticed when the source was opened."""
        return findings_of(self._source)

    def natural_ids(self, by: str) -> list[str]:
        """As `dkjax.sources.source.natural_ids`, of all records."""
        return natural_ids(self._source, by)

    def stored_sizes(self, indices: Indices) -> list[tuple[int, int] | None]:
        """As `dkjax.sources.source.stored_sizes`."""
        return stored_sizes(self._source, indices)

    def check(self, indices: Indices) -> list[Skipped | None]:
        """Say of records which will not be readable, as far as can be told without decoding them."""
        return check(self._source, indices)

    def fingerprint(self, indices: Indices) -> str:
        """What records are read from, as a hash that changes with it."""
        return fingerprint(self._source, indices)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: Indices) -> Records:
        records = self._source[indices]
        return {"image": records["image"], "label": self._new[records["label"]]}
