"""Tracebacks show where, and never what: each exception here has a text that must not be there."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from sidecar.logs.tracebacks import MOST_EXCEPTIONS, MOST_FRAMES, render_exception, told_type, traceback_of

SECRET = "swordfish"


def caught(act: Callable[[], object]) -> BaseException:
    """Return what is raised."""
    try:
        act()
    except BaseException as problem:
        return problem
    raise AssertionError("nothing was raised")


class Model(BaseModel):
    number: int


def a_value() -> None:
    raise ValueError(SECRET)


def a_cause() -> None:
    try:
        a_value()
    except ValueError as problem:
        raise RuntimeError(SECRET) from problem


def a_context() -> None:
    try:
        a_value()
    except ValueError:
        raise KeyError(SECRET)  # noqa: B904 - a context is what it is about


def a_group() -> None:
    problems = [caught(act) for act in (a_value, a_cause)]
    raise BaseExceptionGroup(SECRET, problems)


def a_note() -> None:
    problem = ValueError("x")
    problem.add_note(SECRET)
    raise problem


def a_model() -> None:
    Model.model_validate({"number": SECRET})


def a_name() -> None:
    compile(f"{SECRET} {SECRET}", SECRET, "exec")


def a_template() -> None:
    exec(compile(f"raise ValueError('{SECRET}')", "<template>", "exec"))


def a_file() -> None:
    Path(f"/{SECRET}").read_text()


def an_address() -> None:
    raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {SECRET}")


@pytest.mark.parametrize(
    "act",
    [a_value, a_cause, a_context, a_group, a_note, a_model, a_name, a_template, a_file, an_address],
)
def test_no_text_of_an_exception(act: Callable[[], object]) -> None:
    """Whatever the exception, and wherever in it a text is, the traceback has none of it; and it says where."""
    text = traceback_of(caught(act))
    assert SECRET not in text
    assert text.startswith("Traceback (most recent call last):\n")
    assert f'File "{__file__}", line ' in text
    assert f"in {act.__name__}" in text


def test_the_last_line_is_the_type() -> None:
    """The type has its module, but for those of Python itself; an error of the system has the system's words."""
    assert traceback_of(caught(a_value)).splitlines()[-2:] == ["    raise ValueError(SECRET)", "ValueError"]
    assert told_type(caught(a_model)) == f"{ValidationError.__module__}.ValidationError"
    assert told_type(caught(a_file)) == "FileNotFoundError: No such file or directory"
    assert told_type(caught(an_address)) == "ConnectionRefusedError: Connection refused"
    assert told_type(OSError(SECRET)) == "OSError"


def test_numbers_that_are_not_the_systems() -> None:
    """Errors of TLS and of name resolution have numbers of their own, which are not read as the system's."""
    assert told_type(ssl.SSLError(1, SECRET)) == "ssl.SSLError"
    assert told_type(socket.gaierror(-2, SECRET)) == "socket.gaierror"


def test_what_led_to_it() -> None:
    """A cause and a context stand in front, each with the words that Python uses; one that was cut off does not."""
    text = traceback_of(caught(a_cause))
    before, _, after = text.partition("\n\nThe above exception was the direct cause of the following exception:\n\n")
    assert before.endswith("\nValueError")
    assert after.endswith("\nRuntimeError")
    assert "\n\nDuring handling of the above exception, another exception occurred:\n\n" in traceback_of(
        caught(a_context)
    )
    cut = RuntimeError()
    cut.__context__, cut.__suppress_context__ = caught(a_value), True
    assert traceback_of(cut) == "RuntimeError"


def test_groups() -> None:
    """Every member of a group is shown below it, with what led to it."""
    lines = traceback_of(caught(a_group)).splitlines()
    assert "ExceptionGroup" in lines[lines.index("  +---------------- 1 ----------------") - 1]
    assert lines.count("  | ValueError") == 1 + 1  # the second is the cause of the other member
    assert lines[-1] == "  | RuntimeError"


def test_a_circle_of_causes() -> None:
    """Exceptions that name each other as their cause are shown once each."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert traceback_of(one).splitlines()[0::4] == ["KeyError", "ValueError"]


def test_limits() -> None:
    """A recursion without end, and a group without end, are cut: what is next to the error is kept."""

    def deeper(depth: int) -> None:
        if not depth:
            a_value()
        deeper(depth - 1)

    text = traceback_of(caught(lambda: deeper(5 * MOST_FRAMES)))
    assert len(text.splitlines()) < 2 * MOST_FRAMES + 5
    assert "in a_value" in text
    group = ExceptionGroup("", [ValueError() for _ in range(10 * MOST_EXCEPTIONS)])
    assert traceback_of(group).count("ValueError") == MOST_EXCEPTIONS - 1


def test_the_processor() -> None:
    """It takes the exception itself, what `sys.exc_info` returns, or True for the one that is handled now."""
    problem = caught(a_value)
    same = traceback_of(problem)
    for told in (problem, (type(problem), problem, problem.__traceback__)):
        assert render_exception(None, "error", {"event": "x", "exc_info": told}) == {"event": "x", "exception": same}
    try:
        a_value()
    except ValueError:
        assert "in a_value" in render_exception(None, "error", {"event": "x", "exc_info": True})["exception"]
    for nothing in (None, False, (None, None, None)):
        assert render_exception(None, "error", {"event": "x", "exc_info": nothing}) == {"event": "x"}
