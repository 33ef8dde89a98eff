"""What the parameters of a PyTorch module contribute to Θ, from one forward and one backward pass per output.

A function mode of PyTorch sees every product with a parameter, whichever layer it is in: h is recorded and a tap is
added to the output, whose gradient is δ.
"""

import itertools
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from jaxtyping import Array, ArrayLike

from .._core.errors import InputError, unknown
from ..models._torch import TorchModel, one_output, refuse_training, to_jax, to_torch
from ._factors import Contribution, Factors, Gradient
from ._structured import Loss
from ._torch_sites import Site, intercept, sides

if TYPE_CHECKING:
    import torch

_WORDS = {"linear": "matrix product", "matrix": "matrix product"}

Rule = Literal["product", "elementwise", "jacobian", "unused"]


class _Plan(NamedTuple):
    """The shape of the output, the rule of every parameter, and the products of those with rule `"product"`."""

    output_shape: tuple[int, ...]
    rules: dict[str, Rule]
    sites: list[Site]

    @property
    def summed(self) -> set[str]:
        """The biases that are added to these products only: their gradient is a sum of δ."""
        return {site.bias for site in self.sites if site.bias is not None}


def torch_output_shape(model: TorchModel, x: ArrayLike) -> tuple[int, ...]:
    """() or (c,), for inputs x (n, …)."""
    return _plan(model, to_torch(model, x)).output_shape


def rules_in_words(model: TorchModel, x: ArrayLike) -> dict[str, tuple[str, int, str | None]]:
    """For products and their biases: how they enter, in how many calls, and the product that a bias goes with."""
    plan = _plan(model, to_torch(model, x))
    found: dict[str, tuple[str, int, str | None]] = {}
    for site in plan.sites:
        kinds = sorted({_WORDS.get(s.kind, s.kind) for s in plan.sites if s.weight == site.weight})
        uses = sum(s.weight == site.weight for s in plan.sites)
        if plan.rules[site.weight] == "product":
            found[site.weight] = " and ".join(kinds), uses, None
        if site.bias in plan.summed:
            found[site.bias] = f"bias of {site.weight}", uses, site.weight
    return found


def torch_contributions(
    model: TorchModel, x: ArrayLike, selected: Collection[str] | None = None, *, explicit: bool = False
) -> tuple[list[tuple[str, Rule]], dict[str, tuple[Contribution, ...]]]:
    """The contributions of a module's parameters at the samples x (n, …).

    Args:
        model: what `from_torch` returned.
        x: inputs (n, *input_shape).
        selected: names of parameters, as in `module.named_parameters()`; all by default.
        explicit: whether to give all of them as explicit gradients.

    Returns:
        (name, rule) of every selected parameter, and their contributions by name. A bias that follows every product
        with one weight, and nothing else, is in the `Factors` of that weight; unused parameters contribute nothing, or
        one of them zeros where there is no other.

    Raises:
        InputError: an unknown name, a module that is random, in training mode, or does not take x.
    """
    rules, found, _ = _contributions(model, x, None, selected, _basis, explicit)
    return rules, found


def torch_loss_contributions(
    model: TorchModel, x: ArrayLike, targets: ArrayLike, selected: Collection[str], loss: Loss
) -> tuple[dict[str, tuple[Contribution, ...]], Array]:
    """∇ℓ/s of every sample as contributions of one output, and s (n,): one backward pass, however many outputs."""
    import torch

    def seed(output, target):
        direction, scale = loss(output, target, torch)
        return direction[None], scale

    _, found, scales = _contributions(model, x, targets, selected, seed, False)
    return found, to_jax(scales)


