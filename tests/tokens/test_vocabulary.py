"""Tests of `sidecar.tokens.vocabulary`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sidecar.tokens.problems import BrokenVocabulary, UnknownEncoding
from sidecar.tokens.vocabulary import (
    ENCODINGS,
    VOCABULARIES,
    VOCABULARY_DIRECTORY,
    build_encoding,
    load_encoding,
    vocabulary,
)
from tests.tokens.texts import run_python

NO_NETWORK = """
import socket

def refuse(*args, **kwargs):
    raise AssertionError("a connection was attempted")

class RefusingSocket(socket.socket):
    __init__ = refuse

socket.socket = RefusingSocket
socket.create_connection = socket.getaddrinfo = refuse
"""

# tiktoken looks into the directory for a file named by the SHA-1 of the address in its own source, and takes that
# file if its SHA-256 is the one it expects.
COMPARE = """
import hashlib, inspect, os, re, shutil, sys
from pathlib import Path

cache, shipped = map(Path, sys.argv[1:])
import tiktoken
from tiktoken_ext import openai_public
from sidecar.tokens.vocabulary import ENCODINGS, build_encoding, vocabulary

for name in ENCODINGS:
    source = inspect.getsource(openai_public.ENCODING_CONSTRUCTORS[name])
    (address,) = re.findall(rf'"(https://[^"]+/{name}[.]tiktoken)"', source)
    shutil.copy(shipped / f"{name}.tiktoken", cache / hashlib.sha1(address.encode()).hexdigest())
    theirs, ours = tiktoken.get_encoding(name), build_encoding(vocabulary(name))
    assert vocabulary(name).sha256 in source
    assert ours.name == theirs.name
    assert ours._pat_str == theirs._pat_str
    assert ours._special_tokens == theirs._special_tokens
    assert ours.n_vocab == theirs.n_vocab
    assert ours.token_byte_values() == theirs.token_byte_values()
    print(name)
"""

LOAD_AND_COUNT = """
import os, sys, threading

before = dict(os.environ)
from sidecar.tokens.counter import load_counter
from sidecar.tokens.vocabulary import ENCODINGS

for engine in ("tiktoken", "auto"):
    for name in ENCODINGS:
        found = []
        threads = [threading.Thread(target=lambda: found.append(load_counter(name, engine))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8 and len({id(counter) for counter in found}) == 1
        assert found[0].count("hello world") == 2
        print(engine, name)
assert dict(os.environ) == before
"""


def test_the_definitions_are_tiktokens_own(tmp_path: Path) -> None:
    """Pattern, special tokens, ranks and SHA-256 of each vocabulary are those of tiktoken's own definition."""
    environment = {"TIKTOKEN_CACHE_DIR": str(tmp_path)}
    printed = run_python(NO_NETWORK + COMPARE, str(tmp_path), str(VOCABULARY_DIRECTORY), environment=environment)
    assert tuple(printed.split()) == ENCODINGS


def test_loading_and_counting_are_offline_and_leave_nothing_behind(tmp_path: Path) -> None:
    """Every engine loads and counts with no network, writes no cache, and changes no environment variable."""
    # where tiktoken would put its cache
    environment = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    printed = run_python(NO_NETWORK + LOAD_AND_COUNT, environment=environment)
    # Where nothing was compiled, `auto` says so in the log, which is printed too.
    loaded = [line for line in printed.splitlines() if line.startswith(("tiktoken", "auto"))]
    assert loaded == [f"{engine} {name}" for engine in ("tiktoken", "auto") for name in ENCODINGS]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_damaged_file_is_refused(encoding: str, tmp_path: Path) -> None:
    """A vocabulary file with one byte changed is refused, and the error names file, both hashes and the remedy."""
    definition = vocabulary(encoding)
    damaged = bytearray(definition.read())
    damaged[len(damaged) // 2] ^= 1
    path = tmp_path / f"{encoding}.tiktoken"
    path.write_bytes(damaged)
    with pytest.raises(BrokenVocabulary) as caught:
        build_encoding(definition, tmp_path)
    text = str(caught.value)
    assert text.startswith(f"the vocabulary file {path} is damaged: its SHA-256 is ")
    assert text.endswith(f", expected {definition.sha256}; reinstall memsidecar")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A vocabulary file that is not there is an error that names it, not a download."""
    with pytest.raises(BrokenVocabulary, match=r"o200k_base\.tiktoken cannot be read \(No such file"):
        build_encoding(vocabulary("o200k_base"), tmp_path)


def test_a_copy_elsewhere_loads(tmp_path: Path) -> None:
    """The same file in another directory gives the same encoding."""
    definition = vocabulary("cl100k_base")
    shutil.copy(definition.path(), tmp_path)
    built = build_encoding(definition, tmp_path)
    assert built.encode_ordinary("hello world") == load_encoding("cl100k_base").encode_ordinary("hello world")


def test_each_vocabulary_is_loaded_once() -> None:
    """A second request for an encoding returns the first one's object."""
    assert load_encoding("o200k_base") is load_encoding("o200k_base")


def test_the_ranks_are_not_held_in_python() -> None:
    """A loaded encoding keeps no Python copy of its ranks, which would be 30 MB."""
    assert load_encoding("o200k_base")._mergeable_ranks == {}


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    """An encoding that is not shipped is an error that lists those that are."""
    with pytest.raises(
        UnknownEncoding, match="'p50k_base' is shipped; set `encoding:` to one of o200k_base, cl100k_base"
    ):
        load_encoding("p50k_base")


def test_encodings_are_the_vocabularies_default_first() -> None:
    """`ENCODINGS` names every shipped vocabulary, o200k_base first."""
    assert ENCODINGS == ("o200k_base", "cl100k_base")
    assert set(VOCABULARIES) == set(ENCODINGS)
    assert {path.stem for path in VOCABULARY_DIRECTORY.glob("*.tiktoken")} == set(ENCODINGS)
