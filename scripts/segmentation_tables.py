"""The tables of docs/benchmarks/segmentation.md, made from all rows that were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from segmentation_cases import DRAWN, TRAINED_ON
from segmentation_rows import Row, origins, rows_of

NONE = "–"


def cell(value: Any, digits: int = 3, sign: bool = False) -> str:
    """A number for a table; a dash where there is none."""
    if value is None:
        return NONE
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 2) -> list[str]:
    """Markdown; the first ``words`` columns are text, the others numbers."""
    marks = [" --- " if i < words else " ---: " for i in range(len(heads))]
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join(marks) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def verdict(met: bool) -> str:
    return "met" if met else "**MISSED**"


def names_of(rows: Sequence[Row]) -> list[str]:
    return sorted({row["segmenter"] for row in rows})


def with_origins(title: str, rows: list[Row], body: Callable[[list[Row]], list[str]]) -> list[str]:
    """A section; says so where nothing was measured."""
    if not rows:
        return ["", f"## {title}", "", "Not measured."]
    return ["", f"## {title}", "", *body(rows), "", *origins(rows)]


def page() -> list[str]:
    """The whole page below its title."""
    sections = (
        ("Lungs against lungs drawn by hand", "drawn", drawn_section),
        ("Lesions of the test family put into drawn lungs", "lesions", lesions_section),
        ("Real pneumonias and held-out patients without drawn lungs", "pneumonia", pneumonia),
        ("Time and memory", "cost", cost_section),
        ("The same scan stored, turned or resampled otherwise", "copies", copies_section),
    )
    lines: list[str] = []
    for title, part, body in sections:
        lines += with_origins(title, rows_of(part), body)
    return lines


def drawn_section(rows: list[Row]) -> list[str]:
    order = {case.name: i for i, case in enumerate(DRAWN)}
    rows = sorted(rows, key=lambda r: (order[r["case"]], r["segmenter"]))
    return [
        *_overlap_table(rows),
        "",
        "Both: right and left together. Beyond: ml claimed more than 10 mm from the reference. "
        "Without tumour: tumour voxels count in neither mask. medseg has no known spacing.",
        "",
        *_parts_table(rows),
        "",
        "ASSD / HD95 in mm / NSD at 2 mm. Hilum: within 20 mm of the airway mask of the "
        "threshold segmenter; diaphragm: lower third, normal within 45 degrees of the feet; chest "
        "wall: the rest. Own code on scipy's exact distance transform; border voxels counted.",
        "",
        *_sides_table(rows),
        "",
        *(line for name in names_of(rows) for line in _drawn_goals(name, rows)),
    ]


def _overlap_table(rows: list[Row]) -> list[str]:
    heads = ["scan (use)", "segmenter (weights)", "Dice both", "right", "left", "ASSD mm"]
    heads += ["MASD mm", "HD95 mm", "NSD 2 mm", "volume error ml", "%", "beyond ml"]
    heads += ["Dice without tumour", "beyond without tumour ml"]
    lines = []
    for r in rows:
        s = r.get("surface", {})
        refused = " **refused**" if r["refused"] else ""
        lines.append(
            [f"{r['case']} ({r['use']})", f"{r['segmenter']} ({r['weights']}){refused}"]
            + [cell(r.get(k), 4) for k in ("dice", "dice_right", "dice_left")]
            + [cell(s.get(k), 2) for k in ("assd_mm", "masd_mm", "hd95_mm")]
            + [cell(s.get("nsd"), 4), cell(r.get("volume_error_ml"), 0, True)]
            + [cell(r["volume_error_percent"], 1, True), cell(r.get("beyond_ml"), 1)]
            + [cell(r.get("dice_outside_tumour"), 4), cell(r.get("beyond_outside_tumour_ml"), 1)]
        )
    return table(heads, lines)


def _surface_cell(s: dict[str, Any] | None) -> str:
    if s is None:
        return NONE
    return f"{cell(s['assd_mm'], 2)} / {cell(s['hd95_mm'], 1)} / {cell(s['nsd'], 3)}"


def _parts_table(rows: list[Row]) -> list[str]:
    parts = ("hilum", "diaphragm", "chest_wall")
    lines = [
        [r["case"], r["segmenter"], *(_surface_cell(r["surface_parts"].get(p)) for p in parts)]
        for r in rows
        if "surface_parts" in r
    ]
    return table(["scan", "segmenter", "hilum", "diaphragm", "chest wall"], lines)


def _sides_table(rows: list[Row]) -> list[str]:
    lines = [
        [r["case"], r["segmenter"], *(_surface_cell(r[f"surface_{s}"]) for s in ("right", "left"))]
        for r in rows
        if "surface_right" in r
    ]
    return table(["scan", "segmenter", "right lung", "left lung"], lines)


def _drawn_goals(name: str, rows: list[Row]) -> list[str]:
    mine = {r["case"]: r for r in rows if r["segmenter"] == name}
    lines = []
    for words, wanted in (
        ("the T patients of LCTSC, each by the fold that left it out", TRAINED_ON),
        ("all five of LCTSC", (*TRAINED_ON, "lctsc-202")),
    ):
        scores = [mine[c]["dice"] for c in wanted if c in mine]
        if len(scores) < len(wanted):
            lines.append(f"- {name}, {words}: {len(scores)} of {len(wanted)} measured, no verdict.")
            continue
        mean, least = float(np.mean(scores)), min(scores)
        lines.append(
            f"- {name}, {words}: mean Dice {mean:.4f} (goal >= 0.975: {verdict(mean >= 0.975)}), "
            f"lowest {least:.4f} (goal >= 0.965: {verdict(least >= 0.965)})."
        )
    for case in ("medseg-rp1", "medseg-rp7"):
        if case in mine:
            score = mine[case]["dice"]
            lines.append(
                f"- {name}, {case}: Dice {score:.4f} (goal >= 0.965: {verdict(score >= 0.965)})."
            )
    beyond = {c: r["beyond_ml"] for c, r in mine.items() if "beyond_ml" in r}
    over = [f"{c} {ml:.1f} ml" for c, ml in beyond.items() if ml >= 10.0]
    lines.append(
        f"- {name}, claimed more than 10 mm beyond the reference: {len(beyond) - len(over)} of "
        f"{len(beyond)} cases under 10 ml (goal: all: {verdict(not over)})"
        + (f"; over: {', '.join(over)}." if over else ".")
    )
    return lines


def lesions_section(rows: list[Row]) -> list[str]:
    clean = {(r["case"], r["segmenter"]): r["dice"] for r in rows if r["load_percent"] == 0}
    for r in rows:
        before = clean.get((r["case"], r["segmenter"]))
        r["loss"] = None if before is None else before - r["dice"]
    rows = sorted(rows, key=lambda r: (r["case"], r["load_percent"], r["draw"], r["segmenter"]))
    heads = ["host, load, draw", "segmenter (weights)", "load reached %", "Dice", "loss", "kept"]
    heads += ["ground-glass kept", "consolidation kept", "volume error ml", "%", "beyond ml"]
    heads += ["effusion ml", "of it claimed ml"]
    lines = []
    for r in rows:
        refused = " **refused**" if r["refused"] else ""
        lines.append(
            [f"{r['case']}, {r['load_percent']} %, {r['draw']}"]
            + [f"{r['segmenter']} ({r['weights']}){refused}"]
            + [cell(r.get("load_reached_percent"), 1), cell(r["dice"], 4)]
            + [cell(r["loss"] if r["load_percent"] else None, 4)]
            + [cell(r.get(f"kept{k}"), 3) for k in ("", "_ground_glass", "_consolidation")]
            + [cell(r["volume_error_ml"], 0, True), cell(r["volume_error_percent"], 1, True)]
            + [cell(r["beyond_ml"], 1)]
            + [cell(r.get(k), 0) for k in ("effusion_ml", "effusion_claimed_ml")]
        )
    digests = sorted({r["parameters_sha256"] for r in rows})
    return [
        *table(heads, lines),
        "",
        *_load_summary(rows),
        "",
        f"sha256 of family_test_parameters.py: {', '.join(digests)}. Effusion is no lung: it is "
        "out of the reference. Load 0 is the host as it is; loss is against it.",
    ]


def _load_summary(rows: list[Row]) -> list[str]:
    heads = [
        "load %",
        "segmenter",
        "cases",
        "loss mean",
        "loss worst",
        "goal",
        "cases that meet it",
    ]
    heads += ["kept of all", "kept worst", "cases with >= 0.95"]
    lines = []
    for percent in sorted({r["load_percent"] for r in rows} - {0}):
        goal = 0.02 if percent >= 50 else 0.005
        for name in names_of(rows):
            mine = [r for r in rows if r["segmenter"] == name and r["load_percent"] == percent]
            losses = [r["loss"] for r in mine if r["loss"] is not None]
            if not mine or not losses:
                continue
            kept = [r["kept"] for r in mine]
            all_kept = float(np.average(kept, weights=[r["lesion_ml"] for r in mine]))
            good, whole = sum(v <= goal for v in losses), sum(v >= 0.95 for v in kept)
            figures = (cell(float(np.mean(losses)), 4), cell(max(losses), 4), f"<= {goal:g}")
            share = f"{all_kept:.3f} {verdict(all_kept >= 0.95)}"
            met = (f"{good} of {len(losses)}", share, cell(min(kept), 3), f"{whole} of {len(kept)}")
            lines.append([str(percent), name, str(len(mine)), *figures, *met])
    return table(heads, lines)


def pneumonia(rows: list[Row]) -> list[str]:
    rows = sorted(rows, key=lambda r: (r["held_out"], r["case"], r["segmenter"]))
    heads = ["scan", "segmenter (weights)", "lung ml", "only this one ml", "only threshold ml"]
    heads += ["lesion ml", "of it outside threshold mask ml", "> -400 HU in mask ml", "notices"]
    lines = [
        [r["case"], f"{r['segmenter']} ({r['weights']})", cell(r["lung_ml"], 0)]
        + [cell(r.get(k), 0) for k in ("only_this_ml", "only_threshold_ml", "lesion_ml")]
        + [cell(r.get("lesion_outside_threshold_ml"), 0), cell(r["dense_ml"], 0)]
        + [", ".join(r.get("notices", [])) or ("refused" if r["refused"] else NONE)]
        for r in rows
    ]
    return [
        *table(heads, lines),
        "",
        "Without a reference: the overlays of every tenth slice (benchmark_output/segmentation/) "
        "are to be looked at, and what is wrong said in words.",
    ]


def cost_section(rows: list[Row]) -> list[str]:
    rows = sorted(rows, key=lambda r: (r["slices"], r["threads"], r["what"]))
    r231 = {(r["slices"], r["threads"]): r["seconds"] for r in rows if r["what"] == "r231"}
    heads = [
        "what",
        "device",
        "slices",
        "threads",
        "s",
        "to load s",
        "process s",
        "CPU s",
        "peak MB",
    ]
    heads += ["limit MB", "R231 takes times as long", "goal", "load average before"]
    return [
        *table(heads, [_cost_row(r, r231) for r in rows]),
        "",
        "R231: the forward pass of a network of its layout with random weights, 6 slices of "
        "256 x 256, scaled to all slices; lungmask's own work before and after it is not in it. "
        "s: for R231 that, for a segmenter its first call, loaded; process: from start to end of "
        "a fresh process (cli: DICOM folder to finished report and pictures); CPU: what all its "
        "threads used. Limit: four times the int16 volume and 1 GB; R231 held 6 slices only.",
        *(
            []
            if any(str(r.get("device", "")).startswith("cuda") for r in rows)
            else ["", "CUDA: not measured (no GPU in these runs)."]
        ),
    ]


def _cost_row(r: Row, r231: dict[tuple[int, int], float]) -> list[str]:
    limit = 4 * r["volume_mb"] + 1000.0
    base = r231.get((r["slices"], r["threads"]))
    alone = not r["what"].startswith("cli-") and r["what"] != "r231"
    times = base / r["seconds"] if alone and base is not None else None
    goals = []
    if times is not None and r["what"] != "threshold":
        goals.append(f">= 40 times {verdict(times >= 40)}")
    if r["what"].startswith("cli-") and (r["slices"], r["threads"]) == (300, 2):
        goals.append(f"< 20 s {verdict(r['wall_s'] < 20)}")
    if r["what"] != "r231":
        goals.append(f"memory {verdict(r['peak_mb'] < limit)}")
    return [
        r["what"],
        r.get("device", "cpu"),
        str(r["slices"]),
        str(r["threads"]),
        cell(r.get("seconds"), 2),
        cell(r.get("load_s"), 2),
        cell(r["wall_s"], 1),
        cell(r.get("cpu_s"), 1),
        cell(r["peak_mb"], 0),
        NONE if r["what"] == "r231" else cell(limit, 0),
        cell(times, 1),
        "; ".join(goals) or NONE,
        str(r["stamp"]["load_average"]),
    ]


def copies_section(rows: list[Row]) -> list[str]:
    rows = sorted(rows, key=lambda r: (r["case"], r["segmenter"], r["copy"]))
    heads = ["scan, copy", "segmenter (weights)", "voxels equal", "Dice both", "right", "left"]
    heads += ["goal >= 0.99", "the grid alone"]
    keys = ("dice", "dice_right", "dice_left")
    lines = [
        [f"{r['case']}, {r['copy']}", f"{r['segmenter']} ({r['weights']})"]
        + ["yes" if r["voxels_equal"] else "no"]
        + [cell(r[k], 4) for k in keys]
        + [verdict(min(r[k] for k in keys) >= 0.99), cell(r.get("dice_of_grid_alone"), 4)]
        for r in rows
    ]
    return [
        *table(heads, lines),
        "",
        "The grid alone: Dice of the original's lungs brought to the copy's grid and back, which "
        "no segmenter has touched.",
    ]
