"""The report of a trial as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ctlung.trial.cohort_names import PRIMARY, SECONDARY
from ctlung.trial.result import Cohort, Row
from ctlung.vocabulary import MEASURES, PAIR_MEASURES, RESEARCH_USE
from ctlung.writing.cohort_pictures import (
    Dot,
    Interval,
    bland_altman,
    forest,
    side_by_side,
    spaghetti,
    waterfall,
)

REPEAT_DAYS = 1.0
"""Two scans at most so far apart are repeat scans: their difference is the method's, not time's."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --line: #c8c8c8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eaeaea; --paper: #16181b; --line: #4a4a4a; }
  figure svg { background: #ffffff; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; font-size: 0.9rem; }
caption { text-align: left; padding: 0.3rem 0; }
th, td { text-align: left; padding: 0.25rem 0.6rem 0.25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
.said li { margin: 0.4rem 0; }
.research { border: 2px solid currentColor; padding: 0.5rem 0.8rem; font-weight: 600; }
@media print { body { max-width: none; margin: 0; } section { break-inside: avoid; } }
"""


def figure_names() -> tuple[str, ...]:
    """Every figure that a page may hold."""
    kinds = ("spaghetti", "waterfall", "arms", "repeat")
    return (*(f"{kind}_{m}" for m in PRIMARY for kind in kinds), "forest")


def figures(cohort: Cohort) -> dict[str, str]:
    """SVG text by name, of those that have something to show."""
    drawn = {}
    for measure in PRIMARY:
        label = _label(measure)
        dots = _dots(cohort, measure)
        if not dots:
            continue
        drawn[f"spaghetti_{measure}"] = spaghetti(dots, cohort.arms, label)
        drawn[f"waterfall_{measure}"] = waterfall(dots, cohort.arms, label)
        drawn[f"arms_{measure}"] = side_by_side(dots, cohort.arms, label)
        repeat = [
            p.changes[measure]
            for p in cohort.patients
            if p.complete and measure in p.changes and p.days is not None and p.days <= REPEAT_DAYS
        ]
        if len(repeat) > 2:
            drawn[f"repeat_{measure}"] = bland_altman(
                [c.baseline for c in repeat], [c.followup for c in repeat], label
            )
    lines = _sizes(cohort)
    if lines:
        text = "Hedges g: difference of the changes in standard deviations, "
        drawn["forest"] = forest(lines, text + " less ".join(cohort.arms))
    return drawn


def page(cohort: Cohort, drawn: Mapping[str, str]) -> str:
    """The whole page: sentences first, then tables and figures, then the methods."""
    said = [r.text for r in cohort.rows if r.section == "words" and r.text != RESEARCH_USE]
    parts = [
        "<h1>What the trial shows</h1>",
        f'<p class="research">{escape(RESEARCH_USE)}</p>',
        '<ul class="said">' + "".join(f"<li>{escape(s)}</li>" for s in said) + "</ul>",
        _section("Flow of patients", _flow(cohort)),
        _section("At baseline", _table(_of(cohort, "baseline"), ("measure", "arm", "what"))),
        *(_section(_label(m), _measure(cohort, drawn, m)) for m in PRIMARY),
    ]
    if "forest" in drawn:
        parts.append(_section("All measures", _figure(drawn["forest"], "Standardised effects")))
    rows = [r for r in cohort.rows if r.section in ("between", "within") and r.role == "secondary"]
    parts.append(_section("Secondary measures (exploratory)", _table(rows, _KEYS)))
    parts.append(
        _section("Methods", f"<pre style='white-space: pre-wrap'>{escape(cohort.methods)}</pre>")
    )
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>ctlung: cohort</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


_KEYS = ("measure", "section", "arm", "what")


def _measure(cohort: Cohort, drawn: Mapping[str, str], measure: str) -> str:
    about = MEASURES.get(measure) or PAIR_MEASURES[measure]
    rows = [
        r
        for r in cohort.rows
        if r.measure == measure and r.section in ("between", "within", "sensitivity", "repeated")
    ]
    order = {"between": 0, "repeated": 1, "within": 2, "sensitivity": 3}
    rows.sort(key=lambda r: order[r.section])
    shown = [
        _figure(drawn[name], words)
        for name, words in (
            (f"spaghetti_{measure}", "Each patient, baseline to follow-up"),
            (f"waterfall_{measure}", "Change of each patient"),
            (f"arms_{measure}", "Changes of the arms side by side"),
            (f"repeat_{measure}", "Repeat scans"),
        )
        if name in drawn
    ]
    definition = f"<p>{escape(about.definition)}</p>"
    return definition + _table(rows, ("section", "arm", "what")) + "".join(shown)


def _flow(cohort: Cohort) -> str:
    rows = _of(cohort, "flow")
    counts = [r for r in rows if not r.text]
    lost = [r for r in rows if r.text]
    table = _table(counts, ("arm", "what"))
    if not lost:
        return table
    items = "".join(
        f"<li>{escape(' '.join(w for w in (r.arm, r.what) if w))}: {escape(r.text)}</li>"
        for r in lost
    )
    return f"{table}<p>Left out:</p><ul>{items}</ul>"


def _of(cohort: Cohort, section: str) -> list[Row]:
    return [r for r in cohort.rows if r.section == section]


def _table(rows: Sequence[Row], keys: Sequence[str]) -> str:
    if not rows:
        return "<p>Nothing to show.</p>"
    numbers = [n for n in ("n", "value", "low", "high", "p", "p_holm")
               if any(getattr(r, n) is not None for r in rows)]  # fmt: skip
    words = {"p_holm": "p (Holm)", "low": "from", "high": "to"}
    head = "".join(f'<th scope="col">{escape(k)}</th>' for k in keys)
    head += "".join(f'<th scope="col" class="number">{words.get(n, n)}</th>' for n in numbers)
    lines = []
    for r in rows:
        cells = "".join(f"<td>{escape(_word(k, str(getattr(r, k))))}</td>" for k in keys)
        cells += "".join(f'<td class="number">{_number(n, getattr(r, n))}</td>' for n in numbers)
        lines.append(f"<tr>{cells}</tr>")
    told = "From and to: the 95 % interval, or the quartiles where that is said."
    caption = f"<caption>{told}</caption>" if "low" in numbers else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _word(key: str, text: str) -> str:
    return _label(text) if key == "measure" and text else text


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "n":
        return str(int(value))
    if name in ("p", "p_holm"):
        return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"
    return f"{value:.2f}".replace("-", "−")


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _figure(svg: str, words: str) -> str:
    label = f'<svg role="img" aria-label="{escape(words)}"'
    return (
        f"<figure>{svg.replace('<svg', label, 1)}<figcaption>{escape(words)}</figcaption></figure>"
    )


def _dots(cohort: Cohort, measure: str) -> list[Dot]:
    return [
        Dot(p.name, p.arm if cohort.arms else "", c.baseline, c.followup, bool(c.within_noise))
        for p in cohort.patients
        if p.complete and measure in p.changes
        for c in [p.changes[measure]]
    ]


def _sizes(cohort: Cohort) -> list[Interval]:
    found = []
    for measure in (*PRIMARY, *SECONDARY):
        for r in cohort.rows:
            known = r.value is not None and r.low is not None and r.high is not None
            if (r.section, r.measure, r.what) == ("between", measure, "Hedges g") and known:
                found.append(Interval(_title(measure), r.value or 0, r.low or 0, r.high or 0))
    return found


def _title(measure: str) -> str:
    return (MEASURES.get(measure) or PAIR_MEASURES[measure]).title


def _label(measure: str) -> str:
    about = MEASURES.get(measure) or PAIR_MEASURES[measure]
    return f"{about.title}, {about.unit}"
