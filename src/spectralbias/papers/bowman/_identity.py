"""The identities of damped deviations under gradient flow: on the training points, and as functions on the sphere."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import INK, MUTED, THEORY, band, legend, panels, unordered
from .._statistics import decide
from .._study import Control, Numbers, Study, Verdict
from ._setting import SMOOTH, Flow, flow, kernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLOSED = 1e-8
# Rounding errors below this are drawn there.
FLOOR = 1e-17


def measure(settings: Flow) -> dict[str, np.ndarray]:
    """What does not close, over ‖r_0‖, and the norms of the parts, for the frozen kernels K^∞ and Θ_0.

    Returns `errors` (seeds, activations, kernels, T), and for K^∞ `parts` (seeds, activations, 4, T): the measured
    deviation, and its sampling, width and motion.
    """
    errors, parts, times = [], [], np.zeros(0)
    for seed in settings.seeds:
        for activation in settings.activations:
            trajectory = flow(settings, activation, seed)
            found = [dynamics.damped_deviations(trajectory, frozen) for frozen in (kernel(activation), None)]
            limit, times = found[0], trajectory.times
            start = np.linalg.norm(limit.coefficients[0])
            errors.append([d.identity_error / start for d in found])
            measured = limit.coefficients - limit.propagated
            each = (measured, limit.sampling, limit.width, limit.motion)
            parts.append([np.linalg.norm(part, axis=1) / start for part in each])
    shape = (len(settings.seeds), len(settings.activations))
    return {
        "times": times,
        "smooth": np.array([int(activation in SMOOTH) for activation in settings.activations]),
        "errors": np.reshape(errors, (*shape, 2, len(times))),
        "parts": np.reshape(parts, (*shape, 4, len(times))),
        "on_train": np.array(int(settings.on_train)),
    }


def judge(numbers: Numbers) -> Verdict:
    """Everything closes to 1e-8 for smooth activations."""
    smooth = numbers["smooth"] == 1
    largest = numbers["errors"].max(axis=3)
    limit, start = (float(largest[:, smooth, index].max()) for index in (0, 1))
    deviation = float(np.median(numbers["parts"][:, smooth, 0].max(axis=-1)))
    rough = largest[:, ~smooth]
    beside = f" For ReLU it closes up to {np.max(rough):.1g}." if rough.size else ""
    return Verdict(
        decide(max(limit, start) <= CLOSED, len(largest)),
        f"For tanh and softplus what does not close is at most {max(limit, start):.1g} of ‖r_0‖, at any time and in "
        f"any of {len(largest)} repetitions, where the deviation itself is {deviation:.2g}.{beside}",
        (
            ("largest error, frozen kernel K^∞", f"{limit:.1g}"),
            ("largest error, frozen kernel Θ_0", f"{start:.1g}"),
            ("largest deviation, median", f"{deviation:.2g}"),
            *((("largest error, ReLU", f"{np.max(rough):.1g}"),) if rough.size else ()),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The deviation and its parts for the first activation; what does not close, for each of them."""
    times, colors = numbers["times"], unordered(4)
    with panels(2, ratios=(1.15, 1)) as (drawn, (left, right)):
        names = ("measured", "sampling", "width", "motion")
        for index, (name, color) in enumerate(zip(names, (INK, *colors[:3]), strict=True)):
            values = numbers["parts"][:, 0, index]
            if name == "sampling" and numbers["on_train"]:
                continue  # nothing is sampled: the points are all there is
            band(left, times, values, color, name, **(THEORY if name == "measured" else {}))
        left.set(xlabel="time t", ylabel="deviation and parts, over $\\|r_0\\|$", xlim=(0, times[-1]))
        left.set_ylim(0, None)
        legend(left, loc="upper left")
        names = ("tanh", "softplus", "ReLU")
        for index, (name, color) in enumerate(zip(names, colors[:3], strict=True)):
            values = np.maximum(numbers["errors"][:, index, 0, 1:], FLOOR)
            band(right, times[1:], values, color, name)
        right.axhline(CLOSED, color=MUTED, **THEORY)
        right.text(times[-1], CLOSED * 1.5, "criterion", color=MUTED, fontsize=7, ha="right", va="bottom")
        right.set(yscale="log", xlabel="time t", ylabel="what does not close, over $\\|r_0\\|$", xlim=(0, times[-1]))
        right.set_ylim(FLOOR, 10)
        legend(right, loc="upper right", ncols=3)
    return drawn


_TRAIN, _SPHERE = Flow(on_train=True), Flow()
_CRITERION = (
    "For tanh and softplus, with the frozen kernels K^∞ and Θ_0, the norm of what does not close is at most 1e-8 of "
    "‖r_0‖ at every recorded time, in every repetition."
)
_CONTROL = Control(
    "the real kernel taken 1 % too large", lambda settings: msgspec.structs.replace(settings, kernel_factor=1.01)
)
_NOTE = (
    "Two opposite copies of the network, so that f = 0 at first; the target is the sum of a random harmonic of degree "
    "1, 2 and 3 each. Every part is an integral over its own kernels, none a difference. ReLU is outside of the "
    "theorem: its gradient jumps where a sample crosses a kink, so that integrals over time converge slowly. The "
    "identity holds there, too; what is left is the quadrature's. "
)


def larger(settings: Flow) -> Flow:
    """The setting for those who wait."""
    return msgspec.structs.replace(settings, num_samples=200, latitudes=10, width=512, records=65, relu_step=0.04)


STUDIES = (
    Study(
        "bowman-identity-train",
        "Bowman & Montúfar 2022, damped deviations on the training points",
        "On the training points r_t = e^(−tG) r_0 + ∫ exp(−(t−s)G) (G − G_s) r_s ds, 0 ≤ s ≤ t, under gradient flow, "
        "for any frozen kernel G and the real one G_s, both over n.",
        _CRITERION,
        fast=_TRAIN,
        paper=larger(_TRAIN),
        measure=measure,
        judge=judge,
        figure=figure,
        control=_CONTROL,
        note=_NOTE,
    ),
    Study(
        "bowman-identity-population",
        "Bowman & Montúfar 2022, damped deviations in function space",
        "As functions on the sphere, off the training points, r_t = exp(−t T_K) r_0 + ∫ exp(−(t−s) T_K) (T_K − T_n^s) "
        "r_s ds, T_K the operator of the frozen kernel on the whole sphere and T_n^s that of the real one on n "
        "samples.",
        _CRITERION,
        fast=_SPHERE,
        paper=larger(_SPHERE),
        measure=measure,
        judge=judge,
        figure=figure,
        control=_CONTROL,
        note=_NOTE + "The sphere S² is a quadrature rule, on which all operators are matrices.",
    ),
)
