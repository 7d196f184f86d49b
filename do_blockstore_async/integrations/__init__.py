"""Integrations with web frameworks and observability tools, each imported when it is used.

    fastapi        lifespan, dependency, middleware, error handlers; Starlette too; extra `fastapi`
    aiohttp        cleanup context, AppKey, middleware
    asgi           around any other ASGI app: Litestar, Quart, Django
    logging        events as structured records of the standard library
    prometheus     events as metrics, the budget as gauges; extra `prometheus`
    procrastinate  jobs of a file on many machines; extra `procrastinate`
    opentelemetry  one span for each call; extra `opentelemetry`

What the web integrations share needs no framework: `_web.problem_details` (errors as problem+json),
`retry_after`, `request_scope` (deadline and cancellation of one web request), `middleware` (the
same for ASGI), `health`.
"""
