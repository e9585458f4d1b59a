"""Walkers in batches: contexts by walkers, in microbatches, over the devices of one process or many.

Every batch has shape (context, walker, ...). This is the one place where walkers are spread over
devices: each device works on its share of the walkers of every context.
"""

import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
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
        def one_context(inputs):
            configurations, context = inputs
            return jax.lax.map(lambda r: function(model, r, context), configurations, batch_size=microbatch)

        return jax.lax.map(one_context, (walkers, contexts))

    return over_devices(local, mesh, (REPLICATED, BY_WALKER, REPLICATED))


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
