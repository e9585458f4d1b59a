"""How psi answers to the context c: forces, Hellmann-Feynman residual, fidelity susceptibility.

One conditional wavefunction knows its own derivative along every context parameter. With d_c log psi by
differentiation through the context,

    dE/dc = <d_c H> + 2 Re Cov(E_L, d_c log psi),        chi_F(c) = <|d_c log psi|^2> - |<d_c log psi>|^2.

The covariance is the Hellmann-Feynman residual dE/dc - <d_c H>: zero for an eigenstate, and for any state
whose energy the change along c cannot lower. chi_F measures how fast the state itself changes; it peaks
where one state replaces another, without an order parameter. Near a node |d_c log psi|^2 goes as the inverse
square of the distance, so that its variance diverges, if only as a logarithm: of few samples the mean is
rather too low than too high, by more than the error says in one of ten.

A twist t changes the boundary condition, not H: there
psi = e^{i sum_i t.r_i} u and H(t) = e^{-i t.r} H e^{i t.r} takes the place of H and u that of psi, hence
d_t H = sum_i B.(-i nabla_i).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qernel.estimators.observable import Configuration, Observable, Result
from qernel.estimators.statistics import Accumulator, jackknife_samples
from qernel.hamiltonian.couplings import Couplings
from qernel.units import CONTEXT_PARAMETERS, TWISTS
from qernel.wavefunction.base import Wavefunction


class ContextResponse(Observable):
    """Force <d_c H>, residual and chi_F for every parameter of the context."""

    def exists(self) -> bool:
        return bool(self.hamiltonian.family.names)

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        names, score = self.hamiltonian.family.names, self._score(model, at)
        energy, force = at.local.total.astype(jnp.complex128), self._force(model, at)
        found: dict[str, Array] = {"energy_real": energy.real, "energy_imaginary": energy.imag}
        for i, name in enumerate(names):
            found |= {
                f"{name}_force": force[i],
                f"{name}_real": score[i].real,
                f"{name}_imaginary": score[i].imag,
                f"{name}_square": jnp.abs(score[i]) ** 2,
                f"{name}_product": jnp.real(jnp.conj(energy) * score[i]),
            }
        return found

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        unit = float(couplings.energy_unit) / self.hamiltonian.electrons
        found = {}
        for name in self.hamiltonian.family.names:
            of, long_name = CONTEXT_PARAMETERS[name]
            per = "" if of == "1" else f" {of}^-1"
            force = samples[f"{name}_force"].estimate()
            found[f"force_{name}"] = Result(
                force.mean, force.error, f"meV{per}", f"<dH/dc> per electron, c = {long_name}"
            )
            parts = (
                f"{name}_product",
                f"{name}_real",
                "energy_real",
                f"{name}_imaginary",
                "energy_imaginary",
            )
            value, error = jackknife_samples(
                lambda p, a, x, b, y: 2 * (p - a * x - b * y), *(samples[part] for part in parts), skewed=True
            )
            found[f"residual_{name}"] = Result(
                unit * value,
                unit * error,
                f"meV{per}",
                f"Hellmann-Feynman residual dE/dc - <dH/dc> per electron, c = {long_name}",
            )
            parts = (f"{name}_square", f"{name}_real", f"{name}_imaginary")
            value, error = jackknife_samples(
                lambda s, a, b: s - a**2 - b**2, *(samples[part] for part in parts), skewed=True
            )
            square = "1" if of == "1" else f"{of}^-2"
            found[f"susceptibility_{name}"] = Result(
                value, error, square, f"fidelity susceptibility, c = {long_name}"
            )
        return found

    def _score(self, model: Wavefunction, at: Configuration):
        """d_c log psi (complex) for every parameter, d_t log u for twists."""

        def log_psi(context):
            couplings = self.hamiltonian.family.couplings(context)
            couplings = jax.tree.map(lambda x: x.astype(at.electrons.dtype), couplings)
            log_abs, phase = model(at.electrons, couplings)
            turn = jnp.sum(at.electrons, axis=0) @ jnp.asarray(self._reciprocal(), at.electrons.dtype).T
            return log_abs, phase - turn @ couplings.twist

        (log_abs, _), backward = jax.vjp(log_psi, at.context)
        one, zero = jnp.ones_like(log_abs), jnp.zeros_like(log_abs)
        return jax.lax.complex(backward((one, zero))[0], backward((zero, one))[0])

    def _force(self, model: Wavefunction, at: Configuration) -> Array:
        """d_c H of one configuration in meV per electron."""
        kinetic = at.local.components[0].astype(jnp.float64)

        def energy(context):
            couplings = self.hamiltonian.family.couplings(context)
            potential = jnp.sum(self.hamiltonian.potential(at.electrons.astype(jnp.float64), couplings))
            return couplings.energy_unit * (kinetic + potential)

        force = jax.grad(energy)(at.context)
        names = self.hamiltonian.family.names
        if set(names) & set(TWISTS):
            momentum = jnp.sum(jax.grad(lambda r: model(r, at.couplings).phase)(at.electrons), axis=0)
            current = jnp.asarray(self._reciprocal()) @ momentum.astype(jnp.float64)
            unit = at.couplings.energy_unit.astype(jnp.float64)
            columns = [i for i, name in enumerate(names) if name in TWISTS]
            which = np.array([TWISTS.index(names[i]) for i in columns])
            force = force.at[np.array(columns)].add(unit * current[which])
        return force / self.hamiltonian.electrons

    def _reciprocal(self) -> np.ndarray:
        return self.hamiltonian.supercell.reciprocal
