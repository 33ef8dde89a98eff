"""Names of the choices a user can make, kept apart from their code so that `--help` need not import JAX."""

ACTIVATIONS = (
    "abs",
    "cos",
    "elu",
    "erf",
    "gaussian",
    "gelu",
    "identity",
    "leaky_relu",
    "relu",
    "sigmoid",
    "silu",
    "sin",
    "softplus",
    "tanh",
)

PARAMETERIZATIONS = ("ntk", "standard", "torch")

ENCODINGS = ("none", "positional", "fourier")

# Optax optimizers that are called as name(learning_rate, ...) and updated from the gradient alone.
OPTIMIZERS = (
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "fromage",
    "gd",
    "lamb",
    "lars",
    "lion",
    "nadam",
    "nadamw",
    "novograd",
    "optimistic_gradient_descent",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sm3",
    "yogi",
)
