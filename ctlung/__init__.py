"""ctlung: inflammatory area and CT number of the lungs from chest CT.

    import ctlung
    result = ctlung.segment("path/to/dicom")
    result.report["lesion_percent"].value

Every name below is loaded when it is first used. For research use only; not a medical device.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ctlung.version import __version__

if TYPE_CHECKING:
    from ctlung.api import (
        analyze,
        check_result,
        check_scan,
        find_lesions,
        find_series,
        load_finder,
        load_key,
        load_segmenter,
        read_result,
        read_scan,
        segment,
        segment_lungs,
        write_result,
    )
    from ctlung.change_records import Change, Comparison, Restoration, Transition, Voxelwise
    from ctlung.errors import (
        CtlungError,
        GeometryMismatch,
        IncompleteSeries,
        InputError,
        ManifestError,
        ModelError,
        NoSeriesFound,
        NotChestCT,
        NotComparable,
        NotHounsfield,
        NotUnblinded,
        OutputError,
        SeveralVisits,
        UnreadableFile,
        UnsupportedGeometry,
        WeightsAltered,
        WeightsMissing,
    )
    from ctlung.exchange import write_dicom
    from ctlung.geometry import Geometry
    from ctlung.identity import Key
    from ctlung.lesions.finder import LesionFinder
    from ctlung.notices import Notice
    from ctlung.records import (
        Lesion,
        Measurement,
        Provenance,
        ScanReport,
        ScanResult,
        ScorePart,
        SeverityScore,
        SliceRow,
        Uncertainty,
    )
    from ctlung.segmentation.protocol import Segmenter
    from ctlung.settings import Settings
    from ctlung.trial.batch import batch
    from ctlung.trial.cohort import cohort
    from ctlung.trial.manifest import ManifestRow, draft_manifest, read_manifest
    from ctlung.two_scans import compare, compare_visits, write_comparison
    from ctlung.volume import Acquisition, Anatomy, LabelMap, Scan, Segmentation

_HOMES = {
    "ctlung.api": (
        "analyze",
        "check_result",
        "check_scan",
        "find_lesions",
        "find_series",
        "load_finder",
        "load_key",
        "load_segmenter",
        "read_result",
        "read_scan",
        "segment",
        "segment_lungs",
        "write_result",
    ),
    "ctlung.change_records": (
        "Change",
        "Comparison",
        "Restoration",
        "Transition",
        "Voxelwise",
    ),
    "ctlung.errors": (
        "CtlungError",
        "GeometryMismatch",
        "IncompleteSeries",
        "InputError",
        "ManifestError",
        "ModelError",
        "NoSeriesFound",
        "NotChestCT",
        "NotComparable",
        "NotHounsfield",
        "NotUnblinded",
        "OutputError",
        "SeveralVisits",
        "UnreadableFile",
        "UnsupportedGeometry",
        "WeightsAltered",
        "WeightsMissing",
    ),
    "ctlung.exchange": ("write_dicom",),
    "ctlung.geometry": ("Geometry",),
    "ctlung.identity": ("Key",),
    "ctlung.lesions.finder": ("LesionFinder",),
    "ctlung.notices": ("Notice",),
    "ctlung.records": (
        "Lesion",
        "Measurement",
        "Provenance",
        "ScanReport",
        "ScanResult",
        "ScorePart",
        "SeverityScore",
        "SliceRow",
        "Uncertainty",
    ),
    "ctlung.segmentation.protocol": ("Segmenter",),
    "ctlung.settings": ("Settings",),
    "ctlung.trial.batch": ("batch",),
    "ctlung.trial.cohort": ("cohort",),
    "ctlung.trial.manifest": ("ManifestRow", "draft_manifest", "read_manifest"),
    "ctlung.two_scans": ("compare", "compare_visits", "write_comparison"),
    "ctlung.volume": ("Acquisition", "Anatomy", "LabelMap", "Scan", "Segmentation"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Acquisition",
    "Anatomy",
    "Change",
    "Comparison",
    "CtlungError",
    "Geometry",
    "GeometryMismatch",
    "IncompleteSeries",
    "InputError",
    "Key",
    "LabelMap",
    "Lesion",
    "LesionFinder",
    "ManifestError",
    "ManifestRow",
    "Measurement",
    "ModelError",
    "NoSeriesFound",
    "NotChestCT",
    "NotComparable",
    "NotHounsfield",
    "NotUnblinded",
    "Notice",
    "OutputError",
    "Provenance",
    "Restoration",
    "Scan",
    "ScanReport",
    "ScanResult",
    "ScorePart",
    "Segmentation",
    "Segmenter",
    "Settings",
    "SeveralVisits",
    "SeverityScore",
    "SliceRow",
    "Transition",
    "Uncertainty",
    "UnreadableFile",
    "UnsupportedGeometry",
    "Voxelwise",
    "WeightsAltered",
    "WeightsMissing",
    "__version__",
    "analyze",
    "batch",
    "check_result",
    "check_scan",
    "cohort",
    "compare",
    "compare_visits",
    "draft_manifest",
    "find_lesions",
    "find_series",
    "load_finder",
    "load_key",
    "load_segmenter",
    "read_manifest",
    "read_result",
    "read_scan",
    "segment",
    "segment_lungs",
    "write_comparison",
    "write_dicom",
    "write_result",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'ctlung' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "IPython" in sys.modules:
    import_module("ctlung.notebook").register()
