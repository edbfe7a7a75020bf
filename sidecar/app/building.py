"""Objects that are made of settings alone, for whichever process needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import redis.asyncio

from sidecar.config.settings import Settings
from sidecar.deputy.charge import COMMAND, Charge, environment
from sidecar.errors import ConfigurationError
from sidecar.flush.deputised import DeputisedLabour
from sidecar.flush.deputy import Deputy
from sidecar.flush.steps import FlushSteps
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.traced_steps import TracedSteps
from sidecar.flush.undo import Undo
from sidecar.logs import Level, level_in_force
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition
from sidecar.memory.keys import KeySpace
from sidecar.memory.ports import TextCounter
from sidecar.memory.tracing import Tracer
from sidecar.metrics import Metrics
from sidecar.net.client_tls import ClientTls
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.redis_client import redis_client
from sidecar.resp.watched import Credentials
from sidecar.store.flush_copies import FlushCopies
from sidecar.store.flush_store import FlushStore
from sidecar.store.undo_store import UndoStore
from sidecar.tokens.counter import load_counter
from sidecar.tokens.problems import BrokenVocabulary, NativeUnavailable

FLUSH_REPLY_TIMEOUT_S = 20.0
"""A step of a flush is one script or one page, at most a tenth of a second of Redis's time; a Redis that says nothing
for this long hangs."""


def make_dialer(settings: Settings) -> Dialer:
    """Return the way to Redis."""
    password = settings.sentinel_password
    return Dialer(
        RedisEndpoint.parse(settings.redis_url),
        tls=settings.redis_tls(),
        sentinel_username=settings.sentinel_username,
        sentinel_password=password.get_secret_value() if password else None,
    )


def make_client_tls(settings: Settings) -> ClientTls | None:
    """Return TLS for clients, None where they speak plain.

    Raises:
        ConfigurationError: the files cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        return ClientTls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    except ValueError as problem:
        raise ConfigurationError([f"tls_cert: {problem}"]) from problem


def own_credentials(endpoint: RedisEndpoint) -> Credentials | None:
    """Return what our own connections log in with."""
    if endpoint.password is None:
        return None
    return Credentials((endpoint.username or "default").encode(), endpoint.password.encode())


def greeting(endpoint: RedisEndpoint) -> list[tuple[str, ...]]:
    """Return what a new connection of our own says first."""
    if endpoint.password is None:
        return []
    return [("AUTH", *([endpoint.username] if endpoint.username else []), endpoint.password)]


def make_redis_client(settings: Settings, dialer: Dialer) -> redis.asyncio.Redis:
    """Return a client for what may take its time: flushes, sweeps, subscriptions."""
    endpoint = dialer.endpoint
    return redis_client(
        dialer,
        username=endpoint.username,
        password=endpoint.password,
        database=endpoint.database,
        client_name="memsidecar-flush",
        reply_timeout_s=FLUSH_REPLY_TIMEOUT_S,
    )


def make_deputy(settings: Settings) -> Deputy:
    """Return what does the work of large flushes; its process is started when there is some."""
    return Deputy(COMMAND, environment=environment(), charge=lambda: charge_of(settings, level_in_force()))


def charge_of(settings: Settings, log_level: Level) -> Charge:
    """Return what a deputy is told: the settings, and from which level on it logs."""
    secret = settings.sentinel_password
    files = (settings.redis_tls_ca, settings.redis_tls_cert, settings.redis_tls_key)
    ca, cert, key = (None if file is None else str(file) for file in files)
    return Charge(
        redis_url=settings.redis_url,
        key_prefix=settings.key_prefix,
        project=settings.project,
        token_engine=settings.token_engine,
        log_level=log_level,
        log_format=settings.log_format,
        sentinel_username=settings.sentinel_username,
        sentinel_password=None if secret is None else secret.get_secret_value(),
        redis_tls_ca=ca,
        redis_tls_cert=cert,
        redis_tls_key=key,
        redis_tls_server_name=settings.redis_tls_server_name,
    )


def make_flush_steps(
    settings: Settings,
    catalogue: Catalogue,
    client: redis.asyncio.Redis,
    metrics: Metrics,
    tracer: Tracer,
    deputy: Deputy | None = None,
) -> FlushSteps:
    """Return the steps of flushes, traced; with a deputy, which the caller closes, large ones are left to that."""
    store = FlushStore(client, KeySpace(settings.key_prefix, settings.project))
    deputise = None if deputy is None else partial(DeputisedLabour, deputy=deputy, store=store, metrics=metrics)
    steps = TracedSteps(
        store=store,
        definitions=catalogue,
        counter=partial(load_counter, engine=settings.token_engine),
        summariser=ExtractiveSummariser(),
        summarisers=catalogue.summarisers,
        metrics=metrics,
        deputise=deputise,
    )
    steps.tracer = tracer
    return steps


def ready_counter(settings: Settings, definitions: Iterable[Definition]) -> Callable[[str], TextCounter]:
    """Return what gives the counter of an encoding, with the vocabularies of the definitions loaded: that takes a part
    of a second, which nobody must pay later, on the event loop.

    Raises:
        ConfigurationError: the engine that the settings demand cannot be used here, or a vocabulary's file is damaged.
    """
    counter = partial(load_counter, engine=settings.token_engine)
    for definition in definitions:
        try:
            counter(definition.encoding)
        except (NativeUnavailable, BrokenVocabulary) as exc:
            raise ConfigurationError([str(exc)]) from exc
    return counter


def make_undo(settings: Settings, client: redis.asyncio.Redis) -> Undo:
    """Return what undoes flushes."""
    space = KeySpace(settings.key_prefix, settings.project)
    return Undo(store=UndoStore(client, space), copies=FlushCopies(client, space))


async def bind(setting: str, address: str, listen: Callable[..., object]) -> int:
    """Listen on the address of a setting and return the port.

    Raises:
        ConfigurationError: it cannot be bound.
    """
    host, _, port = address.rpartition(":")
    try:
        return await listen(host.strip("[]"), int(port))  # type: ignore[misc,no-any-return]
    except OSError as problem:
        raise cannot_listen(setting, address, problem) from problem


def cannot_listen(setting: str, address: str, problem: OSError) -> ConfigurationError:
    """Return the error of an address that cannot be bound."""
    return ConfigurationError([f"{setting}: cannot listen on {address}: {problem.strerror or problem}"])
