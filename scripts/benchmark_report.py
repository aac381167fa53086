"""The HTML pages, measured: the figures of docs/benchmarks/report.md.

    python scripts/benchmark_report.py --write             all parts, then the page
    python scripts/benchmark_report.py --parts cost        one part; prints the page
    python scripts/benchmark_report.py --parts --write     no part: the page from old rows

Parts: ``pages`` makes the page of a real scan, of the shipped pair and of a simulated trial and
opens each in headless Chromium (needs chromium, chromedriver and ``pip install 'ctlung[browser]'``;
``CTLUNG_AXE`` names the axe.min.js of axe-core); ``cost`` what page and DICOM objects add to
``ctlung segment`` of 300 slices of 512 x 512.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmark_main_job import REPOSITORY, data_folder
from segmentation_cost import write_scan
from segmentation_rows import Recorder, Row, rows_of

TABLE = REPOSITORY / "docs" / "benchmarks" / "report.md"
PARTS = ("pages", "cost")
SLICES = 300
RUNS = 3
SAMPLES = REPOSITORY / "sample_scans"
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1300,1000"
)
PAINT = (
    "const seen = performance.getEntriesByName('first-contentful-paint');"
    "return seen.length ? seen[0].startTime : null"
)
STEPS = """
import json, sys, time
import ctlung
source, out = sys.argv[1:]
result = ctlung.segment(source, device="cpu")
from pathlib import Path
place, seconds = Path(out), {}
def timed(name, work):
    start = time.perf_counter()
    work()
    seconds[name] = round(time.perf_counter() - start, 2)
