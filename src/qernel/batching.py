"""Walkers in batches: contexts by walkers, in microbatches, over one device or many.

Every batch has shape (context, walker, ...). This is the one place where walkers are spread over
devices: each device works on its share of the walkers of every context.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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
        batches, unbatched = microbatches(walkers, microbatch)

        def run(inputs):
            batch, context = inputs
            return jax.vmap(lambda r: function(model, r, context))(batch)

        chunks = len(jax.tree.leaves(batches)[0]) // len(jax.tree.leaves(walkers)[0])
        repeated = jax.tree.map(lambda x: jnp.repeat(x, chunks, axis=0), contexts)
        return unbatched(jax.lax.map(run, (batches, repeated)))

    return over_devices(local, mesh, (REPLICATED, BY_WALKER, REPLICATED))


def microbatches(walkers: Any, most: int) -> tuple[Any, Callable]:
    """Arrays (context, walker, ...) as microbatches (context x chunk, walker, ...), and the way back.

    Microbatches have one size, at most `most`; where they do not come out even, the last walker of a
    context is repeated. One flat loop over them writes each result once.
    """
    contexts, share = jax.tree.leaves(walkers)[0].shape[:2]
    chunks = -(-share // most)
    size = -(-share // chunks)

    def split(x):
        if chunks * size > share:
            x = x[:, np.minimum(np.arange(chunks * size), share - 1)]
        return x.reshape(contexts * chunks, size, *x.shape[2:])

    def join(x):
        return x.reshape(contexts, chunks * size, *x.shape[2:])[:, :share]

    return jax.tree.map(split, walkers), lambda results: jax.tree.map(join, results)


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Put a tree's arrays on the mesh's devices."""
    return jax.device_put(tree, NamedSharding(mesh, spec))
