"""Lead files through the browser: upload, report, reject file."""

from __future__ import annotations

from aiohttp import web

from crm_lite.web_keys import CRM, page


async def import_page(request: web.Request) -> web.StreamResponse:
    """The form."""
    return _page(request)


async def upload(request: web.Request) -> web.StreamResponse:
    """Import the file into the campaign."""
    raise web.HTTPNotImplemented


async def rejects(request: web.Request) -> web.StreamResponse:
    """The rejected rows of an import, with reasons."""
    raise web.HTTPNotFound


def _page(
    request: web.Request, *, code: int = 200, problem: str = "", report: object = None, chosen: str = ""
) -> web.Response:
    campaigns = request.app[CRM].engine.policy().campaigns.values()
    return page(request, "import.html", code=code, problem=problem, report=report, chosen=chosen, campaigns=campaigns)
