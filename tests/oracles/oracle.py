"""Asks vendors' own Python libraries: JSON lines in, JSON lines out. README.md beside this file has the protocol."""

import importlib.metadata
import json
import sys
import time

from vendors import CLOCK, ORACLES, Request


def listed():
    """Every oracle with the library behind it."""
    return [
        {
            "oracle": name,
            "library": cls.package,
            "version": importlib.metadata.version(cls.package),
            "signs": hasattr(cls, "sign"),
            "keys": False,
        }
        for name, cls in ORACLES.items()
    ]


def answer(message):
    if message["op"] == "list":
        return {"oracles": listed()}
    cls, request = ORACLES[message["oracle"]], Request(message)
    CLOCK[0] = request.now
    if message["op"] == "sign":
        return cls.sign(request)
    if message["op"] == "verify":
        return {"ok": cls.verify(request)}
    raise ValueError(f"no such op: {message['op']}")


def main():
    time.time = lambda: float(CLOCK[0])
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # The other side tells trouble from refusal.
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(reply), flush=True)


main()
