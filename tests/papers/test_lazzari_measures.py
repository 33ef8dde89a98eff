"""Parts of the studies of units, norms, boundaries, slices and real data, against answers of independent origin."""

import struct

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from spectralbias import models
from spectralbias.papers import Outcome
from spectralbias.papers._catalog import find
from spectralbias.papers.lazzari import (
    _angles,
    _boundary,
    _classifiers,
    _cross_section,
    _dead_units,
    _inradius,
    _real_data,
    _setting,
    _spectral_norms,
)

SIZES = {"seeds": (0, 1), "size": 6, "width": 8, "steps": 4, "snapshots": (0, 4)}
INPUTS = ("[0, 1]", "2 octaves")
CLASSIFIER = _classifiers.Classifiers(
    seeds=(0, 1), num_samples=60, width=8, depth=2, channels=(3, 4), steps=6, batch=20, snapshots=(0, 2, 6), confused=6,
    anchors=9, per_anchor=4,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(annotations_unchecked):
    with annotations_unchecked():
        yield


def by_hand(model, x):
    """Weights and biases of a fully connected network, and z of every hidden layer (n, units)."""
    layers = [(np.asarray(layer.weight, float), np.asarray(layer.bias, float)) for layer in model.layers]
    h, found = x, []
    for weight, bias in layers[:-1]:
        found.append(h @ weight + bias)
        h = np.maximum(found[-1], 0)
    return layers, found


def test_dead_units_are_those_that_are_never_positive():
    settings = _setting.Picture(inputs=INPUTS, local_pairs=2, far_pairs=3, **SIZES)
    numbers = _dead_units.measure(settings)
    assert numbers["dead"].shape == (2, 2, 2, 4)
    for k, name in enumerate(INPUTS):
        run = _setting.trained(settings, name, 1)
        for t, model in enumerate(run.models):
            expected = [(z <= 0).all(axis=0).sum() for z in by_hand(model, run.x)[1]]
            assert numbers["dead"][1, k, t].tolist() == expected


def test_spectral_norms_and_their_product():
    settings = _setting.Picture(inputs=INPUTS, **SIZES)
    numbers = _spectral_norms.measure(settings)
    run = _setting.trained(settings, "2 octaves", 1)
    for t, model in enumerate(run.models):
        expected = [np.linalg.svd(weight)[1][0] for weight, _ in by_hand(model, run.x)[0]]
        np.testing.assert_allclose(numbers["norms"][1, 1, t], expected, rtol=1e-5)


def test_distances_to_boundaries():
    settings = _boundary.Distances(inputs=INPUTS, encodings=("2 octaves",), epoch=4, **SIZES)
    numbers = _boundary.measure(settings)
    run = _setting.trained(settings, "2 octaves", 1)
    for t, model in enumerate(run.models):
        layers, z = by_hand(model, run.x)
        away = [np.min(np.abs(a) / np.linalg.norm(w, axis=0), axis=1) for a, (w, _) in zip(z, layers, strict=False)]
        assert numbers["distances"][1, 0, t] == pytest.approx(np.mean(np.min(away, axis=0)), rel=1e-3)
    assert int(numbers["start"]) == 1
    control = _boundary.measure(msgspec.structs.replace(settings, reciprocal=True))
    np.testing.assert_allclose(control["distances"], 1 / numbers["distances"])
    assert int(control["start"]) == 0


@pytest.mark.parametrize(
    ("curve", "outcome"),
    [
        ((9, 2, 1, 2), Outcome.holds),
        ((9, 1.1, 1, 1.2), Outcome.holds),  # the dip counts from the first epoch on
        ((9, 1.05, 1, 2), Outcome.fails),
        ((9, 2, 1, 1.05), Outcome.fails),
        ((1, 2, 3, 2), Outcome.fails),
        ((4, 3, 2, 1), Outcome.fails),
    ],
)
def test_a_dip_is_below_what_is_before_it_and_behind_it(curve, outcome):
    curve = (curve[0], *curve[1:])
    start = 0 if curve[1] == 1.1 else 1
    if start == 0:
        curve = (1.2, *curve[1:])
    numbers = {
        "inputs": np.array([[0, 0, 4.0]]), "steps": np.array([0, 10, 20, 30]), "start": np.array(start),
        "units": np.array(32), "features": np.array([16]), "distances": np.tile(np.array(curve, float), (10, 1, 1)),
    }  # fmt: skip
    assert _boundary.judge(numbers).outcome is outcome


def test_hyperplanes_of_the_first_layer_and_random_ones():
    settings = _inradius.Octaves(inputs=("2 octaves", "3 octaves"), depth=1, points=2, **SIZES)
    weight, bias = _inradius._hyperplanes(settings, "2 octaves", 1, -1)
    layer = _setting.trained(settings, "2 octaves", 1).models[-1].layers[0]
    np.testing.assert_allclose(weight, np.asarray(layer.weight)[:8].T, rtol=1e-6)
    np.testing.assert_allclose(bias, np.asarray(layer.bias), rtol=1e-6)
    directions, shifts = _inradius.random_directions(weight, bias, 50_000, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(np.abs(shifts), np.abs(bias) / np.linalg.norm(weight, axis=1))
    assert np.abs(np.triu(directions @ directions.T, 1)).max() < 0.03
    assert [_inradius.num_points(settings, name) for name in settings.inputs] == [3, 2]


def test_inradii_in_one_dimension_are_half_the_gaps():
    """w x + b = 0 at x = -b/w: points of [-1, 1] lie in gaps between these."""
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((6, 1)), 0.5 * rng.standard_normal(6)
    at = np.sort(np.clip(-bias / weight[:, 0], -1, 1))
    ends = np.concatenate([[-1], at, [1]])
    where = np.random.default_rng([5, 6]).uniform(-1, 1, 40)
    gap = np.searchsorted(ends, where)
    np.testing.assert_allclose(_inradius.inradii(weight, bias, 40, 5), (ends[gap] - ends[gap - 1]) / 2, atol=1e-7)


def test_inradii_of_the_control_have_the_inputs_of_the_smallest_encoding():
    study = find("lazzari-inradius")
    settings = _inradius.Octaves(inputs=("2 octaves", "3 octaves"), depth=1, points=2, **SIZES)
    numbers, control = _inradius.measure(settings), _inradius.measure(study.control.change(settings))
    np.testing.assert_array_equal(numbers["inradii"][:, 0], control["inradii"][:, 0])
    assert np.all(numbers["inradii"][:, 1] != control["inradii"][:, 1])


def test_mean_cosines_of_each_layer():
    settings = _angles.Angles(inputs=INPUTS, **SIZES)
    numbers = _angles.measure(settings)
    run = _setting.trained(settings, "2 octaves", 1)
    for t, model in enumerate(run.models):
        for k, (weight, _) in enumerate(by_hand(model, run.x)[0][:-1]):
            rows = (weight / np.linalg.norm(weight, axis=0)).T
            pairs = [rows[i] @ rows[j] for i in range(8) for j in range(i)]
            assert numbers["means"][1, 1, t, k] == pytest.approx(np.mean(pairs), abs=1e-6)
    matrix, offsets = _angles.cosines(run.models[1], run.x, None)
    turned, _ = _angles.cosines(run.models[1], run.x, 1)
    np.testing.assert_allclose(np.abs(turned), np.abs(matrix))
    np.testing.assert_allclose(np.diag(turned), 1)
    assert np.any(turned * matrix < 0)
    assert offsets.tolist() == [0, 8, 16, 24, 32]
    assert numbers["matrices"].shape == (2, 32, 32)


def test_slices_go_through_the_first_and_the_last_inputs_of_the_paper():
    """Octave by octave, x before y: sin π x, cos π x, sin π y, … cos 2^(L-1) π y."""
    x, y, count = 0.3, 0.8, 3
    encoded = np.asarray(models.encodings.PositionalEncoding(count)(jnp.array([x, y])))
    low, high = (_cross_section.axes_of("3 octaves", kind, 12) @ encoded for kind in (0, 1))
    np.testing.assert_allclose(low, (np.sin(np.pi * x), np.cos(np.pi * x)))
    np.testing.assert_allclose(high, (np.sin(4 * np.pi * y), np.cos(4 * np.pi * y)), atol=1e-12)


def test_regions_of_a_slice_are_the_patterns_on_a_fine_grid():
    settings = _cross_section.Slices(inputs=("2 octaves", "3 octaves"), **SIZES)
    numbers = _cross_section.measure(settings)
    run = _setting.trained(settings, "2 octaves", 0)
    u, v = (part.ravel() for part in np.meshgrid(*[np.linspace(-1, 1, 401)] * 2))
    points = np.outer(u, np.eye(12)[3]) + np.outer(v, np.eye(12)[7])  # sin 2π y and cos 2π y
    _, z = by_hand(run.models[1], points)
    patterns = np.unique(np.packbits(np.concatenate(z, axis=1) > 0, axis=1), axis=0)
    found = numbers["counts"][0, 0, 1, 1]
    assert 0.8 * found < len(patterns) <= found
    control = _cross_section.measure(msgspec.structs.replace(settings, untrained=True))
    np.testing.assert_array_equal(control["counts"][:, :, 1], numbers["counts"][:, :, 0])
    assert numbers["segments_1_1"].shape == (len(numbers["layers_1_1"]), 2, 2)


def test_digits_of_scikit_learn():
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    found = _classifiers.digits(50, 8, 4)
    assert (found.pixels.shape, found.count) == ((50, 1, 8, 8), 10)
    for picture, shown in zip(found.pixels, found.classes, strict=True):
        same = np.all(pixels / 16 == picture.ravel(), axis=1)
        assert classes[same].tolist() == [shown]
    large = _classifiers.digits(50, 16, 4)
    np.testing.assert_array_equal(large.classes, found.classes)
    np.testing.assert_allclose(large.pixels.mean(axis=(2, 3)), found.pixels.mean(axis=(2, 3)), atol=0.03)
    assert not np.array_equal(found.pixels, _classifiers.digits(50, 8, 5).pixels)


def test_files_of_the_user(tmp_path, refuses):
    rng = np.random.default_rng(0)
    small, large = tmp_path / "mnist", tmp_path / "cifar"
    small.mkdir()
    large.mkdir()
    labels = (np.arange(30) % 10).astype(np.uint8)
    images = np.repeat(labels, 784).reshape(30, 784)
    (small / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 30, 28, 28) + images.tobytes())
    (small / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 30) + labels.tobytes())
    found = _classifiers.pictures_in(str(small), 20, 1)
    assert (found.pixels.shape, found.count) == ((20, 1, 28, 28), 10)
    np.testing.assert_allclose(found.pixels[:, 0, 5, 7] * 255, found.classes, rtol=1e-5)
    photographs = rng.integers(0, 256, (30, 3072), dtype=np.uint8)
    for file, labelled in (("train.bin", [labels % 5, labels]), ("data_batch_1.bin", [labels])):
        folder = large / file.partition(".")[0]
        folder.mkdir()
        (folder / file).write_bytes(np.column_stack([*labelled, photographs]).tobytes())
        found = _classifiers.pictures_in(str(folder), 20, 1)
        assert found.pixels.shape == (20, 3, 32, 32)
        assert found.count == (100 if file == "train.bin" else 10)
        first = np.flatnonzero(np.all(photographs / 255 == found.pixels[0].ravel().astype(float), axis=1))
        assert first.size == 0 or labels[first[0]] == found.classes[0]
    with refuses("MNIST", "CIFAR-100"):
        _classifiers.pictures_in(str(large), 20, 1)
    settings = msgspec.structs.replace(CLASSIFIER, convolutional=True, data=str(small), num_samples=24)
    x, classes, count = _classifiers.inputs(settings, 0)
    assert (x.shape, count, classes.max() < 10) == ((24, 1, 28, 28), 10, True)
    assert -1 <= x.min() < x.max() <= 1


