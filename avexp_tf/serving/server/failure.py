"""What a server answers when it can't do what it is asked for.

Codes are those that TensorFlow Serving gives: gRPC's by name, and the HTTP status that
its REST API makes of each.
"""

from __future__ import annotations

INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
FAILED_PRECONDITION = "FAILED_PRECONDITION"
UNAVAILABLE = "UNAVAILABLE"
UNIMPLEMENTED = "UNIMPLEMENTED"
INTERNAL = "INTERNAL"

_HTTP = {
    INVALID_ARGUMENT: 400,
    NOT_FOUND: 404,
    FAILED_PRECONDITION: 400,
    UNAVAILABLE: 503,
    UNIMPLEMENTED: 501,
    INTERNAL: 500,
}
_LONGEST = 1000


class Failure(Exception):  # noqa: N818 (an answer, not a fault of the program)
    """An answer other than the one that was asked for.

    Args:
      code: One of this module's.
      message: What is wrong, for the client.

    Attributes:
      code: Likewise.
      message: In one line of bounded length.
      http_status: The code as REST says it.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = " ".join(message.split())[:_LONGEST]
        self.http_status = _HTTP[code]


def invalid(message: str) -> Failure:
    """Returns the answer to a request that breaks a rule."""
    return Failure(INVALID_ARGUMENT, message)
