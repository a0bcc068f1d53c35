# SPDX-License-Identifier: MIT
"""What the library does in many threads is sound, as far as ThreadSanitizer can see: make check-tsan."""
import re
import subprocess

from place import missing
from program import HELPERS, environment
from test_load import ALL_SERVED


def test_thread_sanitizer_has_nothing_to_say(tmp_path):
    program = HELPERS / "tsan/many_threads"
    if not program.exists():
        missing("its program: make check-tsan builds it, where there is libtsan")
    trust = tmp_path / "trust"
    trust.write_text("127.0.0.2\n")
    env = environment(trust=f"@{trust}", timeout="60s", log="stderr:error")
    run = subprocess.run([str(program), "3", str(trust)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=320,
                         env={name: value for name, value in env.items() if name != "LD_PRELOAD"})
    assert "WARNING" not in run.stderr and run.returncode == 0, run.stderr[:8000]
    assert int(re.match(ALL_SERVED, run.stdout).group(1)) > 100
