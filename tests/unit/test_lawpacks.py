"""The law packs that we ship: what they say at their edges, and what they forbid a campaign."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.config import Loaded, lawpacks, parse
from engine.config.loading import load_calendar, load_pack
from engine.core.attempts import Allowed, Refused, explain, may_dial
from engine.core.law import DayType, Holidays, Pack, judge
from engine.core.model import CampaignId, Lead, LeadId, LeadState, Mode, Outcome, Past, Phone, PhoneNumber

NUMBER = PhoneNumber("+380671110000")
MINUTE_MS, DAY_MS = 60_000, 86_400_000

LAWFUL = """\
trunks:
  carrier: {host: 192.0.2.1:5060, lines_max: 10, calls_per_second_max: 2}
phones:
  101: {}
agents:
  anna: {name: Анна, phone: 101, campaigns: [spring]}
dispositions:
  sale: {labels: {ru: Продажа, uk: Продаж, en: Sale}, kind: final}
  callback: {labels: {ru: Перезвонить, uk: Передзвонити, en: Call back}, kind: callback}
  stop: {labels: {ru: Не звонить, uk: Не дзвонити, en: Stop}, kind: dnc}
lead_fields:
  consent_ads: {labels: {ru: Согласие, uk: Згода, en: Consent}}
caller_ids:
  - {number: +380441234567, label: "Acme: реклама", until: 2026-05-31}
campaigns:
  spring:
    name: Весна
    pacing: {mode: predictive}
    trunks: [carrier]
    caller_id: +380441234567
    hours: {daily: "00:00-24:00"}
    zone: Europe/Kyiv
    attempts: {max: 3}
    message: {company: Acme Telecom, sounds: {uk: acme/sorry-uk}}
    law: [us-tsr]
    dispositions: [sale, callback, stop]