def test_principal_components_are_scikit_learns():
    from sklearn.decomposition import PCA

    x = np.random.default_rng(1).standard_normal((40, 2, 3)) * np.arange(1, 7).reshape(2, 3)
    fitted = PCA(1).fit(x.reshape(40, 6))
    expected = fitted.inverse_transform(fitted.transform(x.reshape(40, 6)))
    np.testing.assert_allclose(_classifiers.projected(x, 1).reshape(40, 6), expected, atol=1e-5)


def test_training_is_adam_on_cross_entropy():
    """Against Adam written out, with p - onehot as the gradient of the loss in the outputs."""
    settings = CLASSIFIER
    with _setting.single_precision():
        x, y, count = _classifiers.inputs(settings, 2)
        model = _classifiers.network(settings, x.shape[1:], count, 2)
        kept, losses = _classifiers.train(
            model, x, y, steps=6, snapshots=(0, 2, 6), batch=20, rate=1e-2, seed=2
        )  # fmt: skip
        flat, unravel = ravel_pytree(model)
        outputs = jax.jit(lambda theta, x: jax.vmap(unravel(theta))(x))
        pull = jax.jit(lambda theta, x, g: jax.vjp(lambda t: outputs(t, x), theta)[1](g)[0])
        draws = np.random.default_rng([2, 4])
        order = np.concatenate([draws.permutation(60).reshape(3, 20) for _ in range(2)])
        theta, m, v = np.asarray(flat, float), 0.0, 0.0
        for step, batch in enumerate(order, 1):
            f = np.asarray(outputs(jnp.asarray(theta, jnp.float32), x[batch]), float)
            p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
            assert losses[step - 1] == pytest.approx(-np.log(p[np.arange(20), y[batch]]).mean(), rel=1e-4)
            g = np.asarray(
                pull(
                    jnp.asarray(theta, jnp.float32), x[batch], jnp.asarray((p - np.eye(10)[y[batch]]) / 20, jnp.float32)
                ),
                float,
            )
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            theta = theta - 1e-2 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        assert len(kept) == 3
        np.testing.assert_array_equal(ravel_pytree(kept[0])[0], flat)
        last = np.asarray(outputs(ravel_pytree(kept[2])[0], x))
    with _setting.single_precision():
        np.testing.assert_allclose(last, np.asarray(outputs(jnp.asarray(theta, jnp.float32), x)), atol=2e-3)


