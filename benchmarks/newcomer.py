"""Times a newcomer's path: clone to first figure, to own CSV, to a served model.

    python benchmarks/newcomer.py             # from the last commit of this checkout
    python benchmarks/newcomer.py --demo      # and `make demo`

Everything happens in a new folder with a new environment, by the commands of README and
docs alone; what is said of a step is the time from the clone on.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).parents[1]
_COMMAND = re.compile(r"^    (avexp-.*)$", re.MULTILINE)
JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


class _Path:
    def __init__(self, folder: pathlib.Path):
        self.clone = folder / "avexp_tf"
        self._began = time.monotonic()
        self.rows: list[tuple[str, float]] = []
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "VIRTUAL_ENV")
        }

    def run(self, *words: str, cwd: pathlib.Path | None = None) -> None:
        subprocess.run(words, cwd=cwd or self.clone, check=True, env=self._environment)

    def installed(self, line: str) -> list[str]:
        name, *words = shlex.split(line)
        return [str(self.clone / ".venv" / "bin" / name), *words]

    def done(self, what: str) -> None:
        self.rows.append((what, time.monotonic() - self._began))
        print(f"{what}: {self.rows[-1][1]:.0f} s", flush=True)


def write_tables(folder: pathlib.Path, n_recordings: int = 6) -> None:
    """Writes somebody's own CSV files, with a gap in each.

    Args:
      folder: To make; the columns are those that docs/own_features.md maps.
      n_recordings: One file each.
    """
    import random

    folder.mkdir(parents=True)
    rng = random.Random(0)
    for index in range(n_recordings):
        lines = ["seconds,video_0,video_1,audio_0,valence,arousal"]
        for tick in range(150):
            cells = [f"{rng.uniform(-1, 1):.4f}" for _ in range(5)]
            if 20 <= tick < 30:
                cells[0] = ""
            lines.append(",".join([f"{tick / 25:.2f}", *cells]))
        (folder / f"{index}.csv").write_text("\n".join(lines))


def _ask(path: _Path, export: str) -> None:
    """Serves an export and asks it with curl."""
    server = subprocess.Popen(
        path.installed(f"avexp-serve --export={export} --port=0 --rest_port=0"),
        cwd=path.clone,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    address = re.search(r"http://\S+", server.stdout.readline())
    assert address is not None
    where = f"{address[0]}/v1/models/avexp"
    with urllib.request.urlopen(f"{where}/metadata") as answer:
        inputs = json.load(answer)["metadata"]["signature_def"]["signature_def"]
    shapes = {
        name: [int(dim["size"]) for dim in one["tensor_shape"]["dim"]]
        for name, one in inputs["serving_default"]["inputs"].items()
    }
    n_ticks, margin = 5, 59
    body = {
        "video": [[[0.1] * shapes["video"][-1]] * n_ticks],
        "audio": [[[0.1] * shapes["audio"][-1]] * (n_ticks + margin)],
        "video_present": [[True] * n_ticks],
        "audio_present": [[True] * n_ticks],
    }
    request = path.clone / "request.json"
    request.write_text(json.dumps({"inputs": body}))
    done = subprocess.run(
        ["curl", "--fail", "-s", "-d", f"@{request}", f"{where}:predict"],
        check=True,
        capture_output=True,
    )
    assert len(json.loads(done.stdout)["outputs"]["valence"][0]) == n_ticks
    server.terminate()
    server.wait()


def main() -> None:
    """Walks the path and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", action="store_true", help="run `make demo` too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = _Path(pathlib.Path(folder))
        path.run("git", "clone", "-q", str(ROOT), str(path.clone), cwd=ROOT)
        path.done("clone")
        path.run("make", ".venv/installed")
        path.done("installed")
        docs = path.clone / "docs"
        for line in _COMMAND.findall((docs / "index.md").read_text()):
            path.run(*path.installed(line))
        assert (path.clone / "runs/small/sweep/figure_4.png").exists()
        path.done("first figure (the tutorial)")
        own = (docs / "own_features.md").read_text()
        write_tables(path.clone / "my" / "features")
        (path.clone / "my" / "mapping.json").write_text(JSON.findall(own)[0])
        for code in PYTHON.findall(own):
            path.run(*path.installed("python"), "-c", code)
        path.done("own CSV files evaluated")
        path.run(*path.installed("python -m pip install -q -e '.[serving]'"))
        export = "avexp-export --run_dir=runs/small/frame_zero --out=runs/small/export"
        path.run(*path.installed(export))
        _ask(path, "runs/small/export")
        path.done("served model answers curl")
        path.run(*path.installed("python -m pip check"))
        if options.demo:
            path.run("make", "demo")
            path.done("make demo")
        print("\n| step | seconds since the clone began |\n|---|---|")
        for what, secs in path.rows:
            print(f"| {what} | {secs:.0f} |")
        print(json.dumps({"benchmark": "A newcomer's path", **dict(path.rows)}))


if __name__ == "__main__":
    main()
