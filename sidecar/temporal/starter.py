"""`TemporalEngine`: starts the `MemoryFlush` workflow and waits for its outcome. The counterpart is `worker`.

It runs in the sidecar and on none of its request paths: the outbox holds every order durably, so a start that
fails here is tried again by the dispatcher. Temporal itself keeps a memory's flushes apart: one workflow id per
memory, and a start joins the run that has it.
"""

from __future__ import annotations

import os
import platform
import uuid
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, StartWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.converter import DataConverter, encode_search_attributes
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from sidecar.errors import EngineUnavailable
from sidecar.flush.names import workflow_id
from sidecar.memory.keys import KeySpace
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.temporal.connection import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TASK_QUEUE,
    FAIL_FAST,
    Security,
    bounded,
    connect,
    explain,
    unavailable,
)
from sidecar.temporal.messages import COMMIT, WORKFLOW, FlushRequest, FlushResult

CALL_SECONDS = 2.0
"""Limit of a start and of a health check. A start takes about 8 ms; a busy server gets 250 times that."""

PROJECT_ATTRIBUTE = SearchAttributeKey.for_keyword("MemsidecarProject")
DEFINITION_ATTRIBUTE = SearchAttributeKey.for_keyword("MemsidecarDefinition")
"""Search attributes, with which Temporal's UI lists the flushes of a project or a definition. Opt-in: one that the
namespace does not know fails every start."""


@dataclass(frozen=True, slots=True)
class TemporalHandle:
    """A run of the workflow. `started` is False when the order joined a run that was under way."""

    started: bool
    workflow_id: str
    run_id: str
    client: Client

    async def outcome(self) -> FlushOutcome:
        """Wait for the end of exactly this run.

        Raises:
            EngineUnavailable: Temporal cannot be asked (any more); the flush itself may go on.
        """
        run = self.client.get_workflow_handle(self.workflow_id, run_id=self.run_id, result_type=FlushResult)
        try:
            result: FlushResult = await run.result(follow_runs=False)
        except WorkflowFailureError as failure:
            reason = _reason(failure.cause)
            return FlushOutcome("failed", self.run_id, error=reason, certain=not may_be_made(failure.cause))
        except (RPCError, RuntimeError, OSError) as trouble:
            raise unavailable(f"the outcome of run {self.run_id}", trouble) from trouble
        return FlushOutcome(**asdict(result))


