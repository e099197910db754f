"""`/metrics` for Prometheus: whom it is told to.

With `web.metrics_token` whoever brings it as a bearer token; without one only programs on this machine, and nobody
while a proxy stands before the pages, because then everybody seems to be on this machine.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from aiohttp import hdrs, web

from crm_lite.web_keys import CRM

#: The page's text, made at each scrape.
METRICS: Final[web.AppKey[Callable[[], str]]] = web.AppKey("metrics")
TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
FORWARDED: Final = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, hdrs.X_FORWARDED_HOST, hdrs.X_FORWARDED_PROTO)


async def metrics(request: web.Request) -> web.StreamResponse:
    """The metrics, or 401 or 403."""
    web_settings = request.app[CRM].loaded.config.web
    token = web_settings.metrics_token
    if token is not None:
        said = request.headers.get(hdrs.AUTHORIZATION, "")
        if not hmac.compare_digest(said.encode(), f"Bearer {token.get_secret_value()}".encode()):
            raise web.HTTPUnauthorized
    elif web_settings.public_url is not None or not _on_this_machine(request):
        raise web.HTTPForbidden
    return web.Response(body=request.app[METRICS]().encode(), headers={hdrs.CONTENT_TYPE: TEXT_FORMAT})


def _on_this_machine(request: web.Request) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
