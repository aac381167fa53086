"""What comes out: measurements, facts, slice rows, lesions, provenance, one scan's report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ctlung.notices import Notice
from ctlung.vocabulary import MEASURES
from ctlung.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_SCAN = "ctlung.scan/1"


@dataclass(frozen=True)
class Measurement:
    """One number with its unit, or the reason why there is none.

    Exactly one of ``value`` and ``reason`` is set. ``low`` and ``high`` bound the value where
    an interval was computed. ``n_voxels`` counts the voxels it rests on.
    """

    measure: str
    region: str
    value: float | None = None
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    n_voxels: int | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"{self.measure} in {self.region} needs a value or a reason, not both")
        if self.value is not None and self.value != self.value:
            raise ValueError(f"{self.measure} in {self.region} is not a number; give a reason")

    @property
    def unit(self) -> str:
        """Unit of the value."""
        return MEASURES[self.measure].unit


@dataclass(frozen=True)
class Fact:
    """A CT number that the patient's own body gives, or the reason why there is none.

    Exactly one of ``value`` (HU) and ``reason`` is set. ``n_voxels`` and ``volume_ml`` say what
    it rests on; ``noise_hu`` is the SD about each slice's own median, where it was asked for.
    """

    value: float | None = None
    reason: str | None = None
    unit: str = "HU"
    n_voxels: int = 0
    volume_ml: float | None = None
    noise_hu: float | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a fact needs a value or a reason, not both")


@dataclass(frozen=True)
class Calibration:
    """What known matter measures in this scan. Nothing is ever shifted by it (FIELD 2.1).

    Attributes:
        air_hu: air in trachea and main bronchi.
        blood_hu: unenhanced blood in the descending aorta.
        reference_hu: aerated lung far from lesions and from the lung's surface (FIELD 1.3).
    """

    air_hu: Fact = Fact(reason="not_measured")
    blood_hu: Fact = Fact(reason="not_measured")
    reference_hu: Fact = Fact(reason="not_measured")


@dataclass(frozen=True)
class Histogram:
    """How much of ``tissue`` lies at which CT number, both lungs together.

    ``tissue`` is ``lesion``, ``other_lung`` (lung outside lesions) or ``reference`` (what
    ``Calibration.reference_hu`` is the mean of). ``ml`` holds one volume for each step of
    ``step_hu`` from ``start_hu`` on; what lies beyond the ends counts in the end steps.
    """

    tissue: str
    ml: tuple[float, ...]
    start_hu: int = -1050
    step_hu: int = 25


@dataclass(frozen=True)
class SliceRow:
    """Areas of one native slice, cm2; ``slice`` counts from 0 at the feet."""

    slice: int
    position_mm: float
    weight_mm: float
    lung_area_cm2: float | None
    lesion_area_cm2: float | None
    ground_glass_area_cm2: float | None
    consolidation_area_cm2: float | None
    ct_number_lesion_hu: float | None
    sop_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Lesion:
    """One connected lesion (26-neighbourhood); box as (start, stop) per axis z, y, x."""

    label: int
    volume_ml: float | None
    mean_hu: float | None
    ground_glass_ml: float | None
    consolidation_ml: float | None
    region: str
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    largest_slice: int
    largest_area_cm2: float
    touches_pleura: bool


@dataclass(frozen=True)
class ScorePart:
    """Points of one lobe or zone, from its ``percent``; or the reason why there are none."""

    region: str
    percent: float | None
    points: int | None
    reason: str | None


@dataclass(frozen=True)
class SeverityScore:
    """A published score of ``highest`` points at most (FIELD 2.5), or why there is none."""

    score: str
    value: int | None
    highest: int
    reason: str | None
    parts: tuple[ScorePart, ...]


@dataclass(frozen=True)
class Uncertainty:
    """How far a measure moves, and the interval that follows (``ctlung.uncertainty``).

    ``lung_edge``, ``lesion_edge``, ``band`` and ``noise`` are movements downwards and upwards, in
    the unit of the measure; ``factor`` is what they were stretched by. ``published_floor`` is
    what two readings of one measure may differ by without any change, where somebody has
    published it (FIELD 6); the interval does not hold it.
    """

    measure: str
    region: str
    low: float
    high: float
    factor: float
    lung_edge: tuple[float, float]
    lesion_edge: tuple[float, float]
    band: tuple[float, float]
    noise: tuple[float, float]
    published_floor: float | None = None


@dataclass(frozen=True)
class Provenance:
    """Enough to repeat the run.

    ``acquisition`` holds header facts by name, identifiers only as keyed hashes (or, where the
    user asked for them, in ``identifiers``). ``created`` is the only field that differs between
    two runs on one input.
    """

    version: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    segmenter: str = ""
    weights_sha256: str | None = None
    device: str = "cpu"
    lesion_method: str = ""
    lesion_weights_sha256: str | None = None
    source_kind: str = ""
    input_digest: str = ""
    n_files: int = 0
    chosen_because: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    identifiers: Mapping[str, Any] | None = None
    key_fingerprint: str | None = None
    created: str | None = None


@dataclass(frozen=True)
class ScanReport:
    """All that was measured on one scan."""

    measurements: tuple[Measurement, ...]
    slices: tuple[SliceRow, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    notices: tuple[Notice, ...] = ()
    provenance: Provenance = field(default_factory=lambda: Provenance(""))
    scores: tuple[SeverityScore, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)
    uncertainty: tuple[Uncertainty, ...] = ()
    histograms: tuple[Histogram, ...] = ()

    def __getitem__(self, key: str | tuple[str, str]) -> Measurement:
        """``report[measure]`` for both lungs, ``report[measure, region]`` for another region."""
        measure, region = (key, "lungs") if isinstance(key, str) else key
        for m in self.measurements:
            if m.measure == measure and m.region == region:
                return m
        raise KeyError(f"no measurement {measure!r} in region {region!r}")

    def value(self, measure: str, region: str = "lungs") -> float | None:
        """The number, or ``None`` where it is undefined."""
        return self[measure, region].value

    def score(self, name: str) -> SeverityScore:
        """A severity score by its name, such as ``"six_zone24"``."""
        for found in self.scores:
            if found.score == name:
                return found
        raise KeyError(f"no severity score {name!r}")

    def to_frame(self) -> pd.DataFrame:
        """One row per measurement: region, measure, value, unit, low, high, n_voxels, reason."""
        import pandas as pd

        rows = [
            (m.region, m.measure, m.value, m.unit, m.low, m.high, m.n_voxels, m.reason)
            for m in self.measurements
        ]
        return pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS))


MEASUREMENT_COLUMNS = ("region", "measure", "value", "unit", "low", "high", "n_voxels", "reason")


@dataclass(frozen=True, eq=False)
class ScanResult:
    """What ``ctlung.segment`` returns: the scan, its lungs, its lesions, its report.

    ``lobes`` are there only if the segmenter told them apart.
    """

    scan: Scan
    lungs: LabelMap
    lesions: LabelMap
    report: ScanReport
    lobes: LabelMap | None = None
