"""Key templates: a small language of names and filters on top of Jinja2's parser, rendered from a JSON object.

`engine` parses, checks and renders; `dialect` turns the Go spelling into Jinja2's; `filters` are the filters there are;
`lookup` finds what a name means. Nothing else in the package imports jinja2.
"""
