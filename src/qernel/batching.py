"""Walkers in batches: contexts by walkers, in microbatches, over one device or many.

Every batch has shape (context, walker, ...). This is the one place where walkers are spread over
devices: each device works on its share of the walkers of every context.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "walkers"
BY_WALKER = PartitionSpec(None, _AXIS)
REPLICATED = PartitionSpec()


def walker_mesh(walkers_per_context: int) -> Mesh:
    """A mesh of as many devices as divide the walkers of a context evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if walkers_per_context % n == 0)
    return Mesh(np.array(devices[:count]), (_AXIS,))


def over_devices(function: Callable, mesh: Mesh, in_specs: Any, out_specs: Any = BY_WALKER) -> Callable:
    """Run `function` on every device's share of the walkers."""
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def over_walkers(function: Callable, mesh: Mesh, microbatch: int) -> Callable:
    """Batch `function(model, walker, context)` over walkers and contexts.

    Walkers are arrays (context, walker, ...) or trees of them, such as electrons; contexts are trees of
    arrays (context, ...), such as couplings. Each device walks through its configurations in
    microbatches: a few at a time fit a CPU's cache, many at a time fill a GPU.
    """

    def local(model, walkers, contexts):
        def one_context(inputs):
            configurations, context = inputs
            return jax.lax.map(lambda r: function(model, r, context), configurations, batch_size=microbatch)

        return jax.lax.map(one_context, (walkers, contexts))

    return over_devices(local, mesh, (REPLICATED, BY_WALKER, REPLICATED))


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Put a tree's arrays on the mesh's devices."""
    return jax.device_put(tree, NamedSharding(mesh, spec))
