"""Real scans, end to end: each figure is one that a reader of the scan would expect."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from support.chest import dice

from ctlung import api
from ctlung.errors import CtlungError, InputError, NoSeriesFound, NotChestCT, NotHounsfield
from ctlung.records import ScanResult
from ctlung.vocabulary import MEASURES, NOTICES, REGIONS

pytestmark = pytest.mark.data


def _labels(path: Path) -> np.ndarray:
    """A label file as ``[z, y, x]``, LPS; all of ours lie along the axes."""
    stored = nib.load(path)  # type: ignore[attr-defined]
    array = np.asarray(stored.dataobj).transpose(2, 1, 0)
    names = nib.aff2axcodes(stored.affine)  # type: ignore[attr-defined]
    flips = tuple(-1 if n in "RAI" else 1 for n in names[::-1])
    return array[tuple(slice(None, None, f) for f in flips)]


def _segment(data_dir: Path, name: str, segmenter: str = "default") -> ScanResult:
    result = api.segment(data_dir / name, segmenter=segmenter)
    report = result.report
    assert {(m.region, m.measure) for m in report.measurements} == {
        (r, m) for r in REGIONS for m in MEASURES
    }
    assert {n.code for n in report.notices} <= NOTICES.keys()
    outside = result.lesions.labels[result.lungs.labels == 0]
    assert np.count_nonzero(outside) == 0
    assert result.lungs.labels.shape == result.scan.hu.shape
    return result


def _ml(result: ScanResult, measure: str, region: str = "lungs") -> float:
    value = result.report.value(measure, region)
    assert value is not None, result.report[measure, region].reason
    return value


@pytest.mark.parametrize(
    # The network keeps dense lung and tumour that the drawn lungs leave out.
    ("segmenter", "least"),
    [("threshold", 0.96), ("network", 0.95)],
)
def test_lung1_001_as_the_scanner_left_it(data_dir: Path, segmenter: str, least: float) -> None:
    """Judged outside the tumour and the dense tissue that the drawn lungs leave out too."""
    result = _segment(data_dir, "dicom/lung1-001", segmenter)
    structures = data_dir / "dicom" / "lung1-001-structures"
    drawn = _labels(structures / "lungs.nii.gz")
    tumour = _labels(structures / "gtv.nii.gz") > 0
    spacing = result.scan.geometry.spacing_mm
    smooth = ndimage.gaussian_filter(result.scan.hu.astype(np.float32), [3.0 / s for s in spacing])
    judged = ~(tumour | (smooth > -200))
    found = result.lungs.labels
    for side in (1, 2):
        one, other = (found == side) & judged, (drawn == side) & judged
        assert dice(one, other) >= least
        # The goal is 0.98 over all voxels; docs/benchmarks/main_job.md has the figure.
        assert np.count_nonzero(one & other) >= 0.96 * np.count_nonzero(other)
    assert "dense_lung_lost" in {n.code for n in result.report.notices}


@pytest.mark.parametrize(
    ("segmenter", "least"),
    [
        ("threshold", 0.96),
        pytest.param(
            "network",
            0.95,
            marks=pytest.mark.xfail(
                reason="keeps tumour and dense apex, which the drawing leaves out: 0.945"
            ),
        ),
    ],
)
def test_lung1_001_over_all_voxels(data_dir: Path, segmenter: str, least: float) -> None:
    result = _segment(data_dir, "dicom/lung1-001", segmenter)
    drawn = _labels(data_dir / "dicom" / "lung1-001-structures" / "lungs.nii.gz")
    assert dice(result.lungs.labels > 0, drawn > 0) >= least


def test_lidc_idri_0001_with_padding_that_its_tag_misses(data_dir: Path) -> None:
    result = _segment(data_dir, "dicom/lidc-idri-0001")
    notices = {n.code for n in result.report.notices}
    assert {"padding", "contrast"} <= notices
    assert result.scan.outside_fov is not None
    assert result.scan.hu.min() >= -1024
    assert 3000 < _ml(result, "lung_volume_ml") < 4600
    assert -870 < _ml(result, "lung_mean_hu") < -760
    # Nearly healthy, one nodule.
    assert _ml(result, "lesion_percent") < 1.0
    right, left = (_ml(result, "lung_volume_ml", f"{s}_lung") for s in ("right", "left"))
    assert 0.9 < right / left < 1.6


def test_lctsc_202_against_lungs_drawn_by_hand(data_dir: Path) -> None:
    result = _segment(data_dir, "volumes/lctsc-202.nii.gz")
    drawn = _labels(data_dir / "volumes" / "lctsc-202.lungs.nii.gz") > 0
    assert dice(result.lungs.labels > 0, drawn) >= 0.95


def test_cip_ct64_tells_right_from_left(data_dir: Path) -> None:
    result = _segment(data_dir, "volumes/cip-ct64.nii.gz")
    given = _labels(data_dir / "volumes" / "cip-ct64.lungs.nii.gz")
    found = result.lungs.labels
    for side in (1, 2):
        assert dice(found == side, given == side) > 0.94
    both = (found > 0) & (given > 0)
    assert (found[both] == given[both]).mean() > 0.995
    assert "flipped" not in {n.code for n in result.report.notices}


def test_medseg_rp1_lesions(data_dir: Path) -> None:
    """15.8 % of the lung by hand; a reader's own repeat differs by a few points."""
    result = _segment(data_dir, "volumes/medseg-rp1.nii.gz")
    lungs = _labels(data_dir / "volumes" / "medseg-rp1.lungs.nii.gz") > 0
    lesions = _labels(data_dir / "volumes" / "medseg-rp1.lesions.nii.gz") > 0
    assert dice(result.lungs.labels > 0, lungs) > 0.95
    assert dice(result.lesions.labels > 0, lesions) > 0.6
    assert 8 < _ml(result, "lesion_percent") < 20
    assert "few_grey_levels" in {n.code for n in result.report.notices}


