"""Parts of the studies of signals and photographs against answers of independent origin."""

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from PIL import Image

from spectralbias import dynamics, models, problems, regions
from spectralbias.papers import Outcome
from spectralbias.papers._catalog import find
from spectralbias.papers.lazzari import _confusion, _detail, _images, _regions, _setting, _signal, _speed

SIGNAL = _setting.Signal(
    seeds=(0, 1), inputs=("[0, 1]", "2 octaves"), num_samples=24, frequencies=(1, 3), width=8, depth=2, steps=6,
    snapshots=(0, 2, 6), windows=4, local_pairs=5, far_pairs=7,
)  # fmt: skip
PICTURE = _setting.Picture(
    seeds=(0, 1), inputs=("[-1, 1]", "2 octaves"), size=6, width=8, depth=2, steps=3, snapshots=(0, 3), windows=3,
    local_pairs=4, far_pairs=5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(annotations_unchecked):
    with annotations_unchecked():
        yield


def test_inputs_are_those_of_the_authors():
    i = np.arange(8)
    np.testing.assert_allclose(_setting.features("[0, 1]", (8,), 3), np.stack([i / 8, 0 * i, 0 * i], axis=1))
    np.testing.assert_allclose(_setting.features("[-1, 1]", (8,), 1)[:, 0], 2 * i / 8 - 1, atol=1e-15)
    x = np.linspace(0, 1, 8)
    expected = np.stack([f(2**k * np.pi * x) for f in (np.sin, np.cos) for k in range(4)], axis=1)
    np.testing.assert_allclose(_setting.features("4 octaves", (8,), 8), expected, atol=1e-12)
    rows, columns = np.meshgrid(np.linspace(0, 1, 3), np.linspace(0, 1, 4), indexing="ij")
    found = _setting.features("1 octave", (3, 4), 6)
    expected = [f(np.pi * axis.ravel()) for f in (np.sin, np.cos) for axis in (rows, columns)]
    np.testing.assert_allclose(found, np.stack([*expected, 0 * expected[0], 0 * expected[0]], axis=1), atol=1e-12)
    inputs = ("[0, 1]", "[-1, 1]", "1 octave", "16 octaves")
    assert tuple(_setting.names(_setting.codes(inputs))) == inputs


def test_what_an_input_may_be_called(refuses):
    for bad in ("(0, 1)", "octaves", "0..1"):
        with refuses(bad, "octaves"):
            _setting.positions(bad, (4,))


def test_the_target_is_a_sum_of_sines():
    y = _setting.signal_target(2048, tuple(range(5, 75, 5)), 3)
    assert np.mean(y**2) == pytest.approx(7, abs=1e-9)
    strength = np.abs(np.fft.rfft(y)) / 1024
    np.testing.assert_allclose(strength[5:75:5], 1, atol=1e-9)
    assert np.sum(strength**2) == pytest.approx(14, abs=1e-8)
    assert not np.allclose(y, _setting.signal_target(2048, tuple(range(5, 75, 5)), 4))


@pytest.mark.parametrize("name", ["[0, 1]", "2 octaves"])
def test_columns_of_zeros_change_nothing(name):
    """The same training on the coordinates themselves, through the encoding, without them."""
    run = _setting.trained(SIGNAL, name, 1)
    assert run.x.shape == (24, 4)
    model = _setting.network(name, 1, 8, 2, "scalar", 4, 1)
    plain = _setting.on_positions(model, name, 1)
    assert plain.layers[0].weight.shape == (_setting.num_features(name, 1), 8)
    with _setting.single_precision():
        other = dynamics.train(
            plain,
            _setting.positions(name, (24,)),
            run.y,
            learning_rate=1e-3,
            steps=6,
            optimizer="adam",
            record=(0, 2, 6),
        )
    np.testing.assert_allclose(run.residuals, other.residuals, atol=2e-5)
    end = _setting.on_positions(run.models[-1], name, 1)
    for one, two in zip(jax.tree.leaves(end.layers), jax.tree.leaves(other.model.layers), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)
    assert np.all(np.asarray(run.models[-1].layers[0].weight)[_setting.num_features(name, 1) :] == 0)
    bound = _setting.num_features(name, 1) ** -0.5
    assert bound / 2 < np.abs(np.asarray(model.layers[0].weight)).max() <= bound


def signs(model, x):
    """Which units are on, layer by layer."""
    h, found = np.asarray(x, float), []
    for layer in model.layers[:-1]:
        z = h @ np.asarray(layer.weight, float) + np.asarray(layer.bias, float)
        found.append(z > 0)
        h = np.maximum(z, 0)
    return found


def test_patterns_by_hand():
    run, found = (look(SIGNAL, "2 octaves", 0) for look in (_setting.trained, _setting.patterns))
    for t, model in enumerate(run.models):
        on = signs(model, run.x)
        for kind, pairs in enumerate(SIGNAL.pairs(0)):
            expected = [np.mean(np.sum(layer[pairs[:, 0]] != layer[pairs[:, 1]], axis=1)) for layer in on]
            np.testing.assert_allclose(found.hamming[t, :, kind], expected)
        assert found.distinct[t] == len(np.unique(np.concatenate(on, axis=1), axis=0))
        assert found.dead[t].tolist() == [int(np.sum(~layer.any(axis=0))) for layer in on]


def test_cosines_by_explicit_gradients():
    run, found = _setting.trained(PICTURE, "2 octaves", 1), _setting.cosines(PICTURE, "2 octaves", 1, (1,))
    flat, unravel = ravel_pytree(models.partition(run.models[1])[0])
    rest = models.partition(run.models[1])[1]

    def gradient(x, y):
        def loss(theta):
            return jnp.sum((models.combine(unravel(theta), rest)(x) - y) ** 2)

        return jax.grad(loss)(flat)

    gradients = np.asarray(jax.vmap(gradient)(jnp.asarray(run.x), jnp.asarray(run.y)), float)
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    for kind, pairs in enumerate(PICTURE.pairs(1)[:2]):
        expected = np.sum(unit[pairs[:, 0]] * unit[pairs[:, 1]], axis=1)
        assert found.mean_abs[0, kind] == pytest.approx(np.mean(np.abs(expected)), abs=1e-3)
        assert found.mean[0, kind] == pytest.approx(np.mean(expected), abs=1e-3)
        assert found.negative[0, kind] == np.mean(expected < 0)
    np.testing.assert_allclose(np.trapezoid(found.density, dx=2 / (_setting.POINTS - 1)), 1, atol=1e-4)


def test_pictures_take_turns_and_may_be_the_users(tmp_path):
    pictures = list(_setting.photographs(6, 5, "", "scikit-learn").values())
    for seed in (0, 1, 6):
        np.testing.assert_array_equal(_setting.trained(PICTURE, "[-1, 1]", seed).y, pictures[seed % 5])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)
    for index, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{index}.png")
    study = find("lazzari-image-hamming")
    settings = study.settings(data=tmp_path, seeds=2)
    given = msgspec.structs.replace(PICTURE, data=settings.data, pictures=2)
    expected = problems.image(pixels[1][:8], size=6, color=True).y
    np.testing.assert_allclose(_setting.trained(given, "[-1, 1]", 1).y, expected, atol=1e-6)


