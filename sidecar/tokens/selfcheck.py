"""Texts on which tokenizers go wrong, with tiktoken's counts: what our own C must get right to be used.

The counts stand here as numbers, so that start-up needs no tiktoken beside it (50 MB and 0.2 s); a test computes them
again. This is a check of an installation, of what its compiler made. The proof that the engines agree is in the tests.
"""

from __future__ import annotations

from collections.abc import Callable

# A text, its tokens in o200k_base, and in cl100k_base.
CASES: tuple[tuple[str, int, int], ...] = (
    # nothing, and single characters
    ("", 0, 0),
    ("a", 1, 1),
    (" ", 1, 1),
    ("\n", 1, 1),
    ("\x00", 1, 1),
    ("\u00e9", 1, 1),
    ("\U0001f600", 1, 2),
    # prose; contractions in every case, and with apostrophes that are none
    ("The warehouse in Rotterdam won't be staffed before 10:30, so we'll have to reschedule.", 20, 23),
    ("I'm you're he's we've they'll I'd can't", 7, 14),
    ("I'M YOU'RE HE'S WE'VE THEY'LL I'D CAN'T", 17, 16),
    ("I'm You'Re He'S We'vE They'lL x'Ll", 15, 16),
    ("I\u2019m you\u2019re it\u2018s 'tis 'S ''s''", 13, 14),
    ("it'\u017f K\u212a'\u017f '\u017fs", 11, 14),
    ("rock'n'roll o'clock '90s dogs' d'Artagnan l'\u00e9t\u00e9", 18, 19),
    ("camelCase PascalCase SCREAMING_SNAKE XMLHttpRequest iPhone eBay McDONALD", 20, 17),
    # digits
    ("1 12 123 1234 12345 1234567890123", 17, 17),
    ("3.14159 1,000,000 -273.15 1e-9 0x1F 2025-11-23T00:32:07.123Z", 40, 40),
    ("\u0661\u0662\u0663\u0664 \u00bd \u00b2\u00b3 \u2167 \u4e00\u4e8c\u4e09 \U0001d7ce\U0001d7cf", 22, 27),
    # whitespace
    (" " * 7, 1, 1),
    (" " * 80 + "x", 2, 2),
    ("\t\t  \t x  \t\n", 5, 4),
    ("a\r\nb\r\n\r\nc\rd\n\re", 10, 10),
    ("\n" * 33, 3, 2),
    (" \n" * 9 + "end", 6, 6),
    ("word  two   three    four     ", 8, 8),
    ("a\u00a0b\u2003c\u3000d\u2028e\u0085f\u200bg\ufeffh", 16, 18),
    ("\x0b\x0c\x1c\x1d\x1e\x1f x", 7, 7),
    ("!\n\n  ?\r\n/path//\n/x", 9, 7),
    # control characters and special tokens, as text
    ("".join(map(chr, range(32))) + "\x7f\x80\x9f", 35, 34),
    ("<|endoftext|>", 7, 7),
    ("a<|endoftext|><|fim_prefix|>b<|fim_middle|>c<|fim_suffix|><|endofprompt|>", 33, 36),
    ("<|start|>assistant<|channel|>final<|message|>hi<|return|>", 23, 23),
    ("<|im_start|>user\nhello<|im_end|>", 15, 15),
    # code and markup
    ("def f(x: int) -> str:\n    return f'{x!r:>{10}}'  # done\n\n\nclass A(B):\n\tpass\n", 31, 31),
    ('{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":null}}]}', 27, 26),
    ("SELECT a.*, COUNT(*) FROM `t` AS a WHERE a.x <> 'y' GROUP BY 1;-- end", 25, 25),
    ("# Title\n\n- **bold** _it_ `code`\n1. [link](https://example.org/a?b=c&d=%20#e)", 33, 33),
    ("\n\n| a | b |\n|---|---|\n", 11, 11),
    ("if(a&&b||!c){return a?.b??c[0]...d;}//</script>", 24, 24),
    ("7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069", 38, 38),
    ("550e8400-e29b-41d4-a716-446655440000", 18, 18),
    ("TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24sIGJ1dA==", 42, 44),
    # very long words
    ("a" * 300, 38, 38),
    ("ab" * 200, 100, 200),
    ("Z" * 257, 129, 129),
    ("-" * 500, 8, 9),
    ("=~" * 150, 151, 151),
    ("Donaudampfschifffahrtsgesellschaftskapit\u00e4nsm\u00fctze", 16, 20),
    ("9" * 100, 34, 34),
    ("\u6f22" * 120, 120, 240),
    # scripts
    ("\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002\u8ba2\u5355\u53f7\uff1aA-42\uff0c\u8c22\u8c22\uff01", 12, 17),
    ("\u3053\u3093\u306b\u3061\u306f\u3001\u30c6\u30b9\u30c8\u3067\u3059\u3002", 6, 6),
    ("\uff11\uff12\uff13 \uff76\uff85", 6, 8),
    ("\uc548\ub155\ud558\uc138\uc694 \u1112\u1161\u11ab \u3131", 14, 18),
    ("\u041f\u0440\u0438\u0432\u0435\u0442, \u041c\u0418\u0420!", 7, 8),
    ("\u0401\u0436 \u0404\u0432\u0440\u043e\u043f\u0430", 5, 9),
    ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", 2, 10),
    ("\u200f(\u0645\u0631\u062d\u0628\u0627 \u0628\u0643\u0645\u060c \u0664\u0662)\u202c", 12, 20),
    ("\u0646\u064e\u0635\u0651\u064c \u05e0\u05b4\u05e7\u05bc\u05d5\u05bc\u05d3", 12, 18),
    ("\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u0937\u093f \u0967\u0968", 8, 15),
    (
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
        9,
        17,
    ),
    ("\u0391\u03b8\u03ae\u03bd\u03b1 \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", 7, 14),
    ("\u01c5 \u01f2 \u02b0\u02bc", 9, 10),
    ("\u0130stanbul \u0131\u011f \u00df\u1e9e Stra\u00dfe na\u00efve \u0152uvre", 14, 15),
    # combining marks, alone and after everything
    ("e\u0301 E\u0308\u0323 n\u0303o a\u0301's", 11, 15),
    ("\u0301 \u0301x 1\u0301 !\u0301\n!!\u0301\n", 13, 13),
    ("z" + "\u0310\u0353" * 20, 81, 81),
    ("a\u20dd 5\ufe0f\u20e3 \u0903\u093f", 9, 12),
    # emoji and their sequences
    ("\U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 \u2764\ufe0f", 12, 20),
    ("\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466x\U0001f3f3\ufe0f\u200d\U0001f308", 18, 28),
    ("ok\U0001f600\U0001f600\U0001f600!\U0001f9d1\U0001f3ff\u200d\U0001f680 go", 14, 20),
    ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 26, 21),
    # private, unassigned and last code points
    ("\ue000\uf8ff \U000f0000\U0010fffd", 13, 15),
    ("a\u0378b \u0379\U0001fbff\U000e0fff's", 16, 16),
    ("\ufdd0\ufffe\uffff\U0001ffff\U0010ffff\ufffd", 15, 15),
    # symbols
    ("\u2014\u2026\u201cquoted\u201d\u00ab\u00bb\u20ac\u00a3\u00a5\u2122\u00a9 \u2211\u222b\u221a\u2260", 19, 20),
    ("\U0001d400\U0001d41b\U0001d4b3 \u24b6 \u2460 \ufb01 \uff21\uff42", 17, 21),
)

_COLUMN = {"o200k_base": 1, "cl100k_base": 2}
_SHOWN_CHARS = 40  # of the offending text; the message is for a log line


def first_difference(count: Callable[[str], int], encoding: str) -> str | None:
    """Return the first case that `count` gets wrong, in words; None if there is none.

    Args:
        count: the tokens of a text, as an engine counts them.
        encoding: the shipped vocabulary that it counts by.
    """
    column = _COLUMN[encoding]
    for case in CASES:
        text, expected = case[0], case[column]
        counted = count(text)
        if counted != expected:
            return f"{counted} instead of {expected} tokens for {text[:_SHOWN_CHARS]!a}"
    return None
