"""Functions of parameters and one input, in which weights are used in all the ways that must be told apart."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

RNG = np.random.default_rng(12)


def weight(*shape):
    return jnp.asarray(RNG.standard_normal(shape))


X, TOKENS, IMAGES, SIGNALS = weight(3, 3), weight(3, 5, 3), weight(3, 4, 7, 6), weight(3, 4, 9)
WORDS = jnp.asarray(RNG.integers(0, 3, (3, 5)))

W, B = weight(4, 3), weight(4)
SQUARE, TABLE = weight(3, 3), weight(6, 3)
BOTH = {"w": W, "b": B}


def dense(p, x):
    return p["w"] @ x + p["b"]


def transposed_bias(p, x):  # (tokens, 3) to (4, tokens)
    return jnp.tanh((x @ p["w"].T).T + p["b"][:, None]).sum(1)


def qkv(p, x):
    q, k, v = (x @ p).reshape(5, 3, 2, 2).transpose(1, 2, 0, 3)
    scores = jax.nn.softmax(jnp.einsum("hqc,hkc->hqk", q, k))
    return jnp.einsum("hqk,hkc->qhc", scores, v).reshape(5, 4).mean(0)


def convolution(**settings):
    def apply(p, x):
        spatial = "HW"[: x.ndim - 1]
        numbers = (f"NC{spatial}", f"OI{spatial}", f"NC{spatial}")
        settings.setdefault("window_strides", (1,) * len(spatial))
        settings.setdefault("padding", "VALID")
        z = lax.conv_general_dilated(x[None], p, dimension_numbers=numbers, **settings)[0]
        return jnp.tanh(z).reshape(len(z), -1).sum(1)

    return apply


def transposed_convolution(p, x):
    return lax.conv_transpose(x[None], p, (2, 2), "SAME", dimension_numbers=("NCHW", "IOHW", "NCHW")).sum((0, 2, 3))


def stacked(reverse):
    def apply(p, x):
        return lax.scan(lambda h, l: (jnp.tanh(l["w"] @ h + l["b"]), None), x, p, reverse=reverse)[0]

    return apply


def recurrent(p, x):
    return lax.scan(lambda h, u: (jnp.tanh(p["w"] @ h + p["b"] + p["v"] @ u), None), jnp.zeros(3), x)[0]


def nested(p, x):
    def layer(h, w):
        return lax.scan(lambda h, u: (jnp.tanh(w @ h + p["v"] @ u), None), h, x)[0], None

    return lax.scan(layer, jnp.zeros(3), p["w"])[0]


def loop(p, x):
    return lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, p @ c[1]), (0, x))[1]


@jax.custom_jvp
def own_rule(w, x):
    return w @ x


own_rule.defjvp(lambda primals, tangents: (own_rule(*primals), tangents[0] @ primals[1] + primals[0] @ tangents[1]))


def inside(transformation):
    return lambda p, x: transformation(lambda p, x: jnp.tanh(dense(p, x)))(p, x)


def embedded(p, i):
    return jnp.tanh(p[i]).sum(0)


# function, parameters, inputs, and for each parameter: (kind, sites, clusters), or the name of the product with it.
PRODUCT, CONVOLUTION, LOOKUP = (("product", kind) for kind in ("matrix product", "convolution", "lookup"))
DENSE = {"w": (*PRODUCT, 1, 1), "b": "w"}
STRUCTURED = {
    "stored (out, in)": (dense, BOTH, X, DENSE),
    "stored (in, out)": (lambda p, x: x @ p["w"] + p["b"], {"w": weight(3, 4), "b": B}, X, DENSE),
    "transposed": (lambda p, x: p["w"].T @ x + p["b"], {"w": weight(3, 4), "b": B}, X, DENSE),
    "scaled": (lambda p, x: (0.5 * p["w"]) @ x / 3 + p["b"], BOTH, X, DENSE),
    "scaled by a root": (lambda p, x: jnp.sqrt(2.0) * p @ x, W, X, (*PRODUCT, 1, 1)),
    "negated": (lambda p, x: (-p) @ x, W, X, (*PRODUCT, 1, 1)),
    "a vector": (lambda p, x: jnp.dot(p, x), weight(3), X, (*PRODUCT, 1, 1)),
    "in another shape": (lambda p, x: p.reshape(4, 3) @ x, weight(2, 2, 3), X, (*PRODUCT, 1, 1)),
    "queries, keys and values at once": (qkv, weight(3, 12), TOKENS, (*PRODUCT, 1, 1)),
    "two halves": (lambda p, x: jnp.tanh(p[:2] @ x) + p[2:] @ x, W, X, (*PRODUCT, 2, 2)),
    "split": (lambda p, x: jnp.tanh(jnp.split(p, 2)[0] @ x) * (jnp.split(p, 2)[1] @ x), W, X, (*PRODUCT, 2, 2)),
    "reversed": (lambda p, x: p[::-1, ::-1] @ x, W, X, (*PRODUCT, 1, 1)),
    "layers of one array": (lambda p, x: p[1] @ jnp.tanh(p[0] @ x), weight(2, 3, 3), X, (*PRODUCT, 2, 2)),
    "a sum of powers": (lambda p, x: p @ (p @ x) + (p @ p) @ x, SQUARE, X, (*PRODUCT, 4, 1)),
    "a quadratic form": (lambda p, x: jnp.sum((p.T @ p) @ x), W, X, (*PRODUCT, 2, 1)),
    "groups": (lambda p, x: jnp.einsum("tij,tj->ti", p, x).sum(0), weight(5, 4, 3), TOKENS, (*PRODUCT, 1, 1)),
    "heads": (lambda p, x: jnp.einsum("td,dhk->thk", x, p).mean((0, 1)), weight(3, 2, 4), TOKENS, (*PRODUCT, 1, 1)),
    "tokens": (lambda p, x: jnp.tanh(jax.vmap(lambda t: dense(p, t))(x)).sum(0), BOTH, TOKENS, DENSE),
    "a bias after a transpose": (transposed_bias, BOTH, TOKENS, DENSE),
    "low rank": (
        lambda p, x: p["w"] @ x + p["b"] @ (p["a"] @ x), {"w": W, "b": weight(4, 2), "a": weight(2, 3)}, X,
        {"w": (*PRODUCT, 1, 1), "b": (*PRODUCT, 1, 1), "a": (*PRODUCT, 1, 1)},
    ),
    "low rank, multiplied first": (
        lambda p, x: (p["b"] @ p["a"]) @ x, {"b": weight(4, 2), "a": weight(2, 3)}, X,
        {"b": (*PRODUCT, 1, 1), "a": (*PRODUCT, 1, 1)},
    ),
    "two layers with one weight": (lambda p, x: jnp.tanh(p @ jnp.tanh(p @ x)), SQUARE, X, (*PRODUCT, 2, 1)),
    "autoencoder": (lambda p, x: p.T @ jnp.tanh(p @ x), W, X, (*PRODUCT, 2, 1)),
    "rows": (embedded, TABLE, WORDS, (*LOOKUP, 1, 1)),
    "take": (lambda p, i: jnp.take(p, i, axis=0).sum(0), TABLE, WORDS, (*LOOKUP, 1, 1)),
    "columns": (lambda p, i: p[:, i].sum(1), TABLE.T, WORDS, (*LOOKUP, 1, 1)),
    "one row": (lambda p, i: lax.dynamic_index_in_dim(p, i[0], keepdims=False), TABLE, WORDS, (*LOOKUP, 1, 1)),
    "rows and columns of one square": (lambda p, i: p[i[0]] * p[:, i[1]], SQUARE, WORDS, (*LOOKUP, 2, 1)),
    "tied unembedding": (
        lambda p, i: jnp.tanh(p[i]).sum(0) @ p.T, TABLE, WORDS, ("product", "lookup and matrix product", 2, 1)
    ),
    "images": (convolution(padding="SAME"), weight(2, 4, 3, 2), IMAGES, (*CONVOLUTION, 1, 1)),
    "images with holes, in groups": (
        convolution(window_strides=(2, 1), padding=((1, 0), (2, 1)), rhs_dilation=(2, 1), feature_group_count=2),
        weight(6, 2, 3, 2), IMAGES, (*CONVOLUTION, 1, 1),
    ),
    "signals": (convolution(window_strides=(2,)), weight(2, 4, 3), SIGNALS, (*CONVOLUTION, 1, 1)),
    "enlarged images": (transposed_convolution, weight(4, 2, 3, 3), IMAGES, (*CONVOLUTION, 1, 1)),
    "recurrent": (
        recurrent, {"w": SQUARE, "b": weight(3), "v": SQUARE}, TOKENS,
        {"w": (*PRODUCT, 1, 1), "b": "w", "v": (*PRODUCT, 1, 1)},
    ),
    "stacked": (stacked(False), {"w": weight(2, 3, 3), "b": weight(2, 3)}, X, DENSE),
    "stacked, from the last one": (stacked(True), {"w": weight(2, 3, 3), "b": weight(2, 3)}, X, DENSE),
    "nested": (
        nested, {"w": weight(2, 3, 3), "v": SQUARE}, TOKENS, {"w": (*PRODUCT, 1, 1), "v": (*PRODUCT, 1, 1)}
    ),
    "jit": (inside(jax.jit), BOTH, X, DENSE),
    "checkpoint": (inside(jax.checkpoint), BOTH, X, DENSE),
    "vmap": (inside(lambda f: jax.vmap(f, (None, 0), 1)), BOTH, TOKENS[:, :1], DENSE),
}  # fmt: skip


OBSTACLES = {
    "overlapping parts": (lambda p, x: jnp.tanh(p[:3] @ x) + p[1:] @ x, W, X, "different arrangements"),
    "two arrangements": (lambda p, x: jnp.tanh(p @ x) + p.reshape(3, 4).T @ x, W, X, "different arrangements"),
    "repeated": (
        lambda p, x: jnp.einsum("tij,tj->ti", jnp.broadcast_to(p, (5, 4, 3)), x).sum(0), W, TOKENS, "are repeated"
    ),
    "normalized": (lambda p, x: p / jnp.linalg.norm(p, axis=1, keepdims=True) @ x, W, X, "`"),
    "masked": (lambda p, x: (p * jnp.triu(jnp.ones((3, 3)))) @ x, SQUARE, X, "`mul`"),
    "joined": (lambda p, x: jnp.concatenate([p, p]) @ x, W, X, "`concatenate`"),
    "branch": (lambda p, x: lax.cond(x[0] > 0, lambda: p @ x, lambda: x[0] * p.sum(1)), W, X, "`cond`"),
    "loop": (loop, SQUARE, X, "`while`"),
    "own derivative": (own_rule, W, X, "`custom_jvp_call`"),
    "carried by a scan": (
        lambda p, x: lax.scan(lambda w, u: (jnp.sin(w), w @ u), p, x)[1].sum(0), SQUARE, TOKENS, "a scan changes it"
    ),
    "stopped": (lambda p, x: lax.stop_gradient(p) @ x, W, X, "`stop_gradient`"),
    "output": (lambda p, x: p.reshape(-1), W, X, "output"),
    "complex": (lambda p, x: jnp.real(p.astype(complex) @ jnp.fft.fft(x)), W, X, "`convert_element_type`"),
    "another value outside of the table": (
        lambda p, i: p.at[i].get(mode="fill", fill_value=0.0).sum(0), TABLE, WORDS, "`gather`"
    ),
    "single entries": (lambda p, i: p[i, i].sum(), TABLE, WORDS, "`gather`"),
    "a table with a scale": (lambda p, x: p @ x + p[:, 0] * x[0], W, X, "scale and in a product"),
    "weights of a filter from the input": (
        lambda p, x: lax.conv(p[None], x[None, :, :2, :2], (1, 1), "VALID"), weight(4, 5, 5), IMAGES,
        "`conv_general_dilated`",
    ),
}  # fmt: skip
