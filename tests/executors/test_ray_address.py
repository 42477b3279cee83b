"""Addresses of clusters: what isn't one is refused in a line, and what answers but isn't Ray keeps nobody
waiting."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.errors import InputError
from bench.executors.ray import address


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("auto", None),
        ("head:6379", ("head", 6379)),
        ("ray://10.0.0.1:10001", ("10.0.0.1", 10001)),
        ("[::1]:6379", ("::1", 6379)),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, there: tuple[str, int] | None) -> None:
    assert address.place(text) == there


@pytest.mark.parametrize(
    "text", ["", "head", ":6379", "ray://head", "head:", "head:0", "head:65536", "head:-1", "head:x"]
)
def test_what_is_none_is_named(text: str) -> None:
    with pytest.raises(
        InputError, match=re.escape(f"--ray-address can't be {text!r}; it is auto, HOST:PORT or ray://")
    ):
        address.place(text)


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that says this and hangs up; None: that takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(1024)
                if answer is None:
                    connection.recv(1024)  # until the other side has had enough
                else:
                    connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        serving.join()


def test_settings_are_how_ray_answers() -> None:
    with answering(bytes([0, 0, 6, 4, 0, 0, 0, 0, 0]) + bytes(6)) as there:
        address.knock(there)
        address.knock("auto")  # which Ray looks for without a wait


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"no", b""])
def test_another_answer_is_not_ray(answer: bytes) -> None:
    with answering(answer) as there, pytest.raises(ConnectionError, match="the program that answers there is not Ray"):
        address.knock(there)


def test_silence_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_ANSWER_SECONDS", 0.2)
    with answering(None) as there, pytest.raises(TimeoutError):
        address.knock(there)


def test_where_nobody_listens_it_says_so_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        address.knock(f"127.0.0.1:{port}")


def test_with_tls_a_connection_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with answering(b"") as there:
        address.knock(there)
