import pickle

import jax
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from spectralbias import problems

FORMATS = ["csv", "tsv", "parquet", "npy", "npz", "NPZ matrix"]


def write(path, columns):
    """Named columns to a file of the format that the suffix says."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    match path.suffix.lower():
        case ".csv":
            csv.write_csv(table, path)
        case ".tsv":
            csv.write_csv(table, path, csv.WriteOptions(delimiter="\t"))
        case ".parquet":
            parquet.write_table(table, path)
        case ".npy":
            np.save(path, np.stack(list(columns.values()), axis=1))
        case ".npz":
            np.savez(path, **{name: np.asarray(values) for name, values in columns.items()})
    return path


def regression(rows=40):
    rng = np.random.default_rng(0)
    return {"0": rng.normal(3, 2, rows), "1": rng.integers(0, 9, rows), "2": rng.uniform(-1e3, 1e3, rows)}


def rows_of(problem):
    """Training and test rows, features and targets side by side."""
    y, y_test = (y.reshape(len(y), -1) for y in (problem.y, problem.y_test))
    return np.hstack([problem.x, y]), np.hstack([problem.x_test, y_test])


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_gives_the_same_problem(file_format, tmp_path, key):
    columns = regression()
    if file_format == "NPZ matrix":
        path = tmp_path / "a.npz"
        np.savez_compressed(path, anything=np.stack(list(columns.values()), axis=1))
    else:
        path = write(tmp_path / f"a.{file_format}", columns)
    problem = problems.table(path, target="2", key=key)
    reference = problems.table(write(tmp_path / "b.npy", columns), target="2", key=key)
    for name in ("x", "y", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(problem, name), getattr(reference, name))
    assert problem.names == ("0", "1")
    assert problem.classes is None


def test_training_rows_have_mean_zero_and_deviation_one(tmp_path, key):
    columns = regression()
    problem = problems.table(write(tmp_path / "a.csv", columns), target="2", test_fraction=0.25, key=key)
    assert problem.x.shape == (30, 2)
    assert problem.x_test.shape == (10, 2)
    train, test = rows_of(problem)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-14)
    # The same affine map, column by column, leads back to the rows of the file, each of them once.
    raw = np.stack(list(columns.values()), axis=1)
    together = np.vstack([train, test])
    together = (together - together.mean(axis=0)) / together.std(axis=0)
    raw = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    np.testing.assert_allclose(np.unique(together.round(9), axis=0), np.unique(raw.round(9), axis=0), atol=2e-9)


def test_split_is_a_partition_that_depends_on_the_key(tmp_path):
    # Column "y" is the number of the row: affine, so that ranks lead back to it.
    path = write(tmp_path / "a.csv", {"y": np.arange(50), "a": np.arange(50) ** 2})

    def split(seed, **options):
        problem = problems.table(path, target="y", key=jax.random.key(seed), **options)
        return problem.y, problem.y_test

    train, test = split(0)
    assert len(train) == 40
    assert len(np.unique(np.concatenate([train, test]).round(9))) == 50
    np.testing.assert_array_equal(train, split(0)[0])
    assert not np.array_equal(train, split(1)[0])

    train, test = split(0, test_fraction=0)
    assert len(np.unique(train)) == 50
    assert test is None
    train, test = split(0, max_samples=10)
    assert len(train) == 8
    assert len(np.unique(np.concatenate([train, test]).round(9))) == 10
    train, test = split(0, max_samples=1000, test_fraction=0.001)
    assert len(train) == 49
    assert len(test) == 1


def test_text_makes_classes(tmp_path, key):
    rng = np.random.default_rng(1)
    kind = np.array(["b", "a", "ü c"])[rng.integers(0, 3, 60)]
    value = np.where(kind == "a", 1.0, np.where(kind == "b", 2.0, 3.0))
    columns = {"kind": kind, "v": value}
    for name in ("a.csv", "a.tsv", "a.parquet", "a.npz"):
        problem = problems.table(write(tmp_path / name, columns), target="kind", key=key)
        assert problem.classes == ("a", "b", "ü c")
        assert problem.y.shape == (48, 3)
        order = np.argsort(problem.x[:, 0])  # the value rises with the class
        assert np.all(np.diff(problem.y.argmax(axis=1)[order]) >= 0)
        assert np.all(problem.y.sum(axis=1) == 1)


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ([True, False] * 20, ("False", "True")),
        ([10, 2, -1, 2] * 10, ("-1", "2", "10")),
        ([1.0, 0.0] * 20, ("0", "1")),
        (list(range(20)) * 2, tuple(str(i) for i in range(20))),
        (list(range(21)) * 2, None),
        ([0.5, 1.0] * 20, None),
    ],
)
def test_which_targets_are_classes(target, classes, tmp_path, key):
    columns = {"y": target, "x": np.arange(len(target)) * 0.5}
    for name in ("a.csv", "a.parquet", "a.npz"):
        problem = problems.table(write(tmp_path / name, columns), target="y", test_fraction=0, key=key)
        assert problem.classes == classes
        rows = np.rint(problem.x[:, 0] * np.std(columns["x"]) / 0.5 + (len(target) - 1) / 2).astype(int)
        expected = np.array(target)[rows]
        if classes is None:
            np.testing.assert_allclose(problem.y, (expected - np.mean(target)) / np.std(target), atol=1e-12)
        else:
            assert [classes[i] for i in problem.y.argmax(axis=1)] == [str(value) for value in expected.tolist()] or (
                [float(classes[i]) for i in problem.y.argmax(axis=1)] == expected.tolist()
            )


def test_arrays_by_name(tmp_path, key):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", X=rng.normal(size=(9, 3)), w=rng.normal(size=9), y=rng.normal(size=(9, 1)))
    problem = problems.table(tmp_path / "a.npz", target="y0", key=key)
    assert problem.names == ("X0", "X1", "X2", "w")


def test_a_column_number_is_a_name_in_npy(tmp_path, key):
    path = write(tmp_path / "a.npy", regression())
    by_number, by_name = (problems.table(path, target=target, key=key) for target in (2, "2"))
    np.testing.assert_array_equal(by_number.y, by_name.y)


def test_constant_features_become_zero(tmp_path, key):
    columns = {"a": np.full(30, 0.1), "b": np.zeros(30), "c": np.arange(30.0), "y": np.linspace(0, 1, 30)}
    problem = problems.table(write(tmp_path / "a.npz", columns), target="y", key=key)
    assert problem.names == ("a", "b", "c")
    for x in (problem.x, problem.x_test):
        assert np.all(x[:, :2] == 0)
        assert np.all(x[:, 2] != 0)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_extreme_scales_do_not_overflow(scale, tmp_path, key):
    columns = regression()
    scaled = columns | {"0": columns["0"] * scale, "2": columns["2"] * scale / 1e4}
    reference = problems.table(write(tmp_path / "a.npz", columns), target="2", key=key)
    problem = problems.table(write(tmp_path / "b.npz", scaled), target="2", key=key)
    np.testing.assert_allclose(problem.x, reference.x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(problem.y_test, reference.y_test, rtol=1e-12, atol=1e-12)


def test_columns_of_many_types(tmp_path, key):
    n = 12
    table = pa.table(
        {
            "bool": pa.array([True, False] * 6),
            "half": pa.array(np.arange(n, dtype=np.float16)),
            "small": pa.array(np.arange(n), pa.uint8()),
            "large": pa.array([2**62 + i for i in range(n)]),
            "decimal": pa.array([f"{i}.5" for i in range(n)]).cast(pa.decimal128(6, 2)),
            "category": pa.array(["x", "y"] * 6).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    problem = problems.table(tmp_path / "a.parquet", target="category", test_fraction=0, key=key)
    assert problem.classes == ("x", "y")
    assert problem.names == ("bool", "half", "small", "large", "decimal")
    np.testing.assert_array_equal(problem.x[:, 0], 1 - 2 * problem.y[:, 1])  # True is x
    np.testing.assert_allclose(problem.x[:, 4], problem.x[:, 1], atol=1e-14)
    np.testing.assert_allclose(problem.x[:, 2], problem.x[:, 1], atol=1e-14)


def test_a_long_text_file_may_turn_from_integers_to_fractions(tmp_path, key):
    lines = ["x,y", *(f"{i % 7},{i % 30}" for i in range(300_000)), "0.5,0.5"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    problem = problems.table(tmp_path / "a.csv", target="y", max_samples=100, key=key)
    assert problem.classes is None


def test_a_quoted_text_may_hold_line_breaks_anywhere_in_a_long_file(tmp_path, key):
    text = "x,y\n" + ('1,"a' + "\n" * 29 + 'b"\n2,c\n') * 40_000  # the reader cuts at 2**20
    (tmp_path / "a.csv").write_text(text)
    problem = problems.table(tmp_path / "a.csv", target="y", max_samples=100, key=key)
    assert problem.classes == ("a" + "\n" * 29 + "b", "c")


def test_text_in_quotes_is_not_missing(tmp_path, key):
    (tmp_path / "a.csv").write_text('x,y\n1,"NA"\n2,"yes, ""sir"""\n3,"NA"\n4,b\n')
    assert problems.table(tmp_path / "a.csv", target="y", test_fraction=0, key=key).classes == (
        "NA",
        "b",
        'yes, "sir"',
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("a.csv", "Empty")),
        ("\n\n", ("a.csv", "Empty")),
        ("x,y\n", ("a.csv", "no rows")),
        ("x,y\n1,2\n3\n", ("a.csv", "Row #3", "Expected 2 columns, got 1")),
        ("y\n1\n2\n", ("a.csv", "1 of the 2 columns", "commas")),
        ("x;y\n1;2\n3;4\n", ("a.csv", "1 of the 2 columns", "commas")),
        ("x,x,y\n1,2,3\n1,2,4\n", ("a.csv", "several columns 'x'", "header")),
        ("x,z\n1,2\n3,4\n", ("unknown column `y`", "x, z")),
        ("x,yy\n1,2\n3,4\n", ("unknown column `y`", "did you mean `yy`?")),
        ("x,y\n1,2\n", ("2 training samples", "got 0 of 1")),
        ("x,y\n1,5\n2,5\n3,5\n", ("'y'", "constant", "2 training rows")),
        ("x,y\n1,2\n,3\nNA,4\n", ("'x'", "2 missing or non-finite values", "row 1", "remove")),
        ("x,y\n1,2\n5,\n3,4\n", ("'y'", "1 missing or non-finite value,", "row 1", "remove")),
        ("x,y\n1,a\n5,\n3,b\n", ("'y'", "1 missing or non-finite value,", "row 1", "remove")),
        ("x,y\n1,a\n5,b\ninf,b\n", ("'x'", "1 missing or non-finite value,", "row 2")),
        ("x,y\n1,2\n3,\n", ("'y'", "row 1")),
        ("x,y\n1,2\n?,3\n3,4\n", ("'x'", "text", "'?'", "row 1", "drop", "encode")),
        ("x,y\n2020-01-01,2\n2020-01-02,3\n", ("'x'", "text", "'2020-01-01'", "drop")),
        ('"x\nz",y\n1,2\na,3\n', (r"'x\nz'", "text")),
        ("x,y\nlong" + "g" * 999 + ",2\n3,4\n", ("'x'", "text", "…")),
    ],
)
def test_bad_text_files_are_refused(text, words, tmp_path, key, refuses):
    (tmp_path / "a.csv").write_text(text)
    with refuses(*words):
        problems.table(tmp_path / "a.csv", target="y", key=key)


