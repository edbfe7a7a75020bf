"""A language model behind any endpoint that speaks OpenAI's chat completions, as a summariser.

The conversation is folded in, chunk by chunk in the order in which it was said: each call gets the summary so far and
the next chunk, and returns the new summary. Not map and reduce, whose calls could run side by side: in a conversation
later words overrule earlier ones, which only a reader in order sees; and the state after each call is one text and a
number, with which another process can go on. The price is time, one call after the other.

What the library raises is translated here, once. The library's own tries are off: the engines wait and try again,
with a sign of life and a limit of their own. What is translated holds no text of a request, an answer or a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from sidecar.errors import SummariserRefused, SummariserUnavailable, SummaryProblem, SummaryRejected
from sidecar.flush.summarisers import prompt
from sidecar.flush.summarisers.chunks import Chunk, chunks
from sidecar.flush.summarisers.retry_after import seconds_until_retry
from sidecar.flush.summarisers.verdict import accept
from sidecar.memory.ports import Partial, PartialWork
from sidecar.memory.stored_message import StoredMessage

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

TRY_AGAIN = frozenset({408, 409, 425, 429})
"""Statuses below 500 that say "not now". 500 and above are tried again too."""

LimitParameter = Literal["max_tokens", "max_completion_tokens"]

NO_KEY = "none"
"""Sent where no key is configured, because the library insists on one: servers of one's own ignore it."""


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    """What is read of an answer; endpoints differ in the rest, so nothing else is looked at."""

    choices: list[_Choice]
    usage: _Usage | None = None


class OpenAiSummariser:
    """The ports `Summariser` and `ResumableSummariser`.

    Args:
        model: name of the model at the endpoint.
        api_key: None where the endpoint asks for none.
        base_url: of the endpoint, with `/v1`; None for the library's.
        template: of the instructions, see `prompt`.
        max_input_tokens: most tokens of conversation in one call; instructions and the summary so far come on top.
        timeout_s: longest wait for one whole answer.
        temperature: None leaves it to the endpoint.
        concurrency: calls at a time, of all flushes of this process.
        limit_parameter: how the endpoint calls the limit of the answer.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None,
        base_url: str | None,
        template: str,
        max_input_tokens: int,
        timeout_s: float,
        temperature: float | None,
        concurrency: int,
        limit_parameter: LimitParameter,
    ) -> None:
        self._model = model
        self._api_key = api_key
        self._base_url = base_url
        self._template = template
        self._max_input_tokens = max_input_tokens
        self._timeout_s = timeout_s
        self._more = {} if temperature is None else {"temperature": temperature}
        self._calls = asyncio.Semaphore(concurrency)
        self._limit_parameter = limit_parameter

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        """Return a summary of at most `budget` tokens; see `resume`."""
        return await self.resume(earlier, messages, budget, count, _Forgetful())

    async def resume(
        self,
        earlier: str,
        messages: Sequence[StoredMessage],
        budget: int,
        count: Callable[[str], int],
        work: PartialWork,
    ) -> str:
        """Return a summary, from where an earlier try stopped. One call for each chunk.

        Raises:
            SummariserUnavailable: no answer in time, or not now.
            SummariserRefused: the endpoint will not take the request.
            SummaryRejected: the answer to one of the calls is no summary within the budget.
        """
        text, through = work.partial if work.partial.messages else Partial(earlier)
        left = await asyncio.to_thread(chunks, messages[through:], self._max_input_tokens, count)
        if not left:
            return text
        # A connection for each summary: nothing to close at a reload. On a thread, because the first import takes a
        # second and the certificates some milliseconds.
        client = await asyncio.to_thread(self._connect)
        async with client:
            for chunk in left:
                text = await self._fold(client, text, chunk, budget, work)
                accept(text, True, budget, count)
                if chunk.messages:
                    await work.keep(Partial(text, through + chunk.messages))
        return text

    def _connect(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI  # late: an optional extra, and slow to load

        return AsyncOpenAI(
            api_key=self._api_key or NO_KEY, base_url=self._base_url, timeout=self._timeout_s, max_retries=0
        )

    async def _fold(self, client: AsyncOpenAI, earlier: str, chunk: Chunk, budget: int, work: PartialWork) -> str:
        line = prompt.boundary(earlier, chunk.text, self._template)
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": prompt.instructions(self._template, budget, line)},
                {"role": "user", "content": prompt.data(earlier, chunk.text, line)},
            ],
            self._limit_parameter: budget,
            **self._more,
        }
        async with self._calls:
            body = await self._answer(client, request)
        try:
            completion = msgspec.json.decode(body, type=_Completion)
        except msgspec.MsgspecError:
            raise SummaryRejected("error") from None
        if completion.usage is not None:
            work.spent(completion.usage.prompt_tokens, completion.usage.completion_tokens)
        return _text(completion)

    async def _answer(self, client: AsyncOpenAI, request: dict[str, Any]) -> bytes:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        # Of the causes nothing is kept: they may quote the request.
        try:
            async with asyncio.timeout(self._timeout_s):  # the library's own starts anew with every byte
                raw = await client.chat.completions.with_raw_response.create(**request)
                return bytes(raw.content)
        except TimeoutError:
            raise SummariserUnavailable(None, f"no answer within {self._timeout_s:g} s") from None
        except APIConnectionError:
            raise SummariserUnavailable(None, "the connection failed or broke") from None
        except APIStatusError as status:
            raise _translated(status) from None
        except OpenAIError as other:
            raise SummariserUnavailable(None, type(other).__name__) from None


class _Forgetful:
    """The port `PartialWork` for who does not want to go on later."""

    partial = Partial()

    async def keep(self, partial: Partial) -> None: ...

    def spent(self, tokens_in: int, tokens_out: int) -> None: ...


def _translated(status: APIStatusError) -> SummaryProblem:
    code, why = status.status_code, f"HTTP {status.status_code}"
    if status.code == "insufficient_quota":  # a 429 that no waiting mends
        return SummariserRefused(f"{why}, its quota is used up")
    if code in TRY_AGAIN or code >= 500:
        return SummariserUnavailable(seconds_until_retry(status.response.headers.get("retry-after")), why)
    return SummariserRefused(why)


def _text(completion: _Completion) -> str:
    """Return the text of an answer that came to its end by itself."""
    if not completion.choices:
        raise SummaryRejected("empty")
    choice = completion.choices[0]
    if choice.finish_reason == "length":
        raise SummaryRejected("truncated")
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        raise SummaryRejected("refusal")
    return (choice.message.content or "").strip()