def test_controls_shuffle_and_exchange():
    shuffled = msgspec.structs.replace(SIGNAL, shuffled=True)
    for plain, mixed in zip(SIGNAL.pairs(3), shuffled.pairs(3), strict=True):
        order = dict(zip(plain.ravel().tolist(), mixed.ravel().tolist(), strict=True))
        assert [[order[i], order[j]] for i, j in plain.tolist()] == mixed.tolist()
    assert np.abs(np.diff(SIGNAL.pairs(3)[0])).max() < np.abs(np.diff(shuffled.pairs(3)[0])).max()
    exchanged = msgspec.structs.replace(SIGNAL, exchanged=True)
    there, back = (_signal.measure_hamming(settings)["hamming"] for settings in (SIGNAL, exchanged))
    np.testing.assert_array_equal(there, back[:, ::-1])


def test_errors_of_frequencies_by_projection():
    numbers = _signal.measure_frequencies(SIGNAL)
    run = _setting.trained(SIGNAL, "2 octaves", 1)
    wave = np.exp(-2j * np.pi * np.outer((1, 3), np.arange(24) / 24))
    expected = np.abs(run.residuals @ wave.T) / np.abs(wave @ run.y)
    np.testing.assert_allclose(numbers["errors"][1, 1], expected, atol=1e-6)
    assert numbers["target_square"] == pytest.approx(1.0)


def test_regions_are_at_least_as_many_as_patterns():
    settings = msgspec.structs.replace(_regions.STUDIES[0].fast, **{
        name: getattr(PICTURE, name) for name in ("seeds", "inputs", "size", "width", "depth", "steps", "snapshots")
    }, side=1.0)  # fmt: skip
    numbers = _regions.measure(settings)
    assert np.all(numbers["exact"] >= numbers["distinct"][:, :, -1])
    run = _setting.trained(settings, "[-1, 1]", 0)
    grid = problems.coordinates((400, 400))
    on = np.concatenate(signs(_setting.on_positions(run.models[-1], "[-1, 1]", 2), grid), axis=1)
    seen = len(np.unique(np.packbits(on, axis=1), axis=0))
    assert seen <= numbers["exact"][0, 0] <= 1.2 * seen + 5


