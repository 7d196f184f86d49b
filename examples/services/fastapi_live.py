"""FastAPI with a page that follows a bulk run: each outcome is sent to the browser as it comes.

uvicorn examples.services.fastapi_live:app, then open http://127.0.0.1:8000
"""

from collections.abc import AsyncGenerator

from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse

from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
    get_store,
)

PAGE = """<!doctype html><title>Snapshots</title><ol></ol><script>
const source = new EventSource("/snapshots");
source.onmessage = (e) => document.querySelector("ol").append(new Option(e.data), "; ");
source.addEventListener("done", (e) => { source.close(); document.title = e.data; });
</script>"""
app = FastAPI(lifespan=blockstore_lifespan())
add_blockstore(app, default_timeout_s=None)


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.get("/snapshots")
async def snapshots(store: BlockStoreDep) -> StreamingResponse:
    async def events() -> AsyncGenerator[str]:
        plan = await store.bulk.plan_snapshots(job="live")
        async with store.bulk.run(plan) as run:
            async for outcome in run:
                yield f"data: {outcome.item.name} {outcome.status}\n\n"
        yield f"event: done\ndata: {run.report().conclusion}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/volumes")
async def volumes(socket: WebSocket) -> None:
    await socket.accept()
    async for volume in get_store(socket).volumes.list():
        await socket.send_json(volume.to_dict())
    await socket.close()
