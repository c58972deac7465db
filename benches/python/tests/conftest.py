"""Lets the tests import the harness, whose modules run as scripts of one directory."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
