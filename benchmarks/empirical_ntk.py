"""The structured NTK against the recipes that people write, float32, eager second calls with all checks.

Baselines: the Jacobian contraction of PyTorch's tutorial "Neural Tangent Kernels" (vmap(jacrev), one einsum per
parameter); in JAX the jitted vmap(grad) or vmap(jacrev), flattened, times its transpose; and the layer-by-layer
formulas written out by hand for one network. All are timed in one process, interleaved.
"""

import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from _common import save, seconds
from torch.func import functional_call, jacrev, vmap

from spectralbias import kernels, models

KEY = jax.random.key(0)


class ConvolutionalNetwork(eqx.Module):
    convolutions: list
    last: eqx.nn.Linear

    def __init__(self, channels, depth, outputs):
        keys = jax.random.split(KEY, depth + 1)
        sizes = [3] + [channels] * depth
        self.convolutions = [eqx.nn.Conv2d(*sizes[i : i + 2], 3, padding=1, key=keys[i]) for i in range(depth)]
        self.last = eqx.nn.Linear(channels, outputs, key=keys[-1])

    def __call__(self, x):
        for convolution in self.convolutions:
            x = jax.nn.relu(convolution(x))
        return self.last(x.mean((1, 2)))


class TorchConvolutionalNetwork(torch.nn.Module):
    def __init__(self, channels, depth, outputs):
        super().__init__()
        sizes = [3] + [channels] * depth
        self.convolutions = torch.nn.ModuleList(torch.nn.Conv2d(*sizes[i : i + 2], 3, padding=1) for i in range(depth))
        self.last = torch.nn.Linear(channels, outputs)

    def forward(self, x):
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
        return self.last(x.mean((-2, -1)))


def tutorial(network, x, mean):
    """PyTorch's tutorial: "full" and "trace" (here the mean) computations."""
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def single(parameters, xi):
        return functional_call(network, parameters, (xi[None],))[0]

    jacobians = vmap(jacrev(single), (None, 0))(parameters, x)
    equation = "Naf,Maf->NM" if mean else "Naf,Mbf->NMab"
    blocks = [torch.einsum(equation, j.flatten(2), j.flatten(2)) for j in jacobians.values()]
    outputs = [*network.modules()][-1].out_features
    return torch.stack(blocks).sum(0) / (outputs if mean else 1)


@eqx.filter_jit
def jax_jacobians(model, x, mean):
    """vmap(jacrev) (for one output the same as vmap(grad)), flattened, times its transpose."""
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    jacobian = jax.vmap(lambda xi: jax.jacrev(lambda p: eqx.combine(p, rest)(xi))(parameters))(x)
    n, total = len(x), 0.0
    for block in jax.tree.leaves(jacobian):
        c = block.shape[1]
        flat = block.reshape(n, -1) if mean else block.reshape(n * c, -1)
        total = total + flat @ flat.T / (c if mean else 1)
    return total if mean else total.reshape(n, c, n, c).swapaxes(1, 2)


@eqx.filter_jit
def by_hand(model, x):
    """f = W_4 relu(W_3 relu(W_2 relu(W_1 x + b_1) + b_2) + b_3) + b_4, layer by layer."""
    inputs, active, h = [x], [], x
    for layer in model.layers[:-1]:
        z = h @ layer.weight + layer.bias[None]
        active.append(z > 0)
        h = jax.nn.relu(z)
        inputs.append(h)
    theta, delta = 0.0, jnp.ones((len(x), 1), x.dtype)
    for i in range(len(inputs) - 1, -1, -1):
        theta = theta + (inputs[i] @ inputs[i].T + 1) * (delta @ delta.T)
        if i > 0:
            delta = (delta @ model.layers[i].weight.T) * active[i - 1]
    return theta


@eqx.filter_jit
def sample_factors(model, x):
    """Explicit gradients of a convolutional network from patches and output gradients, times their transpose."""

    def forward(taps, xi):
        patches, h = [], xi
        for convolution, tap in zip(model.convolutions, taps, strict=True):
            patches.append(jax.lax.conv_general_dilated_patches(h[None], (3, 3), (1, 1), "SAME")[0])
            h = jax.nn.relu(convolution(h) + tap)
        return model.last(h.mean((1, 2)))[0], (patches, h.mean((1, 2)))

    def one(xi):
        taps = [jnp.zeros((c.weight.shape[0], *xi.shape[1:]), xi.dtype) for c in model.convolutions]
        deltas, (patches, features) = jax.grad(forward, has_aux=True)(taps, xi)
        weights = [jnp.einsum("ahw,bhw->ab", p, d) for p, d in zip(patches, deltas, strict=True)]
        return [g.ravel() for g in weights] + [d.sum((1, 2)) for d in deltas] + [jnp.append(features, 1.0)]

    return sum(g @ g.T for g in jax.vmap(one)(x))