"""


def shipped(name: str) -> Pack:
    found = load_pack(name)
    assert isinstance(found, Pack), "\n".join(map(str, found))
    return found


def at(wall: str, zone: str) -> int:
    return int(datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def lawful(name: str, wall: str, zone: str, *history: Past, state: LeadState = LeadState.RETRY, **fields: str) -> bool:
    phone = Phone(position=0, number=NUMBER)
    lead = Lead(id=LeadId(1), campaign=CampaignId("c"), phones=(phone,), state=state, zone=zone, fields=fields)
    return judge(lead, phone, history, (shipped(name),), at(wall, zone), ring_timeout_ms=30_000).blocking is None


def attempt(wall: str, zone: str, outcome: Outcome, ring_ms: int = 20_000) -> Past:
    at_ms = at(wall, zone)
    talk = at_ms + ring_ms if outcome is Outcome.CONNECTED else None
    return Past(
        at_ms=at_ms,
        lead=LeadId(1),
        number=NUMBER,
        outcome=outcome,
        answered_at_ms=talk,
        bridged_at_ms=talk,
        ended_at_ms=at_ms + ring_ms + (MINUTE_MS if talk else 0),
    )


@pytest.mark.parametrize("name", lawpacks.known())
def test_every_pack_we_ship_is_valid(name: str) -> None:
    assert shipped(name).id == f"{name}@1"


@pytest.mark.parametrize("name", lawpacks.known(lawpacks.CALENDARS))
def test_every_calendar_we_ship_is_valid_and_knows_two_years(name: str) -> None:
    found = load_calendar(name)
    assert isinstance(found, Holidays), found
    assert found.years == {2026, 2027}


@pytest.mark.parametrize(
    ("name", "zone", "opens", "closes"),
    [
        ("us-tsr", "America/New_York", "2026-03-08 08:00:00", "2026-03-08 21:00:00"),  # clocks go forward
        ("us-regf", "America/Chicago", "2026-11-01 08:00:00", "2026-11-01 21:00:00"),  # and back
        ("ru-collection-230fz", "Asia/Yekaterinburg", "2026-03-10 08:00:00", "2026-03-10 22:00:00"),  # a workday
        ("ru-collection-230fz", "Europe/Moscow", "2026-03-09 09:00:00", "2026-03-09 20:00:00"),  # a moved day off
        ("ru-collection-230fz", "Europe/Moscow", "2026-03-14 09:00:00", "2026-03-14 20:00:00"),  # a Saturday
        ("ua-consumer-credit", "Europe/Kyiv", "2026-10-26 09:00:00", "2026-10-26 20:00:00"),
    ],
)
def test_hours_to_the_second(name: str, zone: str, opens: str, closes: str) -> None:
    def near(edge: str, seconds: int) -> bool:
        moment = datetime.fromtimestamp(at(edge, zone) / 1000 + seconds, ZoneInfo(zone))
        return lawful(name, moment.replace(tzinfo=None).isoformat(), zone)

    assert [near(opens, s) for s in (-1, 0, 1)] == [False, True, True]
    assert [near(closes, s) for s in (-1, 0, 1)] == [True, False, False]


@pytest.mark.parametrize("day", ["2026-10-24", "2026-10-25", "2026-08-24", "2027-01-01", "2028-02-29"])
def test_debtors_in_ukraine_are_not_called_on_days_off_nor_in_a_year_without_a_calendar(day: str) -> None:
    assert not lawful("ua-consumer-credit", f"{day} 12:00:00", "Europe/Kyiv")


def test_debtors_in_ukraine_have_two_interactions_and_half_an_hour_of_ringing_a_day() -> None:
    zone, name = "Europe/Kyiv", "ua-consumer-credit"
    talks = [attempt(f"2026-10-26 1{n}:00", zone, Outcome.CONNECTED) for n in range(2)]
    assert lawful(name, "2026-10-26 15:00", zone, talks[0])
    assert not lawful(name, "2026-10-26 15:00", zone, *talks)
    assert lawful(name, "2026-10-26 15:00", zone, *talks, consent_more="так")
    assert lawful(name, "2026-10-27 09:00:00", zone, *talks)
    rang = [attempt("2026-10-26 09:00", zone, Outcome.NO_ANSWER, ring_ms=29 * MINUTE_MS + 30_000)]
    assert lawful(name, "2026-10-26 15:00", zone, *rang)
    assert not lawful(name, "2026-10-26 15:00", zone, *rang, attempt("2026-10-26 10:00", zone, Outcome.BUSY, 1_000))
    assert not lawful(name, "2026-10-26 15:00", zone, representative="так")


def test_debtors_in_russia_have_one_talk_a_day_two_a_week_and_eight_a_month() -> None:
    zone, name = "Europe/Moscow", "ru-collection-230fz"

    def talk(day: str) -> Past:
        return attempt(f"{day} 12:00", zone, Outcome.CONNECTED)

    assert not lawful(name, "2026-03-10 21:59:59", zone, talk("2026-03-10"))
    assert lawful(name, "2026-03-11 08:00:00", zone, talk("2026-03-10"))
    assert not lawful(name, "2026-03-13 08:00:00", zone, talk("2026-03-10"), talk("2026-03-11"))
    assert lawful(name, "2026-03-16 08:00:00", zone, talk("2026-03-10"), talk("2026-03-11"))
    month = [talk(f"2026-06-{day:02}") for day in (1, 2, 8, 9, 15, 16, 22, 23)]
    assert not lawful(name, "2026-06-30 12:00", zone, *month)
    assert lawful(name, "2026-07-01 08:00:00", zone, *month)
    assert not lawful(name, "2026-03-11 12:00", zone, bankrupt="да")


def test_regulation_f_allows_seven_calls_in_seven_days_and_none_for_seven_after_a_talk() -> None:
    zone, name = "America/New_York", "us-regf"
    seven = [attempt(f"2026-05-{day:02} 10:00", zone, Outcome.NO_ANSWER) for day in range(1, 8)]
    assert lawful(name, "2026-05-07 12:00", zone, *seven[:6])
    assert not lawful(name, "2026-05-07 12:00", zone, *seven)
    assert lawful(name, "2026-05-08 08:00:00", zone, *seven)
    talk = attempt("2026-05-01 20:00", zone, Outcome.CONNECTED)
    assert not lawful(name, "2026-05-07 20:59:59", zone, talk)
    assert lawful(name, "2026-05-08 08:00:00", zone, talk)
    assert lawful(name, "2026-05-02 12:00", zone, talk, state=LeadState.CALLBACK)


def test_a_number_abandoned_in_the_uk_rests_72_hours_unless_an_agent_is_kept_for_it() -> None:
    pack, phone = shipped("uk-ofcom"), Phone(position=0, number=NUMBER, zones=("Europe/London",))
    lead = Lead(id=LeadId(1), campaign=CampaignId("c"), phones=(phone,), state=LeadState.RETRY)
    past = attempt("2026-05-01 10:00", "Europe/London", Outcome.ABANDONED)
    assert past.ended_at_ms is not None
    over_ms = past.ended_at_ms + 3 * DAY_MS
    for mode, now_ms, allowed in (
        (Mode.PREDICTIVE, over_ms - 1_000, False),
        (Mode.PREDICTIVE, over_ms, True),
        (Mode.PROGRESSIVE, over_ms - 1_000, True),
    ):
        assert (judge(lead, phone, [past], (pack,), now_ms, mode=mode).blocking is None) is allowed


# ── config.yaml ──────────────────────────────────────────────────────────────────────────────────────────────────


def said(old: str, new: str) -> list[str]:
    assert old in LAWFUL
    found = parse(LAWFUL.replace(old, new), Path("config.yaml"))
    return [] if isinstance(found, Loaded) else [str(problem) for problem in found]


def test_a_campaign_carries_its_packs() -> None:
    found = parse(LAWFUL, Path("config.yaml"))
    assert isinstance(found, Loaded)
    (pack,) = found.policy.campaigns[CampaignId("spring")].law
    assert pack.windows is not None
    assert pack.windows[DayType.WORKDAY] == ((480, 1260),)
    assert "opt_out" in str(found.warnings[0])


def test_an_unknown_pack_is_named_with_its_place() -> None:
    (problem,) = said("law: [us-tsr]", "law: [us-tsr, ua-consumer-kredit]")
    assert problem.startswith("config.yaml:25:19: campaigns.spring.law.1: ua-consumer-kredit is no law pack")
    assert "ua-consumer-credit" in problem


def test_advertising_in_russia_refuses_predictive() -> None:
    (problem,) = said("law: [us-tsr]", "law: [ru-advertising]")
    assert problem.startswith("config.yaml:18:14: campaigns.spring.pacing.mode: calls may not be started in mode predi")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("law: [us-tsr]", "law: [us-tsr, us-tsr]", "law.1: us-tsr is here twice"),
        ("law: [us-tsr]", "law: [us-tsr]\n    ring_timeout: 10s", "ring_timeout: a phone must ring 15s"),
        ("law: [us-tsr]", "law: [us-tsr]\n    abandon: {min_ring: 5s}", "abandon.min_ring: a phone must ring 15s"),
        ("law: [us-tsr]", "law: [us-tsr]\n    abandon: {connect_within: 3s}", "abandon.connect_within: 2s at most"),
        ("law: [us-tsr]", "law: [us-tsr]\n    abandon: {max: 5%}", "abandon.max: 3% at most"),
        (
            "law: [us-tsr]",
            "law: [us-tsr]\n    abandon: {at_ceiling: ease}",
            "abandon.at_ceiling: beyond the ceil",
        ),
        ("company: Acme Telecom, ", "", "message.company: whoever answers and finds nobody must hear who called"),
        (", sounds: {uk: acme/sorry-uk}", "", "message.sounds: the packaged message names no company"),
        ("law: [us-tsr]", "law: [uk-ofcom]", "abandon.per: the share must count over {rolling: 1d}"),
    ],
)
def test_a_campaign_may_only_tighten(old: str, new: str, where: str) -> None:
    assert where in " ".join(said(old, new))


def test_a_needed_consent_must_be_a_lead_field() -> None:
    text = LAWFUL.replace("mode: predictive", "mode: manual").replace("us-tsr", "ru-advertising")
    assert isinstance(parse(text, Path("config.yaml")), Loaded)
    found = parse(text.replace("consent_ads", "other"), Path("config.yaml"))
    assert not isinstance(found, Loaded)
    assert "needs the lead field consent_ads" in str(found[0])


def test_a_number_without_a_labelling_contract_is_refused_and_one_whose_contract_ends_is_not_shown_after() -> None:
    text = LAWFUL.replace("mode: predictive", "mode: manual").replace("us-tsr", "ru-advertising")
    unlisted = parse(text.replace("number: +380441234567", "number: +380440000000"), Path("config.yaml"))
    assert not isinstance(unlisted, Loaded)
    assert "caller_id: +380441234567 has no labelling contract: add it to caller_ids" in str(unlisted[0])
    found = parse(text, Path("config.yaml"))
    assert isinstance(found, Loaded)
    spring = found.policy.campaigns[CampaignId("spring")]
    phone, facts = Phone(position=0, number=NUMBER), {"consent_ads": "yes", "opt_out": "no"}
    lead = Lead(
        id=LeadId(1),
        campaign=spring.id,
        phones=(phone,),
        state=LeadState.RETRY,
        zone="Europe/Kyiv",
        fields=facts,
        history=(),
    )
    end_ms = at("2026-06-01 00:00:00", "Europe/Kyiv")
    allowed = may_dial(lead, spring, end_ms - 1_000)
    assert isinstance(allowed, Allowed)
    assert allowed.until_ms == end_ms
    refused = may_dial(lead, spring, end_ms)
    assert isinstance(refused, Refused)
    assert refused.reason == "caller_id_contract:+380441234567"
    assert explain(lead, spring, end_ms).next_at_ms is None
    other_law = parse(text.replace("ru-advertising", "us-tsr"), Path("config.yaml"))
    assert isinstance(other_law, Loaded)
    assert other_law.policy.campaigns[spring.id].caller_id_until_ms is None


def test_a_hidden_number_is_refused_where_the_law_wants_it_shown() -> None:
    found = parse(
        LAWFUL.replace("    caller_id: +380441234567\n", "").replace("us-tsr", "ua-consumer-credit"),
        Path("config.yaml"),
    )
    assert not isinstance(found, Loaded)
    assert "caller_id: a number must be shown" in str(found[0])


def test_what_is_wrong_in_a_pack_is_told_all_at_once_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packs" / "law"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "pack: mine\nversion: 1\nabout: x\nsources: [y]\nlimit: []\n"
        "limits:\n  - {count: calls, max: 1, per: year}\nmin_ring: 15\n"
    )
    monkeypatch.setattr(lawpacks, "LAW", folder)
    found = load_pack("mine")
    assert isinstance(found, list)
    assert [str(problem).split(": ")[0:2] for problem in found] == [
        ["packs/law/mine.yaml:5:1", "limit"],
        ["packs/law/mine.yaml:7:6", "limits.0.count"],
        ["packs/law/mine.yaml:7:28", "limits.0.per"],
        ["packs/law/mine.yaml:8:1", "min_ring"],
    ]
    assert "did you mean limits?" in str(found[0])


def test_a_calendar_with_a_day_of_another_year_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packs" / "calendars"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("calendar: mine\nversion: 1\nyears: [2026]\noff: [2026-12-31..2027-01-01]\n")
    (folder / "other.yaml").write_text("calendar: mine\nversion: 1\nyears: [2026]\n")
    monkeypatch.setattr(lawpacks, "CALENDARS", folder)
    assert "2027-01-01 is in none of its years" in str(load_calendar("mine"))
    assert "expected other" in str(load_calendar("other"))