def test_pairs_by_class_and_distance():
    x, classes, _ = _classifiers.inputs(CLASSIFIER, 0)
    near, far = _classifiers.pairs(CLASSIFIER, x, classes, 0)
    same, _ = _classifiers.pairs(msgspec.structs.replace(CLASSIFIER, same_class=True), x, classes, 0)
    least = np.bincount(classes).min() - 1
    assert near.shape == far.shape == (36, 2)
    assert same.shape == (9 * min(4, least), 2)
    assert np.all(classes[near[:, 0]] != classes[near[:, 1]])
    assert np.all(classes[same[:, 0]] == classes[same[:, 1]])
    anchor = near[0, 0]
    away = np.linalg.norm(x - x[anchor], axis=1)
    others = np.flatnonzero(classes != classes[anchor])
    assert set(near[:4, 1]) == set(others[np.argsort(away[others])[:4]])
    assert set(far[:4, 1]) == set(np.argsort(away)[-4:])


def test_hamming_distances_and_samples_that_are_right():
    numbers = _real_data.measure_hamming(CLASSIFIER)
    x, classes, kept = _classifiers.trained(CLASSIFIER, 1)
    chosen = _classifiers.pairs(CLASSIFIER, x, classes, 1)
    for t, model in enumerate(kept):
        layers, z = by_hand(model, x)
        bits = np.concatenate(z, axis=1) > 0
        expected = [(bits[some[:, 0]] != bits[some[:, 1]]).sum(axis=1).mean() for some in chosen]
        np.testing.assert_allclose(numbers["hamming"][1, t], expected)
        f = np.maximum(z[-1], 0) @ layers[-1][0] + layers[-1][1]
        assert numbers["right"][1, t] == pytest.approx(np.mean(f.argmax(axis=1) == classes))
    assert int(numbers["units"]) == 16


