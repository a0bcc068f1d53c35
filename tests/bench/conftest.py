# SPDX-License-Identifier: MIT
"""Where these tests find the harness."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
