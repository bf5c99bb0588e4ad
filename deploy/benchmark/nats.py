"""Messages into a stream of NATS JetStream: as much of its protocol as that takes.

Each message is published with a subject to answer to, and so many are in flight at once: nothing is
lost, and the server is never asked for more than it takes.

Source of the protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import json
import socket
import urllib.parse

from .programs import Failure

IN_FLIGHT = 1_000
DEADLINE_S = 20
_INBOX = "_INBOX.bench"
_CHUNK = 1 << 16


class Stream:
    """A connection that publishes, and asks how far a stream is. A context manager."""

    def __init__(self, url):
        self._where = urllib.parse.urlsplit(url)
        self._left = b""

    def __enter__(self):
        self._socket = socket.create_connection((self._where.hostname, self._where.port), DEADLINE_S)
        self._line()  # INFO
        options = {"verbose": False, "pedantic": False, "name": "bench", "lang": "python",
                   "version": "1", "protocol": 1, "headers": True}
        if self._where.username:
            options |= {"user": self._where.username, "pass": self._where.password}
        self._send(f"CONNECT {json.dumps(options)}\r\nSUB {_INBOX} 1\r\nPING\r\n".encode())
        while (line := self._line()) != b"PONG":
            self._heed(line)
        return self

    def __exit__(self, *_):
        self._socket.close()

    def publish(self, messages):
        """Publishes (subject, body) pairs. Returns how many, when the stream has all of them."""
        sent = taken = 0
        batch = []
        for subject, body in messages:
            batch.append(b"PUB %s %s %d\r\n%s\r\n" % (subject, _INBOX.encode(), len(body), body))
            sent += 1
            if len(batch) == IN_FLIGHT // 2:
                self._send(b"".join(batch))
                batch = []
            while sent - taken >= IN_FLIGHT and not batch:
                taken += self._acknowledged()
        self._send(b"".join(batch))
        while taken < sent:
            taken += self._acknowledged()
        return sent

    def last_sequence(self, stream):
        """How many messages a stream has ever taken. Nothing may be in flight."""
        self._send(b"PUB $JS.API.STREAM.INFO.%s %s 0\r\n\r\n" % (stream.encode(), _INBOX.encode()))
        answer = self._answer()
        if "error" in answer:
            raise Failure(f"JetStream says nothing of {stream}: {answer}")
        return answer["state"]["last_seq"]

    def _acknowledged(self):
        """Waits for one acknowledgement."""
        answer = self._answer()
        if "error" in answer or "stream" not in answer:
            raise Failure(f"JetStream does not take a message: {answer}")
        return 1

    def _answer(self):
        while not (line := self._line()).startswith(b"MSG "):
            self._heed(line)
        answer = json.loads(self._exactly(int(line.split()[-1])))
        self._line()
        return answer

    def _heed(self, line):
        if line == b"PING":
            self._send(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            raise Failure(f"NATS: {line.decode(errors='replace')}")

    def _send(self, data):
        self._socket.sendall(data)

    def _line(self):
        while b"\r\n" not in self._left:
            self._receive()
        line, _, self._left = self._left.partition(b"\r\n")
        return line

    def _exactly(self, count):
        while len(self._left) < count:
            self._receive()
        data, self._left = self._left[:count], self._left[count:]
        return data

    def _receive(self):
        more = self._socket.recv(_CHUNK)
        if not more:
            raise Failure("NATS has closed the connection")
        self._left += more
