"""What a DICOM object is, by its own header: CT slices, or something to set aside by name.

FIELD 3.6. Words are looked for in ImageType (or FrameType) and, where scanners write them
only there, in the series description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ctlung.reading.dataset import CT_CLASSES
from ctlung.reading.headers import SliceHeader

Role = Literal["inspiration", "expiration", "prone", "average"]

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY = "1.2.840.10008.1.3.10"
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"

ASIDE = {
    "directory": "a DICOMDIR index; the files are read without it",
    "dose_report": "a dose report",
    "secondary_capture": "a secondary capture: a picture, not CT numbers",
    "screen_save": "a screen save: a picture, not CT numbers",
    "not_ct": "not CT",
    "localizer": "a localizer (scout view)",
    "mip": "a maximum or minimum intensity projection",
    "mpr": "a multiplanar or curved reformat",
    "rendering": "a rendering or projection",
    "perfusion": "a perfusion map, not in Hounsfield units",
    "subtraction": "a subtraction",
    "bone_removed": "bones were removed",
}
"""Kinds that are never measured, and what to say of them."""

_IMAGE_TYPE_KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("localizer", frozenset({"LOCALIZER", "LOCALISER", "SCOUT", "TOPOGRAM", "SURVIEW"})),
    ("screen_save", frozenset({"SCREEN", "SCREENSAVE", "SAVE", "DOSE", "PROTOCOL"})),
    ("mip", frozenset({"MIP", "MINIP", "MNIP", "MAXIP", "MAXIMUM", "MINIMUM"})),
    ("subtraction", frozenset({"SUBTRACTION", "SUBTRACT", "SUBTRACTED"})),
    ("perfusion", frozenset({"PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX"})),
    ("rendering", frozenset({"PROJECTION", "VRT", "3D", "SSD", "RENDER"})),
    ("mpr", frozenset({"MPR", "CPR", "CURVED"})),
)
_AVERAGE = frozenset({"AVERAGE", "AVG", "MEAN"})
_TECHNIQUE_KINDS = {
    "MAX_IP": "mip",
    "MIN_IP": "mip",
    "VOLUME_RENDER": "rendering",
    "SURFACE_RENDER": "rendering",
    "MPR": "mpr",
    "CURVED_MPR": "mpr",
}
_DESCRIPTION_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("mip", re.compile(r"\bM(?:AX|IN)?IP\b|THICK SLAB", re.I)),
    ("bone_removed", re.compile(r"BONE[ _-]?(?:REMOV|FREE|LESS|SUBTR)", re.I)),
    ("subtraction", re.compile(r"\bSUBTR", re.I)),
    ("localizer", re.compile(r"\b(?:SCOUT|TOPOGRAM|SURVIEW|LOCALI[SZ]ER)\b", re.I)),
)
_SPECTRAL_WORDS = frozenset(
    {"IODINE", "VNC", "VNCA", "ZEFF", "EFFZ", "MONOENERGETIC", "MATERIAL", "ELECTRON"}
)
_SPECTRAL = re.compile(
    r"\d{2,3}\s*KEV\b|\bMONO\b|MONO\s?\+|IODINE|\bVNC\b|VIRTUAL.?NON|Z[ _-]?EFF|ELECTRON DENS|"
    r"\bOVERLAY\b.*DE\b|LUNG PBV",
    re.I,
)
_MIXED = re.compile(r"\b[FM][ _]0\.\d|120 ?KVP?.?LIKE|\bDE_.*MIX|\bMIXED\b", re.I)
_EXPIRATION = re.compile(r"(?<![A-Z])(?:EXP|EXSP|EXPIR\w*|EXSPIR\w*)(?![A-Z])", re.I)
_INSPIRATION = re.compile(r"(?<![A-Z])(?:INSP|INSPIR\w*)(?![A-Z])", re.I)
_PRONE = re.compile(r"(?<![A-Z])PRONE(?![A-Z])|BAUCHLAGE", re.I)
_NOT_CHEST = re.compile(r"ABD|PELV|HEAD|BRAIN|SKULL|SINUS|NECK|SPINE|KNEE|FOOT|HIP\b", re.I)
_CHEST = re.compile(r"CHEST|THORA|LUNG|PULMO|CAP\b|C/A/P", re.I)

_HU = re.compile(r"HU|HO(?:U)?N(?:D)?SFIELD(?:[ _]?UNITS?)?", re.I)
_NOT_HU = frozenset(
    {"HU_MOD", "US", "Z_EFF", "ED", "EDW", "MGML", "MG/ML", "PCT", "OD", "IOD", "MAC", "CONC"}
)


@dataclass(frozen=True)
class Problem:
    """Why a series cannot be measured: a stable code and a sentence."""

    code: str
    sentence: str


def aside_kind(header: SliceHeader) -> str | None:
    """The key of ``ASIDE`` that an object belongs to, or ``None`` for CT slices."""
    if header.sop_class == DIRECTORY:
        return "directory"
    if header.sop_class == DOSE_REPORT:
        return "dose_report"
    if header.sop_class.startswith(SECONDARY_CAPTURE) and header.modality == "CT":
        return "secondary_capture"
    if header.modality != "CT" or header.sop_class not in CT_CLASSES:
        return "not_ct"
    words = _words(header.image_type)
    for kind, names in _IMAGE_TYPE_KINDS:
        if words & names:
            return kind
    if header.technique in _TECHNIQUE_KINDS:
        return _TECHNIQUE_KINDS[header.technique]
    for kind, pattern in _DESCRIPTION_KINDS:
        if pattern.search(header.description or ""):
            return kind
    return None


def value_problem(header: SliceHeader) -> Problem | None:
    """Why the values of a slice are not Hounsfield units, or ``None`` (FIELD 3.2, 3.6)."""
    if header.samples != 1 or not header.photometric.startswith("MONOCHROME"):
        return Problem(
            "not_hu",
            f"The pixels are colours ({header.photometric or 'unnamed'}), not CT numbers; use "
            "the original series.",
        )
    if header.has_modality_lut:
        return Problem(
            "not_hu",
            "The values go through a Modality LUT, so they are not Hounsfield units; use the "
            "original series.",
        )
    if _words(header.image_type) & _SPECTRAL_WORDS or _SPECTRAL.search(header.description or ""):
        return Problem(
            "spectral",
            "A dual-energy map or a single-energy image: its numbers are not those of a plain "
            "CT; use the mixed (120 kVp-like) series.",
        )
    kind = (header.rescale_type or "").upper()
    if kind in _NOT_HU:
        return Problem(
            "not_hu",
            f"RescaleType is {kind}, so the values are not Hounsfield units; use the original "
            "series.",
        )
    if header.slope is None or header.intercept is None or header.slope == 0:
        return Problem(
            "no_rescale",
            "RescaleSlope or RescaleIntercept is missing, so nothing says what the stored values "
            "mean in Hounsfield units; export the original series again.",
        )
    return None


def odd_rescale_type(header: SliceHeader) -> str | None:
    """A RescaleType that is neither HU nor known to be something else."""
    kind = header.rescale_type
    return None if kind is None or _HU.fullmatch(kind) else kind


def is_derived(header: SliceHeader) -> bool:
    """Whether the slice was computed from other slices."""
    return "DERIVED" in header.image_type[:1]


def is_mixed_energy(header: SliceHeader) -> bool:
    """Whether two energies were mixed to look like one of 120 kVp."""
    weighted = "ENERGY_PROP_WT" in header.image_type
    return weighted or _MIXED.search(header.description or "") is not None


def role_of(header: SliceHeader) -> Role:
    """What the series was taken for; only ``inspiration`` is ever chosen by itself."""
    text = header.description or ""
    if _PRONE.search(text):
        return "prone"
    if _EXPIRATION.search(text) and not _INSPIRATION.search(text):
        return "expiration"
    return "average" if _words(header.image_type) & _AVERAGE else "inspiration"


def is_elsewhere(header: SliceHeader) -> bool:
    """Whether the words say another part of the body and do not say chest."""
    text = f"{header.description or ''} {header.body_part}"
    return _NOT_CHEST.search(text) is not None and _CHEST.search(text) is None


def _words(values: tuple[str, ...]) -> frozenset[str]:
    """The words in ImageType: its values, and their parts between blanks and underscores."""
    parts = {part for value in values for part in re.split(r"[ _]+", value)}
    return frozenset(parts | set(values))