def test_cosines_are_those_of_explicit_gradients():
    numbers = _real_data.measure_cosines(CLASSIFIER)
    x, classes, kept = _classifiers.trained(CLASSIFIER, 1)
    flat, unravel = ravel_pytree(kept[-1])
    flat = flat.astype(float)
    loss = jax.jit(jax.vmap(jax.grad(lambda t, xi, c: -jax.nn.log_softmax(unravel(t)(xi))[c]), (None, 0, 0)))
    gradients = np.asarray(loss(flat, jnp.asarray(x, float), jnp.asarray(classes)))
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    for kind, some in enumerate(_classifiers.pairs(CLASSIFIER, x, classes, 1)):
        expected = np.sum(unit[some[:, 0]] * unit[some[:, 1]], axis=1)
        np.testing.assert_allclose(numbers["cosines"][1, kind], expected, atol=1e-4)
    np.testing.assert_allclose(np.trapezoid(numbers["densities"], numbers["grid"], axis=2), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("near", "far", "outcome"),
    [(-0.3, 0.05, Outcome.holds), (0.3, 0.05, Outcome.fails), (-0.3, 0.3, Outcome.fails), (-0.3, -0.3, Outcome.fails)],
)
def test_a_negative_tail_of_neighbors_alone(near, far, outcome):
    cosines = np.tile(np.array([[near], [far]]), (10, 1, 40))
    numbers = {"step": np.array(5), "grid": np.zeros(1), "densities": np.zeros(1), "cosines": cosines}
    assert _real_data.judge_cosines(numbers).outcome is outcome


def test_the_sizes_of_the_paper():
    for name in ("dead-units", "spectral-norms", "boundary-distance", "inradius", "hyperplane-angles", "cross-section"):
        study = find(f"lazzari-{name}")
        assert (study.paper.size, study.paper.width, study.paper.depth, study.paper.batch) == (512, 512, 4, 8192)
        assert study.takes_data
    mlp, cnn = (find(f"lazzari-data-hamming-{name}").paper for name in ("mlp", "cnn"))
    assert (mlp.width * mlp.depth, mlp.convolutional) == (2048, False)
    assert (cnn.channels, cnn.width, cnn.convolutional) == ((32, 64, 96), 256, True)
    for settings in (mlp, cnn):
        assert (settings.num_samples, settings.batch, settings.anchors, settings.per_anchor) == (60_000, 512, 2500, 25)
        assert settings.steps == 100 * (60_000 // 512)
        assert settings.confused == 25 * (60_000 // 512)
        assert settings.confused in settings.snapshots
