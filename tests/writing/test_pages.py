"""The HTML pages: what they say, that nothing of a person's gets loose, that nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.known_pair import BOX, CORE, OTHER, blocks, compared
from support.small_result import empty_result, small_result

from ctlung.change_records import Comparison
from ctlung.notices import Notice
from ctlung.records import ScanResult
from ctlung.vocabulary import CHANGE_LABELS, MEASURES, REGIONS, RESEARCH_USE
from ctlung.volume import HU_MAX, HU_MIN, Scan
from ctlung.writing.headline import headline, reason_words
from ctlung.writing.pages import scan_page as scan_pages
from ctlung.writing.pages.comparison_page import comparison_page, comparison_stacks
from ctlung.writing.pages.flow import bands, flow
from ctlung.writing.pages.frames import picture, size_px, window_table
from ctlung.writing.pages.outlines import outline
from ctlung.writing.pages.page import LUNG_WINDOW, SOFT_WINDOW, clean
from ctlung.writing.pages.scan_page import scan_page, scan_stacks
from ctlung.writing.planes import stack

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m\u202e\x00&amp;'\""


class _Page(HTMLParser):
    """Tags, texts and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def page() -> str:
    return scan_page(small_result())


@pytest.fixture(scope="module")
def pair() -> Comparison:
    return compared(blocks((BOX, -600), (CORE, -100)), blocks((CORE, -500), (OTHER, -450)))


@pytest.fixture(scope="module")
def pair_page(pair: Comparison) -> str:
    return comparison_page(pair)


