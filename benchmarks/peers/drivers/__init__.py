"""Scripts that drive one memory each, inside the environment of the library that the memory is from.

They import the standard library, that library and `protocol`, and nothing else of this project: its packages are not
installed there.
"""

from __future__ import annotations
