"""What a configuration describes, in a few lines."""

from qernel.cli.application import console
from qernel.config import Config
from qernel.hamiltonian.hamiltonian import make_hamiltonian
from qernel.wavefunction import count_parameters, equal_fillings, wavefunction_shapes

_MOST_FILLINGS = 24  # of an open shell that are counted


def introduce(config: Config) -> None:
    """System and parameter counts, before anything slow happens."""
    system, cell = config.system, config.system.lattice()
    fits = "fits" if cell.fits_sqrt3_order else "does not fit"
    up, down = system.electrons
    console.print(
        f"{up} + {down} electrons in {cell.cells} moiré cells {cell.matrix} (sqrt3 x sqrt3 order {fits}), "
        f"eps {system.dielectric_constant:g}, phase {system.moire_phase:g} degrees, "
        f"V0 {system.moire_potential:g} meV, m* {system.effective_mass:g} m_e, "
        f"a_M {system.moire_constant:g} nm",
        highlight=False,
        soft_wrap=True,
    )
    ranges = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in config.contexts.items())
    console.print(f"contexts: {ranges or f'none; moire_depth {system.moire_depth:g}'}", highlight=False)
    counts = parameters_by_module(config)
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
        console.print(
            f"open shell: {number} fillings of this momentum are equally low;"
            f" {config.model.determinants} determinants take one each in turn"
            + (f" and leave some out (model.determinants={fillings})" if left_out else ""),
            highlight=False,
            soft_wrap=True,
        )


def parameters_by_module(config: Config) -> dict[str, int]:
    """Numbers of variational parameters."""
    return count_parameters(wavefunction_shapes(config, make_hamiltonian(config)))
