import numpy as np
import pytest

from small_runs import SMALL_SPHERE, small_config
from spectralbias import kernels
from spectralbias.runs._build import build_model, build_problem, infinite_gram


@pytest.mark.parametrize("activation", ["tanh", "erf", "leaky_relu"])
def test_the_limit_of_a_wide_network_is_that_of_its_activation(activation):
    settings = {
        "architecture": "mlp",
        "activation": activation,
        "depth": 2,
        "width": 2048,
        "bias_std": 0.5,
        "output_scale": 2.0,
    }
    config = small_config(problem=SMALL_SPHERE, model=settings)
    problem = build_problem(config)
    model, x = build_model(config, problem), problem.x[:20]
    limit = infinite_gram(config, model, x)
    theta = np.asarray(kernels.empirical_ntk(model, x))
    # A network of this width is off by about 2/√2048.
    assert np.linalg.norm(theta - limit) < 0.1 * np.linalg.norm(limit)
    assert limit.dtype == np.float64


def test_an_activation_too_rough_for_the_quadrature_has_no_limit():
    config = small_config(problem=SMALL_SPHERE, model={"architecture": "mlp", "activation": "elu"})
    problem = build_problem(config)
    assert infinite_gram(config, build_model(config, problem), problem.x[:4]) is None


@pytest.mark.parametrize("encoding", ["none", "positional", "fourier"])
def test_the_limit_between_two_sets_is_a_block_of_that_on_both(encoding):
    settings = {"architecture": "mlp", "activation": "tanh", "bias_std": 0.5, "encoding": encoding}
    config = small_config(problem=SMALL_SPHERE, model=settings)
    problem = build_problem(config)
    model, points = build_model(config, problem), problem.x[:9]
    whole, block = infinite_gram(config, model, points), infinite_gram(config, model, points[:4], points[4:])
    np.testing.assert_allclose(block, whole[:4, 4:], rtol=1e-12)
    assert block.dtype == np.float64
