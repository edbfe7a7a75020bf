"""The contract of the MEM commands, from a client's side: every command, option, reply field and error.

The modules without `test_` hold dialogues, by family; `test_dialogues` puts them to a real sidecar in both protocols
and sees to it that no command and no option of the command table is left out.
"""
