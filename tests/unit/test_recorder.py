"""Facts are kept before they are decided on, and told again they give the same orders."""

from __future__ import annotations

import io
import pickle
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli import zvonar
from engine.config import Loaded, load
from engine.core import effects, events
from engine.core.floor import Floor
from engine.core.machines import IllegalTransition
from engine.core.model import CampaignId
from engine.core.pacing import PacingPolicy, Predictive, Progressive
from engine.recorder import AGAIN_AFTER_MS, MAGIC, SEGMENTS, Recorder, RingDamaged, replay, said_step
from tests.conversation import ANNA, BORYS, SOLD, Conversation, lead


class Recorded(Conversation):
    """A conversation whose facts are recorded, as the driver does."""

    def __init__(self, directory: Path, segment_max_bytes: int = 1 << 20, **options: Any) -> None:
        self.recorder: Recorder | None = None
        self.since: list[effects.Effect] = []
        super().__init__(*(lead(n) for n in range(1, 60)), **options)
        self.recorder = Recorder(directory, self.floor, segment_max_bytes=segment_max_bytes)

    def _handle(self, fact: events.Event) -> list[effects.Effect]:
        if self.recorder is None:
            return super()._handle(fact)
        self.recorder.record(self.now_ms, fact)
        orders = super()._handle(fact)
        self.since += orders
        return orders

    def work(self, calls: int) -> None:
        for _ in range(calls):
            attempt = self.talk(self.dialed()[-1])
            self.wait(30_000)
            self.hang_up(attempt.leg)
            self.dispose(attempt, SOLD)


@pytest.fixture
def recorded() -> Iterator[Callable[..., Recorded]]:
    """A recorded conversation; its files are closed at the end."""
    made: list[Recorded] = []

    def make(directory: Path, **options: Any) -> Recorded:
        made.append(Recorded(directory, **options))
        return made[-1]

    yield make
    for one in made:
        assert one.recorder is not None
        one.recorder.close()


Make = Callable[..., Recorded]


def orders_of(path: Path) -> list[effects.Effect]:
    return [order for step in replay(path) for order in step.orders]


@pytest.mark.parametrize("pacing", [Progressive(), Predictive()], ids=["progressive", "predictive"])
def test_the_same_facts_give_the_same_orders(tmp_path: Path, pacing: PacingPolicy, recorded: Make) -> None:
    floor = recorded(tmp_path, pacing=pacing)
    floor.ready(ANNA, BORYS)
    floor.work(3)
    (segment,) = [tmp_path / name for name in SEGMENTS if (tmp_path / name).exists()]
    assert orders_of(segment) == floor.since
    lines = [said_step(step.event, step.orders) for step in replay(segment)]
    assert any("LegAnswered" in line and "→  Bridge(" in line for line in lines)


def test_the_ring_is_bounded_and_a_segment_begins_with_the_state_of_its_time(tmp_path: Path, recorded: Make) -> None:
    floor = recorded(tmp_path, segment_max_bytes=60_000)
    floor.ready(ANNA, BORYS)
    floor.work(25)
    sizes = [(tmp_path / name).stat().st_size for name in SEGMENTS]
    assert all(size < 200_000 for size in sizes)
    last = max((tmp_path / name for name in SEGMENTS), key=lambda path: path.stat().st_mtime_ns)
    told_again = orders_of(last)
    assert told_again
    assert floor.since[-len(told_again) :] == told_again


def test_only_its_owner_may_read_a_segment(tmp_path: Path, recorded: Make) -> None:
    floor = recorded(tmp_path)
    floor.ready(ANNA)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_engine_spares_the_segment_of_the_last_one(tmp_path: Path, recorded: Make) -> None:
    recorded(tmp_path).ready(ANNA)
    (first,) = tmp_path.iterdir()
    before = first.read_bytes()
    recorded(tmp_path).ready(ANNA)
    assert first.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_crash_happens_again(tmp_path: Path, recorded: Make) -> None:
    floor = recorded(tmp_path)
    floor.ready(ANNA)
    with pytest.raises(AssertionError, match="a timer that nobody set"):
        floor.tell(events.TimerFired(("dinner", "")))
    (segment,) = tmp_path.iterdir()
    with pytest.raises(AssertionError, match="a timer that nobody set"):
        orders_of(segment)
    assert not issubclass(AssertionError, IllegalTransition)