def test_detail_and_boundaries():
    image = np.random.default_rng(1).random((5, 6, 3))
    found = _detail.detail(image)
    for i, j in ((0, 0), (2, 3), (4, 5)):
        rows, columns = (np.clip([k - 1, k, k + 1], 0, n - 1) for k, n in ((i, 5), (j, 6)))
        assert found[i, j] == pytest.approx(np.sqrt(np.var(image[np.ix_(rows, columns)], axis=(0, 1)).sum()))
    settings = msgspec.structs.replace(_detail.STUDIES[0].fast, **{
        name: getattr(PICTURE, name) for name in ("seeds", "inputs", "size", "width", "depth", "steps", "snapshots")
    })  # fmt: skip
    numbers = _detail.measure(settings)
    run = _setting.trained(settings, "[-1, 1]", 0)
    model = _setting.on_positions(run.models[-1], "[-1, 1]", 2)
    # On both sides of the middle of a boundary all units are the same but those that it is the boundary of.
    low, high = -1 - 1 / 6, 1 - 1 / 6
    assert np.all((numbers["end"][:, :4] >= low - 1e-9) & (numbers["end"][:, :4] <= high + 1e-9))
    for u1, v1, u2, v2, layer in numbers["end"][:20]:
        normal = 1e-6 * np.array([v2 - v1, u1 - u2]) / np.hypot(v2 - v1, u2 - u1)
        middle = np.array([u1 + u2, v1 + v2]) / 2
        one, other = (signs(model, middle + side * normal) for side in (1, -1))
        assert [int(np.sum(a != b)) for a, b in zip(one, other, strict=True)] == [int(k == layer) for k in range(2)]
    density = regions.region_density(regions.plane_regions(model, low, high), (6, 6))
    assert numbers["per_pixel"][0, 1] == pytest.approx(density.mean())


def test_speeds_are_those_of_both_ends():
    settings = _speed.Ranked(**{name: getattr(SIGNAL, name) for name in SIGNAL.__struct_fields__}, looked=(0, 1, 2))
    found = _speed._speeds(settings, "2 octaves", 1)
    run = _setting.trained(settings, "2 octaves", 1)
    wave = np.exp(-2j * np.pi * np.outer((1, 3), np.arange(24) / 24))
    size = np.abs(run.residuals @ wave.T)
    # The band of a frequency is a ring around it: nearly all of the residual is at the two frequencies of the target.
    np.testing.assert_allclose(found.speeds, -np.diff(np.log(size), axis=0) / [[2], [4]], atol=2e-3)
    assert found.quantities.shape == (4, 2, 2)
    np.testing.assert_array_equal(found.quantities[0, :, 0], found.quantities[0, :, 1])
    confusion = regions.gradient_cosine(run.models[1], run.x, run.y, settings.pairs(1)[0])
    assert found.quantities[1, 1, 0] == pytest.approx(-np.mean(np.abs(confusion)), abs=1e-5)
    mixed = _speed.measure(msgspec.structs.replace(settings, mixed=True))
    plain = _speed.measure(settings)
    np.testing.assert_array_equal(mixed["overall"][:, 2:], plain["overall"][:, 2:])
    assert not np.allclose(mixed["overall"][:, :2], plain["overall"][:, :2])


INPUTS = _setting.codes(("[0, 1]", "[-1, 1]", "3 octaves", "6 octaves"))


def curves(local, far=100.0, repetitions=10):
    """Numbers of a study of Hamming distances, with these local ones (inputs, T) in one layer of two."""
    local = np.asarray(local, float)
    hamming = np.full((repetitions, *local.shape, 2, 3), far / 2)
    hamming[..., 0] = local[None, ..., None] / 2
    steps = np.arange(local.shape[1]) * 20
    return {"inputs": INPUTS, "steps": steps, "start": np.array(1), "width": np.array(64), "hamming": hamming}


@pytest.mark.parametrize(
    ("local", "outcome"),
    [
        ([1, 2, 4, 50], Outcome.holds), ([2, 1, 4, 50], Outcome.fails), ([1, 60, 70, 80], Outcome.fails),
        ([1, 2, 4, 110], Outcome.fails),
    ],
)  # fmt: skip
def test_the_criterion_of_hamming_distances(local, outcome):
    numbers = curves(np.repeat(np.array(local)[:, None], 3, axis=1))
    assert _images.judge_hamming(numbers).outcome is outcome
    few = {name: values[:4] if name == "hamming" else values for name, values in numbers.items()}
    assert _images.judge_hamming(few).outcome is Outcome.inconclusive


