"""Lead files through the browser: upload, report, reject file."""

from __future__ import annotations

import asyncio
import re
import secrets
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, web

from crm_lite.web_keys import CRM, language_of, page, user_of
from engine.core.model import CampaignId
from engine.leads.files import ImportReport, import_file, meaning_of
from engine.leads.sheets import FILE_BYTES_MAX, Refused, RefusedReason
from engine.messages import N_

UPLOAD_BYTES_MAX: Final = FILE_BYTES_MAX
UPLOAD_WITHIN_S: Final = 300
#: Imports that run at once; a further one waits.
IMPORTS_MAX: Final = 1
#: Reject files kept for their download, each for this long.
REJECTS_KEPT_MAX: Final = 50
REJECTS_KEPT_S: Final = 3_600
FILE_NAME_CHARS_MAX: Final = 120
FORM_FIELDS_MAX: Final = 40
FORM_FIELD_BYTES_MAX: Final = 1_024
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,5}")

NO_FILE: Final = N_("Choose a file.")
UNKNOWN_CAMPAIGN: Final = N_("There is no such campaign in the configuration.")
TOO_SLOW: Final = N_("The upload took too long. Try again.")


@dataclass(frozen=True, slots=True)
class Rejects:
    """A reject file that waits for its download, by the user who imported."""

    path: Path
    login: str
    file_name: str
    until_s: float


class RejectShelf:
    """Reject files until they are fetched or forgotten; the directory ends with the application."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="zvonar-rejects-")
        self._kept: OrderedDict[str, Rejects] = OrderedDict()
        self.importing = asyncio.Semaphore(IMPORTS_MAX)

    @property
    def directory(self) -> Path:
        """Where uploads and reject files stand."""
        return Path(self._directory.name)

    def keep(self, path: Path, login: str, file_name: str) -> str:
        """Keep a file; returns the name to ask for it."""
        while self._kept and (len(self._kept) >= REJECTS_KEPT_MAX or next(iter(self._kept.values())).until_s < _now()):
            self._kept.popitem(last=False)[1].path.unlink(missing_ok=True)
        name = secrets.token_hex(16)
        self._kept[name] = Rejects(path, login, file_name, _now() + REJECTS_KEPT_S)
        return name

    def find(self, name: str, login: str) -> Rejects | None:
        """The file, for the user who made it."""
        found = self._kept.get(name)
        return found if found is not None and found.login == login and found.until_s >= _now() else None

    def close(self) -> None:
        """Forget all."""
        self._directory.cleanup()


SHELF: Final = web.AppKey("reject_shelf", RejectShelf)


async def import_page(request: web.Request) -> web.StreamResponse:
    """The form."""
    return _page(request, chosen=request.query.get("campaign", ""))


async def upload(request: web.Request) -> web.StreamResponse:
    """Import the file into the campaign: all of it, or nothing with the reason."""
    crm, shelf, user = request.app[CRM], request.app[SHELF], user_of(request)
    path = shelf.directory / secrets.token_hex(16)
    try:
        try:
            async with asyncio.timeout(UPLOAD_WITHIN_S):
                form, file_name, path = await receive(request, path)
        except TimeoutError:
            return _page(request, code=408, problem=TOO_SLOW)
        except Refused as refused:
            return _page(request, code=422, problem=refused.reason)
        wanted = form.get("campaign", "")
        if wanted not in crm.engine.policy().campaigns:
            return _page(request, code=422, problem=UNKNOWN_CAMPAIGN)
        if not file_name:
            return _page(request, code=422, problem=NO_FILE, chosen=wanted)
        rejects_to = path.with_name(f"{path.stem}-rejects.xlsx")
        try:
            async with shelf.importing:
                report = await import_file(
                    crm.database,
                    path,
                    campaign=CampaignId(wanted),
                    meaning=meaning_of(crm.loaded.config),
                    file_name=file_name,
                    by=user.login,
                    now_ms=crm.clock.now_ms(),
                    rejects_to=rejects_to,
                    translate=crm.pages.words[language_of(request)].gettext,
                )
        except Refused as refused:
            rejects_to.unlink(missing_ok=True)
            return _page(request, code=422, problem=refused.reason, chosen=wanted)
    finally:
        path.unlink(missing_ok=True)
    crm.engine.leads_changed(wanted)
    name = shelf.keep(rejects_to, user.login, file_name) if report.counts.rejects else ""
    return _page(request, chosen=wanted, report=report, rejects_name=name)


async def rejects(request: web.Request) -> web.StreamResponse:
    """The rejected rows of one's own import, with reasons."""
    found = request.app[SHELF].find(request.match_info["report"], user_of(request).login)
    if found is None:
        raise web.HTTPNotFound
    name = re.sub(r"[^\w.-]", "_", Path(found.file_name).stem)[:80] + "-rejects.xlsx"
    response = web.FileResponse(found.path)
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{_quoted(name)}"
    response.headers["Cache-Control"] = "no-store"
    return response


async def receive(request: web.Request, path: Path) -> tuple[dict[str, str], str, Path]:
    """(fields, file name, path) of the form; the file is on disk under a name of ours with its own suffix. Refused."""
    fields: dict[str, str] = {}
    file_name = ""
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name != "file":
            if len(fields) < FORM_FIELDS_MAX:
                fields[part.name or ""] = (await part.read_chunk(FORM_FIELD_BYTES_MAX)).decode(errors="replace")
        elif part.filename:
            file_name = part.filename[-FILE_NAME_CHARS_MAX:]
            suffix = Path(file_name).suffix.lower()
            path = path.with_suffix(suffix if _SUFFIX.fullmatch(suffix) else "")
            await _save(part, path)
    return fields, file_name, path


async def _save(part: BodyPartReader, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        while piece := await part.read_chunk(64 * 1024):
            size += len(piece)
            if size > UPLOAD_BYTES_MAX:
                raise Refused(RefusedReason.TOO_LARGE)
            file.write(piece)


def _page(
    request: web.Request,
    *,
    code: int = 200,
    problem: str = "",
    chosen: str = "",
    report: ImportReport | None = None,
    rejects_name: str = "",
) -> web.Response:
    campaigns = request.app[CRM].engine.policy().campaigns.values()
    return page(
        request,
        "import.html",
        code=code,
        problem=problem,
        chosen=chosen,
        campaigns=campaigns,
        report=report,
        rejects_name=rejects_name,
    )


def _quoted(name: str) -> str:
    return "".join(c if c.isascii() else "".join(f"%{byte:02X}" for byte in c.encode()) for c in name)


def _now() -> float:
    return time.monotonic()
