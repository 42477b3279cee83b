"""The address of a cluster: the forms that a user may write, and whether Ray answers there."""

import os
import socket

from bench.errors import InputError

# The address of the cluster to which this machine belongs.
AUTO = "auto"

# How long another machine may take to answer.
_ANSWER_SECONDS = 20

# Ray uses gRPC, which uses HTTP/2. A client begins with this line and empty settings. The first frame from a server has
# this type (RFC 9113, 3.4).
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_TYPE_AT, _SETTINGS = 3, 4


def place(address: str) -> tuple[str, int] | None:
    """The host and port of an address; None for auto. Raises InputError."""
    if address == AUTO:
        return None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--ray-address can't be {address[:80]!r}; it is auto, HOST:PORT or ray://HOST:PORT")
    return host.strip("[]"), int(port)


def knock(address: str) -> None:
    """Raise OSError if no program answers, or one that isn't Ray. Ray itself would try for minutes."""
    there = place(address)
    if there is None:
        return
    with socket.create_connection(there, _ANSWER_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):  # TLS has another greeting
            return
        connection.sendall(_GREETING)
        with connection.makefile("rb") as answers:
            answer = answers.read(_TYPE_AT + 1)
    if len(answer) <= _TYPE_AT or answer[_TYPE_AT] != _SETTINGS:
        raise ConnectionError("the program that answers there is not Ray")
