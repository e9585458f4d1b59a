"""Configurations of runs that go on from another one: at one context, or with more electrons."""

import math
from collections.abc import Mapping, Sequence

from qernel.config import Config, UserError, overridden

#: A fine-tuned wavefunction is close already: small steps from the first one on, or it gets worse first.
_LARGEST_FINE_RATE, _FINE_DECAY = 0.02, 100.0
#: Least bound on the first step of a system of another size, which has longer to go than a fine-tuned one.
_FIRST_BOUND = 1e-3


def finetuned(
    config: Config,
    start: str,
    at: Mapping[str, tuple[float, float]],
    steps: int,
    overrides: Sequence[str] = (),
) -> Config:
    """Training of `start`, a run of this configuration, within a part of its ranges: points where low = high.

    Raises UserError for a parameter that does not vary, a value outside its range, or what `overrides` ask.
    """
    if not any(each.startswith("contexts") for each in overrides):  # of other ranges `Config` is the judge
        _check_inside(config, at)
    tree, within = config.model_dump(exclude_none=True), config.training.within | dict(at)
    one = all(name in within and within[name][0] == within[name][1] for name in config.contexts)
    contexts = config.model.sectors if one else config.training.stages[-1].contexts
    tree["training"] |= {
        "start": start,
        "within": within,
        "stages": [{"steps": steps, "contexts": contexts}],
    }
    tree["optimizer"] |= {
        "learning_rate": min(config.optimizer.learning_rate, _LARGEST_FINE_RATE),
        "decay_steps": _FINE_DECAY,
        "first_norm_bound": config.optimizer.norm_bound,
    }
    tree |= {"description": f"{config.description}; fine-tuned", "cost": ""}
    return overridden(tree, overrides)


def _check_inside(config: Config, at: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in at.items():
        least, most = config.contexts.get(name, (math.inf, -math.inf))
        if not least <= low <= high <= most:
            given = f"{name}={low:g}" if low == high else f"{name}={low:g}:{high:g}"
            trained = "; ".join(f"{each} in [{lo:g}, {hi:g}]" for each, (lo, hi) in config.contexts.items())
            raise UserError(f"cannot train at {given}: the model's contexts are {trained or 'none'}")


def enlarged(
    config: Config, start: str, electrons: int, cells: int, steps: int, overrides: Sequence[str] = ()
) -> Config:
    """Training of a larger (or smaller) system from `start`, a run of this configuration.

    The share of spin-up electrons stays. Raises UserError where it cannot, where the filling would change
    that the configuration insists on, or where the sector is named by the smaller system's momenta.
    """
    tree, up = config.model_dump(exclude_none=True), config.system.electrons[0]
    of = sum(config.system.electrons)
    if electrons * up % of:
        raise UserError(f"{electrons} electrons cannot have the spin polarization of {up} of {of} up")
    if isinstance(config.model.sector, tuple) and not any("sector" in each for each in overrides):
        given, several = config.model.model_dump(mode="json")["sector"], bool(config.model.momenta)
        raise UserError(
            f"model.sector = {given} names {'momenta' if several else 'a momentum'} of"
            f" {config.system.lattice().cells} cells: say what is meant in the larger supercell, e.g."
            f" model.sector={'[[n1,n2],[m1,m2]]' if several else 'lowest'}"
        )
    tree["system"] |= {"electrons": [electrons * up // of, electrons * (of - up) // of], "cells": cells}
    tree["system"].pop("supercell", None)
    tree["optimizer"]["first_norm_bound"] = max(_FIRST_BOUND, config.optimizer.norm_bound)
    last = config.training.stages[-1].contexts
    tree["training"] |= {"start": start, "stages": [{"steps": steps, "contexts": last}]}
    tree |= {"description": f"{electrons} electrons in {cells} cells, from {start}", "cost": ""}
    return overridden(tree, overrides)
