"""``check_scan``: what header and voxels alone can tell, before lungs are looked for (FIELD 5)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import FloatArray, HUArray, IntArray
from ctlung.notices import Notice
from ctlung.settings import Settings
from ctlung.volume import HU_MIN, Scan

_SUPINE = ("HFS", "FFS")
AIR_LIMIT_HU = -300
MIN_DARK_SHARE = 0.005
MAX_ROOM_AIR_HU = -500


def check_scan(scan: Scan, settings: Settings | None = None) -> tuple[Notice, ...]:
    """Notices from reading, then those of header and image, each with value and limit.

    A notice with effect ``refuse`` means that no number of this scan can be believed;
    ``ctlung.segment`` raises the matching error.
    """
    settings = settings or Settings()
    return (
        *scan.notices,
        *_range(scan, settings),
        *_air(scan, settings),
        *_soft_tissue(scan, settings),
        *_thickness(scan, settings),
        *_pixels(scan, settings),
        *_kernel(scan),
        *_contrast(scan),
        *_position(scan),
    )


def _sample(scan: Scan) -> HUArray:
    """Every voxel of some fifty slices, thinned in the plane; padding left out."""
    step = max(1, scan.hu.shape[0] // 50)
    thin = max(1, min(scan.hu.shape[1:]) // 200)
    part = scan.hu[::step, ::thin, ::thin]
    if scan.outside_fov is None:
        return part.ravel()
    return part[~scan.outside_fov[::step, ::thin, ::thin]]


def _range(scan: Scan, settings: Settings) -> tuple[Notice, ...]:
    values = _sample(scan)
    counts = np.bincount(values.astype(np.int64) - HU_MIN)
    present = np.flatnonzero(counts)
    if len(present) == 0:
        return (
            Notice("hu_range", "refuse", "The scan holds nothing but padding.", affects=("all",)),
        )
    low, high = int(present[0]) + HU_MIN, int(present[-1]) + HU_MIN
    # Noise puts single voxels of shifted air below 0; lung and room air fill more than that.
    dark = float(counts[: AIR_LIMIT_HU - HU_MIN].sum()) / float(counts.sum())
    if high - low < settings.hu_range_refuse or dark < MIN_DARK_SHARE:
        return (
            Notice(
                "hu_range",
                "refuse",
                f"Values run from {low} to {high} and hardly any lie below {AIR_LIMIT_HU}: these "
                "are not Hounsfield units of a chest, which reach from -1000 (air) to beyond +200 "
                "(bone). Export the series again with its "
                "rescale slope and intercept, or as DICOM.",
                measured=float(high - low),
                limit=settings.hu_range_refuse,
                unit="HU",
                affects=("all",),
            ),
        )
    if len(present) <= settings.grey_levels_warn:
        return (
            Notice(
                "few_grey_levels",
                "warn",
                f"The scan holds only {len(present)} grey levels: it was probably made from "
                "windowed pictures, and its CT numbers are approximate.",
                measured=float(len(present)),
                limit=float(settings.grey_levels_warn),
                unit="levels",
                affects=("all",),
            ),
        )
    return ()


def _air(scan: Scan, settings: Settings) -> tuple[Notice, ...]:
    """Air outside the body: dark voxels with no tissue either in front of or behind them.

    Lung has both, even where a narrow field cuts it.
    """
    step = max(1, scan.hu.shape[0] // 50)
    dark: list[IntArray] = []
    for k in range(0, scan.hu.shape[0], step):
        plane = scan.hu[k, ::2, ::2]
        tissue = plane > AIR_LIMIT_HU
        before = np.logical_or.accumulate(tissue, axis=0)
        behind = np.logical_or.accumulate(tissue[::-1], axis=0)[::-1]
        room = (plane < MAX_ROOM_AIR_HU) & ~(before & behind)
        if scan.outside_fov is not None:
            room &= ~scan.outside_fov[k, ::2, ::2]
        # The first voxels beside skin and padding are half of them.
        dark.append(plane[ndimage.binary_erosion(room, iterations=2)].astype(np.int64))
    values = np.concatenate(dark)
    if len(values) < 1000:
        return ()
    median = float(np.median(values))
    off = abs(median + 1000.0)
    if median == HU_MIN or off <= settings.hu_air_warn:
        return ()
    refuse = off > settings.hu_air_refuse
    return (
        Notice(
            "hu_air",
            "refuse" if refuse else "warn",
            f"Air outside the body measures {median:.0f} HU; it should be -1000. "
            + (
                "These are not Hounsfield units: check rescale slope and intercept at the source."
                if refuse
                else "CT numbers of this scan may be off by as much."
            ),
            measured=median,
            limit=settings.hu_air_refuse if refuse else settings.hu_air_warn,
            unit="HU",
            affects=("all",),
        ),
    )


def _soft_tissue(scan: Scan, settings: Settings) -> tuple[Notice, ...]:
    peak = muscle_peak_hu(_sample(scan))
    if peak is None or (
        settings.hu_soft_tissue_warn_low <= peak <= settings.hu_soft_tissue_warn_high
    ):
        return ()
    refuse = not (settings.hu_soft_tissue_refuse_low <= peak <= settings.hu_soft_tissue_refuse_high)
    limits = (
        f"{settings.hu_soft_tissue_refuse_low:.0f}..{settings.hu_soft_tissue_refuse_high:.0f}"
        if refuse
        else f"{settings.hu_soft_tissue_warn_low:.0f}..{settings.hu_soft_tissue_warn_high:.0f}"
    )
    return (
        Notice(
            "hu_soft_tissue",
            "refuse" if refuse else "warn",
            f"Soft tissue peaks at {peak:.0f} HU; muscle should lie near +50. "
            + (
                "The values are not Hounsfield units (intercept missing or applied twice?): "
                "export the series again with its rescale values."
                if refuse
                else "CT numbers may be off, or little muscle is in view."
            ),
            measured=peak,
            limit=limits,
            unit="HU",
            affects=("all",),
        ),
    )


def muscle_peak_hu(values: HUArray) -> float | None:
    """Position (HU) of the soft-tissue peak of a chest; ``None`` where there is too little body.

    The highest peak within -10..140 HU if it is a real peak of the body's histogram, otherwise
    the body's highest peak wherever it is: that is then what is wrong.
    """
    low, high = -950, 1500
    body = values[(values > low) & (values < high)].astype(np.int64) - low
    if len(body) < 2000:
        return None
    smooth: FloatArray = ndimage.gaussian_filter1d(
        np.bincount(body, minlength=high - low).astype(np.float64), 8.0
    )
    # Lung is no soft tissue: the body's peak is looked for above -500 HU, unless all is below.
    above = smooth[-500 - low :]
    if above.sum() < 0.2 * smooth.sum():
        return float(np.argmax(smooth) + low)
    window = slice(-10 - low, 140 - low)
    place = int(np.argmax(smooth[window])) + window.start
    is_peak = smooth[place] >= smooth[place - 1] and smooth[place] >= smooth[place + 1]
    if is_peak and smooth[place] > 0.1 * above.max():
        return float(place + low)
    return float(int(np.argmax(above)) - 500)


def _thickness(scan: Scan, settings: Settings) -> tuple[Notice, ...]:
    stated = scan.acquisition.slice_thickness_mm
    notices: list[Notice] = []
    if stated:
        thickness = stated
    elif scan.geometry.shape[0] > 1:
        thickness = scan.geometry.spacing_mm[0]
        notices.append(
            Notice(
                "thickness_assumed",
                "note",
                f"The header does not state a slice thickness; {thickness:.2f} mm, the distance "
                "between slices, was taken.",
                measured=thickness,
                unit="mm",
            )
        )
    else:
        return ()
    for limit, effect, affects, sentence in (
        (
            settings.thickness_volume_null_mm,
            "null",
            ("volumes", "tails"),
            "volumes, percentiles, SD, LAA and HAA are withheld",
        ),
        (
            settings.thickness_tails_null_mm,
            "null",
            ("tails",),
            "percentiles, SD, LAA and HAA are withheld, and small lesions may be missed",
        ),
        (settings.thickness_warn_mm, "warn", ("tails", "lesions"), "small lesions may be missed"),
    ):
        if thickness > limit + 1e-3:
            notices.append(
                Notice(
                    "thickness",
                    "null" if effect == "null" else "warn",
                    f"Slices are {thickness:.2g} mm thick (limit {limit:g} mm): {sentence}.",
                    measured=thickness,
                    limit=limit,
                    unit="mm",
                    affects=affects,
                )
            )
            break
    return tuple(notices)


def _pixels(scan: Scan, settings: Settings) -> tuple[Notice, ...]:
    widest = max(scan.geometry.spacing_mm[1:])
    if widest <= settings.pixel_warn_mm:
        return ()
    return (
        Notice(
            "pixel_size",
            "warn",
            f"Pixels are {widest:.2g} mm wide (limit {settings.pixel_warn_mm:g} mm): vessels and "
            "borders fill whole pixels, and much of what is found as lesion may be normal lung. "
            "Use the scan at its full resolution.",
            measured=widest,
            limit=settings.pixel_warn_mm,
            unit="mm",
            affects=("lesions",),
        ),
    )


def _kernel(scan: Scan) -> tuple[Notice, ...]:
    kernel = scan.acquisition.kernel
    if scan.acquisition.kernel_class == "sharp":
        return (
            Notice(
                "kernel",
                "null",
                f"The sharp kernel {kernel} widens the histogram: percentiles, SD, LAA and HAA are "
                "withheld; means and volumes stand. Use a soft-kernel series where there is one.",
                measured=kernel,
                limit="soft or medium",
                affects=("tails",),
            ),
        )
    if scan.acquisition.kernel_class == "unknown":
        said = f"The kernel {kernel!r} is not in the table" if kernel else "No kernel is stated"
        return (
            Notice(
                "kernel",
                "warn",
                f"{said}: whether it is soft or sharp is not known, and percentiles, SD, LAA and "
                "HAA depend on it.",
                measured=kernel or "",
                limit="soft or medium",
                affects=("tails",),
            ),
        )
    return ()


def _contrast(scan: Scan) -> tuple[Notice, ...]:
    agent = scan.acquisition.contrast_agent
    if not agent:
        return ()
    return (
        Notice(
            "contrast",
            "warn",
            "The header states a contrast agent: lung and lesions are denser than without; "
            "compare only with scans that had contrast too.",
            measured="stated",
            limit="none",
            affects=("lesions",),
        ),
    )


def _position(scan: Scan) -> tuple[Notice, ...]:
    position = scan.acquisition.patient_position
    if position in _SUPINE:
        return ()
    if position is None:
        return (
            Notice(
                "position",
                "note",
                "The header does not say how the patient lay; dependent density cannot be told "
                "from its place.",
                measured="",
                limit="supine",
            ),
        )
    return (
        Notice(
            "position",
            "warn",
            f"The patient position is {position}, not supine: lung density and its front-to-back "
            "gradient differ from supine scans.",
            measured=position,
            limit="supine",
            affects=("lesions",),
        ),
    )
