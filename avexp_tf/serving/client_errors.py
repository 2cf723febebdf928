"""What can go wrong between a client and a server, by what can be done about it."""

from __future__ import annotations

from avexp_tf import errors


class ServerError(errors.AvexpError):
    """Base of all of them; the message names the server."""


class UnavailableError(ServerError):
    """The server can't be reached, is starting, draining or too busy: try later."""


class DeadlineError(ServerError):
    """No answer within the deadline."""


class InvalidRequestError(ServerError):
    """The server refuses the inputs: the message says which rule they break."""


class NotFoundError(ServerError):
    """The server has no such model, version, label or signature."""


class TooLargeError(ServerError):
    """The request is larger than the server or its proxy takes: send fewer clips."""


class BrokenServerError(ServerError):
    """The server failed, or answered what no model server answers."""
