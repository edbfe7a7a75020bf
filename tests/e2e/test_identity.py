"""A client is in MEM commands who it is in Redis: real sidecars in front of real Redis servers with users."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import redis

from tests.e2e.users import LIMIT_S, MEMORY_RIGHTS, Place, append, noperm, stored
from tests.support.children import StartRedis, StartSidecar

SECRETS = ("secret-ann", "secret-bob", "secret-default", "secret-own", "secret-wrong")


@pytest.fixture
def place(start_redis: StartRedis, sidecar_process: StartSidecar) -> Iterator[Place]:
    place = Place(start_redis(), sidecar_process)
    yield place
    place.close()


class TestRefusals:
    def test_not_logged_in(self, place: Place) -> None:
        """Where Redis wants a password, whoever has not given it gets Redis's own NOAUTH, for every MEM command."""
        place.acl("SETUSER", "default", ">secret-default")
        client, direct = place.client(), place.direct()
        noauth = direct.ask("GET app:k")
        assert str(noauth).startswith("-NOAUTH ")
        lines = [append(), "MEMREAD m", "MEMINFO m", "MEMCLEAR m", "MEMFLUSH m FORCE", "MEMCOUNT hi", "MEMHEALTH"]
        assert [client.ask(line) for line in lines] == [noauth] * len(lines)
        assert client.ask("AUTH secret-wrong", append()) == noauth
        assert client.ask("HELLO 3 AUTH default secret-wrong", append()) == noauth
        assert stored(client.ask("AUTH secret-default", append()))
        assert stored(client.ask("HELLO 3 AUTH ann secret-ann", append()))
        assert client.ask("RESET", append()) == noauth
        assert place.messages("m") == 2

    def test_no_rights_on_memories(self, place: Place) -> None:
        """A user without `mem:*` gets Redis's own NOPERM for whatever touches a memory, and nothing happens."""
        assert stored(place.client().ask(append()))
        client, direct = place.client("AUTH bob secret-bob"), place.direct("AUTH bob secret-bob")
        refusal = direct.ask("XLEN mem:log:{00}:default:default:m")
        assert noperm(refusal)
        for line in (append(), "MEMREAD m", "MEMINFO m", "MEMCLEAR m", "MEMFLUSH m", "MEMFLUSH m FORCE WAIT 5000"):
            assert client.ask(line) == refusal, line
        assert client.ask("SET app:k v", "GET app:k") == "v"
        assert client.ask("MEMCOUNT hello") == [1]
        assert isinstance(client.ask("MEMHEALTH"), list)
        assert place.messages("m") == 1

    @pytest.mark.parametrize(
        ("rule", "outcome"),
        [
            ("+acl|whoami", None),
            ("-acl", None),
            ("-hello", None),
            ("-ping", None),
            ("-client", None),
            ("-select", None),
            ("-auth", None),
            ("-@dangerous", None),
            ("-echo", "'memappend' command"),
            ("-evalsha", "'evalsha' command"),
            ("-eval", "'eval' command"),
            ("-xadd", "NOPERM"),
            ("-@all", "'memappend' command"),
        ],
    )
    def test_single_rights(self, place: Place, rule: str, outcome: str | None) -> None:
        """What the sidecar would like to ask is no condition; what a memory needs is, and NOPERM names it."""
        place.acl("SETUSER", "ann", rule)
        reply = place.client("AUTH ann secret-ann").ask(append())
        assert stored(reply) if outcome is None else (noperm(reply) and outcome in str(reply)), reply
        again = place.client("HELLO 3 AUTH ann secret-ann").ask(append())
        assert stored(again) is (outcome is None)
        place.acl("SETUSER", "ann", "+@all")
        assert place.messages("m") == (2 if outcome is None else 0)

    def test_rights_are_those_of_the_moment(self, place: Place) -> None:
        """A right that is given or taken counts for the next command, on connections that stand."""
        client = place.client("AUTH ann secret-ann")
        assert stored(client.ask(append()))
        place.acl("SETUSER", "ann", "resetkeys", "~app:*")
        assert noperm(client.ask(append()))
        place.acl("SETUSER", "ann", "~mem:*")
        assert stored(client.ask(append()))


