"""One client connection without its sockets: what was sent, what is known, what is to be done.

`session` is the state machine, `state` what it knows of the connection at Redis, `actions` what it wants done;
`description` keeps the answer to COMMAND until our commands are put into it.
"""
