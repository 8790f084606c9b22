import asyncio

from node.clock import LAST_MS, rfc3339, wait_within
from protocols import fields


def test_times_are_shown_in_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_795_000_000_250) == "2026-11-18T11:06:40.250Z"


def test_a_time_that_no_date_is_left_for_is_shown_as_the_last_one() -> None:
    assert (
        rfc3339(LAST_MS) == rfc3339(LAST_MS + 10**6) == rfc3339(fields.MAX_SAFE_INTEGER) == "9999-12-31T23:59:59.000Z"
    )


def test_waiting_ends_with_the_event_or_with_its_time() -> None:
    async def main() -> None:
        event = asyncio.Event()
        await wait_within(event, 0)
        assert not event.is_set()
        event.set()
        await wait_within(event, None)

    asyncio.run(main())
