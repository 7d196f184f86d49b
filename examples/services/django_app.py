"""Django's async views: uvicorn examples.services.django_app:app --workers 4"""

from __future__ import annotations

import json
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse
from django.urls import path

from do_blockstore_async import BlockStoreError
from do_blockstore_async.integrations.asgi import BlockStoreASGI, get_store, problem_of

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])


def answering_problems(view: Any) -> Any:
    @wraps(view)
    async def answering(request: Any, **kwargs: Any) -> HttpResponse:
        try:
            return JsonResponse(await view(request, **kwargs), safe=False)
        except BlockStoreError as error:
            found = problem_of(error, request.scope)
            headers = {**found.headers, "Content-Type": found.content_type}
            return HttpResponse(found.encode(), status=found.status, headers=headers)

    return answering


@answering_problems
async def volumes(request: Any) -> Any:
    store = get_store(request.scope)
    if request.method == "POST":
        new = json.loads(request.body)
        return (await store.volumes.create(region="nyc3", **new)).to_dict()
    return [volume.to_dict() for volume in await store.volumes.list()]


@answering_problems
async def volume(request: Any, volume_id: str) -> Any:
    return (await get_store(request.scope).volumes.get(volume_id)).to_dict()


urlpatterns = [path("volumes", volumes), path("volumes/<str:volume_id>", volume)]
app = BlockStoreASGI(get_asgi_application())
