"""config.yaml means what a person means, and what is wrong with it is said all at once, with its place."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Config, ConfigProblem, ConfigWatch, Loaded, changes, describe, load, parse, read_secret
from engine.config import yamlmarks as yaml
from engine.core import law, ordering
from engine.core.budget import DAY_MS, AbandonRule, AtCeiling, CalendarDay, Rolling, Successive
from engine.core.model import AgentId, AmdPolicy, Burst, CampaignId, DispositionKind, Outcome, PhoneNumber, QueueId
from engine.core.pacing import Manual, PacingPolicy, Predictive, Preview, Progressive, Ratio

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config.yaml"

SMALL = """\
trunks:
  carrier: {host: 192.0.2.1:5060, lines_max: 10, calls_per_second_max: 2}
phones:
  101: {}
agents:
  anna: {name: Анна, phone: 101, campaigns: [spring]}
dispositions:
  sale: {labels: {ru: Продажа, uk: Продаж, en: Sale}, kind: final}
  later: {labels: {ru: Позже, uk: Пізніше, en: Later}, kind: retry, after: 1h30m}
  callback: {labels: {ru: Перезвонить, uk: Передзвонити, en: Call back}, kind: callback}
  stop: {labels: {ru: Не звонить, uk: Не дзвонити, en: Stop}, kind: dnc}
campaigns:
  spring:
    name: Весна
    pacing: {mode: ratio, ratio: 1.5}
    trunks: [carrier]
    caller_id: +380441234567
    hours:
      mon-thu: 09:00-20:00
      fri: ["09:00-12:00", "13:00-18:00"]
    zone: Europe/Kyiv
    attempts:
      max: 3
      retry:
        busy: {after: 5m, max: 2}
    dispositions: [sale, later, callback, stop]
