#!/usr/bin/env python3
"""Instructions of the user side that one event costs in its whole life, counted by valgrind's callgrind: the same on a
busy machine as on a quiet one, but for how many events share a commit.

    benches/instructions.py [--binary target/release/hookgate] [--ack stored] [--most N]

With --most the exit status is 1 if an event costs more: so a doubling cannot land unseen. SHA-256 counts for more than it
costs, since valgrind does not show the processor's own instructions for it.
"""

import argparse
import hashlib
import hmac
import http.client
import os
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

SECRET = b"s3cret-s3cret-s3cret"
CONNECTIONS = 16
CONFIG = """
listen: 127.0.0.1:{public}
admin: {{ listen: 127.0.0.1:{admin} }}
store: {{ path: {data}, retention: 1s }}
limits: {{ header_timeout: 5m, body_timeout: 5m }}
sources:
  bench:
    path: /hooks/bench
    verify: {{ hmac: {{ header: X-Webhook-Signature }} }}
    secrets: ["{secret}"]
    event: {{ id: ["json:/id"], type: "json:/event" }}
    ack: {ack}
    sender_timeout: 10m
    ack_deadline: 5m
    forward: app
targets:
  app: {{ url: "http://127.0.0.1:{app}/app", concurrency: 16, timeout: 5m }}
"""


class App(socketserver.StreamRequestHandler):
    """Takes whatever comes, on kept connections."""

    taken = 0
    lock = threading.Lock()

    def handle(self):
        while head := self.rfile.readline():
            length = 0
            while head not in (b"\r\n", b""):
                head = self.rfile.readline()
                if head.lower().startswith(b"content-length:"):
                    length = int(head.split(b":")[1])
            self.rfile.read(length)
            with App.lock:
                App.taken += 1
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def send(port, numbers, failures):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        for number in numbers:
            body = b'{"id":"evt_%d","event":"order.created","text":"%s"}' % (number, b"x" * 540)
            signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
            headers = {"Content-Type": "application/json", "X-Webhook-Signature": signature}
            connection.request("POST", "/hooks/bench", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failures.append(f"event {number} was answered {answer.status}")
    except OSError as error:
        failures.append(str(error))


def wait(what, condition, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def is_ready(admin):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def count(binary, ack, app, events):
    """Instructions of a run that takes so many events."""
    with tempfile.TemporaryDirectory() as place:
        public, admin = free_port(), free_port()
        config, counts = os.path.join(place, "hookgate.yaml"), os.path.join(place, "counts")
        with open(config, "w", encoding="utf-8") as file:
            data = os.path.join(place, "data")
            file.write(CONFIG.format(public=public, admin=admin, data=data, secret=SECRET.decode(), ack=ack, app=app))
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", binary, "run", "-c", config]
        log = os.path.join(place, "log")
        with open(log, "w", encoding="utf-8") as output:
            environment = {**os.environ, "RUST_LOG": "warn"}
            gateway = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            wait("the gateway is ready", lambda: gateway.poll() is not None or is_ready(admin))
            taken, failures = App.taken, []
            senders = [
                threading.Thread(target=send, args=(public, range(first, events, CONNECTIONS), failures))
                for first in range(CONNECTIONS)
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            if not failures:
                wait("everything is delivered", lambda: App.taken >= taken + events)
        finally:
            gateway.terminate()
            gateway.wait(120)
        if failures or gateway.returncode:
            with open(log, encoding="utf-8") as output:
                sys.exit(f"exit {gateway.returncode}: {failures[:3]}\n{output.read()[-2000:]}")
        with open(counts, encoding="utf-8") as file:
            return int(re.search(r"^summary: (\d+)", file.read(), re.MULTILINE).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/hookgate")
    parser.add_argument("--ack", default="stored", choices=["stored", "delivered", "passthrough"])
    parser.add_argument("--most", type=int)
    arguments = parser.parse_args()
    server = Server(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app = server.server_address[1]
    # What the start and the stop cost goes out with the difference.
    few, many = 500, 2500
    before = count(arguments.binary, arguments.ack, app, few)
    after = count(arguments.binary, arguments.ack, app, many)
    each = (after - before) // (many - few)
    print(f"{arguments.ack}: {each} instructions an event")
    if arguments.most is not None and each > arguments.most:
        sys.exit(f"more than {arguments.most}: the hot path has become dearer, or the bound in .ci/run too low")


if __name__ == "__main__":
    main()