class TemporalEngine:
    """The port `FlushEngine` over Temporal. Connects at the first call, and again by itself after an outage."""

    name = "temporal"

    def __init__(
        self,
        *,
        address: str = DEFAULT_ADDRESS,
        namespace: str = DEFAULT_NAMESPACE,
        task_queue: str = DEFAULT_TASK_QUEUE,
        project: str = "default",
        security: Security | None = None,
        converter: DataConverter = DataConverter.default,
        search_attributes: bool = False,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: `host:port` of Temporal's frontend.
            namespace: where the runs live; it must exist.
            task_queue: the one that the workers poll.
            project: of the memories that are flushed; part of the workflow id.
            security: TLS and identity; None is plain TCP.
            converter: through which everything goes that Temporal keeps; see `codec`.
            search_attributes: set `PROJECT_ATTRIBUTE` and `DEFINITION_ATTRIBUTE`, which must be registered.
            call_seconds: limit of one call, connecting included.
        """
        self._address = address
        self._namespace = namespace
        self._task_queue = task_queue
        self._project = project
        self._space = KeySpace(project=project)
        self._security = security or Security()
        self._converter = converter
        self._search_attributes = search_attributes
        self._call_seconds = call_seconds
        self._identity = f"memsidecar-{os.getpid()}@{platform.node()}"
        self._client: Client | None = None
        self._closed = False

    async def start(self, order: FlushOrder) -> TemporalHandle:
        """Start a flush, or join the one that runs.

        Raises:
            EngineUnavailable: Temporal cannot be reached, did not answer in time, or refuses. In the second case
                the run may have begun after all; ordering it again then joins it.
        """
        what = f"the start of a flush at {self._address}"
        async with bounded(self._call_seconds, what):
            client = await self._connected()
            request = await self._request(client, order)
            # Not `Client.start_workflow`, which drops the one field that tells a start from a join. The server
            # decides it with the start itself, so it holds under any race, and a repetition of this very request
            # (by its request id) is answered as the first one was.
            try:
                answer = await client.workflow_service.start_workflow_execution(
                    request, retry=True, timeout=timedelta(seconds=self._call_seconds)
                )
            except RPCError as refused:
                if self._is_about_attributes(refused):
                    raise EngineUnavailable(f"{what}: {explain(refused)}; {self._how_to_register()}") from refused
                raise
        return TemporalHandle(answer.started, request.workflow_id, answer.run_id, client)

    def _is_about_attributes(self, refused: RPCError) -> bool:
        known = refused.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in str(refused).lower()
        return self._search_attributes and known

    def _how_to_register(self) -> str:
        names = " ".join(f"--name {key.name} --type Keyword" for key in (PROJECT_ATTRIBUTE, DEFINITION_ATTRIBUTE))
        return (
            "register them, or switch the setting temporal_search_attributes off: "
            f"temporal operator search-attribute create --namespace {self._namespace} {names}"
        )

    async def healthy(self) -> bool:
        """Tell whether Temporal answers and has the namespace, within the limit of a call."""
        try:
            async with bounded(self._call_seconds, "the health check"):
                client = await self._connected()
                await client.workflow_service.describe_namespace(
                    DescribeNamespaceRequest(namespace=self._namespace),
                    timeout=timedelta(seconds=self._call_seconds),
                )
        except EngineUnavailable:
            return False
        return True

    async def close(self) -> None:
        """Let go of the connection. Later calls raise `EngineUnavailable`; handles that are out keep working."""
        self._closed = True
        self._client = None

    async def _connected(self) -> Client:
        if self._closed:
            raise EngineUnavailable("the Temporal engine is closed")
        if self._client is None:
            self._client = await connect(
                address=self._address,
                namespace=self._namespace,
                security=self._security,
                converter=self._converter,
                retry=FAIL_FAST,
                lazy=True,
            )
        return self._client

    async def _request(self, client: Client, order: FlushOrder) -> StartWorkflowExecutionRequest:
        request = StartWorkflowExecutionRequest(
            namespace=self._namespace,
            workflow_id=workflow_id(self._space.keys(order.definition, order.instance).name),
            workflow_id_conflict_policy=_number(WorkflowIDConflictPolicy.USE_EXISTING),
            workflow_id_reuse_policy=_number(WorkflowIDReusePolicy.ALLOW_DUPLICATE),
            identity=self._identity,
            request_id=str(uuid.uuid4()),
        )
        request.workflow_type.name = WORKFLOW
        request.task_queue.name = self._task_queue
        reason = "forced by a client" if order.force else "over its threshold"
        shown = {
            "project": self._project,
            "definition": order.definition,
            "instance": order.instance,
            "reason": reason,
        }
        argument = FlushRequest(
            order.definition,
            order.instance,
            self._project,
            order.force,
            order.strategy,
            order.target_tokens,
            order.trace,
        )
        summary = f"flush {order.definition}:{order.instance}, {reason}"
        details = "\n".join(f"- {name}: `{value}`" for name, value in shown.items())
        payloads: list[Payload] = await client.data_converter.encode([argument, summary, details, *shown.values()])
        request.input.payloads.append(payloads[0])
        request.user_metadata.summary.CopyFrom(payloads[1])
        request.user_metadata.details.CopyFrom(payloads[2])
        for name, payload in zip(shown, payloads[3:], strict=True):
            request.memo.fields[name].CopyFrom(payload)
        if self._search_attributes:
            pairs = [
                SearchAttributePair(PROJECT_ATTRIBUTE, self._project),
                SearchAttributePair(DEFINITION_ATTRIBUTE, order.definition),
            ]
            encode_search_attributes(TypedSearchAttributes(pairs), request.search_attributes)
        return request


def _number(policy: WorkflowIDConflictPolicy | WorkflowIDReusePolicy) -> Any:
    """The number that the protocol has for it; its type there is private to the generated code."""
    return int(policy)


def may_be_made(cause: BaseException) -> bool:
    """Whether the commit may have been made, though the run has failed: nobody heard what came of it."""
    lost = ("Uncertain", "Unavailable", "Timeout")  # failure types of the workflow's, see `workflow.describe`
    return isinstance(cause, ApplicationError) and cause.type in lost and cause.message.startswith(COMMIT)


def _reason(cause: BaseException) -> str:
    """Why a run ended badly. Cancelled, terminated and timed out are words of Temporal's, not of our workflow."""
    if isinstance(cause, ApplicationError):
        return cause.message
    kind = type(cause).__name__.removesuffix("Error").lower()
    text = cause.message if isinstance(cause, FailureError) else str(cause)
    return f"the run was {kind}: {text}" if text else f"the run was {kind}"
