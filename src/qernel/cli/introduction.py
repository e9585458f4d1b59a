"""What a configuration describes, in a few lines."""

from qernel.cli.application import console
from qernel.config import Config
from qernel.hamiltonian.hamiltonian import make_hamiltonian
from qernel.units import CONTEXT_PARAMETERS
from qernel.wavefunction import count_parameters, equal_fillings, wavefunction_shapes
from qernel.wavefunction.orbitals import BlochSeededOrbitals

_SHORT = {
    "moire_depth": "depth",
    "moire_phase": "phase",
    "dielectric_constant": "eps",
    "effective_mass": "m*",
    "moire_constant": "a_M",
}
_UNITS = {"1": "", "degree": " degrees"}
_MOST_FILLINGS = 24  # of an open shell that are counted


def introduce(config: Config) -> None:
    """System and parameter counts, before anything slow happens."""
    system, cell = config.system, config.system.lattice()
    fits = "fits" if cell.fits_sqrt3_order else "does not fit"
    up, down = system.electrons
    console.print(
        f"{up} + {down} electrons in {cell.cells} moiré cells {cell.matrix} (sqrt3 x sqrt3 order {fits}), "
        f"V0 {system.moire_potential:g} meV",
        highlight=False,
        soft_wrap=True,
    )
    fixed = {name: getattr(system, name) for name in CONTEXT_PARAMETERS if name not in config.contexts}
    constants = ", ".join(
        _stated(name, value) for name, value in fixed.items() if value or not name.startswith("twist")
    )
    ranges = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in config.contexts.items())
    within = "; ".join(
        f"{name} {low:g}" + (f" to {high:g}" if high > low else "")
        for name, (low, high) in config.training.within.items()
    )
    ranges += f", trained at {within} alone" if within else ""
    at = f"; at {constants}" if constants else ""
    momenta = f"; each of momenta {', '.join(map(str, config.model.momenta))}" if config.model.momenta else ""
    console.print(f"contexts: {ranges or 'none'}{momenta}{at}", highlight=False, soft_wrap=True)
    shapes = wavefunction_shapes(config, make_hamiltonian(config))
    orbitals = getattr(shapes, "orbitals", None)
    if config.model.sector == "lowest" and isinstance(orbitals, BlochSeededOrbitals):
        console.print(f"total momentum: {_label(orbitals)}", highlight=False, soft_wrap=True)
    counts = count_parameters(shapes)
    total = sum(counts.values())
    modules = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    share = counts.get("conditioning", 0) / total
    console.print(
        f"{config.model.ansatz}: {total:,} parameters ({modules}); conditioning {share:.1%}",
        highlight=False,
        soft_wrap=True,
    )
    fillings = equal_fillings(config, make_hamiltonian(config), _MOST_FILLINGS + 1)
    if fillings > 1:
        left_out = config.model.determinants < fillings <= _MOST_FILLINGS
        number = fillings if fillings <= _MOST_FILLINGS else f"more than {_MOST_FILLINGS}"
        which = "one of these momenta" if config.model.momenta else "this momentum"
        console.print(
            f"open shell: {number} fillings of {which} are equally low;"
            f" {config.model.determinants} determinants take one each in turn"
            + (f" and leave some out (model.determinants={fillings})" if left_out else ""),
            highlight=False,
            soft_wrap=True,
        )
    if config.contexts and config.model.sector == "free" and config.model.orbitals == "bloch":
        console.print(
            "momenta are free, but training may stay in that of the starting orbitals: where the ground state"
            " may change its momentum, train QERNEL in several (model.sector=[[n1,n2],...])",
            highlight=False,
            soft_wrap=True,
        )


def _label(orbitals: BlochSeededOrbitals) -> tuple[int, int]:
    """The shortest label of the columns' total momentum, as `model.sector` takes it."""
    (momentum,), cell = orbitals.sector_momenta, orbitals.supercell
    labels = (tuple(label) for label in cell.total_momenta().tolist())
    return next(label for label in labels if cell.momentum_class(label) == momentum)


def parameters_by_module(config: Config) -> dict[str, int]:
    """Numbers of variational parameters."""
    return count_parameters(wavefunction_shapes(config, make_hamiltonian(config)))


def _stated(name: str, value: float) -> str:
    """A parameter's value, e.g. depth 1 or a_M 8.031 nm."""
    unit = CONTEXT_PARAMETERS[name][0]
    return f"{_SHORT.get(name, name)} {value:g}{_UNITS.get(unit, f' {unit}')}"