def test_text_in_another_encoding_is_refused(tmp_path, key, refuses):
    for text in ("x,y\n1,café\n2,b\n", "é,y\n1,2\n3,4\n"):
        (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
        with refuses("a.csv", "cannot read"):
            problems.table(tmp_path / "a.csv", target="y", key=key)


def test_too_many_texts_are_no_classes(tmp_path, key, refuses):
    columns = {"x": np.arange(1001), "y": [f"name {i}" for i in range(1001)]}
    with refuses("'y'", "1001 different texts", "1000", "numbers"):
        problems.table(write(tmp_path / "a.parquet", columns), target="y", key=key)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ("0 of the 2 columns",)),
        ({"y": np.arange(5)}, ("1 of the 2 columns",)),
        ({"y": np.arange(5), "x": np.arange(4)}, ("different lengths", "'y': 5, 'x': 4")),
        ({"y": np.arange(5), "x": np.ones((5, 2, 2))}, ("'x'", "(5, 2, 2)", "1-D", "2-D")),
        ({"y": np.arange(5), "x": np.array(3.0)}, ("'x'", "()")),
        ({"y": np.arange(5), "x": np.ones(5, complex)}, ("'x'", "complex128", "numbers")),
        ({"y": np.arange(5), "x": np.array(["1", "2", "3", "4", "z"])}, ("'x'", "text", "'z'", "row 4")),
        ({"x": np.ones((5, 2)), "x1": np.ones(5), "y": np.arange(5)}, ("several columns 'x1'",)),
        ({"y": np.arange(5), "x": np.array([None] * 5)}, ("a.npz", "pickled")),
    ],
)
def test_bad_arrays_are_refused(arrays, words, tmp_path, key, refuses):
    np.savez(tmp_path / "a.npz", **arrays)
    with refuses(*words):
        problems.table(tmp_path / "a.npz", target="y", key=key)


