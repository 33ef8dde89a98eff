"""From a configuration to the problem, the model and the kernel in the infinite-width limit."""

import warnings

import jax
import numpy as np
from jaxtyping import Array

from .. import kernels, models, problems
from .._core.errors import InputError
from ..dynamics import Optimizer, Trainer
from ..dynamics import optimizer as find_optimizer
from ._config import (
    Config,
    DigitsConfig,
    HarmonicsConfig,
    ImageConfig,
    ModelConfig,
    SignalConfig,
    TableConfig,
)


def keys(config: Config) -> tuple[Array, Array, Array]:
    """Independent keys of the data, the initialization and the mini-batches."""
    data, model, batches = jax.random.split(jax.random.key(config.seed), 3)
    return data, model, batches


def precision(config: Config):
    """The training dtype as JAX's default, for the length of a `with` block."""
    return jax.enable_x64(config.training.dtype == "float64")


def build_problem(config: Config) -> problems.Problem:
    """The problem that the configuration describes."""
    key = keys(config)[0]
    match config.problem:
        case HarmonicsConfig() as p:
            return problems.harmonics(
                dim=p.dim,
                degrees=p.degrees,
                amplitudes=p.amplitudes,
                num_samples=p.num_samples,
                num_test=p.num_test,
                key=key,
            )
        case SignalConfig() as p:
            return problems.signal(
                frequencies=p.frequencies, amplitudes=p.amplitudes, num_samples=p.num_samples, key=key
            )
        case ImageConfig() as p:
            return problems.image(p.path, size=None if p.size == "full" else p.size, color=p.color)
        case TableConfig() as p:
            return problems.table(
                p.path, target=p.target, test_fraction=p.test_fraction, max_samples=p.max_samples, key=key
            )
        case DigitsConfig() as p:
            return problems.digits(test_fraction=p.test_fraction, key=key)


def build_encoding(model: ModelConfig, dim: int, key: Array):
    """The input encoding, or None."""
    match model.encoding:
        case "positional":
            return models.encodings.PositionalEncoding(model.num_frequencies)
        case "fourier":
            return models.encodings.FourierFeatures(dim, model.num_features, model.scale, key=key)
        case _:
            return None


def build_model(config: Config, problem: problems.Problem, key: Array | None = None) -> models.MLP:
    """The network at its initialization; the same configuration gives the same numbers, a key gives others."""
    settings, key = config.model, keys(config)[1] if key is None else key
    dim = problem.x.shape[1]
    out_size = "scalar" if problem.num_outputs is None else problem.num_outputs
    if settings.architecture == "cao":
        if out_size != "scalar":
            raise InputError("architecture `cao` has one output: use architecture `mlp` for several")
        return models.cao_network(
            dim,
            settings.width,
            output_scale=settings.output_scale,
            antisymmetric=settings.antisymmetric,
            key=key,
        )
    encoding_key, layer_key = jax.random.split(key)
    return models.MLP(
        dim,
        out_size,
        settings.width,
        settings.depth,
        activation=settings.activation,
        parameterization=settings.parameterization,
        weight_std=settings.weight_std,
        bias_std=settings.bias_std,
        output_scale=settings.output_scale,
        antisymmetric=settings.antisymmetric,
        encoding=build_encoding(settings, dim, encoding_key),
        key=layer_key,
    )


def infinite_gram(config: Config, model: models.MLP, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray | None:
    """Θ(x1, x2) of one output at infinite width in float64, or None where none is known to good precision."""
    settings = config.model
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error", kernels.QuadratureWarning)
        try:
            if settings.architecture == "cao":
                kernel = kernels.cao_kernel()
            elif settings.parameterization == "ntk":
                variances = {"weight_variance": settings.weight_std**2, "bias_variance": settings.bias_std**2}
                kernel = kernels.infinite_ntk(settings.depth, settings.activation, **variances)
            else:
                return None
            encode = jax.vmap(model.encoding)
            one = encode(jax.numpy.asarray(x1))
            two = None if x2 is None else encode(jax.numpy.asarray(x2))
            return settings.output_scale**2 * np.asarray(kernel.ntk(one, two))
        except kernels.QuadratureWarning:  # e.g. elu: too rough for the quadrature of its dual
            return None


def optimizer_options(config: Config) -> dict[str, float | bool]:
    """The optimizer's arguments beside the learning rate."""
    settings = config.training
    options = dict(settings.optimizer_options)
    if settings.optimizer in ("gd", "sgd") and settings.momentum > 0:
        options["momentum"] = settings.momentum
    return options


def build_optimizer(config: Config, learning_rate: float) -> Optimizer:
    """The optimizer with that learning rate."""
    return find_optimizer(config.training.optimizer, learning_rate, optimizer_options(config))


def build_trainer(config: Config, problem: problems.Problem, model: models.MLP, learning_rate: float) -> Trainer:
    """The training that the configuration describes."""
    optimizer = build_optimizer(config, learning_rate)
    return Trainer(model, problem.x, problem.y, optimizer, batch_size=config.training.batch_size, key=keys(config)[2])
