"""An OpenTelemetry collector on loopback that keeps the spans it gets, for tests of tracing.

There is no wheel of the real one. It takes what the real exporter sends: OTLP over HTTP, in protobuf.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """A span as it was sent; ids in hexadecimal digits, `error` from its attributes."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    facts: dict[str, Any]
    failed: bool
    events: int

    @property
    def error(self) -> object:
        """What went wrong, or None."""
        return self.facts.get("error.type")


@dataclass
class Collector:
    """Use with `with`. `answers`: with which status it takes a batch; `hold`: until when it waits before it answers."""

    status: int = 200
    spans: list[Span] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Collector:
        self.hold.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def named(self, name: str) -> list[Span]:
        """Return the spans of this name."""
        return [span for span in self.spans if span.name == name]

    def take(self, body: bytes) -> None:
        """Keep the spans of a batch."""
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(item.value.string_value for item in each.resource.attributes if item.key == "service.name")
            for scope in each.scope_spans:
                self.spans += [
                    Span(
                        service, one.name, one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex(), one.kind,
                        {item.key: item.value.string_value or item.value.int_value for item in one.attributes},
                        one.status.code == 2, len(one.events),
                    )
                    for one in scope.spans
                ]  # fmt: skip


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(cast("str", self.headers["Content-Length"])))
            collector.held.set()
            collector.hold.wait()
            if self.path == "/v1/traces" and collector.status == 200:
                collector.take(body)
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler
