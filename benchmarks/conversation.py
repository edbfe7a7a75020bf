"""Messages such as people write to a support desk, all different, and the same ones in every run.

Whoever counts tokens remembers words that it has seen. Texts of few words, or one text over and over, would measure
that memory; names, numbers and addresses that hardly repeat do not. The messages hold no line break: `client` relies
on that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

MESSAGE_BYTES = 250
"""A usual turn of a chat: three or four sentences, some 55 tokens."""

SEED = 20_240_229
"""Any number will do, as long as it stays."""

_NAMES = (
    "Amelia", "Bartholomew", "Chidinma", "Dmitri", "Esperanza", "Faisal", "Guadalupe", "Hiroshi", "Ingeborg",
    "Jovana", "Kwabena", "Lakshmi", "Mateusz", "Nadezhda", "Oluwaseun", "Priyanka", "Quentin", "Rosalind", "Siobhan",
    "Tatsuya", "Ulrike", "Valentina", "Wojciech", "Ximena", "Yusuf", "Zuzanna",
)  # fmt: skip
_PLACES = (
    "Aberdeen", "Bratislava", "Chattanooga", "Debrecen", "Eindhoven", "Fukuoka", "Gothenburg", "Hyderabad",
    "Innsbruck", "Jakarta", "Kilkenny", "Ljubljana", "Montevideo", "Nairobi", "Oaxaca", "Poughkeepsie", "Queenstown",
    "Reykjavik", "Saskatoon", "Thessaloniki", "Utrecht", "Valparaiso",
)  # fmt: skip
_THINGS = (
    "espresso machine", "noise-cancelling headphones", "standing desk", "gravel bike", "induction hob",
    "mirrorless camera", "rain jacket", "robot vacuum", "graphics tablet", "sewing machine", "telescope mount",
    "water filter", "heated blanket", "mechanical keyboard", "hiking boots", "bread maker", "cordless drill",
    "baby monitor", "projector screen", "inflatable kayak", "wireless charger",
)  # fmt: skip
_FAULTS = (
    "keeps switching itself off", "arrived with a cracked casing", "makes a grinding noise",
    "does not pair with my phone", "overheats after ten minutes", "is the wrong colour",
    "has no power cord in the box", "shows error code {number}", "leaks from the bottom",
    "stopped working on the second day", "is missing two screws", "smells of burnt plastic",
)  # fmt: skip
_SENTENCES = (
    "My {thing} {fault}, and the manual does not mention it.",
    "I ordered the {thing} on {date} and it was sent to {place} instead.",
    "Could you check order {order} for {name}, please?",
    "The courier in {place} says that parcel {order} was handed to {name} at {time}.",
    "I was charged {price} twice, once on {date} and again at {time} the next morning.",
    "Thanks, {name}, that solved it; the {thing} works again.",
    "We are moving to {place} soon, so the delivery address should be {number} {name} Street.",
    "Honestly, I expected better from a {thing} that costs {price}.",
    "Is there a discount if I buy {small} of them together with the {thing}?",
    "Please send the refund of {price} to the card that ends in {number}.",
    "According to ticket {order}, somebody called {name} promised to ring me back before {time}.",
    "Does the warranty still cover it, given that I bought it in {place} about {small} months ago?",
    "I have attached {small} photographs and the invoice from {date}.",
    "You can reach me under {name}{number}@example.com at any time after {time}.",
)


@cache
def messages(count: int) -> tuple[str, ...]:
    """Return `count` different ASCII texts of `MESSAGE_BYTES` each, always the same ones."""
    random = Random(SEED)
    return tuple(_message(random) for _ in range(count))


def turns(count: int) -> list[tuple[str, str]]:
    """Return the same texts, each with its role: a user and an assistant speak in turn."""
    return [(("user", "assistant")[number % 2], text) for number, text in enumerate(messages(count))]


def _message(random: Random) -> str:
    text = ""
    while len(text) < MESSAGE_BYTES:
        text += random.choice(_SENTENCES).format_map(_Words(random)) + " "
    return text[: MESSAGE_BYTES - 1] + "."


class _Words(dict[str, str]):
    """Invents a word for each place in a sentence."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def __missing__(self, kind: str) -> str:
        word = _KINDS[kind](self._random)
        return word.format_map(self) if "{" in word else word


_KINDS: dict[str, Callable[[Random], str]] = {
    "name": lambda random: random.choice(_NAMES),
    "place": lambda random: random.choice(_PLACES),
    "thing": lambda random: random.choice(_THINGS),
    "fault": lambda random: random.choice(_FAULTS),
    "number": lambda random: str(random.randint(100, 9_999)),
    "small": lambda random: str(random.randint(2, 24)),
    "price": lambda random: f"${random.randint(9, 2_400)}.{random.randint(0, 99):02}",
    "order": lambda random: f"{random.choice('ABCDEFGHKLMNPRSTUVWXYZ')}{random.randint(10_000, 999_999)}",
    "time": lambda random: f"{random.randint(0, 23)}:{random.randint(0, 59):02}",
    "date": lambda random: f"{random.randint(1, 28)}/{random.randint(1, 12)}/20{random.randint(19, 25)}",
}
