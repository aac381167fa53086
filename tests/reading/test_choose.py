"""What is found in a folder, what is set aside by name, and which series is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import Store, add_series, other_object, phantom, uid, write_series

from ctlung.errors import (
    NoSeriesFound,
    NotChestCT,
    NotHounsfield,
    SeveralVisits,
    UnsupportedGeometry,
)
from ctlung.reading.choose import choose_series
from ctlung.reading.kernels import kernel_class
from ctlung.reading.scan import read_scan
from ctlung.reading.series import find_series

HU = phantom()
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def chosen(folder: Path) -> tuple[str, str]:
    info, why = choose_series(find_series(folder))
    return info.series_uid, why


def test_a_listing_says_what_each_series_is(tmp_path: Path) -> None:
    number = add_series(
        tmp_path, "a", HU, SeriesDescription="Thorax", ContrastBolusAgent="Ultravist"
    )
    listing = find_series(tmp_path)
    (info,) = listing.series
    assert info.series_uid == number
    assert (info.n_slices, info.shape) == (7, (7, 12, 10))
    assert info.spacing_mm == pytest.approx((2.5, 0.7, 0.8))
    assert (info.kernel, info.kernel_class) == ("B30f", "soft")
    assert (info.slice_thickness_mm, info.acquisition_date) == (2.5, "20200401")
    assert (info.description, info.contrast_agent) == ("Thorax", "Ultravist")
    assert (info.patient_position, info.orientation) == ("HFS", "axial")
    assert (info.usable, info.reason, info.role) == (True, None, "inspiration")
    assert len(info.files) == 7
    assert listing.set_aside == ()


def test_names_and_numbers_of_people_stay_out_of_repr(tmp_path: Path) -> None:
    add_series(tmp_path, "a", HU, PatientID="SECRET", PatientName="SECRET")
    assert "SECRET" not in repr(find_series(tmp_path))
    assert "SECRET" not in repr(read_scan(tmp_path))


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        ("localizer", {"SeriesDescription": "Topogram  0.6  T20f"}),
        ("mip", {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]}),
        ("mip", {"ImageType": ["DERIVED", "SECONDARY", "MIN_IP"], "SeriesDescription": "MinIP"}),
        ("mip", {"SeriesDescription": "Thick slab MIP ax"}),
        ("mpr", {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MPR"]}),
        ("screen_save", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}),
        ("rendering", {"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}),
        ("subtraction", {"ImageType": ["DERIVED", "SECONDARY", "SUBTRACTION"]}),
        ("bone_removed", {"SeriesDescription": "Bone removed"}),
        ("perfusion", {"ImageType": ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]}),
        ("secondary_capture", {"SOPClassUID": SECONDARY_CAPTURE}),
        ("not_ct", {"Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"}),
    ],
)
def test_set_aside_by_name(tmp_path: Path, kind: str, tags: dict[str, object]) -> None:
    good = add_series(tmp_path, "good")
    add_series(tmp_path, "bad", HU, **tags)
    listing = find_series(tmp_path)
    assert [s.series_uid for s in listing.series] == [good]
    (aside,) = listing.set_aside
    assert (aside.kind, aside.n) == (kind, 7)
    scan = read_scan(tmp_path)
    (notice,) = scan.notices
    assert notice.code == "set_aside"
    assert notice.sentence == f"7 files set aside: {aside.sentence}."


def test_reports_and_clutter_are_counted(tmp_path: Path) -> None:
    add_series(tmp_path, "good")
    other_object(tmp_path / "dose", "1.2.840.10008.5.1.4.1.1.88.67", "SR")
    other_object(tmp_path / "plan", "1.2.840.10008.5.1.4.1.1.481.5", "RTPLAN")
    other_object(tmp_path / "DICOMDIR", "1.2.840.10008.1.3.10", "")
    (tmp_path / "notes.txt").write_text("x")
    found = {a.kind: (a.n, a.sentence) for a in find_series(tmp_path).set_aside}
    assert found["dose_report"] == (1, "a dose report")
    assert found["not_ct"] == (1, "RTPLAN, not CT")
    assert found["directory"][0] == 1
    assert found["not_dicom"] == (1, "not DICOM")


def test_coronal_reformats_are_set_aside(tmp_path: Path) -> None:
    add_series(tmp_path, "good")
    coronal = Store(
        patient="p",
        study="s",
        series="c",
        tags={
            "ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"],
            "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
        },
    )
    write_series(tmp_path / "c", HU, coronal)
    (aside,) = find_series(tmp_path).set_aside
    assert aside.kind == "mpr"


@pytest.mark.parametrize(
    "description", ["40 keV", "Iodine map", "VNC 1.0", "Monoenergetic Plus 55 keV", "Z_EFF"]
)
def test_single_energies_and_maps_are_no_hu(tmp_path: Path, description: str) -> None:
    add_series(tmp_path, "a", SeriesDescription=description)
    with pytest.raises(NotHounsfield, match="use the mixed"):
        read_scan(tmp_path)


def test_mixed_energies_are_told(tmp_path: Path) -> None:
    add_series(tmp_path, "a", SeriesDescription="DE_Thorax 1.0 F_0.6")
    assert [n.code for n in read_scan(tmp_path).notices] == ["dual_energy"]


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "being original"),
        ({}, {"PatientPosition": "HFP"}, "not lying prone"),
        ({"ConvolutionKernel": "B70f"}, {"SeriesDescription": "Abdomen"}, "field of view"),
        ({}, {"ConvolutionKernel": "B70f"}, "kernel class"),
        ({"ConvolutionKernel": "B40f"}, {"ConvolutionKernel": "own"}, "kernel class"),
        ({"SliceThickness": 1.25}, {"SliceThickness": 2.5}, "slice thickness"),
        ({"SliceThickness": 3}, {"SliceThickness": 5}, "slice thickness"),
        ({}, {"ContrastBolusAgent": "yes"}, "no contrast agent"),
    ],
)
def test_the_rank(
    tmp_path: Path, better: dict[str, object], worse: dict[str, object], why: str
) -> None:
    worst = add_series(tmp_path, "b", **worse)
    best = add_series(tmp_path, "a", **better)
    number, sentence = chosen(tmp_path)
    assert number == best
    assert sentence.startswith("Chosen before 1 other for ")
    assert why in sentence
    assert read_scan(tmp_path).source.chosen_because == sentence
    named, reason = choose_series(find_series(tmp_path), worst)
    assert named.series_uid == worst
    assert reason.startswith("Chosen as named by the user: ")


def test_a_short_stack_goes_behind_a_whole_chest(tmp_path: Path) -> None:
    add_series(tmp_path, "short", phantom((4, 6, 5)))
    tall = add_series(tmp_path, "tall", ConvolutionKernel="B80f")
    assert chosen(tmp_path)[0] == tall


def test_listing_of_one_uid_in_two_orders_is_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_series(one, HU, Store(tags={"SOPInstanceUID": "1.2.3"}))
    write_series(two, HU, Store(tags={"SOPInstanceUID": "1.2.3"}), order="shuffled")
    first, second = read_scan(one), read_scan(two)
    assert first.notices == second.notices == ()
    assert first.source.digest == second.source.digest
    np.testing.assert_array_equal(first.hu, HU)


@pytest.mark.parametrize(
    ("role", "tags"),
    [
        ("expiration", {"SeriesDescription": "Thorax EXSP 1.0"}),
        ("expiration", {"SeriesDescription": "chest exp"}),
        ("prone", {"SeriesDescription": "HRCT prone"}),
        ("average", {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}),
    ],
)
def test_other_roles_are_used_only_when_named(
    tmp_path: Path, role: str, tags: dict[str, object]
) -> None:
    number = add_series(tmp_path, "other", **tags)
    (info,) = find_series(tmp_path).series
    assert (info.role, info.usable) == (role, True)
    with pytest.raises(NoSeriesFound, match=f"another kind are here .{role}.*only when named"):
        read_scan(tmp_path)
    assert read_scan(tmp_path, number).hu.shape == (10, 6, 5)
    good = add_series(tmp_path, "good", SeriesDescription="Thorax insp")
    assert chosen(tmp_path)[0] == good


def test_expanded_is_not_expiration(tmp_path: Path) -> None:
    add_series(tmp_path, "a", SeriesDescription="Experimental insp/exp")
    assert find_series(tmp_path).series[0].role == "inspiration"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"study": "later", "StudyDate": "20200501"}, "2 visits of 1 patient"),
        ({"study": "same day"}, "2 visits of 1 patient"),
        ({"PatientID": "q"}, "2 visits of 2 patients"),
    ],
)
def test_several_visits_are_refused_with_the_list(
    tmp_path: Path, second: dict[str, object], said: str
) -> None:
    one = add_series(tmp_path, "a")
    two = add_series(tmp_path, "b", **second)  # type: ignore[arg-type]
    with pytest.raises(SeveralVisits, match=said) as error:
        read_scan(tmp_path)
    assert f"--series {one}" in str(error.value)
    assert f"--series {two}" in str(error.value)
    assert read_scan(tmp_path, two).source.identifiers.series_uid == two


def test_visits_that_cannot_be_used_do_not_count(tmp_path: Path) -> None:
    one = add_series(tmp_path, "a")
    add_series(tmp_path, "b", study="later", RescaleType="US")
    assert chosen(tmp_path)[0] == one


def test_a_wrong_number_gets_the_right_ones(tmp_path: Path) -> None:
    number = add_series(tmp_path, "a")
    with pytest.raises(NoSeriesFound, match=f"usable are: {number}") as error:
        read_scan(tmp_path, "1.2.3")
    assert error.value.code == "no_such_series"


def test_naming_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    add_series(tmp_path, "good")
    units = add_series(tmp_path, "units", RescaleType="US")
    scout = add_series(tmp_path, "scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with pytest.raises(NotHounsfield, match="named cannot be measured: RescaleType is US"):
        read_scan(tmp_path, units)
    with pytest.raises(NotChestCT, match=r"no chest CT series: a localizer \(scout view\)"):
        read_scan(tmp_path, scout)


def test_several_reasons_are_all_said(tmp_path: Path) -> None:
    add_series(tmp_path, "a", RescaleType="US")
    add_series(tmp_path, "b", PixelSpacing=None)
    with pytest.raises(
        NoSeriesFound,
        match=r"RescaleType is US.*nothing says where they lie|"
        r"nothing says where they lie.*RescaleType is US",
    ):
        read_scan(tmp_path)
    with pytest.raises(UnsupportedGeometry, match="nothing says"):
        read_scan(tmp_path / "b")


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")  # of the writer, not the reader
@pytest.mark.parametrize(
    ("tags", "date", "source", "codes"),
    [
        ({}, "20200401", "AcquisitionDate", []),
        ({"AcquisitionDate": "2020.05.01"}, "20200501", "AcquisitionDate", []),
        (
            {"AcquisitionDate": None, "AcquisitionDateTime": "20200502101112.5"},
            "20200502",
            "AcquisitionDate",
            [],
        ),
        ({"AcquisitionDate": "", "SeriesDate": "20200403"}, "20200403", "SeriesDate", ["dates"]),
        ({"AcquisitionDate": None}, "20200401", "StudyDate", ["dates"]),
        ({"AcquisitionDate": None, "StudyDate": ""}, None, None, ["dates"]),
    ],
)
def test_dates(
    tmp_path: Path,
    tags: dict[str, object],
    date: str | None,
    source: str | None,
    codes: list[str],
) -> None:
    add_series(tmp_path, "a", HU, **tags)
    scan = read_scan(tmp_path)
    assert (scan.acquisition.acquisition_date, scan.acquisition.date_source) == (date, source)
    assert [n.code for n in scan.notices] == codes


def test_acquisition_and_identifiers(tmp_path: Path) -> None:
    number = add_series(
        tmp_path, "a", HU, ConvolutionKernel=["Br40d", "3"], ContrastBolusAgent="NONE"
    )
    scan = read_scan(tmp_path)
    a = scan.acquisition
    assert (a.manufacturer, a.kernel, a.kernel_class) == ("SIEMENS", "Br40d", "medium")
    assert (a.kvp, a.contrast_agent, a.sex) == (120.0, None, "F")
    assert a.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    i = scan.source.identifiers
    assert (i.patient_id, i.birth_date, i.series_uid) == ("p", "19700101", number)
    assert i.sop_uids == tuple(uid("s", "a", k) for k in range(7))
    assert scan.source.n_files == 7


def test_finding_reports_progress(tmp_path: Path) -> None:
    add_series(tmp_path, "a", HU)
    seen: list[tuple[int, int]] = []
    find_series(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 7) for k in range(1, 8)]


@pytest.mark.parametrize(
    ("kernel", "maker", "kind"),
    [
        ("B30f", "SIEMENS", "soft"),
        ("B19f", "SIEMENS", "soft"),
        ("b 41 f", "SIEMENS", "medium"),
        ("B70f", "SIEMENS", "sharp"),
        ("Br40d", "Siemens Healthineers", "medium"),
        ("Bl57d", "SIEMENS", "sharp"),
        ("Bl34", "SIEMENS", "sharp"),
        ("I31f", "SIEMENS", "soft"),
        ("Qr36", "SIEMENS", "soft"),
        ("STANDARD", "", "medium"),
        ("SOFT", "GE MEDICAL SYSTEMS", "soft"),
        ("BONEPLUS", "GE MEDICAL SYSTEMS", "sharp"),
        ("LUNG", "GE MEDICAL SYSTEMS", "sharp"),
        ("STD+", "GE MEDICAL SYSTEMS", "unknown"),
        ("A", "Philips", "soft"),
        ("C", "Philips", "medium"),
        ("YB", "Philips", "sharp"),
        ("D", "Philips", "unknown"),
        ("C", "", "unknown"),
        ("FC01", "TOSHIBA", "soft"),
        ("FC10", "TOSHIBA", "medium"),
        ("FC17", "CANON", "soft"),
        ("FC52", "TOSHIBA", "sharp"),
        ("FC51", "TOSHIBA", "unknown"),
        ("FC60", "TOSHIBA", "unknown"),
        ("", "SIEMENS", "unknown"),
        (None, None, "unknown"),
    ],
)
def test_kernel_classes(kernel: str | None, maker: str | None, kind: str) -> None:
    assert kernel_class(kernel, maker) == kind


@pytest.mark.data
def test_two_dates_of_one_patient(data_dir: Path) -> None:
    folder = data_dir / "ny-sbu-pairs" / "A046441"
    with pytest.raises(SeveralVisits, match="2 visits of 1 patient") as error:
        read_scan(folder)
    assert "A046441" not in str(error.value)
    for path in sorted(folder.iterdir()):
        scan = read_scan(path)
        assert [n.code for n in scan.notices if n.effect == "null"] == ["single_slice"]


@pytest.mark.data
def test_houndsfield_is_how_some_scanners_spell_it(data_dir: Path) -> None:
    scan = read_scan(data_dir / "ny-sbu-pairs" / "A072894" / "19001203-066.dcm")
    assert {n.code for n in scan.notices} == {"single_slice", "derived"}


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "spacing"),
    [
        ("lung1-001", (134, 512, 512), (3.0, 0.9765625, 0.9765625)),
        ("ricord-1a-001012", (248, 512, 512), (1.25, 0.703125, 0.703125)),
    ],
)
def test_full_series(
    data_dir: Path, name: str, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    scan = read_scan(data_dir / "dicom" / name)
    assert scan.hu.shape == shape
    assert scan.geometry.spacing_mm == pytest.approx(spacing)
    assert all(n.effect == "note" for n in scan.notices)


@pytest.mark.data
def test_lung1_lies_where_its_drawn_lungs_lie(data_dir: Path) -> None:
    import nibabel

    folder = data_dir / "dicom" / "lung1-001-structures"
    drawn = nibabel.load(folder / "lungs.nii.gz")
    scan = read_scan(data_dir / "dicom" / "lung1-001")
    labels = np.asarray(drawn.dataobj)
    at = np.argwhere(labels > 0)[::5000]
    ras = nibabel.affines.apply_affine(drawn.affine, at)
    lps = ras * (-1, -1, 1)
    inverse = np.linalg.inv(scan.geometry.matrix)
    zyx = (lps @ inverse[:3, :3].T + inverse[:3, 3]).round().astype(int)
    assert np.median(scan.hu[tuple(zyx.T)]) < -700
    # 1 is the right lung: low x, the patient's right.
    right = zyx[labels[tuple(at.T)] == 1][:, 2].mean()
    left = zyx[labels[tuple(at.T)] == 2][:, 2].mean()
    assert right < 256 < left
