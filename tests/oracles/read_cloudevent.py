"""Reads one request with the CloudEvents SDK: {"headers", "body_base64"} in, {"attributes", "data"} out, both JSON."""

import base64
import datetime
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event

message = json.load(sys.stdin)
event = from_http_event(HTTPMessage(headers=message["headers"], body=base64.b64decode(message["body_base64"])))
attributes = dict(event.get_attributes())
attributes.setdefault("datacontenttype", None)
time = attributes["time"].astimezone(datetime.timezone.utc)
attributes["time"] = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
json.dump({"attributes": attributes, "data": event.get_data()}, sys.stdout)