def _frames(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="stacks">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def test_the_headline_comes_first_and_every_notice_is_there(page: str) -> None:
    said = _Page(page).text
    places = [said.index(f.number) for f in headline(small_result().report)]
    assert max(places[:1]) < said.index("What to know before believing")
    assert said.index("inflammatory area, percent of lung") < said.index("lung volume")
    for notice in small_result().report.notices:
        assert " ".join(notice.sentence.split()) in said
    assert said.count(RESEARCH_USE) >= 2


def test_every_measure_has_its_definition_one_click_away(page: str) -> None:
    found = _Page(page)
    windows = {a["id"] for a in found.of("div") if "popover" in a}
    buttons = {a["popovertarget"] for a in found.of("button") if "popovertarget" in a}
    measured = {m.measure for m in small_result().report.measurements}
    assert windows == buttons == {f"m-{name}" for name in measured}
    for name in measured:
        assert " ".join(MEASURES[name].definition.split()) in found.text


def test_what_is_not_given_is_said_with_its_reason() -> None:
    base = small_result()
    found = tuple(
        replace(m, value=None, reason="lesion_small", low=None, high=None)
        if m.measure == "ct_number_lesion_hu"
        else m
        for m in base.report.measurements
    )
    text = scan_page(replace(base, report=replace(base.report, measurements=found)))
    missing = sum(m.value is None for m in found)
    assert _Page(text).text.count(reason_words("lesion_small")) >= len(REGIONS)
    assert text.count("not given") >= missing


@pytest.mark.parametrize("which", ["scan", "pair"])
def test_nothing_is_fetched(which: str, page: str, pair_page: str) -> None:
    text = page if which == "scan" else pair_page
    found = _Page(text)
    for tag, attributes in found.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:image/jpeg;base64,", "#")) or not value, (tag, value)
    assert "@import" not in text
    policy = next(a["content"] for a in found.of("meta") if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_the_same_result_gives_the_same_page(page: str, pair: Comparison, pair_page: str) -> None:
    assert scan_page(small_result()) == page
    assert comparison_page(pair) == pair_page


def test_what_a_header_says_is_never_markup() -> None:
    base = small_result()
    acquisition = {**base.report.provenance.acquisition, "kernel": HOSTILE, HOSTILE: HOSTILE}
    report = replace(
        base.report,
        provenance=replace(
            base.report.provenance,
            acquisition=acquisition,
            chosen_because=HOSTILE,
            identifiers={"patient_name": HOSTILE},
        ),
        notices=(Notice("contrast", "warn", HOSTILE),),
    )
    text = scan_page(replace(base, report=report))
    assert "onerror=alert" in text
    assert "<img src=x" not in text
    assert "</script><img" not in text
    assert not set(text) & {"\x1b", "\x00", "\u202e"}
    assert len(_Page(text).of("script")) == 2
    assert _Page(text).text.count("</script><img src=x onerror=alert(1)>") >= 4


def test_identifiers_stay_out_unless_the_report_holds_them(page: str) -> None:
    who = small_result().scan.source.identifiers
    told = scan_page(small_result(identifiers=True))
    for value in (who.patient_id, who.patient_name):
        assert value is not None
        assert value not in page
        assert value in told


def test_characters_that_steer_are_replaced() -> None:
    assert clean("a\x07b\u202ec\x85d\te\nf") == "a\ufffdb\ufffdc\ufffdd\te\nf"


def test_every_slice_of_the_lungs_is_there_with_its_areas(page: str) -> None:
    result = small_result()
    axial, coronal, sagittal = _frames(page)
    depth = (result.lungs.labels > 0).any(axis=(1, 2)).sum()
    assert len(axial["frames"]) == depth
    assert (axial["edges"], coronal["edges"]) == (list("RLAP"), list("RLHF"))
    assert sagittal["edges"] == list("APHF")
    row = next(r for r in result.report.slices if (r.lesion_area_cm2 or 0) > 1)
    (frame,) = (f for f in axial["frames"] if f["title"].startswith(f"slice {row.slice}, "))
    assert f"inflammatory area {row.lesion_area_cm2:.1f} cm²" in frame["words"]
    largest = result.report.value("lesion_area_max_slice")
    assert largest is not None
    assert axial["frames"][axial["start"]]["title"].startswith(f"slice {int(largest)}, ")


def test_pictures_give_back_ct_numbers_where_it_matters() -> None:
    z, y = np.mgrid[0:64, 0:64]
    hu = (-1000 + (z + y) * 10).astype(np.int16)
    stored = Image.open(io.BytesIO(base64.b64decode(picture(hu, (64, 64)))))
    code = np.asarray(stored, dtype=float)
    back = np.interp(code, [0, 150, 255], [HU_MIN, -160, 240])
    assert np.abs(back - hu.clip(None, 240)).mean() < 8


@pytest.mark.parametrize(("level", "width"), [LUNG_WINDOW, SOFT_WINDOW])
def test_windows_show_grey_as_they_should(level: float, width: float) -> None:
    table = np.array([float(g) for g in window_table(level, width).split()])
    hu = np.linspace(HU_MIN, 240, 200)
    codes = np.interp(hu, [HU_MIN, -160, 240], [0, 150, 255])
    grey = np.interp(codes, np.linspace(0, 255, len(table)), table)
    wanted = np.clip((hu - level) / width + 0.5, 0, 1)
    assert np.abs(grey - wanted).max() < 0.03


def _polygons(path: str) -> list[np.ndarray]:
    found = []
    for part in path.split("M")[1:]:
        start, moves = part.rstrip("z").split("l")
        steps = np.array([int(v) for v in moves.split()]).reshape(-1, 2)
        found.append(np.vstack([np.array([int(v) for v in start.split()]), steps]).cumsum(0) / 2)
    return found


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


@pytest.mark.parametrize("scale", [(1.0, 1.0), (3.0, 2.0), (0.8, 0.8)])
def test_an_outline_lies_where_the_mask_ends(scale: tuple[float, float]) -> None:
    y, x = np.mgrid[0:60, 0:80]
    disc = (y - 25) ** 2 + (x - 50) ** 2 <= 18**2
    disc &= ~((y - 25) ** 2 + (x - 50) ** 2 <= 6**2)
    polygons = _polygons(outline(disc, scale))
    assert len(polygons) == 2
    wanted = disc.sum() * scale[0] * scale[1]
    assert abs(sum(_area(p) for p in polygons)) == pytest.approx(wanted, rel=0.03)
    outer = max(polygons, key=lambda p: abs(_area(p)))
    middle = (outer.min(axis=0) + outer.max(axis=0)) / 2
    assert middle == pytest.approx([50.5 * scale[1], 25.5 * scale[0]], abs=0.5)


def test_an_outline_at_the_edge_is_closed_and_an_empty_mask_has_none() -> None:
    mask = np.zeros((6, 6), bool)
    assert outline(mask, (1.0, 1.0)) == ""
    mask = np.zeros((60, 60), bool)
    mask[:, 40:] = True
    (polygon,) = _polygons(outline(mask, (2.0, 2.0)))
    assert abs(_area(polygon)) == pytest.approx(60 * 20 * 4, rel=0.02)


def test_pictures_are_in_true_proportion() -> None:
    result = small_result()
    plane = stack(result.scan, result.lungs, result.lesions, "coronal", 5)[0]
    wide, high = size_px(plane)
    assert wide / high == pytest.approx(plane.size_mm[1] / plane.size_mm[0], rel=0.02)


def test_a_stack_is_spread_and_holds_the_plane_asked_for() -> None:
    result = small_result()
    for always in (9, 10, 11):
        planes = stack(result.scan, result.lungs, result.lesions, "axial", 6, always)
        numbers = [p.index for p in planes]
        assert always in numbers
        assert len(numbers) <= 6
        assert len(set(np.diff(numbers))) == 1


def test_a_large_scan_shows_fewer_slices_not_a_larger_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = scan_stacks(small_result())
    size = sum(s.n_bytes for s in whole)
    monkeypatch.setattr(scan_pages, "TARGET_BYTES", size // 2)
    fewer = scan_stacks(small_result())
    assert sum(s.n_bytes for s in fewer) <= size // 2
    assert 8 <= len(fewer[0].frames) < len(whole[0].frames)


def test_one_slice_makes_a_page_without_other_views() -> None:
    result = empty_result()
    (axial,) = scan_stacks(result)
    assert len(axial.frames) <= 2
    assert "not given" in scan_page(result)


def test_a_pair_says_what_changed_and_which_ct_number_is_which(
    pair: Comparison, pair_page: str
) -> None:
    said = _Page(pair_page).text
    assert "CT number in the baseline's inflammatory area" in said
    assert "of the very same lung at both visits" in said
    assert "Restoration index" in said
    assert said.index("inflammatory area, percent of lung") < said.index("lung volume")
    axial = _frames(pair_page)[0]
    assert {len(f["p"]) for f in axial["frames"]} == {2}
    assert {len(f["d"]) for f in axial["frames"]} == {4 + len(CHANGE_LABELS)}
    for name in ("resolved", "new", "improved"):
        assert any(name in f["words"] for f in axial["frames"])


def test_before_and_after_are_outlined_from_the_change_map(pair: Comparison) -> None:
    assert pair.voxelwise is not None
    assert pair.voxelwise.maps is not None
    maps = pair.voxelwise.maps
    axial = comparison_stacks(maps)[0]
    for frame in axial.frames:
        labels = maps.change.labels[frame.index]
        assert bool(frame.paths[2]) == bool(np.isin(labels, (1, 2, 4, 5)).any())
        assert bool(frame.paths[3]) == bool(np.isin(labels, (2, 3, 4, 5)).any())


def test_the_flow_keeps_every_ml_that_was_or_is_inflamed(pair: Comparison) -> None:
    assert pair.voxelwise is not None
    found = pair.voxelwise
    sums: dict[str, float] = {}
    for band in bands(found.transitions):
        sums[band.what] = sums.get(band.what, 0.0) + band.ml
    for what in ("resolved", "new", "improved"):
        assert sums[what] == pytest.approx(found.ml(what)[0], abs=0.2)
    drawing = flow(found.transitions)
    assert drawing is not None
    tree = ElementTree.fromstring(drawing)
    titles = [e.text or "" for e in tree.iter() if e.tag.endswith("title")]
    assert len(titles) == len(bands(found.transitions))
    assert flow(()) is None


def test_reports_alone_make_a_page_that_says_why_there_are_no_pictures(pair: Comparison) -> None:
    text = comparison_page(replace(pair, voxelwise=None))
    assert "whole lungs were compared" in _Page(text).text
    assert _frames(text) == []


def test_a_page_of_a_scan_without_lungs_can_be_made(tmp_path: Path) -> None:
    base: ScanResult = empty_result()
    hu = np.full(base.scan.hu.shape, HU_MAX, np.int16)
    text = scan_page(replace(base, scan=Scan(hu, base.scan.geometry)))
    assert RESEARCH_USE in text
