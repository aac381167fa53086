"""The whole way, as the method section of a paper would tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ctlung.errors import IncompleteSeries, InputError, NotChestCT, NotHounsfield
from ctlung.identity import Key
from ctlung.lesions import finder as lesion_finder
from ctlung.lesions.finder import LesionFinder
from ctlung.lesions.load import load_finder
from ctlung.measurement.analyze import analyze
from ctlung.measurement.calibration import calibrate
from ctlung.measurement.quality import check_result
from ctlung.notices import Notice
from ctlung.reading.checks import check_scan
from ctlung.reading.finished import read_result
from ctlung.reading.masks import read_masks
from ctlung.reading.regions import read_regions
from ctlung.reading.scan import read_scan
from ctlung.reading.series import find_series
from ctlung.records import Calibration, Provenance, ScanReport, ScanResult
from ctlung.segmentation.given import GivenLungs
from ctlung.segmentation.load import load_segmenter
from ctlung.segmentation.protocol import Segmenter
from ctlung.settings import Settings
from ctlung.side_by_side import both
from ctlung.uncertainty import with_intervals
from ctlung.version import __version__
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.writing.keys import load_key
from ctlung.writing.results import write_result

__all__ = [
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
]

Progress = Callable[[str, float], None]


def segment(
    source: str | Path | Scan,
    *,
    series: str | None = None,
    segmenter: Segmenter | str | None = None,
    lungs: str | Path | LabelMap | None = None,
    regions: str | Path | LabelMap | Sequence[LabelMap] = (),
    finder: LesionFinder | str | None = None,
    uncertainty: bool = False,
    device: str = "auto",
    settings: Settings | None = None,
    key: Key | None = None,
    identifiers: bool = False,
    progress: Progress | None = None,
) -> ScanResult:
    """Measure one chest CT: lungs, inflammatory area, CT number.

    Args:
        source: a folder, DICOM file, .zip, NIfTI, NRRD or MetaImage file, or a scan.
        series: Series Instance UID where the folder holds several.
        segmenter: a loaded segmenter or its name.
        lungs: instead of a segmenter, lungs or lobes of this scan: a NIfTI, NRRD, MetaImage,
            DICOM SEG or RTSTRUCT file, a folder with one of them, or a label map on its grid.
        regions: what else is to be measured by itself, in a file of one of these kinds or as
            label maps on the scan's grid: each label, segment or structure becomes a region
            ``user_<name>``, as far as it lies in the lungs. They may overlap.
        finder: of lesions: loaded, or its name.
        uncertainty: give the headline measures an interval (``ctlung.uncertainty``).
        device: where a segmenter or finder that is named runs: ``auto``, ``cpu``, ``cuda``,
            ``cuda:N``.
        settings: limits and bands; what differs from the defaults is in the report.
        key: makes keyed hashes of patient, study and slices; without it they are ``None``.
        identifiers: put the originals into ``provenance.identifiers``.
        progress: called with the stage's name and the finished fraction of the whole, 0 to 1.

    Raises:
        InputError: the scan cannot be measured; the sentence says why and what to do.
        GeometryMismatch: ``lungs`` or ``regions`` do not lie on the scan's grid.
        ModelError: the segmenter or the device cannot be used.
        ValueError: both ``lungs`` and ``segmenter``.
    """
    if lungs is not None and segmenter is not None:
        raise ValueError("give either lungs or a segmenter, not both")
    settings = settings or Settings()
    say = progress or _silent
    scan = source if isinstance(source, Scan) else _read(source, series, settings, say)
    say("checking", 0.40)
    if lungs is not None:
        segmenter = _given(lungs, scan, settings)
    maps = _regions(regions, scan, settings)
    notices = check_scan(scan, settings)
    _refuse(notices)
    say("segmenting lungs", 0.45)
    segmentation = segment_lungs(scan, segmenter, device=device)
    say("finding lesions", 0.70)
    looker = _finder(finder, device).for_scan(scan)
    (calibration, found), lesions = both(
        lambda: _calibrated(scan, segmentation, settings, looker.by_density),
        lambda: lesion_finder.find_lesions(
            looker, scan, segmentation.lungs, segmentation.anatomy, settings=settings
        ),
    )
    notices += found
    _refuse(notices)
    say("measuring", 0.90)
    provenance = _provenance(scan, segmentation, looker, settings, key, identifiers)
    report = analyze(
        scan,
        segmentation.lungs,
        lesions,
        notices,
        settings=settings,
        provenance=provenance,
        lobes=segmentation.lobes,
        regions=maps,
        anatomy=segmentation.anatomy,
        calibration=calibration,
    )
    if uncertainty:
        say("asking how sure", 0.92)
        report = with_intervals(
            report,
            scan,
            segmentation.lungs,
            lesions,
            segmentation.anatomy,
            looker,
            settings,
        )
    say("done", 1.0)
    report = _with_sop_hashes(report, scan, key)
    return ScanResult(scan, segmentation.lungs, lesions, report, segmentation.lobes)


def _calibrated(
    scan: Scan, segmentation: Segmentation, settings: Settings, by_density: bool
) -> tuple[Calibration, tuple[Notice, ...]]:
    calibration = calibrate(scan, segmentation.lungs, segmentation.anatomy)
    notices = check_result(
        scan, segmentation, settings, calibration=calibration, by_density=by_density
    )
    return calibration, notices


def segment_lungs(
    scan: Scan, segmenter: Segmenter | str | None = None, *, device: str = "auto"
) -> Segmentation:
    """Right (1) and left (2) lung of a scan, the airways, and lobes where they are told apart.

    Args:
        scan: on its own grid.
        segmenter: a loaded segmenter or its name.
        device: where a segmenter that is named runs; a loaded one has its own.

    Raises:
        NotChestCT: there are no lungs.
        ModelError: the segmenter or the device cannot be used.
    """
    if segmenter is None or isinstance(segmenter, str):
        segmenter = load_segmenter(segmenter or "default", device)
    return segmenter.segment(scan)


def find_lesions(
    scan: Scan,
    lungs: LabelMap,
    anatomy: Anatomy | None = None,
    *,
    finder: LesionFinder | str | None = None,
    device: str = "auto",
    settings: Settings | None = None,
) -> LabelMap:
    """Ground-glass (1) and consolidation (2) inside given lungs, uint8 ``[z, y, x]``.

    Args:
        scan: on its own grid.
        lungs: 1 right, 2 left, on the scan's grid.
        anatomy: airways, if known: the rule leaves them and their walls out.
        finder: a loaded lesion finder or its name.
        device: where a finder that is named runs.
        settings: bands and sizes; the defaults are those of FIELD 2.2.

    Raises:
        GeometryMismatch: the lungs do not lie on the scan's grid.
        ModelError: the finder or the device cannot be used.
    """
    return lesion_finder.find_lesions(
        _finder(finder, device).for_scan(scan), scan, lungs, anatomy, settings=settings
    )


def _finder(finder: LesionFinder | str | None, device: str) -> LesionFinder:
    if finder is None or isinstance(finder, str):
        return load_finder(finder or "default", device)
    return finder


def _given(lungs: str | Path | LabelMap, scan: Scan, settings: Settings) -> GivenLungs:
    if isinstance(lungs, LabelMap):
        return GivenLungs(lungs)
    masks = read_masks(lungs, scan, settings)
    return GivenLungs(masks.labels, masks.file, masks.recognised)


def _regions(
    regions: str | Path | LabelMap | Sequence[LabelMap], scan: Scan, settings: Settings
) -> tuple[LabelMap, ...]:
    if isinstance(regions, (str, Path)):
        return read_regions(regions, scan, settings)
    maps = (regions,) if isinstance(regions, LabelMap) else tuple(regions)
    for labels in maps:
        labels.require_grid_of(scan.geometry)
    return maps


def _read(source: str | Path, series: str | None, settings: Settings, say: Progress) -> Scan:
    say("reading", 0.0)
    return read_scan(
        source,
        series,
        settings=settings,
        progress=lambda done, total: say("reading", 0.4 * done / max(1, total)),
    )


_ERRORS: dict[str, type[InputError]] = {
    "hu_air": NotHounsfield,
    "hu_soft_tissue": NotHounsfield,
    "hu_range": NotHounsfield,
    "lung_mask": NotChestCT,
    "slice_gap": IncompleteSeries,
}


def _refuse(notices: tuple[Notice, ...]) -> None:
    for notice in notices:
        if notice.effect == "refuse":
            raise _ERRORS.get(notice.code, InputError)(notice.sentence, code=notice.code)


def _provenance(
    scan: Scan,
    segmentation: Segmentation,
    finder: LesionFinder,
    settings: Settings,
    key: Key | None,
    open_: bool,
) -> Provenance:
    a, who = scan.acquisition, scan.source.identifiers
    facts = {
        "manufacturer": a.manufacturer,
        "model": a.model,
        "kernel": a.kernel,
        "kernel_class": a.kernel_class,
        "slice_thickness_mm": a.slice_thickness_mm,
        "kvp": a.kvp,
        "contrast_agent": a.contrast_agent,
        "patient_position": a.patient_position,
        "acquisition_date": a.acquisition_date,
        "date_source": a.date_source,
        "sex": a.sex,
        "image_type": list(a.image_type),
        "lossy": a.lossy,
        "patient_hash": key.digest("patient", who.patient_id) if key else None,
        "birth_date_hash": key.digest("birth_date", who.birth_date) if key else None,
        "study_hash": key.digest("study", who.study_uid) if key else None,
        "series_hash": key.digest("series", who.series_uid) if key else None,
    }
    originals = {
        "patient_id": who.patient_id,
        "patient_name": who.patient_name,
        "birth_date": who.birth_date,
        "study_uid": who.study_uid,
        "series_uid": who.series_uid,
        "sop_uids": list(who.sop_uids),
    }
    return Provenance(
        version=__version__,
        settings=settings.overrides(),
        segmenter=segmentation.segmenter,
        weights_sha256=segmentation.weights_sha256,
        device=segmentation.device,
        lesion_method=finder.name,
        lesion_weights_sha256=finder.weights_sha256,
        source_kind=scan.source.kind,
        input_digest=scan.source.digest,
        n_files=scan.source.n_files,
        chosen_because=scan.source.chosen_because,
        shape=scan.geometry.shape,
        spacing_mm=scan.geometry.spacing_mm,
        acquisition=facts,
        identifiers=originals if open_ else None,
        key_fingerprint=key.fingerprint if key else None,
    )


def _with_sop_hashes(report: ScanReport, scan: Scan, key: Key | None) -> ScanReport:
    uids = scan.source.identifiers.sop_uids
    if key is None or not uids:
        return report
    rows = tuple(replace(row, sop_hash=key.digest("sop", uids[row.slice])) for row in report.slices)
    return replace(report, slices=rows)


def _silent(stage: str, fraction: float) -> None:
    """Say nothing."""
