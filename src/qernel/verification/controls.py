"""Negative controls: electrons without interaction must show nothing that a transition would show."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from qernel.config import parse_config
from qernel.dataset import sweep_dataset
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort, Measurement
from qernel.sampling import initial_walkers
from qernel.transition import weigh
from qernel.verification.check import Check
from qernel.wavefunction.slater import BlochDeterminant

_GROUP = "negative controls"
_DEPTHS = np.linspace(0.7, 1.5, 9)
_SEED = 3
_FILLED = {
    "system": {"electrons": [7, 0], "cells": 9, "dielectric_constant": 5.0},
    "contexts": {"moire_depth": [0.5, 2.0]},
    "training": {"stages": [{"steps": 1}]},
}


def check_no_transition(*, walkers: int = 256, samples: int = 60) -> Iterator[Check]:
    """Nothing jumps or bends by `qernel transition` in a sweep of electrons without interaction.

    How their states change from depth to depth is not measured: each depth has a wavefunction of its own.
    """
    evidence = weigh(sweep_of_filled_bands(walkers, samples))
    signs = [each.found for each in evidence.breaks.values()]
    yield Check(
        _GROUP,
        f"jumps and kinks in {len(signs)} signs of a transition, electrons without interaction",
        "1",
        0.0,
        float(sum(signs)),
        source="filled bands change smoothly",
    )


def sweep_of_filled_bands(walkers: int, samples: int) -> xarray.Dataset:
    """A sweep over the depth of seven electrons in nine cells, a closed shell, whose interaction was off.

    It is on where they are measured, but not in the states that are filled: these change smoothly.
    """
    config = parse_config(_FILLED)
    hamiltonian, spins = make_hamiltonian(config), config.system.electrons
    observables = ("structure_factor", "momentum_sector", "response")
    effort = Effort(walkers, equilibration=20, samples=samples, seed=_SEED, observables=observables)
    measure = Measurement(hamiltonian, effort, jnp.float64)
    rows, grid = [], _DEPTHS[:, None]
    for number, context in enumerate(grid):
        couplings = hamiltonian.family.couplings(jnp.asarray(context))
        model = BlochDeterminant(hamiltonian.supercell, spins, couplings, shell=3.01)
        start, key = jax.random.split(jax.random.fold_in(jax.random.key(_SEED), number))
        at = initial_walkers(start, hamiltonian.supercell, sum(spins), 1, walkers, jnp.float64)
        (measured,) = measure(model, at, context[None], key)
        rows.append(measured.results)
    coordinates = {}
    for observable in measure.observables.values():
        coordinates |= observable.coordinates()
    return sweep_dataset(config, {"moire_depth": _DEPTHS.tolist()}, grid, rows, coordinates, effort, step=0)
