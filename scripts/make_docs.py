"""Make docs/measures.md from the vocabulary, the settings and the records.

    python scripts/make_docs.py

tests/test_docs.py fails where the file is not what this script would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from ctlung import errors, vocabulary
from ctlung.measurement.scores import SCALES, Scale
from ctlung.records import MEASUREMENT_COLUMNS, SCHEMA_SCAN
from ctlung.settings import Settings
from ctlung.writing.results import RESULT_FILES
from ctlung.writing.tables import SLICE_COLUMNS

ROOT = Path(__file__).resolve().parent.parent
MEASURES_FILE = ROOT / "docs" / "measures.md"

HEAD = """# Measures, words and files

Made by `python scripts/make_docs.py` from `ctlung/measures.py`, `ctlung/bands.py`,
`ctlung/vocabulary.py`, `ctlung/settings.py` and `ctlung/records.py`; change those, not this file.
`FIELD` is the project's collection of definitions and their sources; of a source, `[v]` was
checked, `[m]` is as far as known, `[d]` was decided for ctlung.

Unit `1` is a pure number. `v` is the volume of a voxel, `V` that of a set of voxels, `m2` to `m4`
are central moments. A band of CT numbers is not a lesion: vessels, airway walls and dependent
lung fall into the dense ones, so none of them is 0 in health.

A measure that is undefined is `null` (an empty cell in CSV) and carries a reason: one of the
reasons below, or the code of the notice that withholds it. It is never 0, -1 or NaN. No lesion
gives an area of 0.0, which was measured, and no CT number (`no_lesion`).
"""

SCORES = """## Severity scores

In `report.json` under `scores`, with the points of each lobe or zone. Classes were made for whole
percents read by eye; here the percentages are measured, and the upper edge of a class closes the
gap. Scores lose information: they are secondary to the percentages. A lobe or zone without a
percentage withholds the whole score.
"""

REGIONS = """Upper, middle and lower are thirds of the height of each lung.

`core` and `rim` are of both lungs together. A voxel lies in the rim if its distance to the
surface of its lung is at most a third of the 99th percentile of that distance in that lung. The
surface toward the hilum and the mediastinum counts as the one toward the ribs does; fissures do
not. A lung that is not all in view has neither, nor has one seen in fewer than 5 slices.

Regions that you hand in (`--regions`, `regions=`) come after all others. `user_` stands before
the name that the label, segment or structure has in its file, in small letters, digits and
underscores (`GTV-1` is `user_gtv_1`); one without a name is `user_label_7`, after its number, and
the second of one name ends in `_2`. Such a region is what of it lies in the lungs: the notice
`given_regions` says how much lies outside. Regions may overlap, and each is measured in full.
"""

FACTS = """## Calibration facts

