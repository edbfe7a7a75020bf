"""Redaction: what must not be stored is taken out of messages before they are counted and stored.

`builtin` has the sets of patterns that a definition can name, `checks` what tells a card's number from other digits,
`redaction` carries a policy out. Nothing else in the package imports re2.
"""
