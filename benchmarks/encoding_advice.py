"""Advice against trainings: 13 encodings, both optimizers, pictures and signals that nothing was tuned on.

The trainings (312 of them, some 90 minutes of one core) are cached in .cache/encoding_advice, so that the benchmark
goes on where it was stopped; `--train` does nothing else. It needs scikit-image and scikit-learn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import _advice_trainings
import jax
import numpy as np
from _advice_trainings import HELD_OUT, KEY, OPTIMIZERS, SIGNALS, SIZE, STEPS, TUNING, target, train
from _common import save
from scipy.stats import spearmanr

from spectralbias import forecast
from spectralbias.forecast._candidates import candidates

# Of the regret, in dB, and of the advice's time as a share of the trainings'.
MEAN_REGRET, WORST_REGRET, SPEARMAN, SHARE = {"gd": 0.3, "adam": 0.5}, 1.5, 0.9, 0.02
PROBE_STEPS, SPEED_SIZE, SPEED_ENCODINGS = 300, 128, ("raw [-1, 1]", "positional 4", "gaussian 1")


def encodings(name):
    """The candidates of the default, with the frequencies that the advice has."""
    return candidates(None, 1 if name in SIGNALS else 2, jax.random.key(KEY))


def trainings(names):
    """Image -> optimizer -> label -> measured PSNR at the end."""
    return {
        name: {
            optimizer: {
                label: train(name, label, encoding, optimizer)["held_out"][-1]
                for label, encoding in encodings(name).items()
            }
            for optimizer in OPTIMIZERS
        }
        for name in names
    }


def predict(values, optimizer):
    """Label -> expected PSNR at the end, in the units of the trainings: values in [0, 1] as they are."""
    advice = forecast.recommend_encoding(values, steps=STEPS, optimizer=optimizer, key=jax.random.key(KEY))
    shift = 20 * np.log10(advice.table[0].scale)
    return {choice.label: choice.psnr - shift for choice in advice.table}


def score(measured, predicted):
    """Spearman's ρ over the encodings, what the pick loses to the best, and the error of the numbers."""
    labels = list(measured)
    m, p = (np.array([one[label] for label in labels]) for one in (measured, predicted))
    return {
        "spearman": float(spearmanr(m, p).statistic),
        "regret": float(m.max() - m[p.argmax()]),
        "pick": labels[int(p.argmax())],
        "best": labels[int(m.argmax())],
        "range": float(np.ptp(m)),
        "error": float(np.sqrt(np.mean((p - m) ** 2))),
    }


def constant(measured, optimizer):
    """The one encoding that is best on average on the tuning set."""
    table = [measured[name][optimizer] for name in TUNING]
    return max(table[0], key=lambda label: np.mean([row[label] for row in table]))


def speed():
    """Seconds of advice for both optimizers on a picture of 128 × 128, and of training the same grid."""
    values = target("camera", SPEED_SIZE)
    start = time.perf_counter()
    for optimizer in OPTIMIZERS:
        predict(values, optimizer)
    advice = time.perf_counter() - start
    training = 0.0
    every = encodings("camera")
    with tempfile.TemporaryDirectory() as folder:
        kept, _advice_trainings.CACHE = _advice_trainings.CACHE, Path(folder)
        for optimizer in OPTIMIZERS:
            for label in SPEED_ENCODINGS:
                # The first seed compiles. What a training costs does not depend on the encoding.
                _, seconds = (
                    train("camera", label, every[label], optimizer, seed=seed, size=SPEED_SIZE, steps=PROBE_STEPS)[
                        "seconds"
                    ]
                    for seed in (0, 1)
                )
                training += seconds / PROBE_STEPS * STEPS * len(every) / len(SPEED_ENCODINGS)
        _advice_trainings.CACHE = kept
    return {"advice": advice, "training": training, "share": advice / training}


