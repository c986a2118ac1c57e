"""Starts the Python runtime of one execution environment.

It is kept this short because an interpreter compiles its main file each time it starts.
"""

import sys

import lamington_bootstrap  # type: ignore[import-not-found]  # found beside this file

del sys.path[0]
lamington_bootstrap.run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
