"""The chart: bars per case and peer, on a logarithmic scale, as an SVG written by hand."""

from html import escape

from benchmarks.report import Report

_COLOURS = {
    "ringfence": "#c2410c", "sqlalchemy-core": "#1d4ed8", "sqlalchemy-orm": "#60a5fa", "peewee": "#15803d",
    "django": "#4d7c0f", "pydal": "#6b7280", "penguin-dal": "#a21caf",
}  # fmt: skip
_LEFT, _WIDTH, _BAR, _GAP, _TOP = 235, 560, 9, 14, 62
_MOST = 20.0
_TICKS = (1, 1.5, 2, 3, 5, 10, 20)


def chart(report: Report) -> str:
    """An SVG of the ratios of one run; what is beyond twenty is cut off and says so."""
    lines = [line for line in report.lines if not line.name.startswith("async") and len(line.measured) > 1]
    names = [name for name in _COLOURS if any(name in line.measured for line in lines)]
    parts, y = [], float(_TOP)
    for line in lines:
        rows = [name for name in names if name in line.measured]
        middle = y + len(rows) * _BAR / 2 + 4
        parts.append(f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{_plain(line.title)}</text>')
        for name in rows:
            ratio = line.measured[name].ratio
            width = max(_place(ratio) - _LEFT, 1)
            parts.append(
                f'<rect x="{_LEFT}" y="{y:.0f}" width="{width:.1f}" height="{_BAR - 1}" fill="{_COLOURS[name]}">'
                f"<title>{_plain(line.title)}: {name} {ratio:.2f}</title></rect>"
            )
            parts.append(
                f'<text class="figure" x="{_LEFT + width + 3:.1f}" y="{y + _BAR - 2:.0f}">{ratio:.2f}</text>'
            )
            y += _BAR
        y += _GAP
    height, right = y + 6, _LEFT + _WIDTH
    grid = []
    for tick in _TICKS:
        x = _place(tick)
        grid.append(f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 10:.0f}" class="grid"/>')
        grid.append(f'<text class="figure" x="{x:.1f}" y="{_TOP - 10}" text-anchor="middle">{tick}</text>')
    legend, x = [], 10.0
    for name in names:
        legend.append(f'<rect x="{x:.0f}" y="26" width="10" height="10" fill="{_COLOURS[name]}"/>')
        legend.append(f'<text x="{x + 14:.0f}" y="35">{name}</text>')
        x += 34 + 6.6 * len(name)
    title = f"Time as a multiple of the bare driver's, {report.engine}: shorter is better (logarithmic)"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right + 50} {height:.0f}" '
            f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(title)}">',
            "<style>text{fill:#111}.figure{font-size:8px;fill:#555}.grid{stroke:#ddd}</style>",
            f'<rect width="{right + 50}" height="{height:.0f}" fill="#fff"/>',
            f'<text x="10" y="16" font-weight="bold">{escape(title)}</text>',
            *legend,
            *grid,
            *parts,
            "</svg>",
            "",
        ]
    )


def _plain(title: str) -> str:
    return escape(title.replace("`", ""))


def _place(ratio: float) -> float:
    """Where a ratio stands: 0.5 at the left end, twenty at the right, evenly in its logarithm."""
    from math import log

    share = log(min(max(ratio, 0.5), _MOST) / 0.5) / log(_MOST / 0.5)
    return _LEFT + share * _WIDTH
