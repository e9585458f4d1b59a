"""How figures look, and how they are saved."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from PIL import Image

from qernel.units import CONTEXT_PARAMETERS

# Okabe and Ito's palette, which people with any colour vision tell apart
MEASURED = "#0072B2"
DIFFERENCE = "#D55E00"
SPREAD = "#009E73"
EXACT = "#222222"
MUTED = "#8a8a8a"
OUTSIDE = "#efefef"
SERIES = (MEASURED, DIFFERENCE, SPREAD, "#CC79A7")  # one colour a sweep

#: Colour maps of monotonic lightness; lines leave out the end that is too light on white, and maps use
#: few enough colours that PNG files keep them all.
CONTEXT_COLOURS = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.87, 256)))
DENSITY_COLOURS = matplotlib.colormaps["Blues"].resampled(100)
ENERGY_COLOURS = matplotlib.colormaps["cividis"]

WIDTH = 8.0  # inches
_LARGEST_PNG = 300_000  # bytes
_RESOLUTIONS = (180, 150, 120, 80)  # dots per inch, tried in turn

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: pages look the same everywhere
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.5,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # text that stays text
}

_SYMBOLS = {
    "moire_depth": "λ",
    "moire_phase": "φ",
    "dielectric_constant": "ε",
    "effective_mass": "m*",
    "moire_constant": "a_M",
    "twist_1": "twist 1",
    "twist_2": "twist 2",
}
_SPELLED = {"lambda": "λ", "phi": "φ", "eps": "ε"}
_UNITS = {"1": "", "degree": "°", "m_e": "mₑ", "meV": "meV", "nm": "nm"}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw and save inside: matplotlib's settings are put back afterwards."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, sizes in inches, outside pyplot's state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, stem: Path) -> bytes:
    """Write stem.pdf and stem.png, the latter below 300 kB; returns the PNG."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # once is enough
    # Without dates, equal figures are equal files
    figure.savefig(f"{stem}.pdf", format="pdf", metadata={"CreationDate": None})
    png = b""
    for resolution in _RESOLUTIONS:
        png = _png(figure, resolution)
        if len(png) < _LARGEST_PNG:
            break
    Path(f"{stem}.png").write_bytes(png)
    return png


def _png(figure: Figure, resolution: int) -> bytes:
    """A PNG in 256 colours, a third of the size of one in full colour."""
    drawn, compact = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=resolution)
    image = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(compact, format="png", optimize=True)
    return compact.getvalue()


def symbol(parameter: str) -> str:
    """Short name of a context parameter, e.g. λ."""
    return _SYMBOLS.get(parameter, parameter)


def unit(parameter: str) -> str:
    """Unit of a context parameter as it is printed; empty for a pure number."""
    units, _ = CONTEXT_PARAMETERS.get(parameter, ("1", parameter))
    return _UNITS.get(units, units)


def spoken(parameter: str) -> str:
    """Name of a context parameter in words, with its symbol, e.g. moiré phase φ."""
    _, words = CONTEXT_PARAMETERS.get(parameter, ("1", parameter))
    return " ".join(_SPELLED.get(word, word) for word in words.split())


def axis_label(parameter: str) -> str:
    """Name and unit of a context parameter, e.g. moiré phase φ (°)."""
    units = unit(parameter)
    return for_matplotlib(f"{spoken(parameter)} ({units})" if units else spoken(parameter))


def with_unit(parameter: str, value: float) -> str:
    """A parameter's value with its unit, e.g. 45° or 8.031 nm."""
    space = "" if unit(parameter) in ("", "°") else " "
    return f"{value:.5g}{space}{unit(parameter)}"


def parameters_in_words(moire_potential: float, ranges: Mapping[str, tuple[float, float]]) -> str:
    """The Hamiltonian's parameters, with the range of those that vary; a twist where there is one."""
    parts = [f"V₀ = {moire_potential:g} meV"]
    for name, (low, high) in ranges.items():
        if low < high:
            parts.append(f"{symbol(name)} = {low:g} to {with_unit(name, high)}")
        elif low or not name.startswith("twist"):
            parts.append(f"{symbol(name)} = {with_unit(name, low)}")
    return ", ".join(parts)


def for_matplotlib(text: str) -> str:
    """Set a_M, which has a subscript that Unicode lacks, as mathematics."""
    return text.replace("a_M", "$a_M$")