def compare(rivals, rounds=3):
    """Milliseconds of each function: the minimum over interleaved rounds, and the results of the first call."""
    results, times = {}, {}
    for name, function in rivals.items():
        function()
        start = time.perf_counter()
        results[name] = np.asarray(function())
        times[name] = time.perf_counter() - start
    for _ in range(rounds):
        for name, function in rivals.items():
            repeats = 20 if times[name] < 0.05 else 3 if times[name] < 1 else 1
            times[name] = min(times[name], seconds(function, repeats=repeats)["min"])
    return {name: 1e3 * time for name, time in times.items()}, results


def difference(results, one, two):
    return float(np.max(np.abs(results[one] - results[two])) / np.max(np.abs(results[two])))


def multilayer(n):
    model = models.MLP(64, "scalar", 512, 3, parameterization="torch", key=KEY)
    x = jax.random.normal(KEY, (n, 64))
    sizes = [64, 512, 512, 512, 1]
    layers = [m for i in range(4) for m in (torch.nn.Linear(sizes[i], sizes[i + 1]), torch.nn.ReLU())][:-1]
    network, xt = torch.nn.Sequential(*layers), torch.from_numpy(np.array(x))
    for linear, layer in zip(layers[::2], model.layers, strict=True):
        linear.weight.data = torch.from_numpy(np.array(layer.weight.T))
        linear.bias.data = torch.from_numpy(np.array(layer.bias))
    rivals = {
        "structured": lambda: kernels.empirical_ntk(model, x).block_until_ready(),
        "by_hand": lambda: by_hand(model, x).block_until_ready(),
        "pytorch_tutorial": lambda: tutorial(network, xt, False)[:, :, 0, 0].numpy(),
    }
    return compare(rivals)


def convolutional(channels, size, outputs, mean, n=64):
    model = ConvolutionalNetwork(channels, 3, outputs)
    x = jax.random.normal(KEY, (n, 3, size, size))
    network, xt = TorchConvolutionalNetwork(channels, 3, outputs), torch.from_numpy(np.array(x))
    for own, other in zip([*network.convolutions, network.last], [*model.convolutions, model.last], strict=True):
        own.weight.data = torch.from_numpy(np.array(other.weight))
        own.bias.data = torch.from_numpy(np.array(other.bias).ravel())
    mode = "mean" if mean else "full"
    rivals = {
        "structured": lambda: kernels.empirical_ntk(model, x, outputs=mode).block_until_ready(),
        "jacobians": lambda: jax_jacobians(model, x, mean).block_until_ready(),
        "pytorch_tutorial": lambda: tutorial(network, xt, mean).numpy(),
    }
    if outputs == 1:
        rivals["sample_factors"] = lambda: sample_factors(model, x).block_until_ready()
    return compare(rivals)


def main():
    bars, figures = {}, {}
    for n in (256, 1024):
        times, results = multilayer(n)
        figures[f"mlp_3x512_n{n}_ms"] = times
        figures[f"mlp_3x512_n{n}_difference"] = difference(results, "structured", "by_hand")
        ratio = times["pytorch_tutorial"] / times["structured"]
        bars[f"MLP 3 x 512, n = {n}: times faster than PyTorch's tutorial"] = (ratio, 50, ratio >= 50)
        ratio = times["structured"] / times["by_hand"]
        bars[f"MLP 3 x 512, n = {n}: over the layer-by-layer formulas by hand"] = (ratio, 1.5, ratio <= 1.5)
    times, results = convolutional(32, 32, 1, True)
    figures["cnn_32_channels_32x32_ms"] = times
    figures["cnn_32_channels_32x32_difference"] = difference(results, "structured", "jacobians")
    ratio = times["structured"] / min(times["jacobians"], times["sample_factors"])
    bars["CNN 3 x 32 channels on 32 x 32: over the best of vmap(grad) and factors"] = (ratio, 1.2, ratio <= 1.2)
    ratio = times["structured"] / times["pytorch_tutorial"]
    bars["CNN 3 x 32 channels on 32 x 32: over PyTorch's tutorial"] = (ratio, 1.5, ratio <= 1.5)
    for outputs, mean in ((10, True), (1, True)):
        times, results = convolutional(256, 8, outputs, mean)
        name = f"cnn_256_channels_8x8_{outputs}_outputs"
        figures |= {f"{name}_ms": times, f"{name}_difference": difference(results, "structured", "jacobians")}
        ratio = times["jacobians"] / times["structured"]
        text = f"CNN 3 x 256 channels on 8 x 8, {outputs} outputs (mean): times faster than contracting Jacobians"
        bars[text] = (ratio, 5, ratio >= 5)
    return save("empirical_ntk", bars, **figures)


if __name__ == "__main__":
    sys.exit(main())
