"""Negative controls: electrons without interaction must show nothing that a transition would show."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from qernel.batching import walker_mesh
from qernel.estimators.statistics import estimate
from qernel.hamiltonian import Coulomb, moire_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import supercell_of
from qernel.sampling import initial_walkers, make_sampling
from qernel.verification.check import Check
from qernel.verification.hamiltonian import standard_family
from qernel.wavefunction.slater import BlochDeterminant

_GROUP = "negative controls"
_DEPTHS = np.linspace(0.7, 1.5, 9)


def check_no_jump(*, walkers: int = 512, samples: int = 60) -> Iterator[Check]:
    """The Coulomb energy of non-interacting electrons (7 in 9 cells, a closed shell) is smooth in the depth.

    Their states are filled with the interaction switched off and measured with it. A straight line on either
    side of every possible break must not mismatch there beyond what one smooth curve explains.
    """
    family = standard_family(ranges=(("moire_depth", 0.5, 2.0),))
    hamiltonian = moire_hamiltonian(supercell_of(9), (7, 0), family)
    mesh = walker_mesh(walkers)
    sample = make_sampling(hamiltonian, mesh, 4, jnp.float64, 32)
    start = initial_walkers(jax.random.key(3), hamiltonian.supercell, 7, 1, walkers, jnp.float64)
    measure = jax.jit(jax.vmap(Coulomb(hamiltonian.supercell), (0, None)))
    energies, errors = [], []
    for number, depth in enumerate(_DEPTHS):
        contexts = jnp.array([[depth]])
        couplings = jax.tree.map(lambda x: x[0], couplings_of(hamiltonian, contexts, jnp.float64))
        model = BlochDeterminant(hamiltonian.supercell, (7, 0), couplings, shell=3.01)
        now, values = start, []
        for index in range(20 + samples):
            key = jax.random.fold_in(jax.random.key(4 + number), index)
            now, _ = sample(model, now, contexts, key)
            if index >= 20:
                values.append(np.asarray(measure(now.electrons[0], couplings)))
        found = estimate(np.stack(values))
        unit = float(couplings.energy_unit) / 7
        energies.append(unit * float(found.mean))
        errors.append(unit * float(found.error))
    jump, error = largest_jump(_DEPTHS, np.array(energies), np.array(errors))
    yield Check(
        _GROUP,
        "largest jump of the interaction energy without interaction",
        "meV",
        0.0,
        jump,
        error,
        source="filled bands change smoothly",
    )


def largest_jump(x: np.ndarray, y: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """The most significant step, with its error, of a parabola with a step between two neighbouring points.

    The step's significance is lowered by sqrt(2 ln(number of places)), as it is the largest of so many.
    """
    places = range(3, len(x) - 2)
    found = []
    for place in places:
        step = (np.arange(len(x)) >= place).astype(float)
        design = np.stack([np.ones_like(x), x, x**2, step], axis=1) / errors[:, None]
        covariance = np.linalg.inv(design.T @ design)
        amplitude = float((covariance @ design.T @ (y / errors))[-1])
        found.append((amplitude, float(np.sqrt(covariance[-1, -1]))))
    amplitude, error = max(found, key=lambda pair: abs(pair[0]) / pair[1])
    return amplitude, error * float(np.sqrt(max(1.0, 2 * np.log(len(found)))))
