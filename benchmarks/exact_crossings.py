"""At which depths do exact energies of different total momentum cross, for six electrons in nine cells?

Reads what `exact_energies.py` has recorded, and follows `qernel.crossing`: a parabola through the difference
of two energies, or a straight line where there are few depths. Prints a row per moiré phase and dielectric
constant where they cross between two depths.
"""

import argparse
import json
from itertools import groupby

import numpy as np
import xarray
from exact_energies import CONTEXT, HERE, SYSTEMS
from rich.console import Console
from rich.table import Table

from qernel.crossing import Crossing, crossings
from qernel.numbers import with_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--system", choices=SYSTEMS, default="6/9")
    path = HERE / f"exact_{parser.parse_args().system.replace('/', '_')}.json"
    contexts = json.loads(path.read_text())["contexts"]
    table = Table("phase", "eps", "depths", "momentum before", "after", "cross at depth", box=None)
    contexts.sort(key=lambda context: [context[name] for name in CONTEXT])
    for (phase, dielectric), group in groupby(contexts, lambda context: [context[n] for n in CONTEXT[:2]]):
        along = list(group)
        depths = ", ".join(f"{context['moire_depth']:g}" for context in along)
        for each in crossings_of(along):
            at = with_error(each.value, each.error)
            table.add_row(f"{phase:g}", f"{dielectric:g}", depths, each.before, each.after, at)
    Console(width=130).print(table)


def crossings_of(contexts: list[dict]) -> list[Crossing]:
    """Where the lowest sector changes along the depth; its name is the first momentum of its star."""
    names = [str(tuple(sector["momenta"][0])) for sector in contexts[0]["sectors"]]
    coordinates = {"model": names, "moire_depth": [context["moire_depth"] for context in contexts]}
    energy, error = (
        xarray.DataArray(
            np.transpose([[sector[key] for sector in context["sectors"]] for context in contexts]),
            coordinates,
            ("model", "moire_depth"),
        )
        for key in ("energy", "uncertainty")
    )
    return crossings(energy, error)


if __name__ == "__main__":
    main()