def _basis(output: "torch.Tensor", _: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Every output by itself, and nothing else."""
    import torch

    return torch.eye(len(output), dtype=output.dtype, device=output.device), output.new_zeros(())


def _contributions(
    model: TorchModel,
    x: ArrayLike,
    targets: ArrayLike | None,
    selected: Collection[str] | None,
    seeds: Callable,
    explicit: bool,
) -> tuple[list[tuple[str, Rule]], dict[str, tuple[Contribution, ...]], "torch.Tensor"]:
    """The contributions to the combinations (k, c) of outputs in `seeds(output, target)`, and what else it returns."""
    import torch

    tensor = to_torch(model, x)
    plan = _plan(model, tensor)
    for name in selected or ():
        if name not in plan.rules:
            raise unknown("parameter", name, plan.rules)
    rules: list[tuple[str, Rule]] = [
        (name, rule) for name, rule in plan.rules.items() if selected is None or name in selected
    ]
    wanted = [name for name, rule in rules if rule != "unused"] or [name for name, _ in rules[:1]]
    structured = () if explicit else (*plan.summed, *(name for name, rule in rules if rule == "product"))
    weights = {site.weight for site in plan.sites if {site.weight, site.bias} & {*structured} & {*wanted}}
    sites = [site for site in plan.sites if site.weight in weights]
    loose = [name for name in wanted if name not in structured]
    aim = tensor.new_zeros(len(tensor)) if targets is None else to_torch(model, targets)
    pairs, gradients, aside = _differentiate(model, tensor, aim, sites, loose, seeds)
    found: dict[str, tuple[Contribution, ...]] = {}
    for name in wanted:
        if name in gradients:
            found[name] = (Gradient(to_jax(gradients[name].flatten(2))),)
        elif plan.rules[name] == "product":
            own = [(site, *pair) for site, pair in zip(sites, pairs, strict=True) if site.weight == name]
            found[name] = (_factors(own, any(_fused(sites, name, bias) for bias in plan.summed & {*wanted})),)
        elif not any(_fused(sites, weight, name) for weight in weights & {*wanted}):
            sums = [pair[1].sum(3).flatten(2) for site, pair in zip(sites, pairs, strict=True) if site.bias == name]
            found[name] = (Gradient(to_jax(torch.stack(sums).sum(0))),)
    return rules, found, aside


def _fused(sites: Sequence[Site], weight: str, bias: str) -> bool:
    """Whether the bias follows every product with the weight, in one orientation, and no other product."""
    own = [site for site in sites if weight == site.weight or bias == site.bias]
    return len({site.kind for site in own}) == 1 and all((s.weight, s.bias) == (weight, bias) for s in own)


def _factors(own: Sequence[tuple[Site, "torch.Tensor", "torch.Tensor"]], fused: bool) -> Factors:
    """All products with one weight as one sum of outer products."""
    import torch

    kinds = {site.kind for site, *_ in own}
    # More than one, e.g. of a table that also is the matrix of the last layer.
    pairs = [_in_order(*one) if len(kinds) > 1 else one[1:] for one in own]
    left, right = (side[0] if len(side) == 1 else torch.cat(side, dim=3) for side in zip(*pairs, strict=True))
    return Factors(
        to_jax(left), to_jax(right), 1.0 if fused else 0.0, own[0][0].size[0] if kinds == {"lookup"} else None
    )


def _in_order(site: Site, left: "torch.Tensor", right: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Rows and columns as the parameter stores them, both of every output."""
    from torch.nn.functional import one_hot

    if site.kind == "lookup":
        left = one_hot(left, site.size[0]).to(right.dtype)
    left = left.expand(-1, right.shape[1], -1, -1, -1)
    return (right, left) if site.kind == "linear" else (left, right)


def _differentiate(
    model: TorchModel,
    x: "torch.Tensor",
    targets: "torch.Tensor",
    sites: Sequence[Site],
    explicit: Sequence[str],
    seeds: Callable,
) -> tuple[list[tuple["torch.Tensor", "torch.Tensor"]], dict[str, "torch.Tensor"], "torch.Tensor"]:
    """Both factors at every site, the gradients (n, c, *shape) of the other parameters, and what `seeds` adds."""
    from torch.func import functional_call, vjp, vmap
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if not sites and not explicit:
        return [], {}, x.new_zeros(len(x))
    constants = {name: value.detach() for name, value in model.module.named_parameters()}
    tapped = {site.weight for site in sites} | {site.bias for site in sites}
    known = {id(value): name for name, value in constants.items() if name in tapped}

    def differentiated(every: Callable) -> Callable:
        """The function of one sample; `every` maps over the outputs."""

        def of_one(xi, target):
            taps = [xi.new_zeros(site.shape, dtype=site.dtype) for site in sites]

            def forward(taps, weights):
                inputs: list = []

                def visit(_, h, z):
                    inputs.append(h)
                    return z + taps[len(inputs) - 1]

                with intercept(known, visit):
                    f = functional_call(
                        model.module, constants | dict(zip(explicit, weights, strict=True)), (xi[None],)
                    )
                return one_output(f).reshape(-1), inputs

            f, pull, inputs = cast(tuple, vjp(forward, taps, [constants[name] for name in explicit], has_aux=True))
            basis, aside = seeds(f, target)
            return *inputs, *every(lambda v: tuple(itertools.chain(*pull(v))))(basis), aside

        return of_one

    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            found = vmap(differentiated(vmap))(x, targets)
        except RuntimeError:  # something that cannot be mapped over samples, e.g. a recurrent layer
            found = _one_by_one(differentiated(_one_by_one))(x, targets)
    k = len(sites)
    pairs = [sides(site, h, delta) for site, h, delta in zip(sites, found[:k], found[k : 2 * k], strict=True)]
    return pairs, dict(zip(explicit, found[2 * k : -1], strict=True)), found[-1]


def _one_by_one(function: Callable) -> Callable:
    """What `torch.func.vmap` does, by a loop."""
    import torch

    return lambda *xs: tuple(torch.stack(parts) for parts in zip(*map(function, *xs), strict=True))


def _plan(model: TorchModel, x: "torch.Tensor") -> _Plan:
    """Found by one evaluation at x[0]: what the output depends on, other than through products, has no site."""
    import torch
    from torch.func import functional_call

    refuse_training(model.module)
    parameters = {name: value.detach().requires_grad_() for name, value in model.parameters.items()}
    sites: list[Site] = []
    elementwise: set[str] = set()

    def visit(site, _, z):
        sites.append(site)
        return z

    state = _random_state(x)
    try:
        with torch.enable_grad(), intercept({id(v): name for name, v in parameters.items()}, visit, elementwise):
            f = one_output(functional_call(model.module, parameters, (x[:1],)))
    except RuntimeError as error:
        shape, reason = tuple(x[:1].shape), str(error).strip().splitlines()[0][:200]
        raise InputError(f"the module does not take a batch of shape {shape} and {x.dtype}: {reason}") from error
    if not torch.equal(state, _random_state(x)):
        raise InputError("the module draws random numbers, e.g. for dropout: call `module.eval()` first")
    gradients = [None] * len(parameters)
    if f.requires_grad:
        gradients = torch.autograd.grad(f, list(parameters.values()), torch.ones_like(f), allow_unused=True)
    otherwise = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    products = {site.weight for site in sites} - otherwise
    products = {name for name in products if _compatible([site for site in sites if site.weight == name])}
    loose = otherwise | {site.bias for site in sites if site.weight not in products}
    kept = [site._replace(bias=None if site.bias in loose else site.bias) for site in sites if site.weight in products]
    weights, shifts = {site.weight for site in sites}, {site.bias for site in sites} - otherwise

    def rule(name: str) -> Rule:
        if name in products:
            return "product"
        if name in elementwise | shifts:
            return "elementwise"
        return "jacobian" if name in otherwise | weights else "unused"

    return _Plan(tuple(f.shape), {name: rule(name) for name in parameters}, kept)


def _compatible(sites: Sequence[Site]) -> bool:
    """Whether the products with one weight can be added up: convolutions only with convolutions in as many groups."""
    return len({site.settings.get("groups", 1) if site.kind == "convolution" else 0 for site in sites}) == 1


def _random_state(x: "torch.Tensor") -> "torch.Tensor":
    """The state of the generator that a module on the device of x draws from."""
    import torch

    return torch.cuda.get_rng_state(x.device) if x.is_cuda else torch.get_rng_state()