def command():
    """Seconds of the whole command on 512 × 512 pixels, twice; the first may read files from a cold disk."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray((255 * target("camera", 512)).round().astype(np.uint8)).save(f"{folder}/camera.png")
        seconds = []
        environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "spectralbias", "advise", "camera.png", "--steps", "2000"],
                cwd=folder, env=environment, check=True, capture_output=True,
            )  # fmt: skip
            seconds.append(time.perf_counter() - start)
    return seconds


def control(values):
    """The same values in another order: advice for it must not serve."""
    return np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)


SUMMARY = {
    "mean_regret": "the pick is behind the best by, dB",
    "worst_regret": "at worst",
    "constant": "the best constant choice of the tuning targets",
    "constant_mean_regret": "is behind the best by, dB",
    "constant_worst_regret": "at worst, of the constant choice",
    "mean_spearman": "Spearman over the encodings of a target",
    "median_spearman": "its median",
    "pooled_spearman": "Spearman over all targets and encodings at once",
    "mean_spearman_of_training_at_1000_steps": "Spearman that trainings at 1000 of 1500 steps have with their own end",
    "mean_error": "error of the numbers, dB",
    "control_spearman": "Spearman of advice for another target (the same values, shuffled)",
}


def _short(value):
    return value if isinstance(value, str) else round(value, 2)


def tables(summary, pictures, held_out):
    """What the documentation shows."""
    rows = {
        optimizer: [
            {
                "target": name.replace("_", " "),
                "pick": row["pick"],
                "best": row["best"],
                "pick is behind by, dB": round(row["regret"], 2),
                "best to worst, dB": round(row["range"], 1),
                "Spearman": round(row["spearman"], 2),
                "error of the numbers, dB": round(row["error"], 2),
            }
            for name in held_out
            for row in [pictures[name][optimizer]]
        ]
        for optimizer in OPTIMIZERS
    }
    words = {"gd": "Gradient descent", "adam": "Adam"}
    return {
        **{f"{words[key]}, 13 encodings for each target:": value for key, value in rows.items()},
        "Means over these targets, if no other word is said:": [
            {"": text, **{words[key]: _short(summary[key][name]) for key in words}} for name, text in SUMMARY.items()
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true", help="only train what is missing")
    arguments = parser.parse_args()
    held_out = (*HELD_OUT, *SIGNALS)
    measured = trainings((*TUNING, *held_out))
    if arguments.train:
        return 0
    pictures, bars = {}, {}
    for name in (*TUNING, *held_out):
        pictures[name] = {}
        for optimizer in OPTIMIZERS:
            predicted = predict(target(name), optimizer)
            pictures[name][optimizer] = {
                **score(measured[name][optimizer], predicted),
                "measured": measured[name][optimizer],
                "predicted": {label: round(value, 3) for label, value in predicted.items()},
            }
            print(name, optimizer, json.dumps(score(measured[name][optimizer], predicted)), flush=True)
    summary = {}
    for optimizer in OPTIMIZERS:
        rows = [pictures[name][optimizer] for name in held_out]
        fixed = constant(measured, optimizer)
        regrets = [max(measured[name][optimizer].values()) - measured[name][optimizer][fixed] for name in held_out]
        # What trainings themselves know of their end after two thirds of the budget.
        early = [
            spearmanr(
                *zip(*[(record["held_out"][-2], record["held_out"][-1]) for record in records], strict=True)
            ).statistic
            for records in (
                [train(name, label, encoding, optimizer) for label, encoding in encodings(name).items()]
                for name in held_out
            )
        ]
        controls = [
            score(measured[name][optimizer], predict(control(target(name)), optimizer))
            for name in (held_out[0], held_out[-1])
        ]
        pooled = [
            (measured[name][optimizer][label], pictures[name][optimizer]["predicted"][label])
            for name in held_out
            for label in measured[name][optimizer]
        ]
        summary[optimizer] = {
            "mean_regret": float(np.mean([row["regret"] for row in rows])),
            "worst_regret": float(np.max([row["regret"] for row in rows])),
            "constant": fixed,
            "constant_mean_regret": float(np.mean(regrets)),
            "constant_worst_regret": float(np.max(regrets)),
            "mean_spearman": float(np.mean([row["spearman"] for row in rows])),
            "median_spearman": float(np.median([row["spearman"] for row in rows])),
            "pooled_spearman": float(spearmanr(*zip(*pooled, strict=True)).statistic),
            "mean_spearman_of_training_at_1000_steps": float(np.mean(early)),
            "mean_error": float(np.mean([row["error"] for row in rows])),
            "control_spearman": float(np.mean([row["spearman"] for row in controls])),
            "control_regret": float(np.mean([row["regret"] for row in controls])),
        }
        found, limit = summary[optimizer], MEAN_REGRET[optimizer]
        mean, worst, fixed = (found[key] for key in ("mean_regret", "worst_regret", "constant_mean_regret"))
        rank, other = found["mean_spearman"], found["control_spearman"]
        bars |= {
            f"{optimizer}: mean regret, dB": (mean, limit, mean <= limit),
            f"{optimizer}: worst regret, dB": (worst, WORST_REGRET, worst <= WORST_REGRET),
            f"{optimizer}: mean regret, below that of the constant choice": (mean, fixed, mean < fixed),
            f"{optimizer}: Spearman over the encodings, mean of the pictures": (rank, SPEARMAN, rank >= SPEARMAN),
            f"{optimizer}: Spearman of advice for another picture, must fail": (other, SPEARMAN, other < SPEARMAN),
        }
    fast, seconds = speed(), command()
    bars["advice for both optimizers at 128 x 128, share of training them"] = (
        fast["share"],
        SHARE,
        fast["share"] <= SHARE,
    )
    bars["advise on 512 x 512, seconds"] = (min(seconds), 10.0, min(seconds) < 10)
    return save(
        "encoding_advice", bars, size=SIZE, steps=STEPS, seeds=[0], tuning=list(TUNING), held_out=list(held_out),
        summary=summary, speed=fast, command_seconds=seconds, pictures=pictures,
        tables=tables(summary, pictures, held_out),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
