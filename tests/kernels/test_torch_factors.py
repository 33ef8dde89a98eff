"""Against gradients that PyTorch's autograd takes of the module as it is, one sample and one output at a time."""

import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels._factors import Factors, Gradient, contract
from spectralbias.kernels._torch import torch_contributions, torch_output_shape

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

RNG = np.random.default_rng(8)
VECTORS = RNG.standard_normal((5, 3))
TOKENS = RNG.standard_normal((5, 4, 6))
SIGNALS = RNG.standard_normal((5, 4, 9))
IMAGES = RNG.standard_normal((5, 4, 7, 6))
VOLUMES = RNG.standard_normal((3, 2, 4, 3, 4))
WORDS = RNG.integers(0, 5, (5, 4))


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Forward(nn.Module):
    """Layers by name, and what is done with them."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.function = forward

    def forward(self, x):
        return self.function(self, x)


def mlp(out_size=2, bias=True):
    return nn.Sequential(
        nn.Linear(3, 6, bias=bias), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, out_size)
    )


def scalar():
    return Forward(lambda m, x: m.body(x).squeeze(-1), body=mlp(1))


def cnn():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(6, 4, (3, 2), padding="same", dilation=(2, 1)), nn.Tanh(),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", bias=False), nn.GELU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(2),
    )  # fmt: skip


def signal_cnn():
    layers = nn.Conv1d(4, 6, 3, stride=2, dilation=2), nn.Tanh(), nn.Conv1d(6, 6, 2, groups=6, padding=1), nn.Flatten()
    return nn.Sequential(*layers, nn.LazyLinear(2))


def volume_cnn():
    return nn.Sequential(nn.Conv3d(2, 3, 2, padding="valid"), nn.Tanh(), nn.Flatten(), nn.LazyLinear(1))


def residual():
    def forward(m, x):
        h = m.first(x)
        for block in (m.a, m.b):
            h = h + torch.tanh(block(h))
        return m.last(h)

    return Forward(forward, first=nn.Linear(3, 5), a=nn.Linear(5, 5), b=nn.Linear(5, 5), last=nn.Linear(5, 2))


def norms():
    body = (
        nn.Linear(3, 6),
        nn.LayerNorm(6),
        nn.Tanh(),
        nn.Linear(6, 6),
        nn.GroupNorm(2, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
    )
    module = nn.Sequential(*body, nn.RMSNorm(6), nn.Linear(6, 2))
    module[5].running_mean.normal_()
    for layer in module:
        if not list(layer.children()) and hasattr(layer, "weight"):
            nn.init.normal_(layer.weight)
    return module


def recurrent():
    def forward(m, x):
        h = torch.zeros(len(x), 5)
        for t in range(x.shape[1]):
            h = torch.tanh(m.into(x[:, t]) + m.again(h))
        return m.out(h)

    return Forward(forward, into=nn.Linear(6, 5), again=nn.Linear(5, 5), out=nn.Linear(5, 2))


def tied():
    """A language model: the table of words is the matrix of the last layer."""

    def forward(m, x):
        h = torch.tanh(m.mix(m.words(x))).mean(1)
        return m.last(h)

    module = Forward(forward, words=nn.Embedding(5, 3, padding_idx=1), mix=nn.Linear(3, 3), last=nn.Linear(3, 5))
    module.last.weight = module.words.weight
    return module


def tied_three_ways():
    def forward(m, x):
        h = m.words(x)
        h = torch.tanh(h @ m.words.weight)
        return functional.linear(h, m.words.weight).sum(1)

    return Forward(forward, words=nn.Embedding(5, 5))


def embeddings():
    def forward(m, x):
        h = m.words(x) + m.places + m.words(x.flip(1))
        return m.last(torch.sin(h).flatten(1))

    module = Forward(forward, words=nn.Embedding(5, 3, padding_idx=1), last=nn.Linear(12, 2))
    module.places = nn.Parameter(torch.randn(4, 3))
    return module


class Block(nn.Module):
    """Attention with one head, written with linear layers, and a layer of two."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(6, 6), nn.Linear(6, 6, bias=False), nn.Linear(6, 6)
        self.out, self.up, self.down, self.last = nn.Linear(6, 6), nn.Linear(6, 8), nn.Linear(8, 6), nn.Linear(6, 2)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        h = self.norm(x)
        scores = self.query(h) @ self.key(h).transpose(-1, -2) / 6**0.5
        x = x + self.out(scores.softmax(-1) @ self.value(h))
        return self.last((x + self.down(functional.gelu(self.up(x)))).mean(1))


