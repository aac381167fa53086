"""The errors of ctlung, each a sentence that says what is wrong, where, and what to do.

    CtlungError
    ├── InputError
    │   ├── NoSeriesFound        nothing in the folder can be measured
    │   ├── SeveralVisits        several patients or visits, and none was named
    │   ├── NotChestCT           no two lungs in view, or not CT at all
    │   ├── NotHounsfield        the values are not Hounsfield units
    │   ├── IncompleteSeries     slices are missing or do not belong together
    │   ├── UnsupportedGeometry  the stack cannot be placed in space
    │   └── UnreadableFile       damaged, encrypted, too large, or not permitted
    ├── GeometryMismatch         two arrays do not lie on the same grid
    ├── ModelError
    │   ├── WeightsMissing
    │   └── WeightsAltered
    ├── NotComparable            two scans that no comparison can join
    ├── ManifestError            a trial's list of scans contradicts itself
    ├── NotUnblinded             a trial's arms are hidden until its results are locked
    └── OutputError              results could not be written

A programmer's wrong argument stays ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations


class CtlungError(Exception):
    """Base of every error that ctlung raises on purpose.

    ``code`` is the short, stable word of ``docs/measures.md`` that tables and programs use;
    the message is for people.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class InputError(CtlungError):
    """The input cannot be measured."""

    default_code = "input"


class NoSeriesFound(InputError):
    """Nothing in the folder can be measured."""

    default_code = "no_series"


class SeveralVisits(InputError):
    """Several patients or visits are in the folder and none was named."""

    default_code = "several_visits"


class NotChestCT(InputError):
    """No two lungs in view, or not a CT at all."""

    default_code = "not_chest_ct"


class NotHounsfield(InputError):
    """The values are not Hounsfield units."""

    default_code = "not_hu"


class IncompleteSeries(InputError):
    """Slices are missing, or slices of several series lie in one."""

    default_code = "incomplete_series"


class UnsupportedGeometry(InputError):
    """The stack cannot be placed in the patient's space."""

    default_code = "unsupported_geometry"


class UnreadableFile(InputError):
    """A file is damaged, encrypted, too large, or may not be read."""

    default_code = "unreadable_file"


class GeometryMismatch(CtlungError):
    """Two arrays do not lie on the same grid."""

    default_code = "geometry_mismatch"


class ModelError(CtlungError):
    """A segmentation model cannot be used."""

    default_code = "model"


class WeightsMissing(ModelError):
    """The weights of a model are not where they should be."""

    default_code = "weights_missing"


class WeightsAltered(ModelError):
    """The weights of a model are not those of its card."""

    default_code = "weights_altered"


class NotComparable(CtlungError):
    """Two scans cannot be compared."""

    default_code = "not_comparable"


class ManifestError(CtlungError):
    """A trial's list of scans cannot be read or contradicts itself."""

    default_code = "manifest"


class NotUnblinded(CtlungError):
    """A trial's arms are hidden until its results are locked, and not to be seen yet."""

    default_code = "blind"


class OutputError(CtlungError):
    """Results could not be written."""

    default_code = "output"
