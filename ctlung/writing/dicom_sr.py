"""A result's numbers as a DICOM structured report (PS3.16 TID 1500), Comprehensive 3D SR.

Regions that are one segment are volumetric regions of interest (TID 1411) and refer to it. TID 1411
refers to exactly one segment; both lungs together and the inflammatory area as a whole are
therefore measurement groups without a segment of their own (TID 1501).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as MeasurementItem
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from ctlung.records import Measurement, ScanReport
from ctlung.version import __version__
from ctlung.vocabulary import LOBES, RESEARCH_USE
from ctlung.writing.dicom import hashed_uid
from ctlung.writing.dicom_codes import (
    ABNORMAL,
    ABOVE,
    ANATOMY,
    BELOW,
    BOTH_SIDES,
    COMMENT,
    CT,
    DEVICE,
    INFLAMMATION,
    LUNG,
    OWN_SCHEME,
    OWN_SCHEME_NAME,
    QUALITATIVE,
    QUANTITIES,
    REPORT,
    STRUCTURES,
)
from ctlung.writing.dicom_seg import segment_numbers, tracking_name, tracking_uid
from ctlung.writing.dicom_source import (
    MANUFACTURER,
    MODEL,
    SourceImages,
    series_number,
    times,
    without_now,
)
from ctlung.writing.headline import notices_by_weight, reason_words

SERIES: Final = 2
_ORGAN: Final = ("lung_volume_ml", "lung_mean_hu")
_LESION: Final = (
    "lesion_volume_ml",
    "lesion_percent",
    "lesion_area_max_cm2",
    "ct_number_lesion_hu",
)
_TOLD: Final = ("warn", "null")
"""Effects of the notices that the report repeats."""

Group = VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations


@dataclass(frozen=True)
class _Region:
    """One measurement group.

    Attributes:
        name: under which it is followed over time; that of its segment where it has one.
        region: of the report.
        measures: of the report.
        category, finding: what it is.
        site, side: where it is.
    """

    name: str
    region: str
    measures: tuple[str, ...]
    category: Code
    finding: Code
    site: Code
    side: Code | None


def measurement_report(
    report: ScanReport,
    source: SourceImages,
    segmentation: Dataset,
    tracked: str,
) -> Comprehensive3DSR:
    """The structured report of a result; the same input gives the same object.

    Each measure with its unit and, where there is one, its interval; a measure without a value is
    a comment that says why. The notices that limit a number, and that all of it is for research
    use, follow as text.

    Args:
        report: the numbers.
        source: the slices that they were measured from.
        segmentation: the object that holds the masks.
        tracked: who is followed over time: the same text for all visits of one patient.
    """
    algorithm = _algorithm(report)
    segments = segment_numbers(segmentation)
    groups = [
        _group(region, report, source, segmentation, segments, algorithm, tracked)
        for region in _regions(report)
    ]
    content = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=CT,
        imaging_measurements=groups,
        title=REPORT,
    )
    texts = tuple(_texts(report))
    content[0].ContentSequence.append(_remarks(texts))
    told = _digest(report, segmentation, texts, tracked)
    document = Comprehensive3DSR(
        evidence=[segmentation, *_evidence(source)],
        content=content[0],
        series_instance_uid=hashed_uid("ctlung", "sr", "series", told),
        series_number=series_number(source, SERIES),
        sop_instance_uid=hashed_uid("ctlung", "sr", "instance", told),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=__version__,
        series_description="ctlung: measurements",
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(OWN_SCHEME, name=OWN_SCHEME_NAME)],
        **times(source),
    )
    without_now(document, source)
    return document


def _regions(report: ScanReport) -> Iterator[_Region]:
    measured = {m.region for m in report.measurements}
    lobes = tuple(lobe for lobe in LOBES if lobe in measured)
    organs = tuple(name for name in ("right_lung", "left_lung", *lobes) if name in measured)
    yield _Region("lungs", "lungs", _ORGAN, ANATOMY, LUNG, LUNG, BOTH_SIDES)
    for name in organs:
        kind = STRUCTURES[name]
        yield _Region(name, name, _ORGAN, kind.category, kind.kind, kind.kind, kind.side)
    yield _Region("lesions", "lungs", _LESION, ABNORMAL, INFLAMMATION, LUNG, BOTH_SIDES)
    for name in organs:
        kind = STRUCTURES[name]
        own = f"lesions_{name}"
        yield _Region(own, name, _LESION, ABNORMAL, INFLAMMATION, kind.kind, kind.side)
    for name in ("ground_glass", "consolidation"):
        kind, measures = STRUCTURES[name], (f"{name}_volume_ml",)
        yield _Region(name, "lungs", measures, kind.category, kind.kind, LUNG, BOTH_SIDES)


def _group(
    region: _Region,
    report: ScanReport,
    source: SourceImages,
    segmentation: Dataset,
    segments: Mapping[str, int],
    algorithm: AlgorithmIdentification,
    tracked: str,
) -> Group:
    found = [m for name in region.measures if (m := _find(report, name, region.region))]
    common: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(
            uid=tracking_uid(tracked, region.name), identifier=tracking_name(region.name)
        ),
        "finding_category": region.category,
        "finding_type": region.finding,
        "finding_sites": [FindingSite(region.site, laterality=region.side)],
        "algorithm_id": algorithm,
        "measurements": [_number(m) for m in found if m.value is not None],
    }
    group: Group
    if region.name in segments:
        segment = ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=segments[region.name],
            source_series=SourceSeriesForSegmentation(source.series_uid),
        )
        group = VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=segment, **common
        )
    else:
        group = MeasurementsAndQualitativeEvaluations(**common)
    for m in found:
        if m.reason is not None:
            what = QUANTITIES[m.measure].name.meaning
            group[0].ContentSequence.append(
                _comment(f"{what} not given: {reason_words(m.reason)}.")
            )
    return group


def _find(report: ScanReport, measure: str, region: str) -> Measurement | None:
    try:
        return report[measure, region]
    except KeyError:
        return None


def _number(m: Measurement) -> MeasurementItem:
    quantity = QUANTITIES[m.measure]
    assert m.value is not None
    value = float(m.value)
    item = MeasurementItem(
        name=quantity.name, value=value, unit=quantity.unit, derivation=quantity.derivation
    )
    if m.low is None or m.high is None:
        return item
    beside = item[0]
    if "ContentSequence" not in beside:
        beside.ContentSequence = ContentSequence()
    for name, reach in ((ABOVE, m.high - value), (BELOW, value - m.low)):
        # highdicom's own item for it has no unit; a reach in HU needs one.
        beside.ContentSequence.append(
            NumContentItem(
                name=name,
                value=float(reach),
                unit=quantity.unit,
                relationship_type=RelationshipTypeValues.HAS_PROPERTIES,
            )
        )
    return item


def _comment(text: str) -> TextContentItem:
    return TextContentItem(
        name=COMMENT, value=text, relationship_type=RelationshipTypeValues.CONTAINS
    )


def _texts(report: ScanReport) -> Iterator[str]:
    yield RESEARCH_USE
    for notice in notices_by_weight(report):
        if notice.effect in _TOLD:
            yield notice.sentence


def _remarks(texts: Sequence[str]) -> ContainerContentItem:
    container = ContainerContentItem(
        name=QUALITATIVE, relationship_type=RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = ContentSequence([_comment(text) for text in texts])
    return container


def _observer() -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=hashed_uid("ctlung", "device", __version__),
        name=f"{MODEL} {__version__}",
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=CodedConcept.from_code(DEVICE), observer_identifying_attributes=device
        )
    )


def _algorithm(report: ScanReport) -> AlgorithmIdentification:
    p = report.provenance
    parameters = [
        f"{what}: {name}"
        for what, name in (("lungs", p.segmenter), ("lesions", p.lesion_method))
        if name
    ]
    return AlgorithmIdentification(name=MODEL, version=__version__, parameters=parameters)


def _evidence(source: SourceImages) -> list[Dataset]:
    """The source's objects, once each, as far as a reference to them needs."""
    found = []
    for sop_class, sop_uid in dict.fromkeys((s.sop_class, s.sop_uid) for s in source.slices):
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = sop_class, sop_uid
        item.StudyInstanceUID = source.study_uid
        item.SeriesInstanceUID = source.series_uid
        found.append(item)
    return found


def _digest(report: ScanReport, segmentation: Dataset, texts: tuple[str, ...], tracked: str) -> str:
    p = report.provenance
    told = (
        __version__,
        str(segmentation.SOPInstanceUID),
        p.input_digest,
        (p.segmenter, p.lesion_method),
        report.measurements,
        texts,
        tracked,
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()