timed("folder", lambda: ctlung.write_result(result, place / "a", with_page=False))
timed("folder_and_page", lambda: ctlung.write_result(result, place / "b"))
timed("dicom", lambda: ctlung.write_dicom(result, source, place / "c"))
sizes = {p.name: p.stat().st_size for f in "bc" for p in (place / f).iterdir()}
print(json.dumps({"seconds": seconds, "bytes": sizes}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("--shots", type=Path, help="keep screenshots here, outside the repository")
    chosen = parser.parse_args()
    # Where screenshots are kept is nobody's business.
    told = ["--parts", *chosen.parts, *(["--write"] if chosen.write else [])]
    recorder = Recorder("python scripts/benchmark_report.py " + shlex.join(told))
    with tempfile.TemporaryDirectory() as folder:
        if "pages" in chosen.parts:
            for name, make in PAGES.items():
                work = partial(_page, name, make, Path(folder) / name, chosen.shots)
                recorder.make(f"report-{name}", work)
        if "cost" in chosen.parts:
            recorder.make("reportcost-300", partial(_cost, Path(folder)))
    lines = page()
    if chosen.write:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"written: {TABLE.relative_to(REPOSITORY)}")
    else:
        print("\n".join(lines))
    if recorder.failures:
        print("\n".join(recorder.failures), file=sys.stderr)
        sys.exit(1)


def _ctlung(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "ctlung", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def _one_scan(source: Path, place: Path) -> Path:
    _ctlung("segment", source, "-o", place, "--uncertainty", "--device", "cpu")
    return place / "report.html"


def _pair(place: Path) -> Path:
    for visit in ("baseline", "followup"):
        _one_scan(SAMPLES / visit, place / visit)
    visits = [place / visit for visit in ("baseline", "followup")]
    _ctlung("compare", *visits, "-o", place / "change", "--infusion", "2020-02-12")
    return place / "change" / "report.html"


PAGES: dict[str, Callable[[Path], Path]] = {
    "ricord-1a-001012": partial(_one_scan, data_folder() / "dicom" / "ricord-1a-001012"),
    "phantom": partial(_one_scan, SAMPLES / "baseline"),
    "phantom-pair": _pair,
}


def _page(name: str, make: Callable[[Path], Path], place: Path, shots: Path | None) -> Row:
    path = make(place)
    figures = _opened(path, name, shots)
    return {"part": "report", "case": name, "bytes": path.stat().st_size, **figures}


def _opened(path: Path, name: str, shots: Path | None) -> Row:
    """What Chromium makes of a page, in light and in dark."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    for argument in QUIET.split():
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        paints, faults = [], []
        for scheme in ("light", "dark"):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            browser.get(path.as_uri())
            paints.append(WebDriverWait(browser, 20).until(lambda b: b.execute_script(PAINT)))
            faults += _faults(browser)
            if shots is not None:
                shots.mkdir(parents=True, exist_ok=True)
                browser.save_screenshot(str(shots / f"{name}-{scheme}.png"))
        asked = browser.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
        return {
            "first_paint_ms": [round(float(p)) for p in paints],
            "console": [e["message"] for e in browser.get_log("browser")],
            "requests": [name for name in asked if not name.startswith("data:")],
            "axe": sorted({f"{f[0]} ({f[1]})" for f in faults}),
            "axe_run": bool(os.environ.get("CTLUNG_AXE")),
            "pdf_pages": pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/"),
            "browser": browser.capabilities["browserVersion"],
        }
    finally:
        browser.quit()


def _faults(browser: Any) -> list[list[str]]:
    axe = os.environ.get("CTLUNG_AXE")
    if not axe:
        return []
    browser.execute_script(Path(axe).read_text(encoding="utf-8"))
    found: list[list[str]] = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(r => "
        "done(r.violations.map(v => [v.id, v.impact])))"
    )
    return found


def _cost(place: Path) -> Row:
    """Each run in a process of its own, so that loading the libraries counts."""
    write_scan(place / "long", SLICES)
    runs = []
    for number in range(RUNS):
        out = place / f"run{number}"
        command = [sys.executable, "-c", STEPS, str(place / "long" / "dicom"), str(out)]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append(json.loads(said.stdout.splitlines()[-1]))
    return {"part": "reportcost", "case": f"{SLICES} slices", "runs": runs, "goal_s": 5}


def page() -> list[str]:
    """All tables, from the rows that were written."""
    lines = [
        "# Pages and DICOM objects, measured",
        "",
        "Made by `python scripts/benchmark_report.py`.",
        "",
        "## In headless Chromium",
        "",
        "| page | MB | first paint, ms (light, dark) | console | requests that leave the page | "
        "axe-core | pages of PDF | Chromium |",
        "|---|---:|---|---|---|---|---:|---|",
    ]
    rows = rows_of("report")
    for r in rows:
        paints = ", ".join(str(p) for p in r["first_paint_ms"])
        axe = "; ".join(r["axe"]) or ("nothing" if r["axe_run"] else "not run")
        lines.append(
            f"| {r['case']} | {r['bytes'] / 1e6:.1f} | {paints} | "
            f"{'; '.join(r['console']) or 'nothing'} | {len(r['requests'])} | {axe} | "
            f"{r['pdf_pages']} | {r['browser']} |"
        )
    lines += ["", *_from(rows), "", "## What they add to `ctlung segment`", ""]
    for r in rows_of("reportcost"):
        lines += _cost_lines(r)
    return lines


def _cost_lines(r: Row) -> list[str]:
    runs = r["runs"]
    added = [
        run["seconds"]["folder_and_page"] - run["seconds"]["folder"] + run["seconds"]["dicom"]
        for run in runs
    ]
    lines = [
        f"{r['case']} of 512 x 512, loading the libraries included, s; goal {r['goal_s']}.",
        "",
        "| run | folder without page | with page | SEG and SR | page, SEG and SR add |",
        "|---:|---:|---:|---:|---:|",
    ]
    for number, (run, more) in enumerate(zip(runs, added, strict=True), start=1):
        s = run["seconds"]
        lines.append(
            f"| {number} | {s['folder']:.1f} | {s['folder_and_page']:.1f} | {s['dicom']:.1f} | "
            f"{more:.1f} |"
        )
    sizes = runs[0]["bytes"]
    told = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(sizes.items()))
    return [*lines, "", f"MB: {told}.", "", *_from([r])]


def _from(rows: list[Row]) -> list[str]:
    stamps = {json.dumps(r["stamp"], sort_keys=True): r["stamp"] for r in rows}
    return [
        f"{s['machine']}; {s['date']}; `{s['command']}`; load {s['load_average']}; "
        f"code {s['code_sha256'][:12]}."
        for s in stamps.values()
    ]


if __name__ == "__main__":
    main()
