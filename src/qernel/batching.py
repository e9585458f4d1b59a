"""Walkers in batches: contexts by walkers, in microbatches, over the devices of one process or many.

Every batch has shape (context, walker, ...). This is the one place where walkers are spread over
devices: each device works on its share of the walkers of every context.
"""

import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qernel.config import UserError

_AXIS = "walkers"
BY_WALKER = PartitionSpec(None, _AXIS)
REPLICATED = PartitionSpec()


def walker_mesh(walkers_per_context: int) -> Mesh:
    """A mesh of as many devices as divide the walkers of a context evenly, equally many of every process.

    Raises UserError if the walkers cannot be shared evenly by the processes.
    """
    owner = operator.attrgetter("process_index")
    owned = [list(group) for _, group in itertools.groupby(sorted(jax.devices(), key=owner), owner)]
    counts = range(1, min(map(len, owned)) + 1)
    count = max((n for n in counts if walkers_per_context % (n * len(owned)) == 0), default=0)
    if count == 0:
        raise UserError(
            f"{walkers_per_context} walkers per context cannot be shared evenly by {len(owned)} processes"
        )
    return Mesh(np.array([device for own in owned for device in own[:count]]), (_AXIS,))


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
            batch, number = inputs
            context = jax.tree.map(lambda x: x[number], contexts)
            return jax.vmap(lambda r: function(model, r, context))(batch)

        count = len(jax.tree.leaves(walkers)[0])
        # Their numbers and not the contexts, which may be as large as scores.
        numbers = jnp.repeat(jnp.arange(count), len(jax.tree.leaves(batches)[0]) // count)
        return unbatched(jax.lax.map(run, (batches, numbers)))

    return over_devices(local, mesh, (REPLICATED, BY_WALKER, REPLICATED))


def microbatches(walkers: Any, most: int) -> tuple[Any, Callable]:
    """Arrays (context, walker, ...) as microbatches (context x chunk, walker, ...), and the way back.

    Microbatches have one size, at most `most`; where they do not come out even, the last walker of a
    context is repeated. One flat loop over them writes each result once.
    """
    contexts, share = jax.tree.leaves(walkers)[0].shape[:2]
    chunks, size = even_chunks(share, most)

    def split(x):
        if chunks * size > share:
            x = x[:, np.minimum(np.arange(chunks * size), share - 1)]
        return x.reshape(contexts * chunks, size, *x.shape[2:])

    def join(x):
        return x.reshape(contexts, chunks * size, *x.shape[2:])[:, :share]

    return jax.tree.map(split, walkers), lambda results: jax.tree.map(join, results)


def even_chunks(share: int, most: int) -> tuple[int, int]:
    """How many microbatches of at most `most` a share of walkers takes, and their size."""
    chunks = -(-share // most)
    return chunks, -(-share // chunks)


def sum_over_devices(tree: Any) -> Any:
    """The sum of what devices have, inside `over_devices`."""
    return jax.lax.psum(tree, _AXIS)


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Put a tree's arrays on the mesh's devices; each process has the whole arrays, or its share already."""
    sharding = NamedSharding(mesh, spec)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(array):
        if array.sharding.device_set == sharding.device_set:
            return jax.device_put(array, sharding)
        whole = gather(array)
        return jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__)

    return jax.tree.map(one, tree)


def gather(tree: Any) -> Any:
    """The tree's arrays, whole, in the memory of every process. All processes have to ask."""

    def one(array):
        if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
            return array
        return multihost_utils.process_allgather(array, tiled=True)

    return jax.device_get(jax.tree.map(one, tree))
