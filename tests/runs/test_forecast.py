"""A forecast of a run: what is stored, against plain sums, and against the forecast of another network."""

import jax
import msgspec
import numpy as np
import pytest
import xarray as xr

from small_runs import small_config
from spectralbias import forecast, runs
from spectralbias._core.errors import InputError
from spectralbias.runs._build import build_model
from spectralbias.runs._forecast import score

SIGNAL = {"frequencies": (1.0, 3.0), "num_samples": 40}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    config = small_config("signal", problem=SIGNAL, training={"steps": 60}, analysis={"drift_times": 0})
    run = runs.execute(config, directory=tmp_path_factory.mktemp("forecast") / "run")
    return run, runs.forecast(run, level="empirical")


def test_what_is_stored_is_the_frozen_kernel_and_the_measured_modes(scored):
    run, _ = scored
    data = xr.open_zarr(run.store, group="forecast", consolidated=False, chunks=None, mask_and_scale=False)
    entry = run.info["forecast"]
    # The prediction of the run is another computation of the same.
    predicted = xr.open_zarr(run.store, group="prediction", consolidated=False, chunks=None, mask_and_scale=False)
    np.testing.assert_allclose(data["loss"], predicted["loss"], rtol=0.01)
    np.testing.assert_allclose(data["band_amplitude"] ** 2, predicted["band_energy"], rtol=0.02, atol=1e-6)
    measured, expected = data["measured_step"].to_numpy(), data["learning_step"].to_numpy()
    wrong = []
    for one, other, share in zip(measured, expected, data["measured_share"].to_numpy(), strict=True):
        if share >= 0.001 and min(one, other) <= 60:
            wrong.append(1.0 if max(one, other) > 60 else abs(other - one) / max(one, 1))
    assert entry["score"]["modes"]["compared"] == len(wrong)
    assert entry["score"]["modes"]["median_error"] == pytest.approx(np.median(wrong))
    assert entry["score"]["loss"]["measured"] == pytest.approx(float(run.records["loss"][-1]))
    assert entry["level"] == "empirical"


def test_the_forecast_of_another_network_is_worse(scored):
    run, found = scored
    settings = msgspec.structs.replace(run.config.model, weight_std=0.5 * run.config.model.weight_std)
    model = build_model(msgspec.structs.replace(run.config, model=settings), run.problem, jax.random.key(5))
    rate = run.info["resolved"]["learning_rate"]
    other = forecast.forecast(model, run.problem, learning_rate=rate, steps=60, level="empirical")
    own, wrong = score(run, found), score(run, other)
    assert own["bands"]["median_error"] < 0.5 * wrong["bands"]["median_error"]
    assert abs(own["loss"]["decibels"]) < abs(wrong["loss"]["decibels"])


def test_mini_batches_are_refused():
    config = small_config("signal", problem=SIGNAL, training={"batch_size": 8, "momentum": 0.0, "optimizer": "sgd"})
    with pytest.raises(InputError, match="mini-batches"):
        runs.forecast(config)
