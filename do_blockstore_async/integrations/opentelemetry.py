"""One OpenTelemetry span for each call, its attempts as events of the span.

    config = Config(hooks=(OpenTelemetryHook(),))

A span is named `GET /v2/volumes/{volume_id}`, is of kind CLIENT and a child of whatever span is
current where the call is made: hooks run in the task of the call, so the span of a web request is
the parent of its calls. While the call runs, its span is the current one; the queries by which a
lost response is reconciled are its children, and so are the spans of an instrumented aiohttp.

Attributes follow OpenTelemetry's HTTP conventions where these have a name (`http.request.method`,
`url.template`, `http.response.status_code`, `http.request.resend_count`, `error.type`); the rest
begins with `blockstore.`. Only the API is needed; without an SDK the spans cost next to nothing.

Invariants:
1. Each span that was started is ended, in the task that started it, whatever becomes of the call.
2. No attribute holds an id, a path, a header, a body or the text of an error.
"""

from __future__ import annotations

import asyncio
from contextvars import Token
from typing import Final

import attrs

from .._lazy import missing_module

try:
    from opentelemetry import context, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
except ModuleNotFoundError as error:
    raise missing_module(__name__, "opentelemetry", error) from None

from ..events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    Event,
    OutcomeReconciled,
    RetryScheduled,
)

__all__ = ["OpenTelemetryHook"]

_NAME: Final = "do_blockstore_async"


@attrs.frozen
class _Open:
    """A span in flight, and what puts the context back when it ends."""

    span: Span
    token: Token[Context]


class OpenTelemetryHook:
    """Make a span of each call.

    Args:
        tracer_provider: where spans go; the global one where not given.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        # By task too: two clients with one hook number their calls alike.
        self._open: dict[tuple[object, int], _Open] = {}

    def __call__(self, event: Event) -> None:
        """Start, annotate or end a span; events of the budget alone belong to no call."""
        if isinstance(event, CallStarted):
            self._begin(event)
        elif isinstance(event, CallFinished):
            self._end(event)
        elif isinstance(event, AttemptSent):
            self._mark(event.call_id, "sent", attempt=event.attempt, waited_s=event.waited_s)
        elif isinstance(event, AttemptFinished):
            self._attempt(event)
        elif isinstance(event, RetryScheduled):
            self._mark(event.call_id, "retry", delay_s=event.delay_s, reason=event.reason)
        elif isinstance(event, OutcomeReconciled):
            self._mark(event.call_id, "reconciled", resolution=event.resolution)

    def _begin(self, event: CallStarted) -> None:
        span = self._tracer.start_span(
            f"{event.method} {event.route}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": event.method, "url.template": event.route},
        )
        token = context.attach(trace.set_span_in_context(span))
        self._open[asyncio.current_task(), event.call_id] = _Open(span, token)

    def _of(self, call_id: int) -> Span | None:
        found = self._open.get((asyncio.current_task(), call_id))
        return None if found is None else found.span

    def _mark(self, call_id: int, name: str, **fields: str | float) -> None:
        span = self._of(call_id)
        if span is not None:
            span.add_event(name, {f"blockstore.{key}": value for key, value in fields.items()})

    def _attempt(self, event: AttemptFinished) -> None:
        span = self._of(event.call_id)
        if span is None:
            return
        fields: dict[str, str | float] = {
            "blockstore.attempt": event.attempt,
            "blockstore.duration_s": event.duration_s,
        }
        if event.status is not None:
            fields["http.response.status_code"] = event.status
            span.set_attribute("http.response.status_code", event.status)
        if event.failure is not None:
            fields["error.type"] = event.failure
        span.add_event("attempt", fields)

    def _end(self, event: CallFinished) -> None:
        found = self._open.pop((asyncio.current_task(), event.call_id), None)
        if found is None:
            return
        span = found.span
        if event.attempts > 1:
            span.set_attribute("http.request.resend_count", event.attempts - 1)
        if event.error is not None:
            span.set_attribute("error.type", event.error)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        context.detach(found.token)
