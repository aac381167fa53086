"""What comes out of two scans: changes, transitions, the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ctlung.arrays import HUArray
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.vocabulary import CHANGE_PAIRS, MEASURES, PAIR_MEASURES
from ctlung.volume import LabelMap, StoredGrid

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_COMPARISON = "ctlung.comparison/1"
TRANSITION_COLUMNS = ("before", "after", "ml", "followup_ml", "uncertain_ml")
CHANGE_COLUMNS = (
    "region",
    "measure",
    "unit",
    "baseline",
    "followup",
    "delta",
    "low",
    "high",
    "delta_percent",
    "log_ratio",
    "delta_per_day",
    "floor",
    "within_noise",
    "claimed",
    "breath",
    "reason",
)


@dataclass(frozen=True)
class Quality:
    """How well one lung was aligned. Distances in mm, shares in percent of the lung.

    Attributes:
        dice: of the baseline's lung and the follow-up's as seen through the map.
        surface_mm: mean distance of the lungs' surfaces, both ways.
        inverse_mm: mean distance between a point and where it comes back to by a way back that
            was found without knowledge of the way there.
        inverse_p95_mm: 95th percentile of the same.
        vessel_mm: mean distance of the baseline's vessels to the nearest of the follow-up's.
        folded_percent: where the map folds (J <= 0).
        odd_jacobian_percent: where J is outside 0.2 to 5.
    """

    dice: float
    surface_mm: float
    inverse_mm: float
    inverse_p95_mm: float
    vessel_mm: float
    folded_percent: float
    odd_jacobian_percent: float


@dataclass(frozen=True)
class Change:
    """Follow-up minus baseline of one measure in one region, or the reason why there is none.

    ``low`` and ``high`` bound ``delta`` where both scans have an interval. ``floor`` is what it
    must exceed to be more than noise; without one, ``within_noise`` and ``claimed`` are ``None``.
    ``delta_percent`` is relative to the baseline, ``delta_per_day`` needs both dates. ``breath`` is
    what a difference in breath alone may have done to it; the interval holds it.
    """

    measure: str
    region: str
    baseline: float | None
    followup: float | None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    delta_percent: float | None = None
    log_ratio: float | None = None
    delta_per_day: float | None = None
    floor: float | None = None
    within_noise: bool | None = None
    claimed: bool | None = None
    breath: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.delta is None) == (self.reason is None):
            raise ValueError(
                f"the change of {self.measure} in {self.region} needs a value or a reason, not both"
            )

    @property
    def unit(self) -> str:
        """Unit of the change."""
        return (MEASURES.get(self.measure) or PAIR_MEASURES[self.measure]).unit


@dataclass(frozen=True)
class Transition:
    """Lung that was ``before`` at baseline and is ``after`` at follow-up.

    ``ml`` is the baseline's volume, ``followup_ml`` the same lung's volume at follow-up;
    ``uncertain_ml`` is the part of ``ml`` so near a border that neighbours may be mixed up.
    """

    before: str
    after: str
    ml: float
    followup_ml: float
    uncertain_ml: float


@dataclass(frozen=True)
class Restoration:
    """The lung that was inflamed at baseline: its CT number then and now (FIELD 1.2, 1.3).

    Attributes:
        baseline_hu: mean over the baseline's lesions (``ct_number_lesion_hu``).
        followup_hu: mean over the same lung at follow-up (``ct_number_baseline_region_hu``).
        followup_sd_hu, followup_median_hu, n_voxels, ml: of that region at follow-up.
        reference_baseline_hu, reference_followup_hu: the patient's own aerated lung, the same
            lung in both scans.
        reference_ml: how much of it, at baseline and at follow-up.
        height_matched: whether it was weighted to lie as far back as the lesions do.
        index: 0 as at baseline, 1 as the patient's own aerated lung; not clipped.
        index_fixed_ref: the same with the baseline's reference in both.
        reason: why there is no index.
    """

    baseline_hu: float | None = None
    followup_hu: float | None = None
    followup_sd_hu: float | None = None
    followup_median_hu: float | None = None
    n_voxels: int = 0
    ml: float = 0.0
    reference_baseline_hu: float | None = None
    reference_followup_hu: float | None = None
    reference_ml: tuple[float, float] = (0.0, 0.0)
    height_matched: bool = False
    index: float | None = None
    index_fixed_ref: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.index is None) == (self.reason is None):
            raise ValueError("the restoration index needs a value or a reason, not both")


@dataclass(frozen=True)
class Track:
    """Lesions of one lung that are one another's earlier or later self.

    ``baseline`` and ``followup`` are labels of ``ScanReport.lesions``; ``fate`` is ``resolved``,
    ``new``, ``persistent``, ``split``, ``merged`` or ``regrouped``. Volumes are each scan's own.
    """

    region: str
    fate: str
    baseline: tuple[int, ...]
    followup: tuple[int, ...]
    baseline_ml: float
    followup_ml: float


@dataclass(frozen=True, eq=False)
class ChangeMaps:
    """On the baseline's grid: what became of each voxel, and the follow-up's CT number there.

    ``change`` holds the labels ``CHANGE_LABELS``; ``baseline_hu`` and ``followup_hu`` are int16
    ``[z, y, x]``, the latter -1024 outside the baseline's aligned lungs. ``stored`` is the grid
    of the file that the baseline came from.
    """

    change: LabelMap
    lungs: LabelMap
    baseline_hu: HUArray
    followup_hu: HUArray
    stored: StoredGrid | None = None


@dataclass(frozen=True)
class Voxelwise:
    """What only two scans laid on one another can say; ``reason`` where they could not be.

    ``quality`` and ``near_lesions`` (within 20 mm of lesions) are by region, ``transitions``
    from each tissue to each, ``tracks`` lesion by lesion.
    """

    quality: Mapping[str, Quality] = field(default_factory=dict)
    near_lesions: Mapping[str, Quality] = field(default_factory=dict)
    restoration: Restoration = field(default_factory=lambda: Restoration(reason="not_measured"))
    transitions: tuple[Transition, ...] = ()
    tracks: tuple[Track, ...] = ()
    reason: str | None = None
    maps: ChangeMaps | None = field(default=None, repr=False, compare=False)

    def ml(self, what: str) -> tuple[float, float]:
        """ml and uncertain ml of what is resolved, persistent, new, worsened or improved."""
        pairs = CHANGE_PAIRS[what]
        found = [t for t in self.transitions if (t.before, t.after) in pairs]
        return sum(t.ml for t in found), sum(t.uncertain_ml for t in found)


@dataclass(frozen=True)
class Comparison:
    """Two reports of one patient, and what changed between them.

    ``notices`` are those of the pair; each report has its own. ``days`` from baseline to follow-up,
    ``days_since_infusion`` and ``days_since_onset`` from these events to baseline and follow-up,
    where the dates are known. ``voxelwise`` is ``None`` where only reports were compared.
    """

    baseline: ScanReport
    followup: ScanReport
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...] = ()
    days: int | None = None
    days_since_infusion: tuple[int, int] | None = None
    days_since_onset: tuple[int, int] | None = None
    voxelwise: Voxelwise | None = None

    def __getitem__(self, key: str | tuple[str, str]) -> Change:
        """``comparison[measure]`` for both lungs, ``comparison[measure, region]`` for a region."""
        measure, region = (key, "lungs") if isinstance(key, str) else key
        for change in self.changes:
            if change.measure == measure and change.region == region:
                return change
        raise KeyError(f"no change of {measure!r} in region {region!r}")

    def to_frame(self) -> pd.DataFrame:
        """One row per change, in the columns of ``changes.csv``."""
        import pandas as pd

        rows = [tuple(getattr(c, name) for name in CHANGE_COLUMNS) for c in self.changes]
        return pd.DataFrame(rows, columns=list(CHANGE_COLUMNS))
