"""A result handed to the clinic: DICOM segmentation and structured report, beside its source."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctlung.errors import InputError, OutputError
from ctlung.identity import Key
from ctlung.reading.files import is_image_file
from ctlung.reading.source_headers import SourceHeaders, read_source_headers
from ctlung.records import ScanResult
from ctlung.settings import Settings
from ctlung.writing.dicom_codes import SEG_FILE, SR_FILE
from ctlung.writing.dicom_seg import segmentation
from ctlung.writing.dicom_source import quiet, save
from ctlung.writing.dicom_sr import measurement_report
from ctlung.writing.folder import output_error

DICOM_FILES = (SEG_FILE, SR_FILE)


def write_dicom(
    result: ScanResult,
    source: str | Path,
    out: str | Path,
    *,
    key: Key | None = None,
    force: bool = False,
    settings: Settings | None = None,
) -> tuple[Path, ...]:
    """Write a result as DICOM: ``lungs_and_lesions.seg.dcm`` and ``measurements.sr.dcm``.

    The segmentation (DICOM SEG, BINARY) holds lungs, ground-glass, consolidation and lobes on the
    source's own slices: its rows, columns and orientation, each frame referring to the very slice
    that it lies on. The report (DICOM SR, TID 1500) holds the measures by region and refers to the
    segments. Both carry the patient's and the study's attributes of the source, in clear, for an
    archive files them by these. The same result and source give the same bytes.

    Args:
        result: of a DICOM series: what ``ctlung.segment`` or ``ctlung.read_result`` returned.
        source: the folder, DICOM file or .zip that the scan was read from; only its headers are
            read again.
        out: the folder to write into; made where it is not there.
        key: joins the visits of one patient under one tracking identifier; without it a visit
            stands alone. A result read from its folder needs the key that it was made with.
        force: replace the two files where they are there.
        settings: limits of reading.

    Returns:
        The paths of the two files.

    Raises:
        InputError: the scan is no DICOM series, or its slices are not in ``source``, or their
            headers cannot be repeated.
        GeometryMismatch: the slices do not lie where they lay when they were measured.
        OutputError: the files are there, or may not be written.
    """
    folder = Path(out)
    require_dicom(source)
    _require_dicom_result(result)
    _require_free(folder, force)
    wanted, known_as = _slices(result, key)
    headers = read_source_headers(
        source, wanted, result.lungs.geometry, known_as=known_as, settings=settings
    )
    tracked = _tracked(headers, key)
    with quiet():
        seg = segmentation(result, headers, tracked)
        report = measurement_report(result.report, headers, seg, tracked)
    return _write(folder, {SEG_FILE: seg, SR_FILE: report}, force)


def require_dicom(source: str | Path) -> None:
    """Refuse a file that no DICOM object can refer to, before any work is done.

    Raises:
        InputError: it is a NIfTI, NRRD or MetaImage file.
    """
    if is_image_file(Path(source)):
        raise InputError(
            f"{Path(source).name} is no DICOM, so no DICOM object can refer to it; measure the "
            "DICOM series, or do without DICOM output.",
            code="no_dicom",
        )


def _require_dicom_result(result: ScanResult) -> None:
    kind = result.report.provenance.source_kind or result.scan.source.kind
    if kind != "dicom":
        raise InputError(
            f"This result was not measured from DICOM (but from: {kind}), so no DICOM object can "
            "refer to its scan; measure the DICOM series.",
            code="no_dicom",
        )


def _slices(
    result: ScanResult, key: Key | None
) -> tuple[Sequence[str], Callable[[str], str | None]]:
    """What the result knows its slices as, and how a UID becomes that."""
    p = result.report.provenance
    told = tuple((p.identifiers or {}).get("sop_uids", ()))
    uids = result.scan.source.identifiers.sop_uids or told
    if len(uids) == result.lungs.geometry.shape[0]:
        return uids, lambda uid: uid
    hashes = [row.sop_hash for row in result.report.slices]
    if not all(hashes) or len(hashes) != result.lungs.geometry.shape[0]:
        raise InputError(
            "This result does not say which slices it was measured from (it was made without a "
            "key); measure the scan again, and write DICOM at once.",
            code="no_slices",
        )
    if key is None or key.fingerprint != p.key_fingerprint:
        raise InputError(
            "This result knows its slices by keyed hashes, and the key given is not the one that "
            "it was made with; give that key (the file that CTLUNG_KEY_FILE names), or measure the "
            "scan again.",
            code="key",
        )
    return [str(known) for known in hashes], lambda uid: key.digest("sop", uid)


def _tracked(headers: SourceHeaders, key: Key | None) -> str:
    """The same for all visits of a patient, as far as a key and a Patient ID join them."""
    patient = headers.patient_and_study.get("PatientID")
    joined = key.digest("tracking", patient) if key else None
    return joined or f"study {headers.study_uid}"


def _require_free(folder: Path, force: bool) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"{folder} is a file, not a folder; name a folder.", code="output_exists"
            )
        there = [name for name in DICOM_FILES if (folder / name).exists()]
        blocked = [name for name in there if (folder / name).is_dir()]
    except OSError as error:
        raise output_error(error, folder) from error
    if blocked or (there and not force):
        raise OutputError(
            f"{folder} holds {' and '.join(blocked or there)} already, left as it is; name another "
            "folder, or give --force (force=True) to replace files.",
            code="output_exists",
        )


def _write(folder: Path, objects: Mapping[str, Any], force: bool) -> tuple[Path, ...]:
    """Write all under hidden names first, so that no half file ever has its final name."""
    drafts = {name: folder / f".ctlung-{secrets.token_hex(8)}" for name in objects}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, dataset in objects.items():
            save(dataset, drafts[name])
        _require_free(folder, force)
        for name, draft in drafts.items():
            draft.replace(folder / name)
    except OSError as error:
        raise output_error(error, folder) from error
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
    return tuple(folder / name for name in objects)
