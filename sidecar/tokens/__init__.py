"""Exact token counts, offline.

Two engines with the same counts, of which `counter` chooses: `native`, our own C (`_bpe.c`), and `reference`, by
tiktoken, which defines what is exact and counts where the other was not compiled. `selfcheck` says when the first one
must not be trusted; `blanks` and `endless` are what tiktoken alone cannot count. `vocabulary`, `models` and `contexts`
say what is counted by. Nothing else in the package imports tiktoken.
"""
