from engine.core.trunks import BACKOFF_MAX_MS, CallRate, TrunkLimits, Trunks


def test_two_calls_per_second_go_half_a_second_apart() -> None:
    rate = CallRate(calls_per_s=2)
    went = []
    for now_ms in range(0, 5_000, 10):
        if rate.room(now_ms):
            rate.take(now_ms)
            went.append(now_ms)
    assert went == list(range(0, 5_000, 500))


def test_a_quiet_hour_buys_no_more_than_the_burst() -> None:
    rate = CallRate(calls_per_s=10, burst_calls=3)
    assert rate.room(3_600_000) == 3
    rate.take(3_600_000, 3)
    assert rate.room(3_600_050) == 0
    assert rate.next_ms(3_600_050) == 3_600_100
    assert rate.room(3_600_100) == 1


def test_the_long_run_rate_is_kept_at_any_rhythm_of_asking() -> None:
    for step_ms in (1, 7, 130, 500, 999):
        rate, went = CallRate(calls_per_s=7.3, burst_calls=4), 0
        for now_ms in range(0, 60_000, step_ms):
            room = rate.room(now_ms)
            rate.take(now_ms, room)
            went += room
        assert went <= 7.3 * 60 + 4


def test_calls_go_to_the_first_trunk_until_its_lines_are_full() -> None:
    trunks = Trunks([TrunkLimits(name="a", lines=1, calls_per_s=100), TrunkLimits(name="b", lines=5, calls_per_s=100)])
    first = trunks.pick(0)
    assert first is not None
    assert first.limits.name == "a"
    first.take(0)
    second = trunks.pick(10)
    assert second is not None
    assert second.limits.name == "b"
    first.release()
    again = trunks.pick(20)
    assert again is first


def test_a_refusing_trunk_rests_longer_each_time_and_is_tried_with_one_call() -> None:
    trunks = Trunks([TrunkLimits(name="a", lines=50, calls_per_s=100, burst_calls=50)])
    trunk = trunks["a"]
    now_ms, rests = 0, []
    for _ in range(9):
        assert trunk.room(now_ms) >= 1
        trunk.take(now_ms)
        assert trunk.room(now_ms) == 0 or now_ms == 0  # On trial it gets no second call.
        trunk.refused(now_ms)
        trunk.release()
        rests.append(trunk.next_ms(now_ms) - now_ms)
        now_ms = trunk.next_ms(now_ms)
    assert rests[:4] == [1_000, 2_000, 4_000, 8_000]
    assert max(rests) == BACKOFF_MAX_MS
    assert trunks.room(now_ms) == 1
    trunk.take(now_ms)
    trunk.accepted()
    assert trunks.room(now_ms + 1_000) == 49
