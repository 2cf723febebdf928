"""How requests get to a server: gRPC or REST, behind one protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from avexp_tf import errors
from avexp_tf.serving import client_errors
from avexp_tf.serving import version_folders


@dataclasses.dataclass(frozen=True)
class ModelName:
    """Which model of a server, and which version of it.

    Attributes:
      name: As in models.config.
      version: Its number; None takes the newest.
      label: A label, such as `stable`; empty takes none.
    """

    name: str = "avexp"
    version: int | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.version is not None and self.label:
            raise errors.ConfigError(
                f"--version={self.version} --label={self.label}: give one of the two"
            )
        if not 0 <= (self.version or 0) <= version_folders.LARGEST:
            raise errors.ConfigError(
                f"--version={self.version}: must be from 0 to {version_folders.LARGEST}"
            )


class Transport(Protocol):
    """Sends one request and waits for the answer; safe in several threads.

    Attributes:
      address: Of the server, for messages.
    """

    address: str

    def predict(
        self,
        model: ModelName,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        timeout_secs: float,
    ) -> dict[str, np.ndarray]:
        """Returns the outputs by name.

        Raises:
          client_errors.ServerError: one of its kinds.
        """
        ...

    def versions(self, model: ModelName, timeout_secs: float) -> dict[int, str]:
        """Returns {version: state}, such as {2: "AVAILABLE"}; raises as `predict`."""
        ...

    def close(self) -> None:
        """Ends its connections."""
        ...


# By TensorFlow Serving's words.
_KINDS = {
    # To all whose requests shared a batch with one of another length; it may well go
    # better the next time.
    "from different tasks": client_errors.UnavailableError,
    # Under the code of a request that breaks a rule.
    "Unrecognized servable version label": client_errors.NotFoundError,
    "not found in signature def": client_errors.NotFoundError,
}


def kind_of(said: str) -> type[client_errors.ServerError] | None:
    """Returns the kind of an error whose words tell more than its code; else None."""
    return next((kind for words, kind in _KINDS.items() if words in said), None)


def of(address: str) -> Transport:
    """Returns the transport that an address asks for.

    Args:
      address: `host:port` for gRPC, `http://host:port` or `https://host:port` for
        REST.

    Raises:
      errors.ConfigError: if it is no such address.
      errors.MissingExtraError: if a package is missing.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        from avexp_tf.serving import rest_transport

        return rest_transport.RestTransport(address)
    host, _, port = address.rpartition(":")
    is_port = port.isdecimal() and 0 < int(port) < 65536
    if separator or not host or not is_port:
        raise errors.ConfigError(
            f"--server={address}: must be host:port for gRPC, or http://host:port"
        )
    from avexp_tf.serving import grpc_transport

    return grpc_transport.GrpcTransport(address)