def encoder():
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(24, 2))


def cross_attention():
    def forward(m, x):
        return m.mix(x, m.other(x[:, 1:]), x[:, :3])[0].mean(1)

    return Forward(forward, mix=nn.MultiheadAttention(6, 3, batch_first=True), other=nn.Linear(6, 6))


def with_a_cell(cell):
    return lambda: Forward(
        lambda m, x: m.last(m.cell(x)[0][:, -1]), cell=cell(6, 4, batch_first=True), last=nn.Linear(4, 2)
    )


class Cube(torch.autograd.Function):
    """A derivative of its own, which a function mode does not see."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w):
        return w**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


def odd():
    """Weights that are used in other ways too, shared biases, weights that are not trained or not used."""

    def forward(m, x):
        h = m.a(x)
        h = torch.tanh(functional.linear(h, m.b.weight, m.a.bias)) + m.b.bias
        h = h + functional.linear(h, Cube.apply(m.c.weight), m.c.bias) + m.c(h)
        return (m.last(h) * m.scale) @ m.matrix

    layers = {name: nn.Linear(6, 6) for name in "bc"}
    module = Forward(forward, a=nn.Linear(3, 6), last=nn.Linear(6, 3), unused=nn.Linear(2, 2), **layers)
    module.scale, module.matrix = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3, 2))
    module.last.weight.requires_grad_(False)
    return module


CELL = {"cell.weight_ih_l0", "cell.weight_hh_l0", "cell.bias_ih_l0", "cell.bias_hh_l0"}
CASES = {
    "mlp": (mlp, VECTORS, set()),
    "mlp without biases": (lambda: mlp(1, False), VECTORS, set()),
    "scalar": (scalar, VECTORS, set()),
    "linear layers on tokens": (lambda: nn.Sequential(mlp(3), nn.Flatten(), nn.LazyLinear(2)), TOKENS[:, :, :3], set()),
    "images": (cnn, IMAGES, set()),
    "signals": (signal_cnn, SIGNALS, set()),
    "volumes": (volume_cnn, VOLUMES, set()),
    "residual": (residual, VECTORS, set()),
    "norms": (norms, VECTORS, set()),
    "recurrent": (recurrent, TOKENS, set()),
    "embeddings": (embeddings, WORDS, set()),
    "tied": (tied, WORDS, set()),
    "tied three ways": (tied_three_ways, WORDS, set()),
    "block": (Block, TOKENS, set()),
    "encoder": (encoder, TOKENS, set()),
    "cross attention": (cross_attention, TOKENS, {"mix.in_proj_weight", "mix.in_proj_bias"}),
    "lstm": (with_a_cell(nn.LSTM), TOKENS, CELL),
    "gru": (with_a_cell(nn.GRU), TOKENS, CELL),
    "odd": (odd, VECTORS, {"c.weight"}),
}  # fmt: skip


def build(name):
    make, x, jacobian = CASES[name]
    module = make()
    module(torch.from_numpy(x))  # lazy layers
    return module.eval(), x, jacobian


def explicit(module, x, names=None):
    """Θ of the parameters of these names (n, n, c, c)."""
    parameters = [p for name, p in module.named_parameters() if p.requires_grad and (names is None or name in names)]
    rows = []
    for xi in torch.from_numpy(np.array(x)):
        for f in module(xi[None])[0].reshape(-1):
            gradients = torch.autograd.grad(f, parameters, retain_graph=True, allow_unused=True)
            gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
            rows.append(torch.cat([g.flatten() for g in gradients]).numpy())
    j = np.stack(rows).reshape(len(x), -1, rows[0].size)
    return np.einsum("iap,jbp->ijab", j, j)


def assert_close(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    assert np.max(np.abs(np.asarray(actual) - expected)) <= tolerance * np.max(np.abs(expected))


def gram(found):
    return np.asarray(contract(found, found, mean=False))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", CASES)
def test_contributions_equal_the_explicit_jacobian(name):
    module, x, jacobian = build(name)
    rules, found = torch_contributions(models.from_torch(module), x)
    assert_close(gram(found), explicit(module, x))
    assert [name for name, _ in rules] == [name for name, p in module.named_parameters() if p.requires_grad]
    assert {name for name, rule in rules if rule == "jacobian"} == jacobian


@pytest.mark.parametrize("name", ["tied", "embeddings", "odd"])
def test_the_mean_and_explicit_gradients(name):
    module, x, _ = build(name)
    model, expected = models.from_torch(module), explicit(module, x)
    _, found = torch_contributions(model, x)
    assert_close(contract(found, found, mean=True), np.einsum("ijaa->ij", expected) / expected.shape[-1])
    _, found = torch_contributions(model, x, explicit=True)
    assert all(isinstance(one, Gradient) for several in found.values() for one in several)
    assert_close(gram(found), expected)


def test_the_rules_and_forms_of_a_model():
    module, x, _ = build("odd")
    rules, found = torch_contributions(models.from_torch(module), x)
    assert dict(rules) == {
        "scale": "elementwise", "matrix": "product", "a.weight": "product", "a.bias": "elementwise",
        "b.weight": "product", "b.bias": "elementwise", "c.weight": "jacobian", "c.bias": "elementwise",
        "last.bias": "elementwise", "unused.weight": "unused", "unused.bias": "unused",
    }  # fmt: skip
    factors = {name for name, (one,) in found.items() if isinstance(one, Factors)}
    assert factors == {"matrix", "a.weight", "b.weight"}
    assert not {"unused.weight", "unused.bias"} & found.keys()


def test_a_bias_is_in_the_factors_of_its_weight_where_they_are_always_together():
    module, x, _ = build("recurrent")
    _, found = torch_contributions(models.from_torch(module), x)
    assert list(found) == ["into.weight", "again.weight", "out.weight"]
    assert [one.bias for (one,) in found.values()] == [1.0, 1.0, 1.0]
    assert found["again.weight"][0].left.shape == (5, 1, 1, 4, 5)
    assert found["again.weight"][0].right.shape == (5, 2, 1, 4, 5)


def test_the_factors_of_a_convolution_and_of_a_lookup():
    module, x, _ = build("signals")
    _, found = torch_contributions(models.from_torch(module), x)
    assert found["2.weight"][0].left.shape == (5, 1, 6, 4, 2)
    assert found["2.weight"][0].right.shape == (5, 2, 6, 4, 1)
    module, x, _ = build("embeddings")
    (one,) = torch_contributions(models.from_torch(module), x)[1]["words.weight"]
    assert one.rows == 5
    assert one.left.shape == (5, 1, 1, 8)
    assert one.left.dtype.kind == "i"


@pytest.mark.parametrize(
    "selected",
    [{"into.weight"}, {"into.bias"}, {"again.weight", "again.bias", "out.bias"}, {"into.bias", "again.weight"}],
)
def test_a_part_of_the_parameters_gives_its_part_of_the_kernel(selected):
    module, x, _ = build("recurrent")
    rules, found = torch_contributions(models.from_torch(module), x, selected)
    assert {name for name, _ in rules} == selected
    assert_close(gram(found), explicit(module, x, selected))


def test_a_bias_without_its_tied_weight():
    module, x, _ = build("tied")
    for selected in ({"last.bias"}, {"words.weight"}, {"mix.bias"}):
        _, found = torch_contributions(models.from_torch(module), x, selected)
        assert_close(gram(found), explicit(module, x, selected))


def test_single_precision_and_whole_numbers():
    module, x, _ = build("block")
    expected = explicit(module, x)
    _, found = torch_contributions(models.from_torch(module.float()), x)
    assert all(one.right.dtype == np.float32 for several in found.values() for one in several if hasattr(one, "right"))
    assert_close(gram(found), expected, 1e-4)
    module, x, _ = build("tied")
    _, found = torch_contributions(models.from_torch(module), x.astype(np.int32))
    assert_close(gram(found), explicit(module, x))


def test_the_state_of_the_module_is_left_alone():
    module, x, _ = build("norms")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module[0].weight.grad = torch.ones_like(module[0].weight)
    with torch.no_grad():
        _, found = torch_contributions(models.from_torch(module), x)
    assert_close(gram(found), explicit(module, x))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(module[0].weight.grad, torch.ones_like(module[0].weight))
    assert all(layer.weight.grad is None for layer in module[1:] if hasattr(layer, "weight"))


def test_shapes_of_outputs():
    assert torch_output_shape(models.from_torch(scalar()), VECTORS) == ()
    assert torch_output_shape(models.from_torch(mlp(2)), VECTORS) == (2,)
    # `squeeze` also drops the batch of one.
    squeezed = Forward(lambda m, x: m.body(x).squeeze(), body=mlp(1))
    assert torch_output_shape(models.from_torch(squeezed), VECTORS) == ()
    _, found = torch_contributions(models.from_torch(squeezed), VECTORS)
    assert_close(gram(found), explicit(Forward(lambda m, x: m.body(x), body=squeezed.body), VECTORS))


def test_nothing_that_is_trained_matters():
    module = Forward(lambda m, x: x.sum(1), body=nn.Linear(3, 2))
    rules, found = torch_contributions(models.from_torch(module), VECTORS)
    assert rules == [("body.weight", "unused"), ("body.bias", "unused")]
    (zeros,) = found["body.weight"]
    assert len(found) == 1
    assert not np.any(zeros.values)


@pytest.mark.parametrize(
    ("module", "x", "words"),
    [
        (
            lambda: Forward(lambda m, x: m.a(functional.dropout(x)), a=nn.Linear(3, 1)),
            VECTORS,
            ("random", "`module.eval()`"),
        ),
        (lambda: Forward(lambda m, x: m.a(x + torch.randn_like(x)), a=nn.Linear(3, 1)), VECTORS, ("random",)),
        (lambda: nn.Linear(3, 2), TOKENS[:, :, :3], ("(1,) or (1, c)", "(1, 4, 2)")),
        (lambda: Forward(lambda m, x: (m.a(x), x), a=nn.Linear(3, 1)), VECTORS, ("(1, c)", "tuple")),
        (lambda: Forward(lambda m, x: m.a(x)[0], a=nn.Linear(3, 2)), VECTORS, ("(1, c)", "(2,)")),
        (lambda: Forward(lambda m, x: m.a(x).argmax(1), a=nn.Linear(3, 2)), VECTORS, ("real", "int64")),
        (lambda: nn.Linear(4, 1), VECTORS, ("(1, 3)", "float64", "shapes")),
        (lambda: nn.Linear(3, 1), VECTORS.astype(int), ("(1, 3)", "int64", "dtype")),
    ],
)
def test_modules_that_cannot_be_used_are_refused(module, x, words, refuses):
    model = models.from_torch(module())
    with refuses(*words):
        torch_contributions(model, x)


def test_training_mode_and_unknown_names_are_refused(refuses):
    model = models.from_torch(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval())
    with refuses("parameter", "`0.wieght`", "`0.weight`"):
        torch_contributions(model, VECTORS, ["0.wieght"])
    model.module.train()
    with refuses("`1`", "BatchNorm1d", "`module.eval()`"):
        torch_contributions(model, VECTORS)
