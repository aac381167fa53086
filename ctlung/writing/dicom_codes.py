"""The codes that say in DICOM what a segment is and what a number measures.

From the context groups of PS3.16 where they have the concept: CID 7150 and 7151 (structures), 244
(sides), 6104 (ground-glass opacity), 7159 (inflammation), 7162 (algorithms), 218 and 7464
(measures); units are UCUM. They have none for consolidation of the lung, which is SNOMED CT's
own; and none for a lesion's percent of the lung, which is ctlung's.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydicom.sr.coding import Code

SEG_FILE: Final = "lungs_and_lesions.seg.dcm"
SR_FILE: Final = "measurements.sr.dcm"

OWN_SCHEME: Final = "99CTLUNG"
OWN_SCHEME_NAME: Final = "Measures of ctlung"

ANATOMY: Final = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LUNG: Final = Code("39607008", "SCT", "Lung")
INFLAMMATION: Final = Code("409774005", "SCT", "Inflammation")
RIGHT: Final = Code("24028007", "SCT", "Right")
LEFT: Final = Code("7771000", "SCT", "Left")
BOTH_SIDES: Final = Code("51440002", "SCT", "Bilateral")
_UPPER: Final = Code("45653009", "SCT", "Upper lobe of lung")
_MIDDLE: Final = Code("72481006", "SCT", "Middle lobe of right lung")
_LOWER: Final = Code("90572001", "SCT", "Lower lobe of lung")
AI: Final = Code("123110", "DCM", "Artificial Intelligence")
MORPHOLOGY: Final = Code("123104", "DCM", "Morphological Operations")
BY_HAND: Final = Code("123109", "DCM", "Manual Processing")

VOLUME: Final = Code("118565006", "SCT", "Volume")
AREA: Final = Code("42798000", "SCT", "Area")
ATTENUATION: Final = Code("112031", "DCM", "Attenuation Coefficient")
LESION_PERCENT: Final = Code("lesion_percent", OWN_SCHEME, "Inflammatory area, percent of lung")
MEAN: Final = Code("373098007", "SCT", "Mean")
MAXIMUM: Final = Code("56851009", "SCT", "Maximum")
ABOVE: Final = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
BELOW: Final = Code("371885007", "SCT", "-, range of lower measurement uncertainty")

MILLILITRE: Final = Code("ml", "UCUM", "milliliter")
SQUARE_CENTIMETRE: Final = Code("cm2", "UCUM", "square centimeter")
PERCENT: Final = Code("%", "UCUM", "Percent")
HOUNSFIELD: Final = Code("[hnsf'U]", "UCUM", "Hounsfield unit")

CT: Final = Code("25045-6", "LN", "CT Unspecified Body Region")
REPORT: Final = Code("126000", "DCM", "Imaging Measurement Report")
DEVICE: Final = Code("121007", "DCM", "Device")
QUALITATIVE: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT: Final = Code("121106", "DCM", "Comment")


@dataclass(frozen=True)
class Structure:
    """What a segment is: category, type, and the side where the type leaves it open."""

    category: Code
    kind: Code
    side: Code | None = None


STRUCTURES: Final = MappingProxyType(
    {
        "right_lung": Structure(ANATOMY, LUNG, RIGHT),
        "left_lung": Structure(ANATOMY, LUNG, LEFT),
        "ground_glass": Structure(ABNORMAL, Code("112120", "DCM", "Ground glass opacity")),
        "consolidation": Structure(ABNORMAL, Code("95436008", "SCT", "Lung consolidation")),
        "rul": Structure(ANATOMY, _UPPER, RIGHT),
        "rml": Structure(ANATOMY, _MIDDLE),
        "rll": Structure(ANATOMY, _LOWER, RIGHT),
        "lul": Structure(ANATOMY, _UPPER, LEFT),
        "lll": Structure(ANATOMY, _LOWER, LEFT),
    }
)
"""By the names of ``LUNG_LABELS``, ``LESION_LABELS`` and ``LOBES``, in the order of segments."""


@dataclass(frozen=True)
class Quantity:
    """How a measure of ctlung is told: concept, how it was derived, unit."""

    name: Code
    unit: Code
    derivation: Code | None = None


QUANTITIES: Final = MappingProxyType(
    {
        "lung_volume_ml": Quantity(VOLUME, MILLILITRE),
        "lesion_volume_ml": Quantity(VOLUME, MILLILITRE),
        "ground_glass_volume_ml": Quantity(VOLUME, MILLILITRE),
        "consolidation_volume_ml": Quantity(VOLUME, MILLILITRE),
        "lesion_percent": Quantity(LESION_PERCENT, PERCENT),
        "lesion_area_max_cm2": Quantity(AREA, SQUARE_CENTIMETRE, MAXIMUM),
        "lung_mean_hu": Quantity(ATTENUATION, HOUNSFIELD, MEAN),
        "ct_number_lesion_hu": Quantity(ATTENUATION, HOUNSFIELD, MEAN),
    }
)
