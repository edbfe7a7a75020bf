"""Writes a read's result as the `messages` of an OpenAI *Create chat completion* request.

Only what the API's message types know is written: it refuses a request with other fields. What else a message carries
(META, fields of other vendors) comes back in the map of FORMAT RESP. What it would refuse otherwise is put into the
nearest form that it takes: parts that a role may not have are told in words, names and ids are cut to their limits, and
a tool message that nobody can tell the call of becomes a user's. Results stand right behind their calls.

A conversation that ends with tool calls whose results are still to come is written as it is, and so are results before
any call, which a read with SINCE begins with: whoever runs the tools has the other half, and puts it there before the
request is sent.
"""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import Any

import msgspec

from sidecar.commands.chat_messages import called, content_of, fields_of, image_url_of, results_behind_calls, words_of
from sidecar.memory.message import PROTECTED_ROLES, SUMMARY_HEADING
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage

LONGEST_NAME = 64
"""Characters of a participant's or tool's name; the API refuses more."""

LONGEST_ID = 40
"""Characters of a tool call's id. Other vendors, and OpenAI's own *Responses*, give longer ones."""

_BAD_IN_NAME = re.compile(r"[\s<|\\/>]+")
_BAD_IN_TOOL_NAME = re.compile(r"[^a-zA-Z0-9_-]")


class _Plain(msgspec.Struct, gc=False):
    """A message that is nothing but this."""

    role: str
    content: str


_encode = msgspec.json.Encoder().encode


def to_openai(result: ReadResult) -> bytes:
    """Return a JSON array.

    The summary stands behind the leading instructions, as a system message of its own.
    """
    messages = results_behind_calls(result.messages)
    parts: list[_Plain | dict[str, Any]] = [
        _Plain(message.role, message.content) if message.fields is None else _message(message) for message in messages
    ]
    if result.summary:
        leading = 0
        while leading < len(parts) and messages[leading].role in PROTECTED_ROLES:
            leading += 1
        parts.insert(leading, _Plain("system", SUMMARY_HEADING + result.summary))
    return _encode(parts)


def _message(message: StoredMessage) -> dict[str, Any]:
    role, fields = message.role, fields_of(message)
    content: Any = content_of(message, fields)
    if isinstance(content, list):
        content = [_part(part, role) for part in content] or ""
    further: dict[str, Any] = {}
    if role == "tool":
        further["tool_call_id"] = _id(fields["tool_call_id"])
    elif name := _BAD_IN_NAME.sub("_", fields.get("name") or "")[:LONGEST_NAME]:
        further["name"] = name
    if role == "assistant":
        further |= _answer(fields)
    if content is None and not {"tool_calls", "function_call", "audio"} & further.keys():
        content = ""  # null is only for a message that says something otherwise
    return {"role": role, "content": content, **further}


def _answer(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what only an assistant's message has."""
    answer: dict[str, Any] = {}
    if "refusal" in fields and isinstance(fields["refusal"], str | None):
        answer["refusal"] = fields["refusal"]
    audio, function = fields.get("audio"), fields.get("function_call")
    if isinstance(audio, dict) and isinstance(audio.get("id"), str):
        answer["audio"] = {"id": audio["id"]}  # a response has the sound itself too, which a request may not
    if isinstance(function, dict):
        answer["function_call"] = {
            "name": _tool_name(function.get("name")),
            "arguments": _text(function.get("arguments")),
        }
    if fields.get("tool_calls"):
        answer["tool_calls"] = [_call(call) for call in fields["tool_calls"]]
    return answer


def _call(call: dict[str, Any]) -> dict[str, Any]:
    name, arguments = called(call)
    if isinstance(call.get("custom"), dict) and not call.get("function"):
        custom = {"name": _tool_name(name), "input": _text(arguments)}
        return {"id": _id(call["id"]), "type": "custom", "custom": custom}
    function = {"name": _tool_name(name), "arguments": _text(arguments)}
    return {"id": _id(call["id"]), "type": "function", "function": function}


def _text(arguments: object) -> str:
    """Return the arguments of a call as the JSON text that the API wants."""
    return arguments if isinstance(arguments, str) else _encode({} if arguments is None else arguments).decode()


def _id(given: str) -> str:
    """Return an id that is not too long; of the same one always the same, for call and result."""
    if len(given) <= LONGEST_ID:
        return given
    digest = blake2s(given.encode(), digest_size=4).hexdigest()
    return f"{given[: LONGEST_ID - len(digest) - 1]}_{digest}"


def _tool_name(name: object) -> str:
    return _BAD_IN_TOOL_NAME.sub("_", name)[:LONGEST_NAME] if isinstance(name, str) and name else "unknown"


def _part(part: dict[str, Any], role: str) -> dict[str, Any]:
    """Return a part as messages of this role may have it; what they may not have is told in words."""
    if role == "assistant" and part["type"] == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "refusal", "refusal": part["refusal"]}
    made = _shown(part) if role == "user" else None
    if made is None:
        made = {"type": "text", "text": words_of(part)}
    mark = part.get("prompt_cache_breakpoint")
    if isinstance(mark, dict) and mark.get("mode") == "explicit":
        made["prompt_cache_breakpoint"] = {"mode": "explicit"} | _known(mark, "ttl", ("30m", "12h"))
    return made


def _shown(part: dict[str, Any]) -> dict[str, Any] | None:
    """Return a part that is no text, which only users' messages may have, or None if it is not one of them."""
    kind = part["type"]
    if kind in ("image_url", "input_image") and (url := image_url_of(part)):
        image = part["image_url"] if isinstance(part["image_url"], dict) else part
        details = _known(image, "detail", ("auto", "low", "high", "original"))
        return {"type": "image_url", "image_url": {"url": url, **details}}
    audio = part.get("input_audio")
    if kind == "input_audio" and isinstance(audio, dict) and isinstance(audio.get("data"), str):
        form = _known(audio, "format", ("wav", "mp3"))
        return {"type": kind, kind: {"data": audio["data"], **form}} if form else None
    file = part.get("file") if kind == "file" else part
    if kind in ("file", "input_file") and isinstance(file, dict):
        known = {name: file[name] for name in ("file_data", "file_id", "filename") if isinstance(file.get(name), str)}
        return {"type": "file", "file": known} if {"file_data", "file_id"} & known.keys() else None
    return None


def _known(holder: dict[str, Any], name: str, values: tuple[str, ...]) -> dict[str, str]:
    """Return a field if it has one of the values that the API knows, else nothing."""
    return {name: holder[name]} if holder.get(name) in values else {}
