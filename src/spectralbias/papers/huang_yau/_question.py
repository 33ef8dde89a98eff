"""The question of the introduction: what the trained network has over kernel regression with its limiting kernel."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics, kernels
from .._figures import INK, MUTED, THEORY, band, legend, panels, plain_log, unordered
from .._statistics import all_of, vote
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import double_precision, inputs, network, ntk, outputs, root_mean_square

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The predictors, in the order of the arrays.
LIMIT, START, HIERARCHY, NETWORK = range(4)


class Question(Settings, frozen=True, kw_only=True):
    """Networks and kernel regression on a target that one direction decides: 2 tanh(4 x_1) on the sphere.

    Attributes:
        width: m, of each of the two opposite copies.
        depth: hidden layers H.
        num_samples: n.
        num_test: fresh points.
        dim: d.
        order: p; 2, the frozen kernel, is the negative control.
        horizon: T, in units of 1/λ_max of Θ_∞/n.
        records: times, T/2^(records - 1) to T.
    """

    width: int = 512
    depth: int = 1
    num_samples: int = 40
    num_test: int = 96
    dim: int = 5
    order: int = 4
    horizon: float = 200.0
    records: int = 5


def target(x: np.ndarray) -> np.ndarray:
    """2 tanh(4 x_1): odd, as is a network of tanh without biases."""
    return 2 * np.tanh(4 * x[:, 0])


@functools.cache
def _limit(depth: int):
    return kernels.infinite_ntk(depth, "tanh", weight_variance=1.0, bias_variance=0.0)


def limit_gram(x1: np.ndarray, x2: np.ndarray, depth: int) -> np.ndarray:
    """Θ_∞ of the paper's network, whose first layer has no factor 1/√d."""
    scale = np.sqrt(x1.shape[1])
    with double_precision():
        return np.asarray(_limit(depth).ntk(scale * x1, scale * x2))


