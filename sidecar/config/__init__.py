"""Configuration: settings of the process (environment, command line) and memory definitions (YAML).

Seen only by the composition root; every other component takes plain keyword arguments.
"""
