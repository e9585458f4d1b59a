"""The activations' values, tails and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.wavefunction.activation import algebraic_gelu, algebraic_tanh


def test_values():
    # x / sqrt(1 + x^2) at x = 3/4 is 3/5
    x = jnp.array([-0.75, 0.0, 0.75])
    np.testing.assert_allclose(algebraic_tanh(x), [-0.6, 0.0, 0.6], rtol=1e-15)
    np.testing.assert_allclose(algebraic_gelu(x), [-0.15, 0.0, 0.6], rtol=1e-15)


def test_tails_are_power_laws():
    x = jnp.array([1e2, 1e3])
    np.testing.assert_allclose(algebraic_gelu(-x) * x, -0.25, rtol=1e-4)
    np.testing.assert_allclose((algebraic_gelu(x) - x) * x, -0.25, rtol=1e-3)
    np.testing.assert_allclose((1 - algebraic_tanh(x)) * x**2, 0.5, rtol=1e-4)


@pytest.mark.parametrize("function", [algebraic_gelu, algebraic_tanh])
def test_second_derivative_is_continuous_at_zero(function):
    # Softsign x / (1 + |x|) fails here: its second derivative jumps from +2 to -2.
    second = jax.vmap(jax.grad(jax.grad(lambda x: function(x))))
    left, right = second(jnp.array([-1e-7, 1e-7]))
    assert float(left) == pytest.approx(float(right), abs=1e-6)
