"""The connection to Redis breaks at each byte of a batch and of its reply: what was in it is stored exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from redis.asyncio import Redis

from sidecar.memory.results import AppendResult
from tests.flush.memories import LiveMemory
from tests.store.live import ENDLESS, LiveStore, memory
from tests.support.cutting_relay import Cut, CuttingRelay

WHERE = memory(ENDLESS, "cut")


class Batches:
    """Batches of two plain appends and one with an idempotency token, and what each append was told."""

    def __init__(self, live: LiveStore) -> None:
        self._live = live
        self.told: dict[str, AppendResult] = {}
        self.sent = 0

    async def send(self) -> None:
        """Send one batch and wait for its answers."""
        self.sent += 1
        names = [f"{self.sent:06}-{part}" for part in "abc"]  # all alike in length, so that the requests are, too
        # All in one turn: what comes while the first is under way leaves together.
        ahead = self._live.start(WHERE, [("user", f"{self.sent:06}-0", 3)])
        tokens = (None, f"token-{self.sent:06}", None)
        batch = [
            self._live.start(WHERE, [("user", name, 3)], idempotent=token)
            for name, token in zip(names, tokens, strict=True)
        ]
        for name, result in zip([f"{self.sent:06}-0", *names], await asyncio.gather(ahead, *batch), strict=True):
            assert isinstance(result, AppendResult)
            assert not result.duplicate, "the caller sent it once"
            self.told[name] = result

    async def assert_exactly_once(self, redis: Redis) -> None:
        """Each is there once, in order, under the id that was told; the totals are right."""
        found = LiveMemory(redis, ENDLESS, "cut")
        stored = await found.messages()
        assert [message.content for message in stored] == list(self.told)
        assert [message.id for message in stored] == [result.last_id for result in self.told.values()]
        await found.assert_totals()


def second(cut: Cut) -> Iterator[Cut | None]:
    """Leave the first request, which goes alone, as it is, and cut the batch that follows."""
    return iter((None, cut))


async def test_every_byte(redis_url: str, redis_client: Redis) -> None:
    """Cut before the request, after each byte of it, after it, and after each byte of its reply: each append once."""
    async with CuttingRelay(redis_url) as relay, LiveStore(relay.url) as live:
        batches = Batches(live)
        await batches.send()  # Redis knows the script from now on
        await batches.send()
        cuts = [Cut("request", passed) for passed in (*range(relay.request_bytes), None)]
        cuts += [Cut("reply", passed) for passed in (*range(relay.reply_bytes), None)]
        for cut in cuts:
            relay.plan = second(cut)
            await batches.send()
        assert relay.cuts == len(cuts) > 500
        await batches.assert_exactly_once(redis_client)