def test_a_healthy_lung_has_hardly_any_lesion(data_dir: Path) -> None:
    """Not different from none is up to 1 %; 98 of 100 healthy controls lay below it."""
    result = _segment(data_dir, "volumes/covid-ct-md-normal001.nii.gz")
    assert _ml(result, "lesion_percent") < 1.5
    assert 3000 < _ml(result, "lung_volume_ml") < 4200


@pytest.mark.parametrize(
    ("name", "code", "most_ml"),
    [("negative-acrin-0", "coverage_bottom", 1500.0), ("negative-acrin-1", "coverage_top", 800.0)],
)
def test_cut_off_lungs_are_measured_in_part(
    data_dir: Path, name: str, code: str, most_ml: float
) -> None:
    result = _segment(data_dir, f"volumes/{name}.nii.gz")
    for measure in ("lung_volume_ml", "lesion_volume_ml", "lesion_percent"):
        for region in ("lungs", "right_lung", "left_lung", "right_lung_upper"):
            item = result.report[measure, region]
            assert item.value is None
            assert item.reason
    assert result.report["lung_volume_ml"].reason == code
    assert 100 < _ml(result, "lung_volume_measured_ml") < most_ml
    assert code in {n.code for n in result.report.notices}


@pytest.mark.parametrize("name", ["A056642", "A046441"])
def test_single_slices_have_area_and_ct_number(data_dir: Path, name: str) -> None:
    """Clear opacities, at both dates."""
    files = sorted((data_dir / "ny-sbu-pairs" / name).iterdir())
    assert len(files) == 2
    for file in files:
        result = _segment(data_dir, f"ny-sbu-pairs/{name}/{file.name}")
        assert result.scan.hu.shape[0] == 1
        assert result.report["lung_volume_ml"].reason == "single_slice"
        assert result.report["lesion_volume_ml"].reason == "single_slice"
        assert _ml(result, "lesion_area_max_cm2") > 10
        assert -750 < _ml(result, "ct_number_lesion_hu") < 50
        (row,) = result.report.slices
        assert row.lung_area_cm2 is not None
        assert 50 < row.lung_area_cm2 < 400
        for side in ("right_lung", "left_lung"):
            assert result.report["lesion_area_max_cm2", side].value is not None


@pytest.mark.parametrize("name", ["A027284", "A062055"])
def test_slices_of_the_belly_are_refused(data_dir: Path, name: str) -> None:
    for file in sorted((data_dir / "ny-sbu-pairs" / name).iterdir()):
        with pytest.raises(NotChestCT, match=r"No lungs were found|this is not a chest CT"):
            api.segment(file)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("odd/tilt-uneven-ge-head", NotChestCT, "No lungs were found"),
        ("odd/tilt-philips-head", NotChestCT, "No lungs were found"),
        ("odd/localizer", NotChestCT, r"2 x a localizer \(scout view\)"),
        ("odd/enhanced-ct", NotHounsfield, "perfusion map, not in Hounsfield units"),
        ("odd/mr-transfer-syntaxes", NotChestCT, "9 x MR, not CT"),
        ("odd/ricord-derived-reformats", NoSeriesFound, "6 x a multiplanar or curved reformat"),
        ("odd/sr-dcmqi", NotChestCT, "1 x SEG, not CT; 1 x SR, not CT"),
        ("odd/truncated-jpeg2000", InputError, "is damaged: its compressed pixels"),
        ("dicom/lung1-001-structures", NotChestCT, "1 x RTSTRUCT, not CT"),
        ("odd/wg04-ct", InputError, "4 visits of 2 patients here; name the series"),
        ("volumes/phantom-fda-4482356.nii.gz", NotChestCT, "No lungs were found"),
    ],
)
def test_odd_input_is_refused_by_name(
    data_dir: Path, name: str, error: type[CtlungError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        api.segment(data_dir / name)
    assert caught.value.code != "error"


def test_a_slice_and_its_file_in_a_folder_are_one(data_dir: Path, tmp_path: Path) -> None:
    file = sorted((data_dir / "ny-sbu-pairs" / "A056642").iterdir())[0]
    nested = tmp_path / "a" / "b"
    nested.mkdir(parents=True)
    (nested / "renamed").write_bytes(file.read_bytes())
    (tmp_path / "notes.txt").write_text("nothing")
    one, other = api.segment(file), api.segment(tmp_path)
    np.testing.assert_array_equal(one.lungs.labels, other.lungs.labels)
    np.testing.assert_array_equal(one.lesions.labels, other.lesions.labels)
    assert one.report.measurements == other.report.measurements
    assert one.report.slices == other.report.slices
