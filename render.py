#!/usr/bin/env python3
"""Render inputs through a recipe or an effect: ``python render.py dog cat --sync``. Short for ``./artdag render``."""

import os
import sys

PROGRAM = os.path.join(os.path.dirname(os.path.realpath(__file__)), "artdag")

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, PROGRAM, "render", *sys.argv[1:]])