def test_the_criteria_of_curves():
    grown = curves([[9, 1, 1.2], [9, 2, 2.4], [9, 4, 4], [9, 5, 5]])
    assert _images.judge_growth(grown).outcome is Outcome.holds
    grown["hamming"][:5, 1, 2, :, 0] = 2.0 / 2
    assert _images.judge_growth(grown).outcome is Outcome.fails
    scatter = np.exp(0.02 * np.random.default_rng(0).standard_normal((10, 4, 4, 1)))
    for last, outcome in (([20, 24, 21], Outcome.holds), ([20, 21, 24], Outcome.fails), ([24, 22, 20], Outcome.fails)):
        numbers = curves([[9, 1, 1, 1], [9, 2, 2, 2], [9, 4, 4, 4], [30, *last]])
        numbers["hamming"][..., 0] *= scatter
        assert _images.judge_rise_and_fall(numbers).outcome is outcome


def test_the_criterion_of_layers():
    numbers = curves(np.ones((4, 3)))
    share = np.zeros((10, 4, 3, 2))
    share[:, 3] = [[30, 20], [20, 10], [20.5, 15]]
    share[:, 0] = [[10, 10], [5, 2], [6, 4]]
    numbers["hamming"][..., 2] = share + 1e-3 * np.arange(10)[:, None, None, None]
    assert _images.judge_layers(numbers).outcome is Outcome.holds
    numbers["hamming"][:, 3, :, :, 2] = numbers["hamming"][:, 3, :, ::-1, 2]
    assert _images.judge_layers(numbers).outcome is Outcome.fails


def test_the_criteria_of_frequencies_and_signs():
    numbers = _signal.measure_frequencies(SIGNAL)
    errors = np.ones((10, 4, 3, 4))
    errors[:, :, 1:, :2] = 0.5
    errors[:, 3, 2] = 0.1
    numbers |= {"inputs": INPUTS, "frequencies": np.arange(4), "errors": errors, "mean_square": np.ones((10, 4, 3))}
    assert _signal.judge_frequencies(numbers).outcome is Outcome.holds
    numbers["errors"][:, 0, -1, -1] = 0.5
    assert _signal.judge_frequencies(numbers).outcome is Outcome.fails
    mean = np.zeros((10, 4, 2, 2))
    mean[:, 3, -1, 1] = 0.1 + 0.01 * np.arange(10)
    mean[:, :2, -1, 1] = 0.001 * np.arange(10)[:, None]
    found = {"inputs": INPUTS, "mean": mean, "mean_square": np.ones((10, 4, 3))}
    assert _confusion.judge_positive(found).outcome is Outcome.holds
    assert _confusion.judge_positive(found | {"mean": -mean}).outcome is Outcome.fails


def confusion(local, far, parallel=1.0):
    mean_abs = np.stack([np.broadcast_to(v, (10, 4)) for v in (local, far)], axis=-1)[:, :, None]
    mean_abs = np.concatenate([mean_abs + 0.05, mean_abs], axis=2)
    return {
        "inputs": INPUTS, "steps": np.array([1, 9]), "mean_abs": mean_abs, "parallel": np.full(mean_abs.shape, parallel)
    }  # fmt: skip


def test_the_criteria_of_confusion():
    good = confusion((0.9, 0.92, 0.8, 0.5), (0.5, 0.5, 0.5, 0.3))
    for judge in (_confusion.judge_signal, _confusion.judge_images):
        assert judge(good).outcome is Outcome.holds
        assert judge(confusion((0.9, 0.92, 0.91, 0.5), (0.5, 0.5, 0.5, 0.3))).outcome is Outcome.fails
        assert judge(confusion((0.9, 0.92, 0.8, 0.5), (0.5, 0.5, 0.5, 0.45))).outcome is Outcome.fails
    assert _confusion.judge_signal(good | {"parallel": 0 * good["parallel"]}).outcome is Outcome.fails
    widening = good | {"mean_abs": good["mean_abs"][:, :, ::-1]}
    widening["mean_abs"][:, :, 1] = np.array((0.9, 0.92, 0.8, 0.5))[:, None] - [[0, 0.3]]
    widening["mean_abs"][:, :, 0, 0] = 0.1
    assert _confusion.judge_images(widening).outcome is Outcome.fails