def test_a_record_that_breaks_off_is_the_end(tmp_path: Path, recorded: Make) -> None:
    floor = recorded(tmp_path)
    floor.ready(ANNA)
    (segment,) = tmp_path.iterdir()
    whole = orders_of(segment)
    segment.write_bytes(segment.read_bytes()[:-3])
    assert whole[: len(orders_of(segment))] == orders_of(segment)


def test_a_file_that_is_not_ours_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.write_bytes(b"something else")
    with pytest.raises(RingDamaged, match="not a recording"):
        list(replay(strange))

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    record = pickle.dumps(Evil())
    strange.write_bytes(MAGIC + len(record).to_bytes(4, "big") + record)
    with pytest.raises(RingDamaged, match=r"builtins\.print has no place"):
        list(replay(strange))
    strange.write_bytes(MAGIC + b"\xff\xff\xff\xff")
    with pytest.raises(RingDamaged, match="a record of"):
        list(replay(strange))


def test_a_full_disk_stops_the_recording_for_a_while_and_no_call(tmp_path: Path, recorded: Make) -> None:
    floor = recorded(tmp_path)
    assert floor.recorder is not None
    floor.recorder._let_go()
    floor.recorder._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    floor.ready(ANNA)
    assert floor.dialed()
    (before,) = tmp_path.iterdir()
    floor.now_ms += AGAIN_AFTER_MS
    floor.hang_up(floor.dial())
    (again,) = set(tmp_path.iterdir()) - {before}
    assert [type(step.event) for step in replay(again)] == [events.LegHungUp], "from the state of then"


def test_a_record_that_the_disk_takes_in_part_stops_the_recording(tmp_path: Path, recorded: Make) -> None:
    class Short(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            return len(memoryview(data)) - 1

    floor = recorded(tmp_path)
    assert floor.recorder is not None
    floor.recorder._let_go()
    floor.recorder._file = Short()  # type: ignore[assignment]
    floor.ready(ANNA)
    assert floor.recorder._file is None


def test_the_shell_tells_where_it_went_wrong(tmp_path: Path, recorded: Make) -> None:
    floor = recorded(tmp_path)
    floor.ready(ANNA)
    (segment,) = tmp_path.iterdir()
    calm = CliRunner().invoke(zvonar, ["replay", str(segment)])
    assert (calm.exit_code, "OriginateCustomer(" in calm.output) == (0, True)
    assert "+380" not in calm.output, "no personal data on a screen"
    with pytest.raises(AssertionError):
        floor.tell(events.TimerFired(("dinner", "")))
    crashed = CliRunner().invoke(zvonar, ["replay", "--last", "3", str(segment)])
    assert crashed.exit_code == 1
    assert "TimerFired(key=('dinner', ''))" in crashed.output
    assert "the engine ended here: AssertionError: a timer that nobody set: dinner" in crashed.output
    (tmp_path / "strange").write_bytes(b"?")
    assert "not a recording" in CliRunner().invoke(zvonar, ["replay", str(tmp_path / "strange")]).output


def test_the_shipped_configuration_can_be_recorded_and_told_again(tmp_path: Path) -> None:
    loaded = load(Path(__file__).parents[2] / "config.yaml")
    assert isinstance(loaded, Loaded)
    floor = Floor(loaded.policy, epoch=1)
    recorder = Recorder(tmp_path, floor)
    for fact in (events.ConfigChanged(loaded.policy), events.SwitchUp(()), events.LeadsFetched(CampaignId("demo"), ())):
        recorder.record(1_000, fact)
    recorder.close()
    (segment,) = (path for path in (tmp_path / name for name in SEGMENTS) if path.exists())
    told = list(replay(segment))
    assert [type(step.event) for step in told] == [events.ConfigChanged, events.SwitchUp, events.LeadsFetched]
    assert told[-1].floor.live.policy == loaded.policy
