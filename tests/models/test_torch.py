import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.models._torch import TorchModel, to_jax, to_torch

torch = pytest.importorskip("torch")
nn = torch.nn

X = np.random.default_rng(3).standard_normal((4, 3))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2)).double().eval()


def test_it_is_the_module_at_one_input():
    module = network()
    model = models.from_torch(module)
    assert isinstance(model, TorchModel)
    expected = module(torch.from_numpy(X)).detach().numpy()
    for xi, fi in zip(X, expected, strict=True):
        for one in (xi, jnp.asarray(xi)):
            f = model(one)
            assert isinstance(f, jax.Array)
            np.testing.assert_allclose(f, fi, rtol=1e-13)
    single = models.from_torch(nn.Sequential(network(), nn.Linear(2, 1).double(), nn.Flatten(0)))
    assert single(X[0]).shape == ()


def test_parameters_require_a_gradient_and_count_once():
    module = network()
    module[0].bias.requires_grad_(False)
    assert list(models.from_torch(module).parameters) == ["0.weight", "3.weight", "3.bias"]
    twice = nn.Linear(3, 3)
    assert list(models.from_torch(nn.Sequential(twice, twice)).parameters) == ["0.weight", "0.bias"]


def test_arrays_are_handed_over_without_a_copy():
    model = models.from_torch(network())
    x = jnp.ones((50, 3))
    assert to_torch(model, x).data_ptr() == x.unsafe_buffer_pointer()
    big = torch.ones(100, 100, dtype=torch.float64)
    assert to_jax(big).unsafe_buffer_pointer() == big.data_ptr()
    np.testing.assert_array_equal(to_jax(torch.arange(6).reshape(2, 3).T), np.arange(6).reshape(2, 3).T)


def test_inputs_take_the_dtype_of_the_parameters_but_whole_numbers_stay():
    model = models.from_torch(network().float())
    assert to_torch(model, X).dtype == torch.float32
    assert to_torch(model, np.arange(3, dtype=np.int32)).dtype == torch.int64
    assert model(X[0]).dtype == jnp.float32


def test_jax_cannot_trace_it():
    model = models.from_torch(network())
    with pytest.raises(TypeError, match=r"`from_torch` is for `empirical_ntk`"):
        jax.vmap(model)(X)
    with pytest.raises(TypeError, match="cannot be traced by JAX"):
        jax.jit(model)(X[0])
    with pytest.raises(TypeError, match="cannot be traced by JAX"):
        jax.jit(lambda m, x: m(x))(model, X[0])
    with pytest.raises(TypeError, match="cannot be traced by JAX"):
        models.count_parameters(model)


def test_training_is_a_type_error():
    from spectralbias.dynamics import train

    with pytest.raises(TypeError, match="`from_torch` is for"):
        train(models.from_torch(network()), X, np.zeros((4, 2)), learning_rate=0.1, steps=1)


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.1), nn.BatchNorm2d(3), nn.AlphaDropout(0.2), nn.LSTM(3, 3, 2, dropout=0.1), nn.RReLU()]
)
def test_training_mode_is_refused(layer, refuses):
    module = nn.Sequential(nn.Linear(3, 2), layer)
    with refuses("`1`", type(layer).__name__, "`module.eval()`"):
        models.from_torch(module)
    models.from_torch(module.eval())


def test_layers_that_only_could_be_random_are_welcome():
    models.from_torch(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0), nn.LSTM(2, 2), nn.LayerNorm(2)))


def test_what_is_no_module_is_refused(refuses):
    with refuses("`module`", "the class Linear"):
        models.from_torch(nn.Linear)
    with refuses("`module`", "an object of MLP"):
        models.from_torch(models.MLP(3, 1, 2, 1, key=jax.random.key(0)))
    with refuses("no parameters"):
        models.from_torch(nn.ReLU())
    with refuses("no parameters"):
        models.from_torch(network().requires_grad_(False))
    with refuses("lazy"):
        models.from_torch(nn.LazyLinear(2))
    with refuses("(1, c)", "tuple"):
        models.from_torch(nn.GRU(3, 2))(X)