In `report.json` under `calibration`, each with its value in HU or a reason, the voxels and ml it
rests on, and the noise (SD about each slice's median) where it was measured. They are reported
and used for `lung_weight_calibrated_g` and `lesion_excess_mass_g`; no image is ever shifted.
"""

FLOORS = """## Changes

`ctlung compare` gives for every measure and region: `delta` (follow-up less baseline), its
interval `low` and `high` where both scans have one, `delta_percent` (of volumes, masses, areas and
percents; for lesions only from 5 ml or 1 % at baseline), `log_ratio` (ln of the ratio after adding
1 ml or 0.1 % to both), `delta_per_day`, and `floor`: a change that is not larger is
`within_noise`. `claimed` means larger than the floor, with an interval that leaves 0 out. The
floors are provisional: they were decided (FIELD 6), not measured, for nobody has published the
repeatability of most.

| measure | floor |
| --- | --- |
| `lung_volume_ml`, `lung_weight_g` | 10 % of the larger value |
| `lung_mean_hu` | 20 HU |
| `lung_perc15_hu` | 18 HU |
| `laa_950_percent` | 3.7 points |
| `haa_600_250_percent`, `lesion_percent`, `lesion_mass_percent` | 2 points |
| `lesion_volume_ml` | 20 % of the larger value, at least 10 ml |
| `ground_glass_volume_ml`, `consolidation_volume_ml` | the same |
| `ct_number_lesion_hu`, `ct_number_lesion_median_hu`, `ct_number_baseline_region_hu` | 30 HU |

`breath` is what a difference in breath alone may have done to a lesion's volume or CT number; the
interval opens on that side ([change.md](change.md)).
"""

PAIR = """### Measures of two scans

They need both scans laid on one another, and are given for both lungs together, in
`comparison.json` and `changes.csv`; `comparison.json` holds under `voxelwise` what they rest on.
"""

FILES = {
    "report.json": "everything, schema `{schema}`: `measurements`, `calibration`, `slices`, "
    "`lesions`, `scores`, `uncertainty`, `notices`, `provenance`",
    "measurements.csv": "one row per region and measure: {measurements}",
    "slices.csv": "one row per slice, counted from 0 at the feet: {slices}; areas in cm2",
    "lungs.nii.gz": "uint8: {lungs}. On the grid of a NIfTI, NRRD or MetaImage input; from DICOM "
    "on the sorted slice stack",
    "lesions.nii.gz": "uint8: {lesions}. Same grid",
    "lobes.nii.gz": "uint8: {lobes}. Same grid; only where the segmenter told lobes apart",
    "report.html": "the page to look at and to print: results, notices, every slice with its "
    "outlines, plots, every measure with its definition; needs no network",
    "overlay.png": "the check picture; look at it before using a number",
    "segments.seg.nrrd": "lungs, lesions and lobes as a segmentation of 3D Slicer, with names and "
    "colours, cut to the lungs",
    "lungs.label.txt": "names and colours of the labels for ITK-SNAP; likewise the next two",
    "lesions.label.txt": "the same for the lesions",
    "lobes.label.txt": "the same for the lobes, where there are lobes",
    "lungs_and_lesions.seg.dcm": "DICOM segmentation; only with `--dicom`; see "
    "[exchange.md](exchange.md)",
    "measurements.sr.dcm": "DICOM structured report; only with `--dicom`",
    "scan.nii.gz": "int16 HU, the box of the lungs and 20 mm around it; `--no-scan` leaves it out",
}

EXITS = {
    vocabulary.EXIT_DONE: "done",
    vocabulary.EXIT_REFUSED: "refused or failed; one sentence on stderr says why. `ctlung check`: "
    "nothing usable",
    vocabulary.EXIT_USAGE: "wrong usage",
    vocabulary.EXIT_PARTIAL: "several scans, and at least one was refused or failed",
    vocabulary.EXIT_INTERRUPTED: "interrupted",
}

EFFECTS = (
    ("note", "good to know"),
    ("warn", "measured, but read with care"),
    ("null", "the measures concerned are withheld, with this code as the reason"),
    ("refuse", "no report at all; exit code 1"),
)


def measures_page() -> str:
    """The whole text of docs/measures.md."""
    parts = [
        HEAD,
        "## Measures\n\nEach is given for every region.\n",
        _table(
            ("measure", "unit", "definition", "source", "undefined when"),
            [
                (f"`{m.name}`", m.unit, m.definition, m.source, m.undefined)
                for m in vocabulary.MEASURES.values()
            ],
        ),
        FACTS,
        _table(("fact", "meaning"), _coded(vocabulary.FACTS.items())),
        SCORES,
        _table(
            ("score", "of", "from", "points by percent", "highest", "source"),
            [
                (f"`{s.name}`", s.title, f"`{s.measure}`", _classes(s), str(s.highest), s.source)
                for s in SCALES
            ],
        ),
        "## Regions\n",
        ", ".join(f"`{name}`" for name in vocabulary.REGIONS)
        + ".\n\n"
        + REGIONS
        + "\nWhere the segmenter told lobes apart, also "
        + ", ".join(f"`{name}`" for name in vocabulary.LOBES)
        + ": what of each lobe lies in\nthe lung of its side.\n",
        "## Labels\n",
        _table(
            ("file", "label", "name"),
            [("lungs.nii.gz", str(k), f"`{v}`") for k, v in vocabulary.LUNG_LABELS.items()]
            + [("lesions.nii.gz", str(k), f"`{v}`") for k, v in vocabulary.LESION_LABELS.items()]
            + [("lobes.nii.gz", str(k), f"`{v}`") for k, v in vocabulary.LOBE_LABELS.items()],
        ),
        "## Reasons\n\nBesides these, any notice code can be a reason.\n",
        _table(("reason", "meaning"), _coded(vocabulary.REASONS.items())),
        "## Notices\n\n" + "".join(f"- `{e}`: {words}\n" for e, words in EFFECTS),
        _table(("code", "meaning"), _coded(vocabulary.NOTICES.items())),
        "Of two scans together:\n",
        _table(("code", "meaning"), _coded(vocabulary.PAIR_NOTICES.items())),
        FLOORS,
        PAIR,
        _table(
            ("measure", "unit", "definition", "source", "undefined when"),
            [
                (f"`{m.name}`", m.unit, m.definition, m.source, m.undefined)
                for m in vocabulary.PAIR_MEASURES.values()
            ],
        ),
        "`change.nii.gz`: " + _labels(vocabulary.CHANGE_LABELS.items()) + ".\n",
        "## Errors\n",
        _table(
            ("class", "code", "meaning"),
            [(f"`{e.__name__}`", f"`{e.default_code}`", _first(e)) for e in _error_classes()],
        ),
        "## Settings\n\n`--set NAME=VALUE` or `ctlung.Settings(NAME=VALUE)`. What differs from "
        "these defaults stands in\n`provenance.settings` of the report.\n",
        _table(
            ("setting", "default"),
            [(f"`{f.name}`", f"{getattr(Settings(), f.name)}") for f in fields(Settings)],
        ),
        "## Files of one scan\n",
        _table(("file", "content"), [(f"`{name}`", _content(name)) for name in RESULT_FILES]),
        "## Exit codes\n",
        _table(("code", "meaning"), [(str(k), v) for k, v in EXITS.items()]),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _content(name: str) -> str:
    return FILES[name].format(
        schema=SCHEMA_SCAN,
        measurements=", ".join(MEASUREMENT_COLUMNS),
        slices=", ".join(SLICE_COLUMNS),
        lungs=_labels(vocabulary.LUNG_LABELS.items()),
        lesions=_labels(vocabulary.LESION_LABELS.items()),
        lobes=_labels(vocabulary.LOBE_LABELS.items()),
    )


def _labels(items: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{number} {name}" for number, name in items)


def _coded(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"`{code}`", words) for code, words in items]


def _error_classes() -> list[type[errors.CtlungError]]:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    return [c for c in classes if issubclass(c, errors.CtlungError)]


def _classes(scale: Scale) -> str:
    least = "no lesion" if scale.least_percent is None else f"< {scale.least_percent:g}"
    parts = [f"0: {least}"]
    for number, (edge, belongs) in enumerate(scale.edges, start=1):
        parts.append(f"{number}: {'to' if belongs else 'below'} {edge:g}")
    return "; ".join(parts)


def _first(thing: type) -> str:
    return re.sub(r"\s+", " ", (thing.__doc__ or "").split("\n\n")[0]).strip()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    MEASURES_FILE.write_text(measures_page(), encoding="utf-8", newline="\n")