class TestSwitching:
    def test_on_one_connection(self, place: Place) -> None:
        """Each MEM command is its user's of that moment, one by one and in one pipeline."""
        place.acl("SETUSER", "default", "resetkeys", "~app:*")
        client = place.client()
        steps = [
            ("MEMREAD m", False),
            ("AUTH ann secret-ann", True),
            ("AUTH bob secret-bob", False),
            ("AUTH bob secret-wrong", False),
            ("HELLO 3 AUTH ann secret-ann", True),
            ("HELLO 2", True),
            ("AUTH ann secret-wrong", True),
            ("AUTH bob secret-wrong", True),
            ("RESET now", True),
            ("RESET", False),
            ("AUTH ann secret-ann", True),
            ("HELLO 3 AUTH bob secret-bob SETNAME n", False),
        ]
        for line, allowed in steps:
            assert stored(client.ask(line, append("one"))) is allowed, line
        pipeline = [line for step, _ in steps for line in (step, append("two"))]
        client.ask("RESET")
        client.send(*pipeline)
        replies = [client.reply() for _ in pipeline]
        assert [stored(reply) for reply in replies[1::2]] == [allowed for _, allowed in steps]
        assert place.messages("one") == place.messages("two") == sum(allowed for _, allowed in steps)

    @pytest.mark.parametrize("ending", ["NO", "SETNAME"])
    def test_hello_with_a_syntax_error(self, place: Place, ending: str) -> None:
        """Redis before 7.2 logs in before it finds the rest of HELLO wrong; MEM commands follow what Redis says."""
        line = f"HELLO 3 AUTH bob secret-bob {ending}"
        place.acl("SETUSER", "bob", "-acl")
        direct = place.direct("AUTH ann secret-ann")
        direct.ask(line)
        switched = noperm(direct.ask("GET mem:x"))
        client = place.client("AUTH ann secret-ann", append())
        assert str(client.ask(line)).startswith("-ERR ")
        assert noperm(client.ask("GET mem:x")) is switched
        assert str(client.ask(append())).startswith("-NOAUTH memsidecar "), "Redis does not tell who it is"
        for name in ("ann", "bob"):
            place.acl("SETUSER", name, "+acl|whoami")
        client = place.client("AUTH ann secret-ann", append())
        client.ask(line)
        assert noperm(client.ask(append())) is switched

    @pytest.mark.parametrize("lines", [["HELLO 9 AUTH ann secret-ann"], ["MULTI", "AUTH ann secret-ann", "DISCARD"]])
    def test_a_login_that_does_nothing(self, place: Place, lines: list[str]) -> None:
        """Good credentials in a login that Redis did not carry out make nobody of a client that it does not name."""
        place.acl("SETUSER", "bob", "-acl")
        client = place.client("AUTH bob secret-bob")
        client.ask(*lines)
        assert noperm(client.ask("GET mem:x"))
        assert str(client.ask(append())).startswith("-NOAUTH memsidecar ")
        assert stored(client.ask("RESET", "AUTH ann secret-ann", append()))

    def test_in_a_transaction(self, place: Place) -> None:
        """A login counts when EXEC has run it, and not when DISCARD has dropped it."""
        place.acl("SETUSER", "bob", "+acl|whoami")
        place.acl("SETUSER", "ann", "+acl|whoami")
        client = place.client("AUTH bob secret-bob")
        assert noperm(client.ask(append()))
        assert noperm(client.ask("MULTI", "AUTH ann secret-ann", "DISCARD", append()))
        assert stored(client.ask("MULTI", "AUTH ann secret-ann", "EXEC", append()))
        assert noperm(client.ask("MULTI", "AUTH bob secret-bob", "EXEC", append()))
        assert place.messages("m") == 1

    def test_in_silence(self, place: Place) -> None:
        """Under CLIENT REPLY SKIP and OFF, MEM commands are their user's too, and Redis's word counts afterwards."""
        place.acl("SETUSER", "default", "resetkeys", "~app:*")
        for name in ("ann", "bob"):
            place.acl("SETUSER", name, "+acl|whoami")
        client = place.client("AUTH bob secret-bob")
        client.send("CLIENT REPLY SKIP", "AUTH ann secret-ann", append())
        assert stored(client.reply())
        client.send("CLIENT REPLY OFF", "AUTH bob secret-bob", append(), "AUTH ann secret-wrong", append())
        client.send("AUTH ann secret-ann", append(), "MULTI", "AUTH bob secret-bob", "DISCARD", "CLIENT REPLY ON")
        assert client.reply() == "OK"
        assert stored(client.ask(append()))
        assert place.messages("m") == 3

    def test_a_password_too_long_to_be_seen(self, place: Place) -> None:
        """Whoever logs in with words too long for us is refused; the user before does not answer for it."""
        long = "x" * 20_000
        place.user("cat", "+@all", "-acl", "~app:*", f">{long}")
        client = place.client("AUTH ann secret-ann", append())
        assert client.ask(f"AUTH cat {long}") == "OK"
        assert noperm(client.ask("GET mem:x"))
        assert str(client.ask(append())).startswith("-NOAUTH memsidecar has seen no password")
        assert stored(client.ask("RESET", "AUTH ann secret-ann", append()))

    def test_two_users_at_once(self, place: Place) -> None:
        """Users who write to one memory at the same time have each their own rights; no batch mixes them."""
        writers = [place.client(f"AUTH {name} secret-{name}") for name in ("ann", "bob") * 4]
        rounds = 200
        outcomes: list[list[bool]] = [[] for _ in writers]

        def write(number: int) -> None:
            writers[number].send(*[append()] * rounds)
            outcomes[number] = [stored(writers[number].reply()) for _ in range(rounds)]

        threads = [threading.Thread(target=write, args=(number,)) for number in range(len(writers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == [[True] * rounds, [False] * rounds] * 4
        assert place.messages("m") == 4 * rounds


class TestEndOfAccess:
    @pytest.mark.parametrize("rule", ["-acl", "+acl|whoami"])
    def test_changed_password(self, place: Place, rule: str) -> None:
        """Connections that stand go on as on Redis; the old password gets nothing any more, the new one does."""
        place.acl("SETUSER", "ann", rule)
        place.acl("SETUSER", "default", "resetkeys", "~app:*")
        old = place.client("AUTH ann secret-ann", append())
        place.acl("SETUSER", "ann", "resetpass", ">secret-new")
        assert stored(old.ask(append()))
        late = place.client()
        assert str(late.ask("AUTH ann secret-ann")).startswith("-WRONGPASS ")
        assert not stored(late.ask(append()))
        assert stored(late.ask("AUTH ann secret-new", append()))

    def test_no_way_to_an_old_anonymous_connection(self, place: Place) -> None:
        """A client whose login is good no more does not become the default user, whose password it does not know."""
        anonymous = place.client(append("theirs"))
        client = place.client("AUTH ann secret-ann", append())
        place.acl("SETUSER", "default", ">secret-default")
        place.acl("SETUSER", "ann", "resetpass", ">secret-new", "resetkeys", "~app:*")
        assert str(client.ask("AUTH ann secret-ann")).startswith("-WRONGPASS ")
        assert str(client.ask("MEMREAD theirs")).startswith("-NOAUTH ")
        assert noperm(client.ask("AUTH ann secret-new", "MEMREAD theirs"))
        assert noperm(client.ask("RESET now", "MEMREAD theirs"))
        assert stored(anonymous.ask("MEMREAD theirs"))

    def test_deluser(self, place: Place) -> None:
        """Deleting a user ends its connections, ours included, and what was its password is good for nothing."""
        client = place.client("AUTH ann secret-ann", append())
        place.acl("DELUSER", "ann")
        assert client.ended()

        def gone() -> bool:
            return all(each["user"] != "ann" for each in place.admin.client_list())

        assert place.server.becomes(gone, limit_s=LIMIT_S), "a connection of the deleted user is left"
        other = place.client()
        assert str(other.ask("AUTH ann secret-ann")).startswith("-WRONGPASS ")
        place.user("ann", *MEMORY_RIGHTS)
        assert stored(other.ask("AUTH ann secret-ann", append()))

    def test_switched_off(self, place: Place) -> None:
        """A user who is switched off keeps the connections it has and gets no new one, as on Redis."""
        client = place.client("AUTH ann secret-ann", append())
        place.acl("SETUSER", "ann", "off")
        assert stored(client.ask(append()))
        other = place.client()
        assert str(other.ask("AUTH ann secret-ann")).startswith("-WRONGPASS ")
        place.admin.execute_command("CLIENT", "KILL", "USER", "ann")  # type: ignore[no-untyped-call]
        assert client.ended()
        place.acl("SETUSER", "ann", "on")
        assert stored(other.ask("AUTH ann secret-ann", append())), "the refusal of our own connection was remembered"

    def test_redis_starts_anew_and_gets_its_users_late(self, place: Place) -> None:
        """Users that are created after a restart are served as soon as they can log in."""
        place.client("AUTH ann secret-ann", append())
        place.server.stop()
        place.server.start()
        place.admin.ping()

        def tried() -> bool:
            statistics = place.admin.info("commandstats").get("cmdstat_auth", {"calls": 0})
            return int(statistics["calls"]) >= 1

        assert place.server.becomes(tried, limit_s=LIMIT_S), "our own connection has not been tried"
        place.user("ann", *MEMORY_RIGHTS)
        assert stored(place.client("AUTH ann secret-ann").ask(append()))


class TestDefaultUser:
    def test_with_a_password(self, place: Place) -> None:
        """The default user with a password logs in by either form of AUTH, or by HELLO."""
        place.acl("SETUSER", "default", ">secret-default")
        for line in ("AUTH secret-default", "AUTH default secret-default", "HELLO 3 AUTH default secret-default"):
            assert stored(place.client(line).ask(append())), line

    def test_without_one(self, place: Place) -> None:
        """A client that gives a password that nobody wants stays the default user."""
        client = place.client()
        assert stored(client.ask("AUTH default secret-default", append()))
        assert str(client.ask("AUTH secret-default")).startswith("-ERR ")
        assert stored(client.ask(append()))
        names = [each["user"] for each in place.admin.client_list() if each["name"] == "memsidecar"]
        assert names.count("default") == 2, "one for the sidecar itself, one for all its anonymous clients"

    def test_switched_off(self, place: Place) -> None:
        """Without a default user everybody has to log in."""
        place.acl("SETUSER", "default", "off")
        place.start("ann:secret-ann@")
        client = place.client()
        assert str(client.ask(append())).startswith("-NOAUTH ")
        assert stored(client.ask("AUTH ann secret-ann", append()))


class TestOwnUser:
    def test_clients_do_not_get_it(self, place: Place) -> None:
        """The user of the sidecar's URL is for its own work; a client without a login is what Redis makes of it."""
        place.user("own", "+@all", "~*")
        place.acl("SETUSER", "default", "resetkeys", "~app:*")
        place.start("own:secret-own@")
        client = place.client()
        assert noperm(client.ask(append()))
        assert noperm(client.ask("MEMFLUSH m FORCE"))
        assert client.ask("SET app:k v") == "OK"
        assert stored(client.ask("AUTH ann secret-ann", append()))

    @pytest.mark.parametrize("rights", ["-@write", "-xdel"])
    def test_clients_who_only_read_start_no_flush_with_it(self, place: Place, rights: str) -> None:
        """MEMFLUSH removes messages, so who may not is refused, due or not; DRYRUN, MEMINFO and MEMREAD only look."""
        place.user("own", "+@all", "~*")
        place.user("eve", *MEMORY_RIGHTS, rights)
        place.start("own:secret-own@")
        assert stored(place.client("AUTH ann secret-ann").ask(*[append()] * 4))
        reader = place.client("AUTH eve secret-eve")
        for order in ("MEMFLUSH m", "MEMFLUSH m FORCE", "MEMFLUSH m FORCE WAIT 5000", "MEMFLUSH m TARGET 0"):
            assert noperm(reader.ask(order)), order
        assert place.messages("m") == 4
        for look in ("MEMFLUSH m FORCE DRYRUN", "MEMINFO m", "MEMREAD m"):
            assert stored(reader.ask(look)), look
        assert stored(place.client("AUTH ann secret-ann").ask("MEMFLUSH m FORCE WAIT 5000"))
        assert place.messages("m") < 4

    def test_it_may_be_less_than_its_clients(self, place: Place) -> None:
        """A sidecar that may do little itself serves clients who may do more."""
        place.user("own", "-@all", "+ping", "+auth", "+hello", "+client", "+cluster", "+info", "+echo", "+@connection")
        place.start("own:secret-own@")
        assert stored(place.client("AUTH ann secret-ann").ask(append()))
        assert stored(place.client().ask(append()))

    def test_the_database_of_the_url(self, place: Place) -> None:
        """Memories lie in the URL's database for every user, whatever a client selects for itself."""
        place.start(path="/3")
        for first in (["SELECT 5"], ["AUTH ann secret-ann", "SELECT 5"]):
            assert stored(place.client(*first).ask(append()))
        assert (place.messages("m", 3), place.messages("m", 5), place.messages("m", 0)) == (2, 0, 0)

    def test_who_may_not_select_it(self, place: Place) -> None:
        """A user who may not select that database is told so at once, and nothing is written elsewhere."""
        place.acl("SETUSER", "ann", "-select")
        place.start(path="/3")
        client = place.client("AUTH ann secret-ann")
        reply = client.ask(append())
        assert noperm(reply)
        assert "'select' command" in str(reply)
        place.acl("SETUSER", "ann", "+select")
        assert (place.messages("m", 3), place.messages("m", 0)) == (0, 0)


class TestClients:
    def test_redis_py(self, place: Place) -> None:
        """A library that logs in by itself, with a pool and both protocols, is its user."""
        for protocol in (2, 3):
            for user, allowed in (("ann", True), ("bob", False)):
                url = f"redis://{user}:secret-{user}@127.0.0.1:{place.sidecar.port}?protocol={protocol}"
                with redis.Redis.from_url(url) as client:
                    for _ in range(2):
                        try:
                            client.execute_command("MEMAPPEND", "m", "user", "hello")
                            done = True
                        except redis.exceptions.NoPermissionError:
                            done = False
                        assert done is allowed, (protocol, user)
        assert place.messages("m") == 4

    def test_who_does_not_wait(self, place: Place) -> None:
        """A client that logs in, appends and leaves has appended."""
        client = place.client("PING")
        client.send("AUTH ann secret-ann", append())
        client.finish()
        assert client.reply() == "OK"
        assert stored(client.reply())
        assert client.ended()
        assert place.messages("m") == 1

    def test_who_vanishes(self, place: Place) -> None:
        """Clients that disappear at any moment of their login break nothing for the next one."""
        data = b"AUTH ann secret-ann\r\nMEMREAD m\r\n"
        address = ("127.0.0.1", place.sidecar.port)
        for number in range(100):
            with socket.create_connection(address) as client:
                client.sendall(data[: len(data) - number % 36])
                if number % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
        assert stored(place.client("AUTH ann secret-ann").ask(append()))
        assert not place.sidecar.has_printed("Traceback")
        assert not place.sidecar.has_printed("failed")


def test_no_secret_gets_out(place: Place) -> None:
    """Passwords stand in no log line, metric, answer of the HTTP port, error, or anything that Redis shows of us."""
    place.user("own", "+@all", "~*")
    sidecar = place.start("own:secret-own@")
    replies = []
    for line in (
        "AUTH ann secret-ann",
        "AUTH ann secret-wrong",
        "AUTH secret-default",
        "HELLO 3 AUTH bob secret-bob NO",
        "HELLO 2 AUTH bob secret-bob",
        "AUTH too secret-ann many",
    ):
        client = place.client()
        replies += [client.ask(line), client.ask(append()), client.ask("MEMHEALTH"), client.ask("CLIENT LIST")]
    place.acl("SETUSER", "ann", "off")
    place.acl("SETUSER", "own", "resetpass")
    place.admin.execute_command("CLIENT", "KILL", "TYPE", "normal")  # type: ignore[no-untyped-call]
    assert sidecar.becomes(lambda: sidecar.has_printed("WRONGPASS"), limit_s=LIMIT_S), (
        "it does not say that it is refused"
    )
    for path in ("metrics", "readyz", "healthz"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{sidecar.http_port}/{path}", timeout=LIMIT_S) as answer:
                replies.append(answer.read().decode())
        except urllib.error.HTTPError as problem:
            replies.append(problem.read().decode())
    sidecar.stop()
    everything = "\n".join([*map(str, replies), *sidecar.tail()])
    assert "sidecar ready" in everything
    assert "memsidecar_" in everything
    assert not [secret for secret in SECRETS if secret in everything]
