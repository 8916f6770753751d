"""Reads one export request (OTLP, JSON) with the protocol's own definitions: the request in, what it says out.

A field that the protocol does not have, or of another type, is an error. (Ids are hexadecimal in OTLP's JSON and base64 in
that of Protocol Buffers; both are text, so that they are looked at apart.)"""

import json
import re
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

text = sys.stdin.read()
request = json_format.Parse(text, ExportTraceServiceRequest())
[resource] = request.resource_spans
attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
spans = [span for scope in resource.scope_spans for span in scope.spans]
for span in spans:
    assert span.start_time_unix_nano <= span.end_time_unix_nano, span
    assert span.kind in (span.SPAN_KIND_SERVER, span.SPAN_KIND_CLIENT), span
for name, digits in (("traceId", 32), ("spanId", 16), ("parentSpanId", 16)):
    for value in re.findall(f'"{name}":"([^"]*)"', text):
        assert re.fullmatch(f"[0-9a-f]{{{digits}}}", value), (name, value)
json.dump({"service": attributes["service.name"], "names": [span.name for span in spans], "spans": len(spans)}, sys.stdout)
