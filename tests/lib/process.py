# SPDX-License-Identifier: MIT
"""process.py: programs, their environment, and what becomes of them. Knows no server: how PostgreSQL is started or asked
stands in its own test file; program.py has those of our own."""
import collections
import contextlib
import ctypes
import os
import pwd
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from log import Log
from place import PATH, SHIM
from waiting import DEADLINE, until


def run(*argv, check=True, timeout=DEADLINE, **options):
    """A command to its end, output captured as text; a failure shows what it said."""
    options.setdefault("env", clean_env())
    options.setdefault("input", "")
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode:
        raise AssertionError(f"{argv[0]} exited {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def clean_env(**more):
    """An environment that no setting of whoever runs the tests can leak into."""
    return {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": "/nonexistent", **more}


def shim_env(store=None, **settings):
    """What puts a program under the shim: shim_env(TRUST="127.0.0.2"), or trust=, sets PPSHIM_TRUST. With store="table" the
    shim remembers clients as on a kernel that does not do it for us."""
    assert SHIM.exists(), f"{SHIM} is not built: run make"
    forced = {"LIBPPSHIM_TEST_STORE": store, **{name: os.environ.get(name) for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}}
    return {"LD_PRELOAD": str(SHIM), **{name: value for name, value in forced.items() if value},
            **{f"PPSHIM_{name.upper()}": str(value) for name, value in settings.items() if value is not None}}


def environment(**settings):
    """The whole of it, for programs that are not started as a Process."""
    return clean_env(**shim_env(**settings))


@contextlib.contextmanager
def scratch(name):
    """A directory that servers running as another user can reach, short enough for a Unix socket's path."""
    directory = Path(tempfile.mkdtemp(prefix=f"ppshim-{name}-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# --- those that run beside the test -----------------------------------------------------------------------------------

running = []  # every Process that is up: their logs are shown with a failed test, and
ended = collections.deque(maxlen=8)  # what those said that are not up any more: as said_by

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _parents():
    """pid -> (parent, start time) of every process."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                table[int(entry.name)] = (int(fields[1]), fields[19])
    return table


def descendants(pid):
    """(pid, start time) of all processes below pid, children first: they leave the process group, but not the tree."""
    table, found, level = _parents(), [], {pid}
    while level:
        level = {child for child, (parent, _) in table.items() if parent in level}
        found += [(child, table[child][1]) for child in sorted(level)]
    return found


def waits_in(pid):
    """Where in the kernel each thread of a process waits, for messages about one that should not."""
    return [(task / "wchan").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]


def said_by(process):
    """(which, the end of its log)."""
    try:
        return f"log of {process.name} {process.pid}", process.log.tail()
    except OSError as gone:  # with its directory
        return f"log of {process.name} {process.pid}", str(gone)


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class EndedAtStart(AssertionError):
    """A program was gone before it was ready."""

    def __init__(self, name, status, log):
        super().__init__(f"{name} ended at start, exit status {status}: {log}")
        self.status = status
        self.log = log


class Process:
    """A program with its output in a log; gone, with all its children, when the with-block ends.

    Subclasses say argv, ready_line and how to stop. A program that does not stop when asked politely fails the test:
    that is a server deaf to signals.
    """
    name = "process"
    ready_line = None
    stop_signal = signal.SIGTERM
    user = None
    nofile = None  # its limit of open files
    stderr = None  # where that goes, if not into the log

    def __init__(self, directory, env=None):
        self.directory = Path(directory)
        self.env = env or {}
        self.log = self.out = Log(self.directory / f"{self.name}.log")
        self.process = self.status = None

    def argv(self):
        raise NotImplementedError

    @property
    def pid(self):
        return self.process.pid

    def is_ready(self, mark):
        return self.log.find(self.ready_line, mark)

    def start(self):
        mark = self.log.mark()
        with self.out.path.open("ab") as out, self.log.path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(a) for a in self.argv()], stdin=subprocess.DEVNULL, stdout=out, stderr=self.stderr or log, cwd="/",
                env=clean_env(**self.env), start_new_session=True, preexec_fn=self._before_exec,
                **({"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
                   if self.user else {}))
        running.append(self)
        try:
            until(lambda: self._alive(mark) and self.is_ready(mark), f"{self.name} is ready")
        except BaseException:
            self.kill()
            raise
        return self

    def _before_exec(self):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if self.nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))

    def _alive(self, mark):
        if self.process.poll() is not None:
            raise EndedAtStart(self.name, self.process.returncode, self.log.text(mark))
        return True

    def signal_stop(self):
        self.process.send_signal(self.stop_signal)

    def stop(self):
        """Asks, waits, and makes certain; the exit status. Idempotent."""
        if self not in running:
            return self.status
        with contextlib.ExitStack() as certain:
            certain.callback(self.kill)
            if self.process.poll() is None:
                self.signal_stop()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{self.name} did not stop on {self.stop_signal.name}; its threads are in "
                                     f"{waits_in(self.pid)}") from None
        return self.status

    def kill(self):
        """The process and everything below it, whatever its state."""
        if self not in running:
            return
        family = descendants(self.pid) if self.process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.status = self.process.wait()
        ended.append(said_by(self))
        table = _parents()
        for pid, started in family:
            if table.get(pid, (0, None))[1] == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        running.remove(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if error is None:
            self.stop()
        else:
            self.kill()