@pytest.mark.parametrize("array", [np.arange(6.0), np.ones((3, 2, 2)), np.ones(4, dtype=[("y", float), ("x", float)])])
def test_an_array_file_must_be_a_matrix(array, tmp_path, key, refuses):
    np.save(tmp_path / "a.npy", array)
    with refuses("a.npy", "2-D", str(array.shape)):
        problems.table(tmp_path / "a.npy", target="0", key=key)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded(tmp_path, key, refuses):
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb()))
    np.save(tmp_path / "b.npy", np.array([[Bomb(), 1]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "c.npz", x=np.array([Bomb(), 1], dtype=object), y=np.arange(2))
    for name in ("a.npy", "b.npy", "c.npz"):
        with refuses(name, "pickled", "numbers"):
            problems.table(tmp_path / name, target="0", key=key)


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz"])
def test_damaged_files_are_refused(suffix, tmp_path, key, refuses):
    good = write(tmp_path / f"good.{suffix}", regression()).read_bytes()
    bad = tmp_path / f"bad.{suffix}"
    for content in (b"", b"hello", b"PK\x03\x04", good[: len(good) // 2], good[len(good) // 2 :]):
        bad.write_bytes(content)
        with refuses(bad.name, f"as {suffix}"):
            problems.table(bad, target="2", key=key)


def test_paths_that_lead_nowhere_are_refused(tmp_path, key, refuses):
    with refuses("no file", "nowhere.csv"):
        problems.table(tmp_path / "nowhere.csv", target="y", key=key)
    with refuses("directory"):
        problems.table(tmp_path, target="y", key=key)
    (tmp_path / "a.xlsx").touch()
    with refuses("a.xlsx", "'.xlsx'", ".csv, .tsv, .parquet, .npy, .npz"):
        problems.table(tmp_path / "a.xlsx", target="y", key=key)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"test_fraction": 1.0}, ("test_fraction", "[0, 1)", "1.0")),
        ({"test_fraction": -0.5}, ("test_fraction", "-0.5")),
        ({"test_fraction": 0.99}, ("at least 2 training samples", "got 0 of 40")),
        ({"max_samples": 1}, ("max_samples", "at least 2", "got 1")),
        ({"max_samples": 2}, ("at least 2 training samples", "got 1 of 40")),
        ({"target": "price"}, ("unknown column `price`", "0, 1, 2")),
        ({"key": jax.random.split(jax.random.key(0), 3)}, ("key", "shape (3,)")),
    ],
)
def test_bad_arguments_are_refused(arguments, words, tmp_path, key, refuses):
    path = write(tmp_path / "a.npy", regression())
    with refuses(*words):
        problems.table(path, **({"target": "2", "key": key} | arguments))