@functools.lru_cache(maxsize=128)
def _trained(settings: Question, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """What became of one repetition.

    Root mean square test errors of the four, over that of the prediction 0, (T, 4); training errors of the network;
    times λ_max; and the test error of Θ_∞ in the limit of long training.
    """
    s = settings
    points = inputs(s.num_samples + s.num_test, seed, s.dim)
    x, x_test = points[: s.num_samples], points[s.num_samples :]
    y, y_test = target(x), target(x_test)
    model = network(s.width, seed, dim=s.dim, depth=s.depth, antisymmetric=True)
    gram = limit_gram(x, x, s.depth)
    scaled = s.horizon * 2.0 ** np.arange(1 - s.records, 1)
    times = scaled * s.num_samples / float(np.linalg.eigvalsh(gram)[-1])
    limit, start = (
        dynamics.frozen(k, -y, cross=cross, f0_test=np.zeros(s.num_test))
        for k, cross in ((gram, limit_gram(x_test, x, s.depth)), (ntk(model, x), ntk(model, x_test, x)))
    )
    found = dynamics.hierarchy(model, x, y, np.concatenate([[0.0], times]), order=s.order, x_test=x_test)
    tests, train, trained = [], [], model
    for duration in np.diff(times, prepend=0.0):
        run = dynamics.gradient_flow(trained, x, y, [0.0, duration], rtol=1e-8, atol=1e-10)
        trained = run.model
        tests.append(outputs(trained, x_test))
        train.append(root_mean_square(run.residuals[-1]) / root_mean_square(y))
    assert found.test_predictions is not None
    predictions = (limit.predictions(times), start.predictions(times), found.test_predictions[1:], np.stack(tests))
    errors = np.stack([root_mean_square(f - y_test) for f in predictions], axis=1) / root_mean_square(y_test)
    at_last = root_mean_square(limit.limit_predictions() - y_test) / root_mean_square(y_test)
    return errors, np.array(train), scaled, float(at_last)


def measure(settings: Question) -> dict[str, np.ndarray]:
    """Test errors, (seeds, T, 4), of kernel regression with Θ_∞ and Θ_0, the hierarchy, and the network."""
    plain = msgspec.structs.replace(settings, seeds=())
    runs = [_trained(plain, seed) for seed in settings.seeds]
    return {
        "order": np.array(settings.order),
        "width": np.array(settings.width),
        "times": runs[0][2],
        "errors": np.stack([run[0] for run in runs]),
        "train": np.stack([run[1] for run in runs]),
        "limit": np.array([run[3] for run in runs]),
    }


def judge(numbers: Numbers) -> Verdict:
    """The network is better than both kernels, and the hierarchy says by how much."""
    end = numbers["errors"][:, -1]
    better = end[:, NETWORK] < end[:, [LIMIT, START]].min(axis=1)
    gap = end[:, START] - end[:, NETWORK]
    left = np.abs(end[:, HIERARCHY] - end[:, NETWORK])
    explained = left <= np.abs(gap) / 4
    share = float(np.median(1 - left / np.abs(gap)))
    middle = np.median(end, axis=0)
    limit, order = float(np.median(numbers["limit"])), int(numbers["order"])
    return Verdict(
        all_of(vote(better), vote(explained)),
        f"At m = {int(numbers['width']):,} the test errors, trained equally long, are {middle[LIMIT]:.3f} for kernel "
        f"regression with Θ_∞, {middle[START]:.3f} with Θ_0, {middle[HIERARCHY]:.3f} for the hierarchy of order "
        f"{order} and {middle[NETWORK]:.3f} for the network (medians of {len(end)} repetitions); Θ_∞ trained to the "
        f"end has {limit:.3f}. The network is better than both kernels in {better.sum()} of {len(end)}. The hierarchy "
        f"accounts for {round(100 * share)} % of what the network has over Θ_0 (median), and for three quarters of it "
        f"or more in {explained.sum()} of {len(end)}.",
        (
            ("test error, Θ_∞", f"{middle[LIMIT]:.3f}"),
            ("test error, Θ_∞, trained to the end", f"{limit:.3f}"),
            ("test error, Θ_0", f"{middle[START]:.3f}"),
            (f"test error, order {order}", f"{middle[HIERARCHY]:.3f}"),
            ("test error, network", f"{middle[NETWORK]:.3f}"),
            ("training error, network", f"{np.median(numbers['train'][:, -1]):.3f}"),
            ("share of the gap to Θ_0 that the hierarchy accounts for", f"{share + 0.0:.2f}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Test errors along training, beside that of Θ_∞, and what the network has over Θ_0 at the end."""
    times, order = numbers["times"], int(numbers["order"])
    names = {START: "regression with $\\Theta_0$", HIERARCHY: f"hierarchy, p = {order}", NETWORK: "network"}
    colors = dict(zip(names, (*unordered(2), INK), strict=True))
    with panels(2, ratios=(1.2, 1)) as (drawn, (left, right)):
        left.axhline(1, color=MUTED, linewidth=1, label="regression with $\\Theta_\\infty$")
        for k, name in names.items():
            ratio = numbers["errors"][:, :, k] / numbers["errors"][:, :, LIMIT]
            band(left, times, ratio, colors[k], name, **(THEORY if k == NETWORK else {}))
        left.set(xscale="log", xlabel="$\\lambda_{\\max}\\,t$", ylabel="test error over that of $\\Theta_\\infty$")
        plain_log(left.xaxis)
        legend(left, loc="lower left", fontsize=7)
        end = numbers["errors"][:, -1]
        gap, found = (end[:, START] - end[:, k] for k in (NETWORK, HIERARCHY))
        right.plot(gap, found, "o", color=colors[HIERARCHY], markersize=4, label=f"hierarchy, p = {order}")
        reach = np.array([min(0.0, gap.min(), found.min()), 1.08 * max(gap.max(), found.max())])
        right.plot(reach, reach, color=MUTED, label="all of it", **THEORY)
        right.set(xlabel="test error of $\\Theta_0$ less that of the network", ylabel="accounted for", xlim=reach)
        legend(right, loc="upper left", fontsize=7)
    return drawn


_FAST = Question()

STUDIES = (
    Study(
        "huang-yau-question",
        "Huang & Yau 2020, introduction",
        "Trained networks of finite width do better than kernel regression with the limiting kernel because the NTK "
        "changes along training, which the hierarchy describes.",
        "In 9 of 10 repetitions or more the test error of the network is below those of kernel regression with Θ_∞ and "
        "with Θ_0, trained equally long; and that of the hierarchy of order 4, which knows the network at its start "
        "only, differs from it by at most a quarter of what that of Θ_0 does.",
        fast=_FAST,
        paper=msgspec.structs.replace(
            _FAST, seeds=tuple(range(20)), width=1024, num_samples=128, num_test=2000, horizon=400.0
        ),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "order 2, which is the frozen kernel Θ_0, in place of 4",
            lambda settings: msgspec.structs.replace(settings, order=2),
        ),
        note="The paper leaves the question open, and names no data. Inputs are uniform on the sphere in R^5, the "
        "target 2 tanh(4 x_1) is decided by one direction, which the kernel does not know and training finds. Two "
        "opposite copies of a network of tanh, f = 0 at the start. Errors are root mean squares over that of the "
        "prediction 0. On targets without such a structure the kernel's motion need not help.",
    ),
)
