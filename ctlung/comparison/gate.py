"""Whether two scans lie on one another well enough to say anything voxel by voxel (FIELD 5)."""

from __future__ import annotations

from collections.abc import Iterator

from ctlung.alignment import Alignment
from ctlung.change_records import Quality
from ctlung.notices import Notice
from ctlung.records import ScanResult
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS, PAIR_MEASURES

LEAST_LUNG_ML = 50.0


def gate(
    alignment: Alignment, baseline: ScanResult, followup: ScanResult, settings: Settings
) -> tuple[Notice, ...]:
    """Notices ``registration``: what of the alignment is off (FIELD 5), in words and figures.

    Any ``null`` among them withholds all voxel answers; numbers of whole lungs stay.
    """
    found = []
    for side, name in LUNG_LABELS.items():
        words = name.replace("_", " ")
        lungs = [_lung_ml(r, side) for r in (baseline, followup)]
        if side not in alignment.sides:
            if max(lungs) >= LEAST_LUNG_ML:
                found.append(
                    _notice(
                        f"The {words} is missing in one of the scans",
                        min(lungs),
                        LEAST_LUNG_ML,
                        "ml",
                        null=True,
                    )
                )
            continue
        maps = alignment.sides[side]
        found += _limits(maps.quality, f"the {words}", settings, whole=True)
        if maps.near_lesions is not None:
            near = f"the {words} near its lesions"
            found += _limits(maps.near_lesions, near, settings, whole=False)
    return tuple(found)


def _limits(q: Quality, where: str, s: Settings, *, whole: bool) -> Iterator[Notice]:
    tests = [
        (
            f"the way there and back ends {q.inverse_mm:.1f} mm apart",
            q.inverse_mm,
            s.registration_inverse_warn_mm,
            s.registration_inverse_null_mm,
            "mm",
        ),
        (
            f"vessels lie {q.vessel_mm:.1f} mm apart",
            q.vessel_mm,
            s.registration_vessel_warn_mm,
            s.registration_vessel_null_mm,
            "mm",
        ),
        (
            f"{q.folded_percent:.2f} % of the map is folded",
            q.folded_percent,
            s.registration_folded_warn_percent,
            s.registration_folded_null_percent,
            "%",
        ),
        (
            f"{q.odd_jacobian_percent:.1f} % changed its size more than fivefold",
            q.odd_jacobian_percent,
            s.registration_jacobian_warn_percent,
            s.registration_jacobian_null_percent,
            "%",
        ),
    ]
    if whole:
        tests.append(
            (
                f"the surfaces lie {q.surface_mm:.1f} mm apart",
                q.surface_mm,
                s.registration_surface_warn_mm,
                s.registration_surface_null_mm,
                "mm",
            )
        )
    for words, value, warn, null, unit in tests:
        if value > warn:
            limit = null if value > null else warn
            yield _notice(f"In {where} {words}", value, limit, unit, null=value > null)
    if whole and q.dice < s.registration_dice_warn:
        far = q.dice < s.registration_dice_null
        limit = s.registration_dice_null if far else s.registration_dice_warn
        words = f"In {where} the two lungs overlap poorly (Dice {q.dice:.3f})"
        yield _notice(words, q.dice, limit, "1", null=far)


def _notice(sentence: str, value: float, limit: float, unit: str, *, null: bool) -> Notice:
    withheld = (
        ": nothing is said voxel by voxel; numbers of whole lungs and regions stay."
        if null
        else ": be careful with what is said voxel by voxel."
    )
    return Notice(
        "registration",
        "null" if null else "warn",
        sentence + withheld,
        value,
        limit,
        unit,
        affects=tuple(PAIR_MEASURES) if null else (),
    )


def _lung_ml(result: ScanResult, side: int) -> float:
    counts = (result.lungs.labels == side).sum(axis=(1, 2))
    return float(counts @ result.scan.geometry.voxel_volumes_ml)
