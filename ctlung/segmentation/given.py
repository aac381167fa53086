"""Lungs or lobes that the user brings, behind the protocol of every segmenter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, LabelArray
from ctlung.errors import InputError, NotChestCT
from ctlung.notices import Notice
from ctlung.segmentation.airways import find_airways, midline_mm
from ctlung.segmentation.body import air_inside
from ctlung.segmentation.sides import split_sides
from ctlung.segmentation.threshold import ThresholdSegmenter, native_lumen
from ctlung.vocabulary import LOBE_LABELS, LOBES_OF, LUNG_LABELS
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

WORKING_MM = 2.0
PIECE_ML = 1.0
BETWEEN_PERCENT = 10.0
"""Slices between the first and last of a lung that may be empty; more is drawn on some only."""
COVERED_REFUSE_PERCENT, COVERED_WARN_PERCENT = 25.0, 80.0
"""Share of the aerated lung in view that lies in the mask: a single lung holds some 45 %."""
WRONG_SIDE = 0.88

_RIGHT = frozenset({"right_lung", *LOBES_OF["right_lung"]})
_LEFT = frozenset({"left_lung", *LOBES_OF["left_lung"]})
_LOBES = frozenset(LOBE_LABELS.values())


@dataclass(frozen=True, eq=False)
class GivenLungs:
    """A segmenter that returns what it was given, on the one scan that it was drawn on.

    Attributes:
        labels: on the scan's grid, named ``right_lung`` and ``left_lung``, or ``rul`` ``rml``
            ``rll`` ``lul`` ``lll``, or ``lungs`` where right and left are not told apart.
        file: where they come from, for people; empty if they were never in a file.
        recognised: what in that file was taken for what.
    """

    labels: LabelMap
    file: str = ""
    recognised: str = ""

    @property
    def name(self) -> str:
        """Name for the provenance."""
        return "given"

    def segment(self, scan: Scan) -> Segmentation:
        """Right (1) and left (2) lung, and the lobes where they were given.

        Airways are found as the threshold segmenter finds them; nothing is taken out of the
        lungs for them, nor for anything else but padding.

        Raises:
            GeometryMismatch: the labels do not lie on the grid of ``scan``.
            InputError: empty, of another scan, sides exchanged, drawn on some slices only.
        """
        self.labels.require_grid_of(scan.geometry)
        found = np.array(self.labels.labels)
        if scan.outside_fov is not None:
            found[scan.outside_fov] = 0
        names = self._names(found)
        grid = working_grid(scan, WORKING_MM)
        covered, lumen = _compared(grid, found)
        self._require_of_scan(covered)
        lungs, lobes, cut = self._sided(found, names, grid)
        skipped = self._skipped(lungs)
        return Segmentation(
            lungs=LabelMap(lungs, scan.geometry, LUNG_LABELS),
            anatomy=Anatomy(airways=native_lumen(scan, grid, lumen)),
            lobes=None if lobes is None else LabelMap(lobes, scan.geometry, LOBE_LABELS),
            notices=(*self._said(names, lungs, cut), *self._left_out(covered), *skipped),
            segmenter=self.name,
        )

    @property
    def _what(self) -> str:
        return f"The lungs in {self.file}" if self.file else "The lungs that were given"

    def _error(self, sentence: str) -> InputError:
        return InputError(f"{self._what} {sentence}", code="given_lungs")

    def _names(self, found: LabelArray) -> dict[int, str]:
        """Names of the labels that occur."""
        counts = np.zeros(256, dtype=np.int64)
        for plane in found:
            counts += np.bincount(plane.ravel(), minlength=256)
        names = {int(n): self.labels.names[int(n)] for n in np.flatnonzero(counts) if n}
        if not names:
            raise self._error(
                "are empty: no voxel of the scan is in them. Give lungs of this scan."
            )
        kinds = set(names.values())
        fits = len(kinds) == len(names) and any(
            kinds <= known for known in ({"lungs"}, set(LUNG_LABELS.values()), _LOBES)
        )
        if not fits:
            listed = ", ".join(str(name) for name in names.values())
            raise self._error(
                f"are named {listed}. Name them right_lung and left_lung, or lungs, or by lobe "
                "(rul, rml, rll, lul, lll)."
            )
        return names

    def _sided(
        self, found: LabelArray, names: dict[int, str], grid: WorkingGrid
    ) -> tuple[LabelArray, LabelArray | None, bool]:
        """Lungs, lobes where they were given, and whether touching lungs had to be cut."""
        if set(names.values()) == {"lungs"}:
            lungs, cut = _split(found > 0, grid)
            return lungs, None, cut
        self._require_sides(found, names, grid)
        lungs = _renumbered(found, {n: 1 if name in _RIGHT else 2 for n, name in names.items()})
        if not set(names.values()) <= _LOBES:
            return lungs, None, False
        number_of = {name: n for n, name in LOBE_LABELS.items()}
        return lungs, _renumbered(found, {n: number_of[s] for n, s in names.items()}), False

    def _require_sides(self, found: LabelArray, names: dict[int, str], grid: WorkingGrid) -> None:
        """Right lies to the right of left; one side alone lies not wholly on the other."""
        x = np.arange(found.shape[2])
        middle = float(np.median(midline_mm(grid))) / grid.spacing_mm[2] * grid.factors[2]
        profiles = {n: (found == n).sum(axis=(0, 1)) for n in names}
        centres = {n: float((p * x).sum() / p.sum()) for n, p in profiles.items()}
        right = [n for n, name in names.items() if name in _RIGHT]
        left = [n for n, name in names.items() if name in _LEFT]
        if right and left:
            wrong = max(centres[n] for n in right) >= min(centres[n] for n in left)
        else:
            beyond = x > middle if right else x < middle
            wrong = any(profiles[n][beyond].sum() > WRONG_SIDE * profiles[n].sum() for n in names)
        if wrong:
            raise self._error(
                "do not lie where their names say: what should be right does not lie to the "
                "patient's right of what should be left. Exchange the labels if they are "
                "exchanged (1 is the right lung, 2 the left; lobes are 1 left upper, 2 left "
                "lower, 3 right upper, 4 right middle, 5 right lower), and save the mask again."
            )

    def _skipped(self, lungs: LabelArray) -> tuple[Notice, ...]:
        """Warn of slices that a lung leaves out between its first and last; refuse many."""
        notices = []
        for side, name in LUNG_LABELS.items():
            filled = np.flatnonzero((lungs == side).any(axis=(1, 2)))
            if len(filled) == 0:
                continue
            height = int(filled[-1] - filled[0] + 1)
            empty = height - len(filled)
            percent = 100.0 * empty / height
            lung = name.replace("_", " ")
            if percent > BETWEEN_PERCENT:
                raise self._error(
                    f"are drawn on some slices only: {percent:.0f} % of the slices between the "
                    f"first and last of the {lung} are empty (limit {BETWEEN_PERCENT:g} %). Fill "
                    "the slices between in the program that they were drawn with."
                )
            if empty:
                notices.append(self._few_empty(empty, lung, name))
        return tuple(notices)

    def _few_empty(self, empty: int, lung: str, region: str) -> Notice:
        return Notice(
            "given_lungs",
            "warn",
            f"The lungs that were given leave {empty} slice(s) between the first and last of the "
            f"{lung} "
            "empty; they were not measured. Fill them in the program that they were drawn with.",
            measured=float(empty),
            limit=0.0,
            unit="slices",
            affects=("volumes", "lesions"),
            regions=(region,),
        )

    def _require_of_scan(self, covered: float | None) -> None:
        if covered is not None and covered < COVERED_REFUSE_PERCENT:
            raise self._error(
                f"hold only {covered:.0f} % of the aerated lung that the scan shows (limit "
                f"{COVERED_REFUSE_PERCENT:g} %): they are of another scan, or of a part of a "
                "lung. Give the lungs of this scan."
            )

    def _left_out(self, covered: float | None) -> tuple[Notice, ...]:
        if covered is None or covered >= COVERED_WARN_PERCENT:
            return ()
        return (
            Notice(
                "given_lungs",
                "warn",
                f"The lungs that were given hold {covered:.0f} % of the aerated lung that the scan "
                "shows "
                f"(limit {COVERED_WARN_PERCENT:g} %); the rest was not measured. Look at "
                "overlay.png.",
                measured=round(covered, 1),
                limit=COVERED_WARN_PERCENT,
                unit="%",
                affects=("volumes", "lesions"),
            ),
        )

    def _said(self, names: dict[int, str], lungs: LabelArray, cut: bool) -> tuple[Notice, ...]:
        # The file's name stays out of the report: it may hold a patient's.
        where = "The lungs were not found but given" + (" in a file" if self.file else "")
        taken = f"; taken were {self.recognised}" if self.recognised else ""
        if set(names.values()) == {"lungs"}:
            taken += ", told apart into right and left by where they lie"
        missing = [n for side, n in LUNG_LABELS.items() if not (lungs == side).any()]
        if names and set(names.values()) <= _LOBES:
            missing = [n for n in LOBE_LABELS.values() if n not in names.values()]
        without = f" There is no {' or '.join(missing)} in them.".replace("_", " ")
        digest = hashlib.sha256(lungs.tobytes()).hexdigest()[:16]
        said = Notice(
            "given_lungs",
            "note",
            f"{where}{taken}.{without if missing else ''} What they hold is the matter of who "
            "made them: effusion, airways or tumour drawn as lung are measured as lung, and "
            f"consolidation left out is not measured (sha256 of the lungs {digest}...).",
            affects=("volumes", "lesions"),
        )
        return (said, *_touching(cut))


def _touching(cut: bool) -> tuple[Notice, ...]:
    if not cut:
        return ()
    return (
        Notice(
            "lungs_touch",
            "note",
            "Right and left lung touch in the mask that was given; the border between them was "
            "drawn where the connection is thinnest.",
        ),
    )


def _renumbered(found: LabelArray, numbers: dict[int, int]) -> LabelArray:
    table = np.zeros(256, dtype=np.uint8)
    for theirs, ours in numbers.items():
        table[theirs] = ours
    return table[found]


def _compared(grid: WorkingGrid, found: LabelArray) -> tuple[float | None, BoolArray]:
    """Share (%) of the aerated lung that lies in the mask, and the airways' lumen.

    The threshold segmenter looks for both; the share is ``None`` where it finds no lung.
    """
    try:
        threshold = ThresholdSegmenter()
        seen = threshold.look(grid, threshold.air(grid))
    except NotChestCT:
        return None, find_airways(grid, air_inside(grid))
    within = block_mean(found > 0, grid.factors)
    return 100.0 * float(within[seen.air].mean()), seen.lumen


def _split(mask: BoolArray, grid: WorkingGrid) -> tuple[LabelArray, bool]:
    """Right and left of a mask of both lungs, and whether they touched.

    Sides are told on the working grid, piece by piece; what is too small to be a piece there
    goes with the nearest.
    """
    coarse = block_mean(mask, grid.factors) > 0.5
    labels, n = ndimage.label(coarse)
    sizes = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_ml
    sizes[0] = 0.0
    large = [int(i) for i in np.flatnonzero(sizes >= min(PIECE_ML, sizes.max(initial=0.0))) if i]
    parts = [(float(sizes[i]), labels == i) for i in sorted(large, key=lambda i: -sizes[i])]
    if not parts:
        parts = [(float(mask.sum()), block_mean(mask, grid.factors) > 0)]
    area = np.sum([part.sum(axis=(1, 2)) for _, part in parts], axis=0)
    sides, cut = split_sides(grid, parts, float((midline_mm(grid) * area).sum() / area.sum()))
    if (sides == 0).any():
        nearest = ndimage.distance_transform_edt(
            sides == 0, sampling=grid.spacing_mm, return_distances=False, return_indices=True
        )
        sides = sides[tuple(nearest)]
    for axis, factor in enumerate(grid.factors):
        sides = np.repeat(sides, factor, axis=axis)
    depth, height, width = mask.shape
    out: LabelArray = np.where(mask, sides[:depth, :height, :width], 0).astype(np.uint8)
    return out, cut
