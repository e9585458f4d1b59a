"""The forward Laplacian against the full Hessian, in float64, for every ansatz."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.couplings import Couplings
from qernel.laplacian import forward_laplacian, kinetic_energy
from qernel.laplacian.interpreter import _WHOLE
from qernel.laplacian.second_opinion import folx_laplacian
from qernel.wavefunction.base import LogPsi, Wavefunction


def by_hessian(model: Wavefunction, couplings: Couplings, electrons):
    """-1/2 (nabla^2 psi) / psi = -1/2 [tr Hess(log psi) + (grad log psi)^2] from second derivatives."""

    def value(x, weights):
        return jnp.dot(weights, jnp.stack(model(x.reshape(electrons.shape[1:]), couplings)))

    def along(x, weights, direction):
        return jax.jvp(lambda x: jax.grad(value)(x, weights), (x,), (direction,))

    def walker(x, weights):
        gradients, products = jax.vmap(along, (None, None, 0))(x, weights, jnp.eye(len(x)))
        return gradients[0], jnp.trace(products)

    walkers = jax.jit(jax.vmap(walker, (0, None)))
    flat = electrons.reshape(len(electrons), -1)
    (grad_f, lap_f), (grad_theta, lap_theta) = (walkers(flat, weights) for weights in jnp.eye(2))
    gradient = np.asarray(grad_f) + 1j * np.asarray(grad_theta)
    return -0.5 * (np.asarray(lap_f) + 1j * np.asarray(lap_theta) + np.sum(gradient**2, axis=1))


def forward(model, couplings, electrons):
    def kinetic(r):
        return kinetic_energy(lambda x: model(x, couplings), r)

    return np.asarray(jax.jit(jax.vmap(kinetic))(electrons))


SOME = ["qernel", "qernel-polarized-free", "qernel-real", "qernel-sector", "psiformer", "slaternet"]
REST = ["psiformer-polarized-free", "psiformer-real", "slaternet-real"]


@pytest.mark.parametrize(
    "ansatz", [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)], indirect=True
)
def test_forward_laplacian_is_the_trace_of_the_hessian(ansatz):
    arguments = ansatz.model, ansatz.couplings, ansatz.electrons
    expected = by_hessian(*arguments)
    # Near a node single terms are larger than their sum by far: relative to the largest walker.
    scale = abs(expected).max()
    np.testing.assert_allclose(forward(*arguments), expected, rtol=0, atol=1e-10 * scale)
    if not ansatz.config.model.real:
        assert np.all(abs(expected.imag) > 1e-3)  # the imaginary part is tested too


@pytest.mark.parametrize("name", ["qernel", "psiformer"])
def test_two_layers_against_hessians_and_folx(name, tiny, generic, scattered):
    # From the second layer on queries, keys and values know all electrons.
    model, hamiltonian = generic(tiny(f"ansatz={name}", "layers=2"))
    couplings, electrons = hamiltonian.family.couplings(jnp.array([1.2])), scattered(hamiltonian, 2)
    expected = by_hessian(model, couplings, electrons)
    np.testing.assert_allclose(
        forward(model, couplings, electrons), expected, rtol=0, atol=1e-10 * abs(expected).max()
    )
    ours, folx = (
        jax.jit(lambda r, laplacian=laplacian: laplacian(lambda r: model(r, couplings), r))(electrons[0])
        for laplacian in (forward_laplacian, folx_laplacian)
    )
    for jet, other in zip(ours, folx, strict=True):
        np.testing.assert_allclose(jet.jacobian, other.jacobian, rtol=0, atol=1e-11)
        np.testing.assert_allclose(jet.laplacian, other.laplacian, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("ansatz", SOME, indirect=True)
def test_every_ansatz_takes_the_rules_made_for_it(ansatz, monkeypatch):
    """No ansatz falls back to slower rules, nor makes dense what electrons know of themselves."""

    def refuse(*_arguments):
        raise AssertionError("a slower rule than there is")

    monkeypatch.setitem(_WHOLE, "slogdet", refuse)
    monkeypatch.setattr("qernel.laplacian.attention.in_chunks", refuse)  # one layer: the first attention only
    monkeypatch.setattr("qernel.laplacian.rules.contraction", refuse)
    jax.make_jaxpr(lambda r: forward_laplacian(lambda r: ansatz.model(r, ansatz.couplings), r))(
        ansatz.electrons[0]
    )


def test_single_precision_loses_five_digits_at_most(tiny, generic, scattered):
    model, hamiltonian = generic(tiny("layers=2"))
    couplings, electrons = hamiltonian.family.couplings(jnp.array([1.2])), scattered(hamiltonian, 8)
    exact = forward(model, couplings, electrons)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), (model, couplings, electrons))
    rounded = forward(*single)
    assert rounded.dtype == np.complex64
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=1e-5 * abs(exact).max())


class Wave(Wavefunction):
    """A plane wave with a Gaussian envelope, e^{i k.r - r^2 / 2}."""

    def __call__(self, electrons, couplings):
        return LogPsi(-0.5 * jnp.sum(electrons**2), electrons[0, 0] * 3.0 - electrons[0, 1])


@pytest.mark.parametrize("position", [(0.3, -0.2), (1.1, 0.7)])
def test_closed_form_of_one_wave_packet(position):
    # psi'' / psi = (i k - r)^2 - 2 in two dimensions
    wave, position = np.array([3.0, -1.0]), np.array(position)
    expected = -0.5 * (np.sum((1j * wave - position) ** 2) - 2)
    value = kinetic_energy(lambda r: Wave()(r, None), jnp.asarray(position[None]))
    assert complex(value) == pytest.approx(expected, rel=1e-13)
