"""Leads into a spreadsheet or a text table. What came from strangers stays text there: no formula, no link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.core.model import PhoneType
from engine.leads.files import Translate, label_of, labels_of_fields, table_writer
from engine.leads.sheets import Cell
from engine.messages import N_
from engine.phones import TYPE_WORDS
from engine.store.database import Database
from engine.store.exports import ExportedLead, Wanted, field_names, pages
from engine.store.folding import tags_text
from engine.store.store import SQL as DIALING

#: A sheet of XLSX ends there; the header is one.
XLSX_LEADS_MAX: Final = 1_048_575
#: Numbers of a lead that get columns of their own, two each.
NUMBERS_MAX: Final = 3
SUFFIXES: Final = (".xlsx", ".csv")


class TooManyLeads(ValueError):
    """More than a sheet of XLSX holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """How the configuration names what the file shows by key, in one language."""

    dispositions: dict[str, str]
    fields: dict[str, str]
    agents: dict[str, str] = field(default_factory=dict)


def labels_of(config: Config, language: str) -> Labels:
    """The names in that language, else in any."""
    return Labels(
        dispositions={key: label_of(one.labels, key, language) for key, one in config.dispositions.items()},
        fields=labels_of_fields(config, language),
        agents={key: agent.name for key, agent in config.agents.items()},
    )


async def export_leads(
    database: Database,
    path: Path,
    wanted: Wanted,
    *,
    labels: Labels,
    zone: tzinfo,
    by: str,
    now_ms: int,
    translate: Translate = str,
) -> int:
    """Write the wanted leads to `path` (.xlsx or .csv); how many. Raises TooManyLeads, StoreError, OSError."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path.name}: a file of leads ends in {' or '.join(SUFFIXES)}")
    others = [name for name in await field_names(database, wanted) if name not in labels.fields]
    columns = [*labels.fields, *others]
    count = 0
    with table_writer(path) as write:
        of_a_phone = (translate(N_("Phone")), translate(N_("Type of phone")))
        phones = [f"{name} {position}" for position in range(1, NUMBERS_MAX + 1) for name in of_a_phone]
        types = {type_: translate(word) for type_, word in TYPE_WORDS.items()}
        who, *rest = map(translate, _HEAD)
        write([who, *phones, *rest, *labels.fields.values(), *others])

        def write_page(page: Sequence[ExportedLead]) -> None:
            for lead in page:
                write([*_cells(lead, labels, zone, types), *(lead.fields.get(name) for name in columns)])

        async for page in pages(database, wanted):
            count += len(page)
            if path.suffix.lower() == ".xlsx" and count > XLSX_LEADS_MAX:
                raise TooManyLeads(f"more than {XLSX_LEADS_MAX} leads do not fit into XLSX: choose CSV, or fewer")
            await database.aside(lambda page=page: write_page(page))  # type: ignore[misc]
    await database.write(
        DIALING.append_audit(
            at_ms=now_ms,
            actor=by,
            action="leads_exported",
            subject=f"campaign:{wanted.campaign or '*'}",
            detail=f"{count}",
        )
    )
    return count


_HEAD: Final = (
    N_("Name"),
    N_("Campaign"),
    N_("State"),
    N_("Attempts"),
    N_("Outcome"),
    N_("Result"),
    N_("Result given"),
    N_("Operator"),
    N_("Note"),
    N_("Partner"),
    N_("List"),
    N_("Tags"),
    N_("Owner"),
    N_("External ID"),
    N_("Time zone"),
    N_("Priority"),
    N_("Lead"),
)


def _cells(lead: ExportedLead, labels: Labels, zone: tzinfo, types: Mapping[PhoneType, str]) -> list[Cell]:
    phones = [cell for number, type_ in lead.phones[:NUMBERS_MAX] for cell in (number, types.get(type_))]
    given = lead.disposed_at_ms
    return [
        lead.name,
        *phones,
        *[None] * (2 * NUMBERS_MAX - len(phones)),
        lead.campaign,
        lead.state.value,
        lead.attempts_count,
        lead.outcome,
        labels.dispositions.get(lead.disposition, lead.disposition),
        None if given is None else f"{datetime.fromtimestamp(given / 1000, zone):%Y-%m-%d %H:%M}",
        lead.agent,
        lead.note,
        lead.source,
        lead.list_name,
        tags_text(lead.tags),
        labels.agents.get(lead.keeper, lead.keeper),
        lead.external_id,
        lead.zone,
        lead.priority,
        lead.id,
    ]
