"""Whether the lobes that were given can be lobes (FIELD 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctlung.measurement.tally import RegionTally
from ctlung.notices import Notice
from ctlung.records import Measurement
from ctlung.settings import Settings
from ctlung.vocabulary import LOBES


def lobe_notices(
    regions: Mapping[str, RegionTally], measurements: Iterable[Measurement], settings: Settings
) -> tuple[Notice, ...]:
    """Notices ``lobes``: lobes under ``lobe_warn_ml``, and much lung that is in no lobe.

    A lobe whose volume is withheld (cut off, one slice) is not called small.

    Args:
        regions: counts by region, lobes among them.
        measurements: of those regions.
        settings: the limits.
    """
    if regions["lungs"].n_voxels() == 0:
        return ()
    told = {
        m.region
        for m in measurements
        if m.measure == "lung_volume_ml" and m.reason in (None, "no_lung")
    }
    volumes = {name: regions[name].volume_ml() for name in LOBES if name in told}
    small = {name: ml for name, ml in volumes.items() if ml < settings.lobe_warn_ml}
    return (*_small(small, settings), *_without(regions, settings))


def _small(small: Mapping[str, float], settings: Settings) -> tuple[Notice, ...]:
    if not small:
        return ()
    listed = ", ".join(f"{name} {volume:.0f} ml" for name, volume in small.items())
    return (
        Notice(
            "lobes",
            "warn",
            f"These lobes are unusually small: {listed} (limit {settings.lobe_warn_ml:g} ml). A "
            "lobe was removed or has collapsed, or was not found: look at lobes.nii.gz.",
            min(small.values()),
            settings.lobe_warn_ml,
            "ml",
            ("all",),
            tuple(small),
        ),
    )


def _without(regions: Mapping[str, RegionTally], settings: Settings) -> tuple[Notice, ...]:
    lung = regions["lungs"].volume_ml()
    missing = lung - sum(regions[name].volume_ml() for name in LOBES)
    percent = 100.0 * missing / lung
    if percent <= settings.without_lobe_warn_percent:
        return ()
    return (
        Notice(
            "lobes",
            "warn",
            f"{percent:.0f} % of the lungs are in no lobe of their side (limit "
            f"{settings.without_lobe_warn_percent:g} %) and in no lobe's numbers: look at "
            "lobes.nii.gz before you use them.",
            percent,
            settings.without_lobe_warn_percent,
            "%",
            ("all",),
            LOBES,
        ),
    )
