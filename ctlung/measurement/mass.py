"""Tissue and gas from CT numbers: air 0 and water 1 g/ml, linear (FIELD 2.4, model A).

Model B puts the scan's own air and blood in their place.
"""

from __future__ import annotations

from ctlung.arrays import FloatArray
from ctlung.measurement.tally import HU_OF_BIN

TISSUE_G_ML = 1.065
"""Density of blood and tissue in model B (FIELD 2.4 [m])."""


def tissue_g(volumes_ml: FloatArray) -> float:
    """Mass of tissue and blood, g; as ml of water the tissue volume: sum of v (HU + 1000) / 1000.

    Args:
        volumes_ml: volume at each HU from -1024 to 3071, shape ``(4096,)``.

    Source: FIELD 2.4 model A, as in the C++ tool of CIP. Trap: voxels below -1000 HU count
    negative, for clipping noise would bias the sum; CIP's Python clips and gives other masses.
    """
    return float(volumes_ml @ (HU_OF_BIN + 1000)) / 1000.0


def gas_ml(volumes_ml: FloatArray) -> float:
    """Gas, ml: volume less tissue volume, which is -sum of v HU / 1000; never below 0.

    Args:
        volumes_ml: volume at each HU from -1024 to 3071, shape ``(4096,)``.

    Source: FIELD 2.4 model A; a compartment whose mean exceeds 0 HU holds no gas (Chest 2021,
    161:979). Trap: decided on the sum, not voxel by voxel, where noise of solid tissue would
    become gas. So a part without gas has less than its share of the whole: gas does not add up.
    """
    return max(0.0, -float(volumes_ml @ HU_OF_BIN) / 1000.0)


def calibrated_g(volumes_ml: FloatArray, air_hu: float, blood_hu: float) -> float:
    """Mass, g, on the scale of the scan's own air and blood.

    Sum of v 1.065 (HU - air) / (blood - air).

    Args:
        volumes_ml: volume at each HU, shape ``(4096,)``.
        air_hu: air in the trachea, which weighs nothing.
        blood_hu: unenhanced blood, which weighs 1.065 g/ml.

    Source: FIELD 2.4 model B. Trap: no voxel is clipped, as in model A; the blood of anaemia is
    lighter than 1.065 g/ml, and contrast agent makes nonsense of it.
    """
    off = float(volumes_ml @ HU_OF_BIN) - air_hu * float(volumes_ml.sum())
    return TISSUE_G_ML * off / (blood_hu - air_hu)


def lesion_excess_g(volumes_ml: FloatArray, reference_hu: float) -> float:
    """Mass, g, that lesions hold beyond aerated lung: sum of v (HU - reference) / 1000.

    Args:
        volumes_ml: volume of the lesions at each HU, shape ``(4096,)``.
        reference_hu: mean of the patient's own aerated lung in the same scan.

    Source: FIELD 2.4. Trap: the reference moves with the breath; a lesion in dependent lung has
    some excess by gravity alone.
    """
    return (float(volumes_ml @ HU_OF_BIN) - reference_hu * float(volumes_ml.sum())) / 1000.0


def lesion_mass_percent(lesion_ml: FloatArray, lung_ml: FloatArray) -> float:
    """100 x mass of the lesions / mass of the lung that holds them, %; the lung's not 0.

    Args:
        lesion_ml, lung_ml: volume at each HU, shape ``(4096,)``.

    Source: FIELD 2.4. Trap: breathing out shrinks the lung and leaves its mass, so this stays
    where ``lesion_percent`` rises.
    """
    return 100.0 * tissue_g(lesion_ml) / tissue_g(lung_ml)


def gas_tissue_ratio(volumes_ml: FloatArray) -> float:
    """Gas per tissue, ml/g; the tissue's mass is not 0.

    Args:
        volumes_ml: volume at each HU from -1024 to 3071, shape ``(4096,)``.

    Source: FIELD 2.4. Trap: it follows the breath; of little tissue it is noise.
    """
    return gas_ml(volumes_ml) / tissue_g(volumes_ml)
