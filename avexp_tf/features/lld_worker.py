"""The process in which openSMILE runs: 16 bit samples in, rows of descriptors out.

`LldStream` starts it; see there why. Standard input takes int16 samples at 16 kHz, and
its end ends the sound; standard output gives float32 rows.

Usage: python -m avexp_tf.features.lld_worker FOLDER_OF_THE_OPENSMILE_PACKAGE
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np

SAMPLE_RATE_HZ = 16_000

# The jitter component reads the sound up to 2 s back.
_WAVE_SECS = 8
# More than the 150 rows by which the pitch smoother may lag behind the rest.
_LEVEL_ROWS = 400
_PIECE_BYTES = SAMPLE_RATE_HZ  # half a second

# openSMILE's own IS13 set of components, between an external source and sink as in
# `opensmile.Smile`, but on ring buffers and without the functionals, which would keep
# everything.
_CONFIG = """
[componentInstances:cComponentManager]
instance[dataMemory].type = cDataMemory
instance[extsource].type = cExternalAudioSource
instance[is13_lldconcat].type = cVectorConcat
instance[extsink].type = cExternalSink
printLevelStats = 0

[extsource:cExternalAudioSource]
writer.dmLevel = wave
writer.levelconf.growDyn = 0
writer.levelconf.isRb = 1
writer.levelconf.nT = {wave_samples}
blocksize = 1600
sampleRate = {rate}
nBits = 16
channels = 1

\\{{{core}}}

[is13_lldconcat:cVectorConcat]
reader.dmLevel = is13_lld_nzsmo;is13_lldA_smo;is13_lldB_smo
writer.dmLevel = lld
includeSingleElementFields = 1
writer.levelconf.growDyn = 0
writer.levelconf.isRb = 1
writer.levelconf.nT = {level_rows}

[extsink:cExternalSink]
reader.dmLevel = lld
blocksize = 1
"""
_RING = """writer.levelconf.growDyn = 0
writer.levelconf.isRb = 1
writer.levelconf.nT = {level_rows}
"""


def main(package: str) -> None:
    """Copies samples to openSMILE and its rows to standard output until both end."""
    smile = _initialized(pathlib.Path(package) / "core")
    source: Any = sys.stdin.buffer
    output = sys.stdout.buffer

    def take(row: np.ndarray) -> None:
        output.write(row.astype(np.float32).tobytes())
        output.flush()

    smile.external_sink_set_callback("extsink", take)
    runner = threading.Thread(target=smile.run, daemon=True)
    runner.start()
    while data := source.read1(_PIECE_BYTES):
        if len(data) % 2:
            data += source.read(1)
        while not smile.external_audio_source_write_data("extsource", data):
            if not runner.is_alive():
                raise SystemExit("openSMILE ended before the sound")
            time.sleep(0.001)
    smile.external_audio_source_set_eoi("extsource")
    runner.join()


def _initialized(core: pathlib.Path) -> Any:
    # Its binding to the C library alone: the package around it imports pandas and
    # more, which takes most of a second.
    spec = importlib.util.spec_from_file_location("opensmile_lib", core / "lib.py")
    assert spec is not None and spec.loader is not None
    binding = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(binding)
    root = core / "config"
    sizes = {
        "wave_samples": _WAVE_SECS * SAMPLE_RATE_HZ,
        "rate": SAMPLE_RATE_HZ,
        "level_rows": _LEVEL_ROWS,
        "core": root / "is09-13" / "IS13_ComParE_core.lld.conf.inc",
    }
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "is13.conf"
        config.write_text(_CONFIG.format(**sizes), encoding="ascii")
        ring = pathlib.Path(folder) / "ring.conf.inc"
        ring.write_text(_RING.format(**sizes), encoding="ascii")
        smile = binding.OpenSMILE()
        smile.initialize(
            str(config),
            {
                "bufferModeConf": ring,
                "bufferModeRbConf": root / "shared" / "BufferModeRb.conf.inc",
                "bufferModeRbLagConf": root / "shared" / "BufferModeRbLag.conf.inc",
            },
        )
    return smile


if __name__ == "__main__":
    main(sys.argv[1])
