"""A sample app behind hookgate: takes each event once, by Hookgate-Dedupe-Key, and says what it did.

Delivery is at least once, so an app must know an event again. This one remembers in memory; a real one writes the key in the
same transaction as its own work.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = set()


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open, which saves both sides a handshake for each event

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Hookgate-Dedupe-Key")
        again = "again" if key in seen else "new"
        seen.add(key)
        event = self.headers.get("Hookgate-Event-Type", "-")
        source, attempt = self.headers.get("Hookgate-Source"), self.headers.get("Hookgate-Attempt")
        # The line's end is part of it, or lines of two threads could mix.
        print(f"{again} {source} {event} attempt {attempt} {len(body)} bytes\n", end="", flush=True)
        self.send_response(204)  # any 2xx says: taken
        self.end_headers()

    def log_message(self, *_):
        """The line above is enough."""


class Server(ThreadingHTTPServer):
    # Of Python's default of 5, more connections at one moment would wait for a second: a gateway makes up to `concurrency`.
    request_queue_size = 128


Server(("", int(sys.argv[1])), App).serve_forever()