"""


SPRING = CampaignId("spring")


def loaded(text: str = SMALL) -> Loaded:
    result = parse(text, Path("config.yaml"))
    assert isinstance(result, Loaded), "\n".join(map(str, result))
    return result


def problems(text: str) -> list[str]:
    result = parse(text, Path("config.yaml"))
    assert isinstance(result, list)
    return [str(problem) for problem in result]


def with_line(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


# ── YAML as people mean it ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("20:00", "20:00"),
        ("+380671234567", "+380671234567"),
        ("0671234567", "0671234567"),
        ("no", "no"),
        ("on", "on"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("'5'", "5"),
        ("5", 5),
        ("-5", -5),
        ("0.5", 0.5),
        ("true", True),
        ("~", None),
    ],
)
def test_a_plain_value_is_what_it_looks_like(text: str, meant: Any) -> None:
    assert yaml.read(f"key: {text}").value == {"key": meant}


def test_a_key_is_always_text() -> None:
    assert yaml.read("{101: a, no: b, null: c}").value == {"101": "a", "no": "b", "null": "c"}


def test_a_repeated_key_is_a_problem_that_names_the_first() -> None:
    [problem] = yaml.read("a:\n  b: 1\n  c: 2\n  b: 3\n").problems
    assert (problem.mark, problem.path) == (yaml.Mark(4, 3), ("a", "b"))
    assert "the first is on line 2" in problem.message


def test_aliases_that_unfold_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "too deep or too large" in yaml.read("\n".join(lines)).problems[0].message


def test_an_alias_of_itself_is_refused() -> None:
    assert "too deep or too large" in yaml.read("a: &a [*a]").problems[0].message


def test_a_tab_is_named_as_such() -> None:
    [problem] = yaml.read("a:\n\tb: 1\n").problems
    assert (problem.mark.line, problem.message) == (2, "a tab cannot indent here: use spaces")


@pytest.mark.parametrize(
    "text", ["a: [", "a: 'x", "a: b: c", "\x01", "!!python/object:os.system x", "? [a]\n: b", "- &"]
)
def test_text_that_is_not_ours_is_a_problem_and_never_an_exception(text: str) -> None:
    assert problems(text)


# ── what the core gets ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_campaign_becomes_the_policy_it_says() -> None:
    spring = loaded().policy.campaigns["spring"]  # type: ignore[index]
    assert spring.pacing == Ratio(calls_per_agent=1.5)
    assert spring.caller_id == PhoneNumber("+380441234567")
    assert spring.hours.spans[0] == ((540, 1200),)
    assert spring.hours.spans[4] == ((540, 720), (780, 1080))
    assert spring.hours.spans[5:] == ((), ())
    assert spring.attempts.retry[Outcome.BUSY].after_ms == 300_000
    assert [d.kind for d in spring.dispositions] == list(map(DispositionKind, ("final", "retry", "callback", "dnc")))
    assert spring.dispositions[1].retry_after_ms == 5_400_000


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("{mode: manual}", Manual()),
        ("{mode: preview}", Preview(skips_max=3)),
        ("{mode: progressive}", Progressive()),
        ("{mode: predictive}", Predictive()),
        ("{mode: predictive, aim: 2%}", Predictive(abandon_share=0.02)),
    ],
)
def test_every_mode_can_be_said(said: str, meant: PacingPolicy) -> None:
    assert loaded(with_line("{mode: ratio, ratio: 1.5}", said)).policy.campaigns["spring"].pacing == meant  # type: ignore[index]


def test_order_and_attempt_rules_become_what_they_say() -> None:
    text = with_line(
        "name: Весна",
        """name: Весна
    order:
      - {by: product, first: [Premium, Standard]}
      - {by: attempts, first: fewest}
      - {by: partner, shares: {a: 3, b: 1}}
      - {by: age, first: newest}
      - {by: priority}""",
    )
    rules = """max: 5
      burst: {calls: 3, after: 20s, then: 30m, priority: -10}
      limits: [{max: 2, per: {rolling: 7d}, of: person}, {max: 3, per: day}]
      same_hour_max: 2"""
    text = "lead_fields: {product: {labels: {ru: Товар, uk: Товар, en: Product}}}\n" + text.replace("max: 3", rules)
    spring = loaded(text).policy.campaigns["spring"]  # type: ignore[index]
    assert spring.order == (
        ordering.ByValue(column="product", first=("Premium", "Standard")),
        ordering.ByAttempts(fewest=True),
        ordering.Mix(column="partner", shares=(("a", 3), ("b", 1))),
        ordering.ByAge(newest=True),
        ordering.ByPriority(),
    )
    assert spring.attempts.burst == Burst(calls=3, after_ms=20_000, then_ms=30 * 60_000, priority_step=-10)
    assert spring.attempts.limits == (
        law.Limit(count=law.Count.ATTEMPT, max=2, per=law.Rolling(7 * DAY_MS), key=law.Key.PERSON),
        law.Limit(count=law.Count.ATTEMPT, max=3, per=law.Calendar.DAY, key=law.Key.LEAD),
    )
    assert spring.attempts.same_hour_max == 2


def test_the_laws_limit_becomes_the_rule_it_says() -> None:
    assert loaded().policy.campaigns["spring"].abandon == AbandonRule(  # type: ignore[index]
        share_max=0.03,
        guard=0.005,
        periods=(Rolling(length_ms=30 * DAY_MS),),
        at_ceiling=AtCeiling.ONE_TO_ONE,
    )
    said = (
        "abandon: {max: 2.5%, guard: 0%, per: [calendar_day, {successive: 30d, since: 2026-03-01}], at_ceiling: stop}"
    )
    campaigns = loaded(with_line("name: Весна", f"name: Весна\n    {said}")).policy.campaigns
    rule = campaigns["spring"].abandon  # type: ignore[index]
    midnight_in_kyiv_ms = 1_772_316_000_000
    assert (rule.share_max, rule.guard, rule.at_ceiling) == (0.025, 0, AtCeiling.STOP)
    assert rule.periods == (CalendarDay(tz="Europe/Kyiv"), Successive(start_ms=midnight_in_kyiv_ms, days=30))


def test_detection_and_message_become_the_policy_they_say() -> None:
    text = with_line(
        "name: Весна",
        "name: Весна\n    message: {company: Acme, sounds: {uk: acme/uk, ru: acme/ru}, opt_out: 5}\n"
        "    amd: {enabled: yes, message: acme/vm, sample: 20%, false_positives_max: 3%, confidence: 99%,"
        " since: 2026-11-22, greeting: 1500ms, silence: 1s, words: 4}",
    ).replace("kind: final", "kind: final, machine: yes")
    campaign = loaded(text).policy.campaigns[SPRING]
    assert (campaign.message.company, campaign.message.opt_out) == ("Acme", "5")
    assert [campaign.message.sound(language) for language in ("ru", "en")] == ["acme/ru", "acme/uk"]
    assert campaign.amd == AmdPolicy(
        enabled=True, message="acme/vm", sample_share=0.2, false_positives_max=0.03, confidence=0.99,
        since_ms=1_795_298_400_000, greeting_ms=1_500, silence_ms=1_000, words_max=4,
    )  # fmt: skip
    assert [one.machine for one in campaign.dispositions] == [True, False, False, False]
    assert not loaded().policy.campaigns[SPRING].amd.enabled


def test_a_phone_may_be_called_101_with_and_without_quotes() -> None:
    for name in ("101", '"101"'):
        assert loaded(with_line("phone: 101", f"phone: {name}")).policy.agents["anna"].phone == "101"  # type: ignore[index]


def test_yes_and_on_are_yes() -> None:
    for word, meant in (("yes", True), ("on", True), ("true", True), ("no", False), ("off", False)):
        text = with_line("phone: 101,", f"phone: 101, auto_answer: {word},")
        assert loaded(text).policy.agents["anna"].auto_answer is meant  # type: ignore[index]


# ── all errors at once ───────────────────────────────────────────────────────────────────────────────────────────


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    text = SMALL.replace("lines_max: 10", "lines_max: many").replace("phone: 101", "phone: 999")
    text = text.replace("zone: Europe/Kyiv", "zone: Europe/Kyjiv\n    colour: red").replace("max: 3", "max: three")
    found = problems(text)
    assert [problem.partition(": ")[0] for problem in found] == [
        f"config.yaml:{place}" for place in ("2:35", "6:22", "21:5", "22:5", "24:7")
    ]
    assert found[0] == "config.yaml:2:35: trunks.carrier.lines_max: expected integer, got many"
    assert found[4] == "config.yaml:24:7: campaigns.spring.attempts.max: expected integer, got three"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max: 3", "maxx: 3", "config.yaml:23:7: campaigns.spring.attempts.maxx: unknown key; did you mean max?"),
        ("max: 3", "retri: {}", "config.yaml:22:5: campaigns.spring.attempts.max: missing: add it"),
        (
            "mode: ratio",
            "mode: ratoi",
            "config.yaml:15:14: campaigns.spring.pacing.mode: mode ratoi is not known; did you mean ratio?",
        ),
        ("mode: ratio, ", "", "config.yaml:15:5: campaigns.spring.pacing: `mode` is missing: add it"),
        ("ratio: 1.5", "ratio: a", "config.yaml:15:27: campaigns.spring.pacing.ratio: expected number, got a"),
        (
            "[carrier]",
            "[carier]",
            "config.yaml:16:14: campaigns.spring.trunks.0: carier is not in trunks; did you mean carrier?",
        ),
        ("[carrier]", "[]", "config.yaml:16:5: campaigns.spring.trunks: at least one is needed"),
        ("+380441234567", "12ab", "expected a telephone number in the international form, such as +380441234567"),
        ("09:00-20:00", "20:00-09:00", "the end must come after the start"),
        ("09:00-20:00", "9-20", 'expected times such as "09:00-20:00"'),
        ("mon-thu", "mon-fri", "hours: fri is in both mon-fri and fri"),
        ("mon-thu", "monday", "monday: expected a weekday"),
        ('"13:00-18:00"', '"11:00-18:00"', "the times overlap"),
        ("after: 5m", "after: 5", "a unit is missing: 5s?"),
        ("after: 5m", "after: 5m 3", "expected a duration"),
        ("after: 5m", "after: 900d", "expected a duration from 0s to 90d, got 900d"),
        ("busy:", "bussy:", "did you mean busy?"),
        (", after: 1h30m", "", "kind retry needs `after`"),
        ("192.0.2.1:5060", "192.0.2.1", "expected host:port"),
        ("192.0.2.1:5060", "192.0.2.1:99999", "expected host:port"),
        ("101: {}", "101: {password: hunter2}", "a secret does not stand in this file: write !env NAME"),
        ("101: {}", "101: {password: !env ZVONAR_TEST_UNSET}", "the environment variable ZVONAR_TEST_UNSET is not set"),
        ("name: Весна", "name: !env HOME", "!env is for secrets only"),
        ("101: {}", "10 1: {}", "a name is small Latin letters"),
        ("name: Весна", "name: ''", "expected a text of 1 to 200 characters"),
        ("[sale, later", "[sale, sale", "sale is here twice"),
        ("name: Весна", "name: Весна\n    abandon: {max: 3}", "the sign is missing: 3%?"),
        ("name: Весна", "name: Весна\n    abandon: {max: 130%}", "expected a share such as 3% or 0.5%"),
        ("name: Весна", "name: Весна\n    abandon: {max: 2%, guard: 2%}", "guard must be less than max"),
        ("name: Весна", "name: Весна\n    abandon: {per: [{rolling: 90d}]}", "from 1h to 31d, got 90d"),
        ("name: Весна", "name: Весна\n    abandon: {per: [{successive: 30d}]}", "successive needs `since`"),
        ("name: Весна", "name: Весна\n    abandon: {per: [month]}", "expected {rolling: 30d}, calendar_day"),
        ("name: Весна", "name: Весна\n    abandon: {per: []}", "at least one is needed"),
        ("mode: ratio, ratio: 1.5", "mode: predictive, aim: 2", "the sign is missing: 2%?"),
        ("max: 3", "max: 3\n      limits: [{max: 2, per: fortnight}]", "expected day, week, month, {rolling: 7d}"),
        ("max: 3", "max: 3\n      burst: {calls: 4}", "more calls than attempts.max"),
        (
            "name: Весна",
            "name: Весна\n    order: [{by: colour, first: [red]}]",
            "colour: expected one of age, attempts",
        ),
        ("name: Весна", "name: Весна\n    amd: {enabled: yes}", "amd.enabled: no disposition of the campaign has"),
        ("name: Весна", "name: Весна\n    amd: {enabled: yes, sample: 0%}", "sample: without one nobody would know"),
        ("name: Весна", "name: Весна\n    amd: {confidence: 20%}", "confidence: from 50% to 99.9%"),
        ("name: Весна", "name: Весна\n    amd: {since: today}", "expected a day such as 2026-01-31"),
        (
            "name: Весна",
            "name: Весна\n    amd: {enabled: yes}\n    abandon: {connect_within: 1s}",
            "abandon.connect_within: 1s500ms at least",
        ),
        ("name: Весна", "name: Весна\n    message: {sounds: {uk: 'a b'}}", "sound names without ending"),
        ("name: Весна", "name: Весна\n    order: [{by: age}]", "by: age needs first: newest or oldest"),
        ("name: Весна", "name: Весна\n    order: [{by: zone}]", "by: zone needs either first"),
        ("name: Весна", "name: Весна\n    order: [{by: due, first: [x]}]", "by: due takes nothing else"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_a_way_out(old: str, new: str, said: str) -> None:
    found = problems(with_line(old, new))
    assert any(said in problem for problem in found), found


def test_a_secret_is_never_repeated_in_a_problem() -> None:
    assert not any("hunter2" in problem for problem in problems(with_line("101: {}", "101: {password: hunter2}")))


def test_hours_that_never_open_are_refused() -> None:
    text = with_line("mon-thu: 09:00-20:00", "mon-thu: closed").replace('["09:00-12:00", "13:00-18:00"]', "closed")
    assert problems(text) == ["config.yaml:18:5: campaigns.spring.hours: no day is open: the campaign would never dial"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("callback, stop]", "stop]", "none is of kind callback"),
        (
            "name: Весна",
            "name: Весна\n    message: {sounds: {uk: /no/where}}",
            "sounds.uk: no /no/where.* on this",
        ),
        ("ru: Продажа,", f"ru: {'П' * 31},", "config.yaml:8:19: warning: dispositions.sale.labels.ru: longer than 30"),
        ("ru: Продажа,", "", "no text for ru"),
        ("campaigns: [spring]", "campaigns: [other]", "is not in campaigns"),
        ("busy: {after: 5m, max: 2}", "busy: {after: 5m, max: 3}", "not reached"),
        ("phone: 101", "phone: 101, leg: on_demand", "few will be connected in time"),
    ],
)
def test_what_is_doubtful_is_a_warning(old: str, new: str, said: str) -> None:
    result = parse(with_line(old, new), Path("config.yaml"))
    found = list(result.warnings) if isinstance(result, Loaded) else result
    assert any(said in str(problem) for problem in found), found


def test_more_outcomes_than_keys_is_a_warning() -> None:
    names = [f"extra{n}" for n in range(6)]
    more = "".join(f"  {name}: {{labels: {{ru: А, uk: А, en: A}}, kind: final}}\n" for name in names)
    text = with_line("campaigns:\n  spring:", more + "campaigns:\n  spring:").replace(
        "stop]", f"stop, {', '.join(names)}]"
    )
    assert [w.message for w in loaded(text).warnings] == ["more than 9: keys 1 to 9 reach only the first ones"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", "name: Аня".encode("cp1251"), b"", b"[]", b"x", b"- a\n- b"])
def test_a_file_of_another_kind_is_a_problem(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert isinstance(load(path), list)


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    assert load(tmp_path / "config.yaml") == [
        ConfigProblem("config.yaml", 1, 1, "", "cannot be read: No such file or directory")
    ]


_PIECES = st.sampled_from(
    [
        "",
        "x",
        "x: 1",
        "[]",
        "{}",
        "- a",
        "null",
        "5",
        "-1",
        "yes",
        "!env HOME",
        "{a: {b: c}}",
        "[1, [2]]",
        "'",
        "*a",
        "\t",
    ]
)


@settings(deadline=None)
@given(st.integers(0, len(SMALL)), st.integers(0, 12), _PIECES)
def test_no_damage_to_the_file_breaks_the_loader(place: int, cut: int, piece: str) -> None:
    result = parse(SMALL[:place] + piece + SMALL[place + cut :], Path("config.yaml"))
    assert isinstance(result, Loaded) or result


@settings(deadline=None)
@given(st.sampled_from(SMALL.splitlines()), _PIECES)
def test_no_wrong_value_breaks_the_loader(line: str, piece: str) -> None:
    key, _, _ = line.partition(":")
    result = parse(SMALL.replace(line, f"{key}: {piece}"), Path("config.yaml"))
    assert isinstance(result, Loaded) or result


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZVONAR_TEST", "from-env")
    path = tmp_path / "config.yaml"
    path.write_text(with_line("101: {}", "101: {password: !env ZVONAR_TEST}\n  102: {}"), encoding="utf-8")
    (tmp_path / "var/secrets").mkdir(parents=True)
    (tmp_path / "var/secrets/phone-102").write_text("from-file\n")
    result = load(path)
    assert isinstance(result, Loaded)
    phones = result.config.phones
    assert read_secret(phones["101"].password, result.phone_secret_file("101")) == "from-env"
    assert read_secret(phones["102"].password, result.phone_secret_file("102")) == "from-file"
    assert "from-env" not in repr(result)


# ── the shipped files ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shipped_configuration_has_no_problem_and_no_doubt() -> None:
    result = load(SHIPPED)
    assert isinstance(result, Loaded), "\n".join(map(str, result))
    assert result.warnings == ()
    assert SHIPPED.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=./config.schema.json\n")


def test_the_editors_schema_is_that_of_the_model() -> None:
    assert (ROOT / "config.schema.json").read_text(encoding="utf-8") == describe.json_schema(), (
        "zvonar config schema > config.schema.json"
    )


def test_the_reference_is_that_of_the_model() -> None:
    assert (ROOT / "docs/config.md").read_text(encoding="utf-8") == describe.markdown(), (
        "zvonar config docs > docs/config.md"
    )


def test_every_key_is_described() -> None:
    definitions = Config.model_json_schema()["$defs"]
    bare = [
        f"{name}.{key}"
        for name, section in definitions.items()
        for key, field in section["properties"].items()
        if not field.get("description") and "$ref" not in field
    ]
    assert bare == []
    assert all(section.get("description") for section in definitions.values())


def test_the_schema_is_in_the_dialect_that_editors_read() -> None:
    text = describe.json_schema()
    assert json.loads(text)["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in text
    assert "prefixItems" not in text


# ── changes while we run ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_is_told_in_the_words_of_the_file() -> None:
    after = with_line("max: 3", "max: 5").replace("5m", "10m").replace("trunks:", "database: other.db\ntrunks:", 1)
    assert [str(change) for change in changes(loaded().config, loaded(after).config)] == [
        "database: var/zvonar.db → other.db (takes effect at the next start)",
        "campaigns.spring.attempts.max: 3 → 5",
        "campaigns.spring.attempts.retry.busy.after: 5m → 10m",
    ]


def test_another_spelling_of_the_same_is_no_change() -> None:
    assert changes(loaded().config, loaded(with_line("5m", "300s")).config) == []


async def test_a_saved_file_is_read_again_and_a_broken_one_yields_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SMALL, encoding="utf-8")
    watch = ConfigWatch(path, look_every_ms=100)
    async with asyncio.timeout(15), aclosing(watch.reloads()) as reloads:
        watch.wake()
        assert isinstance(await anext(reloads), Loaded)
        (tmp_path / "new").write_text(with_line("max: 3", "max: x"), encoding="utf-8")
        (tmp_path / "new").replace(path)
        assert isinstance(await anext(reloads), list)
        path.unlink()
        assert isinstance(await anext(reloads), list)


INBOUND = """\
inbound:
  sales: {name: Sales, numbers: ["+380 44 123-00-00", "0441230001"], campaign: spring, hours: {mon-fri: "09:00-18:00"}}
  vip: {name: VIP, numbers: [+380441230002], campaign: spring, priority: 5, wait_max: 5m, call_back: no}
