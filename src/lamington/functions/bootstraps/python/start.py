"""Starts the Python runtime of one execution environment, where it is not forked.

It is kept this short because an interpreter compiles its main file each time it starts.
"""

import sys

import lamington_bootstrap  # found beside this file

del sys.path[0]
lamington_bootstrap.run(0.0)
