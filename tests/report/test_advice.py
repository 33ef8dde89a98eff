"""The page and the picture of an advice about encodings."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from spectralbias import forecast, report
from spectralbias._core.errors import InputError
from spectralbias.report import _advice_views as views_of
from spectralbias.report._advice_words import headline, table_head, table_rows

SMALL = {"width": 32, "depth": 1}


@pytest.fixture(scope="module")
def advices():
    rng = np.random.default_rng(0)
    picture = np.cumsum(np.cumsum(rng.standard_normal((16, 20)), axis=0), axis=1)
    picture = (picture - picture.min()) / np.ptp(picture)
    names = ["raw [0, 1]", "raw [-1, 1]", "positional 2", "gaussian 2"]
    t = np.linspace(0, 1, 32, endpoint=False)
    return {
        "picture": forecast.recommend_encoding(picture, steps=100, encodings=names, **SMALL),
        "signal": forecast.recommend_encoding(5 + np.sin(40 * t**2), steps=100, encodings=names[1:], **SMALL),
        "one": forecast.recommend_encoding(picture, steps=1, encodings=["positional 1"], **SMALL),
    }


@pytest.mark.parametrize("name", ["picture", "signal", "one"])
def test_the_page_and_the_picture(advices, name, tmp_path):
    advice = advices[name]
    page = report.write_advice(advice, tmp_path / "page.html", name="x<y.png", recipe=[("Type <this>:", "run 1 < 2")])
    text = page.read_text(encoding="utf-8")
    body = text[: text.index('<script type="application/json"')]
    assert "x&lt;y.png" in body
    assert "run 1 &lt; 2" in body
    rows = re.findall(r'<tr><th scope="row">(?:<i[^>]*></i>)?([^<]*)</th>', body)
    assert rows == [choice.label for choice in advice.table]
    pictures = 0 if name == "signal" else (4 + 4 + 4 if name == "picture" else 2 + 3)
    assert body.count('<img src="data:image/png') == pictures
    with Image.open(tmp_path / "page.png") as drawn:
        assert drawn.size[0] == 1400
        assert np.ptp(np.asarray(drawn.convert("L"))) == 255


def test_a_missing_folder(advices, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        report.write_advice(advices["one"], tmp_path / "nowhere" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_table_holds_the_curves_at_their_steps(advices):
    advice = advices["picture"]
    head, rows = table_head(advice), table_rows(advice)
    assert head[1] == "held out at 100"
    steps = [int(title.removeprefix("at ")) for title in head[2:-2]]
    assert steps == sorted(steps)
    for choice, row in zip(advice.table, rows, strict=True):
        for step, cell in zip([100, *steps], row[1:-2], strict=True):
            expected = float(choice.held_out[list(advice.steps).index(step)])
            assert float(cell) == pytest.approx(expected, abs=0.051)
        assert float(row[-2]) == pytest.approx(choice.train_psnr, abs=0.051)


def test_the_headline_compares_with_the_best_raw_coordinates(advices):
    advice = advices["picture"]
    raw = max(choice.psnr for choice in advice.table if choice.label.startswith("raw"))
    if advice.pick.label.startswith("raw"):
        assert advice.table[1].label in headline(advice)
    else:
        assert f"{advice.pick.psnr - raw:.1f} dB better than raw coordinates" in headline(advice)
    assert headline(advices["one"]) == "Take positional 1."


def fake(shape=(64, 64), labels=("gaussian 2", "raw [0, 1]", "positional 1"), ends=(20.0, 15.0, 14.9), values=None):
    """As much of an advice as the views read."""
    steps = np.array([1, 10, 100])
    table = [
        SimpleNamespace(label=label, psnr=end, held_out=np.array([10.0, 11.0, end]), offset=0.0, scale=1.0)
        for label, end in zip(labels, ends, strict=True)
    ]
    trains = np.all(np.indices(shape) % 2 == 0, axis=0)
    values = np.zeros((*shape, 1)) if values is None else values
    return SimpleNamespace(
        pick=table[0], table=table, steps=steps, budget=100, shape=shape, values=values, trains=trains
    )


def test_samples_two_apart_hold_a_quarter_of_the_cycles():
    assert views_of.finest_trained(fake((64, 64))) == 16
    assert views_of.finest_trained(fake((64, 32))) == 8
    assert views_of.finest_trained(fake((128,))) == 32


def test_the_spectrum_of_a_wave():
    rows = np.arange(32)[:, None] / 32
    wave = np.broadcast_to(np.cos(2 * np.pi * 5 * rows), (32, 32))[..., None]
    rms = views_of.spectrum(fake((32, 32)), wave)
    assert len(rms) == 17
    assert np.argmax(rms) == 5
    # Two coefficients of 1/2 among the lattice points of the ring.
    ring = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(32, 1 / 32), np.fft.fftfreq(32, 1 / 32)))) == 5
    assert rms[5] == pytest.approx(np.sqrt(0.5 / ring.sum()))


def test_the_detail_is_where_the_structure_is():
    values = np.zeros((200, 150, 1))
    values[130:150:2, 70:90] = 1
    rows, columns = views_of.detail(fake((200, 150), values=values))
    assert rows.start <= 130 < 149 <= rows.stop == rows.start + 64
    assert columns.start <= 70 < 90 <= columns.stop == columns.start + 64


def test_names_at_the_ends_do_not_overlap():
    advice = fake()
    assert views_of.named_ends(advice, gap=0.5, bottom=0) == [0, 1]
    assert views_of.named_ends(advice, gap=0.05, bottom=0) == [0, 1, 2]
    assert views_of.named_ends(advice, gap=0.05, bottom=14.95) == [0, 1]


def test_colors_tell_kinds_and_numbers_apart():
    labels = ["gaussian 4", "positional 1", "positional 8", "gaussian 0.5", "gaussian 2", "raw [0, 1]", "raw [-1, 1]"]
    for theme in views_of.colors(labels, pick=0):
        assert len(set(theme)) == len(labels)
    light, dark = views_of.colors(labels, pick=0)
    brightness = [[sum(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in theme] for theme in (light, dark)]
    assert brightness[0][2] < brightness[0][1]
    assert brightness[1][2] > brightness[1][1]


@pytest.mark.parametrize(("budget", "steps"), [(1, [1]), (5, [1, 5]), (2000, [20, 200, 2000]), (1234, [12, 120, 1234])])
def test_the_steps_shown(budget, steps):
    assert views_of.shown_steps(budget).tolist() == steps