"""


def test_queues_become_the_policy_they_say_and_agents_serve_those_of_their_campaigns() -> None:
    policy = loaded(SMALL + INBOUND).policy
    sales, vip = policy.queues[QueueId("sales")], policy.queues[QueueId("vip")]
    assert sales.numbers == ("+380441230000", "+380441230001"), "as a carrier's number will be read"
    assert (sales.hours.spans[0], sales.hours.spans[6], sales.hours.zone) == (((540, 1080),), (), "Europe/Kyiv")
    assert (vip.priority, vip.wait_max_ms, vip.call_back, sales.call_back) == (5, 300_000, False, True)
    assert policy.agents[AgentId("anna")].queues == ("sales", "vip")
    chosen = SMALL.replace("campaigns: [spring]}", "campaigns: [spring], queues: [vip]}", 1)
    assert loaded(chosen + INBOUND).policy.agents[AgentId("anna")].queues == ("vip",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[+380441230002]", '["+380441230000"]', "inbound.vip.numbers.0: +380441230000 already leads to sales"),
        (
            "campaign: spring, priority",
            "campaign: sprung, priority",
            "sprung is not in campaigns; did you mean spring?",
        ),
        ("[+380441230002]", "[]", "inbound.vip.numbers"),
        ("priority: 5", "music: ../../etc", "inbound.vip.music"),
    ],
)
def test_a_slip_in_a_queue_is_named(old: str, new: str, said: str) -> None:
    assert any(said in problem for problem in problems(SMALL + INBOUND.replace(old, new, 1)))
