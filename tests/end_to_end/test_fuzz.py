"""Whatever a file holds, its reader gives a result or one of our own errors."""

import pytest
import scripts

fuzz = scripts.load("fuzz")


@pytest.mark.parametrize("name", sorted(fuzz.targets()))
def test_nothing_but_our_own_errors(tmp_path, name):
    count, failure = fuzz.run(fuzz.targets()[name], tmp_path, seed=7, max_examples=60)
    assert failure == ""
    assert count >= 40


def test_the_fuzzer_sees_failures(tmp_path):
    def read(data, folder):
        if b"\xff" in data:
            raise KeyError("a bug")

    target = fuzz.Target(fuzz.changed(b"valid"), read)
    count, failure = fuzz.run(target, tmp_path, seed=0)
    assert "KeyError" in failure


# What once was more than an error of ours; each has its reader.
KEPT = {
    "config": [
        b"[" * 100_000,
        b'{"train": {"learning_rate": 1%s}}' % (b"0" * 400),
    ],
    "part": [b"[" * 100_000],
    "record in the pipeline": [b"\x80"],
}


@pytest.mark.parametrize(("name", "data"), [(n, d) for n in KEPT for d in KEPT[n]])
def test_what_failed_once(tmp_path, name, data):
    try:
        fuzz.targets()[name].read(data, tmp_path)
    except fuzz.errors.AvexpError:
        pass
