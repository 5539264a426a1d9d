"""Rebuilding maps over devices."""

from typing import Any

import jax

from qcore.adapters.jax.calls import Call, Found


def shard_map(call: Call) -> Found:
    """Map over devices, each with a state of its own; all of them merge after."""
    # Its name before JAX 0.10 is the second one.
    axes = call.params.get("newly_manual_axes", call.params.get("manual_axes"))
    axes = tuple(sorted(axes))

    def run(*inputs: Any) -> Any:
        outputs, inside = call.bodies[0](inputs, call.reduction.empty(call.state))
        return outputs, call.reduction.reduced(inside, call, axes)

    mapped = jax.shard_map(
        run,
        mesh=call.params["mesh"],
        in_specs=tuple(call.params["in_specs"]),
        out_specs=(list(call.params["out_specs"]), jax.sharding.PartitionSpec()),
        axis_names=set(axes),
        # Without a state as it was, for gradients depend on it. Loops that count
        # do not say what differs between devices.
        check_vma=call.params["check_vma"] and not jax.tree.leaves(call.state),
    )
    outputs, inside = mapped(*call.inputs)
    return outputs, call.reduction.merged(call.state, inside)
