"""Patterns of PyTorch modules equal a direct evaluation with the module's own weights."""

import numpy as np
import pytest

from spectralbias import models, regions
from spectralbias.regions import PatternsStatus

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


def seeded(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module.double()


X = np.random.default_rng(0).normal(size=(30, 3))


class Applied(nn.Module):
    """Two layers with a function between them."""

    def __init__(self, function):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 1)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.second(self.function(self.first(x)))))


# name: spelling, breakpoints, which pieces are flat; None where that is not known
ACTIVATIONS = {
    "nn.ReLU": (nn.ReLU(), [0], [True, False]),
    "in place": (nn.ReLU(inplace=True), [0], [True, False]),
    "torch.relu": (torch.relu, [0], [True, False]),
    "method": (lambda z: z.relu(), [0], [True, False]),
    "clamp": (lambda z: z.clamp(min=0), [0], [True, False]),
    "maximum": (lambda z: torch.maximum(torch.zeros(()), z), [0], [True, False]),
    "where": (lambda z: torch.where(z > 0, z, 0.1 * z), [0], None),
    "mask": (lambda z: z * (z > 0), [0], None),
    "mask of numbers": (lambda z: z * torch.gt(z, 0).double(), [0], None),
    "leaky": (nn.LeakyReLU(0.2), [0], [False, False]),
    "prelu": (nn.PReLU(), [0], None),
    "rrelu": (nn.RReLU().eval(), [0], [False, False]),
    "abs": (abs, [0], [False, False]),
    "hardtanh": (nn.Hardtanh(-1, 2), [-1, 2], [True, False, True]),
    "relu6": (nn.ReLU6(), [0, 6], [True, False, True]),
    "hardsigmoid": (nn.Hardsigmoid(), [-3, 3], [True, False, True]),
    "threshold": (nn.Threshold(0.5, 1.0), [0.5], [True, False]),
    "hardshrink": (nn.Hardshrink(0.3), [-0.3, 0.3], [False, True, False]),
    "softshrink": (nn.Softshrink(0.3), [-0.3, 0.3], [False, True, False]),
    "clip on both sides": (lambda z: torch.clip(z, -1, 1), [-1, 1], [True, False, True]),
    "two functions of one z": (lambda z: z.abs() + z.clamp(max=1.0), [0, 1], None),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name):
    function, breakpoints, flat = ACTIVATIONS[name]
    module = seeded(Applied(function)).eval()
    patterns = regions.activation_patterns(models.from_torch(module), X, batch_size=7)
    b = len(breakpoints)
    np.testing.assert_array_equal(patterns.sizes, [6 * b, 5 * b])
    weights = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    first = X @ weights["first.weight"].T + weights["first.bias"]
    with torch.no_grad():
        h = function(torch.tensor(first)).numpy()
    second = h @ weights["second.weight"].T + weights["second.bias"]
    first = X @ weights["first.weight"].T + weights["first.bias"]  # not what an activation in place has made of it
    dead = []
    for number, z in enumerate((first, second)):
        sides = z[:, :, None] > np.array(breakpoints)
        np.testing.assert_array_equal(patterns.layer(number), sides.reshape(30, -1))
        piece = sides.sum(axis=2)
        dead += [flat is not None and len(set(column)) == 1 and flat[column[0]] for column in piece.T]
    np.testing.assert_array_equal(patterns.dead, dead)
    assert patterns.status is PatternsStatus.complete
    assert patterns.precision == "float64"


class Encoded(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.dense = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(12, 4)

    def forward(self, x):
        h = torch.cat([torch.sin(x), torch.cos(x)], dim=1)
        h = functional.max_pool2d(functional.relu(self.convolution(h)), 2)
        h = functional.relu(self.dense(h.flatten(1)))
        return h.tanh().sum(dim=1)


def test_what_is_no_unit_is_named():
    module = seeded(Encoded())
    x = np.random.default_rng(1).normal(size=(9, 1, 4, 4))
    patterns = regions.activation_patterns(models.from_torch(module), x)
    np.testing.assert_array_equal(patterns.units, [48, 4])
    assert patterns.others == ("cos", "max_pool2d", "sin", "tanh")
    assert patterns.status is PatternsStatus.bent
    with torch.no_grad():
        z = module.convolution(torch.tensor(np.concatenate([np.sin(x), np.cos(x)], axis=1)))
        np.testing.assert_array_equal(patterns.layer(0), (z > 0).flatten(1).numpy())
        h = functional.max_pool2d(z.relu(), 2).flatten(1)
        np.testing.assert_array_equal(patterns.layer(1), (module.dense(h) > 0).numpy())


def test_residual_layers_and_those_of_an_encoder():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            for layer in self.layers:
                x = x + layer(x).relu()
            return x.sum(dim=1)

    module = seeded(Residual())
    patterns = regions.activation_patterns(models.from_torch(module), X)
    np.testing.assert_array_equal(patterns.units, [3, 3, 3])
    h = X
    for number, layer in enumerate(module.layers):
        z = h @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        np.testing.assert_array_equal(patterns.layer(number), z > 0)
        h = h + np.maximum(z, 0)

    class Encoder(nn.Module):
        """PyTorch fuses this layer where gradients are not wanted."""

        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

        def forward(self, x):
            return self.layer(x).sum(dim=(1, 2))

    module = seeded(Encoder()).eval()
    patterns = regions.activation_patterns(models.from_torch(module), np.ones((2, 5, 4)))
    np.testing.assert_array_equal(patterns.units, [40])
    assert patterns.others == ("layer_norm", "multi_head_attention_forward")


def test_a_module_that_cannot_be_mapped_over_samples():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent, self.dense = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.dense(self.recurrent(x)[0][:, -1]).relu()

    module = seeded(Recurrent())
    x = np.random.default_rng(1).normal(size=(6, 5, 3))
    patterns = regions.activation_patterns(models.from_torch(module), x)
    with torch.no_grad():
        z = module.dense(module.recurrent(torch.tensor(x))[0][:, -1]).numpy()
    np.testing.assert_array_equal(patterns.layer(0), z > 0)
    assert patterns.others == ("gru",)


def test_refusals(refuses):
    with refuses("`tanh`"):
        regions.activation_patterns(models.from_torch(seeded(Applied(torch.tanh))), X)
    with refuses("linear in x"):
        regions.activation_patterns(models.from_torch(seeded(nn.Linear(3, 1))), X)
    with refuses("shape (1, 2)"):
        regions.activation_patterns(models.from_torch(seeded(Applied(torch.relu))), X[:, :2])
    with pytest.raises(TypeError, match="cannot be traced"):
        regions.boundary_distance(models.from_torch(seeded(Applied(torch.relu))), X)
    with refuses("random"):
        module = seeded(Applied(lambda z: functional.dropout(z.relu(), 0.5)))
        regions.activation_patterns(models.from_torch(module), X)
