"""Conversations as agents have them and as nobody would: every script, emoji sequences, code, tool calls, parts.

All of them follow from a seed. They are messages in the OpenAI chat format, as plain objects; nothing here counts them.
"""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

Message = dict[str, Any]

BLOCK = 128
"""Code points that are drawn from together: about a script, as Unicode lays them out."""

LONGEST_RUN = 3_000

EMOJI = (
    "🙂", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🧑🏿‍🚀", "🇩🇪🇯🇵🇧🇷", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "❤️‍🔥", "☺︎", "👨🏻‍❤️‍💋‍👨🏾", "🇩", "\u200d", "🏽",
)  # fmt: skip

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endofprompt|>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|start|>assistant<|message|>", "<|endoftext", "<|reserved_200000|>", "[INST]", "</s>",
)  # fmt: skip

CODE = (
    'def walk(tree: dict[str, "Node"]) -> None:\n\tfor name, node in tree.items():\n\t\tprint(f"{name!r}: {node}")\n',
    "fn main() -> Result<(), Box<dyn Error>> {\n    let xs: Vec<_> = (0..=9).map(|x| x * x).collect();\n}\n",
    "const f = async ({ a, ...rest }) => {\r\n  await fetch(`/v1/${a?.id ?? ''}`);\r\n};\r\n",
    "SELECT o.id, SUM(i.qty * i.price)::numeric(12,2)\nFROM orders o JOIN items i USING (id)\nGROUP BY 1 HAVING 2>0;--",
    '#include <stdio.h>\nint main(void){for(;;)printf("%08x\\n",0xDEADBEEFu);/* */}\n',
    "<div class='a b'><!-- x --><p>&nbsp;&#x1F600;</p></div>",
    'if [[ -z "${X:-}" ]]; then exec 2>&1; awk \'{print $1}\' <<<"$X" | sort -u; fi',
    "main :: IO ()\nmain = mapM_ (\\x -> print $ x ^ 2) [1..10] >>= \\_ -> pure ()",
    "services:\n  web:\n    image: 'nginx:1.27'\n    ports: [\"80:80\"]\n",
    '[{"k": [1, 2.5e-3, null, true], "ü": "\\u00e9"}]',
)

PROSE = (
    "The parcel left Rotterdam at 14:05 and arrives on Tuesday; it's the customer's third. I'LL CALL 'EM, won't I? "
    "naïve café Straße ΟΔΟΣ ДОМ ﬁn ½ №5 3.14159 1,000,000 0x1F hello_world camelCaseName HTTPServer §7(2) €5 user@x.y"
)
WORDS = PROSE.split()

ODD = (
    *map(chr, range(0x20)), "\x7f", "\x80", "\x85", "\xa0", "\xad", "\u200b", "\u200e", "\u202e", "\u2028", "\u2029",
    "\u2060", "\ufeff", "\ufffc", "\ufffd", "\ufffe", "\uffff", "\ue000", "\U000f0000", "\U0010ffff", "\u0378",
    "e\u0301\u0323", "\u3000", "ﷺ", "\u1160", "\u034f",
)  # fmt: skip


@cache
def scripts() -> Sequence[Sequence[str]]:
    """Return every assigned character, in blocks of `BLOCK` code points."""
    blocks: dict[int, list[str]] = {}
    for point in range(0x110000):
        if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co"):
            blocks.setdefault(point // BLOCK, []).append(chr(point))
    return list(blocks.values())


class Talk:
    """Makes the conversations of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._texts: Sequence[Callable[[], str]] = (
            self._script, self._script, self._words, self._words, self._emoji, self._code, self._special, self._odd,
            self._run, lambda: "",
        )  # fmt: skip

    def conversations(self, number: int) -> Iterator[list[Message]]:
        """Yield so many conversations."""
        for _ in range(number):
            yield self._conversation()

    def _conversation(self) -> list[Message]:
        messages: list[Message] = []
        if self._chance(0.3):
            messages.append({"role": self._random.choice(("system", "developer")), "content": self.text()})
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3))):
            messages.append(self._user())
            if self._chance(0.3):
                messages += self._tools()
            messages.append({"role": "assistant", "content": self._text_or_parts(("text", "refusal"))})
        return messages or [self._user()]

    def _user(self) -> Message:
        content = self._text_or_parts(("text", "text", "image_url", "input_audio", "file"))
        message: Message = {"role": "user", "content": content}
        if self._chance(0.2):
            message["name"] = self.text()[:64]
        return message

    def _tools(self) -> list[Message]:
        calls = [
            {
                "id": f"call_{self._random.getrandbits(64):x}",
                "type": "function",
                "function": {
                    "name": self._random.choice(("look_up", "send-mail", "f")),
                    "arguments": self._arguments(),
                },
            }
            for _ in range(self._random.randint(1, 3))
        ]
        content = self._random.choice((None, "", self.text()))
        asked: Message = {"role": "assistant", "content": content, "tool_calls": calls}
        return [asked, *({"role": "tool", "tool_call_id": call["id"], "content": self.text()} for call in calls)]

    def _arguments(self) -> str:
        """Return JSON as models write it: escaped or not, with or without blanks, and sometimes broken off."""
        values = {self._random.choice(WORDS): self._random.choice((self.text(), 7, -0.5, None, [True, {}]))}
        written = json.dumps(values, ensure_ascii=self._chance(0.5), indent=self._random.choice((None, 2)))
        return written if self._chance(0.9) else written[: len(written) // 2]

    def _text_or_parts(self, kinds: Sequence[str]) -> str | list[Message]:
        if self._chance(0.8):
            return self.text()
        return [self._part(self._random.choice(kinds)) for _ in range(self._random.randint(0, 4))]

    def _part(self, kind: str) -> Message:
        if kind in ("text", "refusal"):
            return {"type": kind, kind: self.text()}
        given = {
            "image_url": {"url": "https://example.com/a.png", "detail": "low"},
            "input_audio": {"data": "UklGRg==", "format": "wav"},
            "file": {"filename": "report.pdf", "file_data": "JVBERi0="},
        }
        return {"type": kind, kind: given[kind]}

    # ---- texts ----

    def text(self) -> str:
        """Return one to three pieces of different kinds, with or without something between them."""
        pieces = self._random.choice((1, 1, 2, 3))
        return self._random.choice(("", " ", "\n\n")).join(self._random.choice(self._texts)() for _ in range(pieces))

    def _script(self) -> str:
        block = self._random.choice(scripts())
        letters = (*block, " ") if self._chance(0.7) else block
        return "".join(self._random.choices(letters, k=self._random.randint(1, 60)))

    def _words(self) -> str:
        return " ".join(self._random.choices(WORDS, k=self._random.randint(1, 80)))

    def _emoji(self) -> str:
        return self._random.choice(("", " ")).join(self._random.choices(EMOJI, k=self._random.randint(1, 12)))

    def _code(self) -> str:
        return self._random.choice(CODE)

    def _special(self) -> str:
        return self._random.choice(("", " ", "\n")).join(self._random.choices(SPECIAL, k=self._random.randint(1, 4)))

    def _odd(self) -> str:
        return "".join(self._random.choices(ODD, k=self._random.randint(1, 30)))

    def _run(self) -> str:
        unit = self._random.choice(
            ("x", " ", "\n", "-=", "ab", "0", "\t", "é", "数", "🙂", "'s", "!", "A", "\r\n", "\0")
        )
        return unit * self._random.randint(1, 60 if self._chance(0.9) else LONGEST_RUN)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share
