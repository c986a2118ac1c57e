"""Starts the zygote; short, because an interpreter compiles its main file each time it starts."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(sys.path[0]), "python"))
import lamington_zygote  # found beside this file

lamington_zygote.main()()
