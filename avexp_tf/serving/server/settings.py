"""Settings of `avexp-serve`, free of TensorFlow."""

from __future__ import annotations

import dataclasses

from avexp_tf import errors
from avexp_tf import options
from avexp_tf.serving import version_folders


@dataclasses.dataclass(frozen=True)
class ServerConfig(options.Checked):
    """What is served, where, and how much of it.

    Attributes: each has its help text; see `avexp-serve --help`.
    """

    export: str = options.option("", "Folder of the versions: <export>/1, <export>/2.")
    model_name: str = options.option("avexp", "Name of the model in requests.")
    host: str = options.option(
        "127.0.0.1", "Address to listen on; 0.0.0.0 lets other machines in."
    )
    port: int = options.option(
        8500, "Port of gRPC; 0 takes any that is free.", minimum=0, maximum=65535
    )
    rest_port: int = options.option(
        8501, "Port of REST; 0 takes any that is free.", minimum=0, maximum=65535
    )
    keep_versions: int = options.option(
        1, "So many of the newest versions are served.", minimum=1, maximum=100
    )
    labels: tuple[str, ...] = options.option(
        (), "Labels of versions, such as stable:1,canary:2."
    )
    poll_secs: float = options.option(
        2.0, "Seconds between looks for a new version.", minimum=0.01
    )
    max_body_mb: float = options.option(
        64.0, "Largest request, in 10^6 bytes.", minimum=0.001, maximum=1000.0
    )
    max_batch: int = options.option(
        32, "Most clips, or records, in a request.", minimum=1
    )
    max_ticks: int = options.option(1000, "Longest clip, in ticks.", minimum=1)
    max_waiting: int = options.option(
        64,
        "Most requests that wait or run, and as many REST bodies may be arriving; what "
        "comes on top is told to come later.",
        minimum=1,
    )
    workers: int = options.option(
        2, "Requests that are computed at the same time.", minimum=1, maximum=256
    )
    body_secs: float = options.option(
        30.0, "Longest that the body of a REST request may take to arrive.", minimum=0.1
    )
    drain_secs: float = options.option(
        30.0, "Longest wait for running requests when told to end.", minimum=0.0
    )

    @property
    def label_versions(self) -> dict[str, int]:
        """{label: version}."""
        found = {}
        for text in self.labels:
            label, _, version = text.partition(":")
            found[label] = int(version)
        return found

    @property
    def max_body_bytes(self) -> int:
        """Largest request in bytes."""
        return int(self.max_body_mb * 1e6)

    def address(self, port: int) -> str:
        """Returns host:port, with the brackets that an IPv6 address needs."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.host:
            raise errors.ConfigError("--host=: must be an address, such as 127.0.0.1")
        if self.port and self.port == self.rest_port:
            raise errors.ConfigError(
                f"--port={self.port} --rest_port={self.rest_port}: must be two ports"
            )
        known = set()
        for text in self.labels:
            label, _, version = text.partition(":")
            number = version_folders.number_of(version)
            if not label or "/" in label or number is None:
                raise errors.ConfigError(
                    f"--labels={','.join(self.labels)}: {text!r} must read "
                    "LABEL:VERSION, such as stable:1, with no / in the label"
                )
            if label in known:
                raise errors.ConfigError(
                    f"--labels={','.join(self.labels)}: {label!r} must stand for one "
                    "version"
                )
            known.add(label)
        if not self.model_name or set(self.model_name) & set("/:"):
            raise errors.ConfigError(
                f"--model_name={self.model_name}: must hold neither / nor :"
            )
