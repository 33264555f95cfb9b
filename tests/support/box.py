"""A box: directories, environment and processes of one test. All of them are removed at its end."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CHUNKLIFT_BUILD", ROOT / "build" / "check")).resolve()


def preloaded(name):
    """The environment that preloads tests/faults/NAME.c into a program; sanitizers accept that they are not loaded first."""
    asan = ":".join(o for o in (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0") if o)
    return {"LD_PRELOAD": str(BUILD / "faults" / f"{name}.so"), "ASAN_OPTIONS": asan}


def free_port():
    """A port of 127.0.0.1 that is free, and the one two ports up, which is a producer's default for file data. Both are outside the range that Linux gives to
    connections (ip_local_port_range), so that no other test gets one of them by chance."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as s, socket.socket() as data:
            try:
                s.bind(("127.0.0.1", port))
                data.bind(("127.0.0.1", port + 2))
            except OSError:
                continue
            return port


def wait_for(condition, seconds=20, what="condition", every=0.02):
    """Polls until condition() is true and returns its value. Fails with the text `what` at the timeout."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(every)


def no_signal_waits(child):
    """The process has taken each signal that was sent. Two of one kind that wait count as one."""
    return int(re.search(r"ShdPnd:\s*(\w+)", Path(f"/proc/{child.pid}/status").read_text(encoding="ascii", errors="replace"))[1], 16) == 0


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def random_file(path, size, seed=1):
    """Writes `size` incompressible bytes without repetition. The same seed gives the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    block = hashlib.shake_256(str(seed).encode()).digest(min(size, 1 << 20))
    with open(path, "wb") as f:
        left, n = size, 0
        while left > 0:
            head = n.to_bytes(8, "big")
            piece = (head + block)[: min(left, len(block))]
            f.write(piece)
            left -= len(piece)
            n += 1
    return path


class Box:
    def __init__(self):
        self.mark = uuid.uuid4().hex
        self._tmp = tempfile.TemporaryDirectory(prefix="cl-", ignore_cleanup_errors=True)
        self.dir = Path(self._tmp.name)
        os.chmod(self.dir, 0o755)  # tests that switch to another user need access
        for name in ("home", "run", "state"):
            (self.dir / name).mkdir(mode=0o700)
        keep = ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
        self.env = {k: os.environ[k] for k in keep if k in os.environ}  # other threads change the environment meanwhile
        self.env.update(
            HOME=str(self.dir / "home"),
            XDG_RUNTIME_DIR=str(self.dir / "run"),
            XDG_STATE_HOME=str(self.dir / "state"),
            TMPDIR=str(self.dir),
            AWS_EC2_METADATA_DISABLED="true",
            CHUNKLIFT_BOX=self.mark,
        )
        self.journal = self.dir / "journal"
        self.outputs = []
        self.programs = BUILD

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill_all()
        self._tmp.cleanup()

    # processes ------------------------------------------------------------------------------------------------

    def command(self, *args, program="chunklift"):
        return [str(self.programs / program), *map(str, args)]

    def share_programs(self):
        """Copies the programs for tests that switch to another user: a checkout in a closed directory (/root) is out of that user's reach."""
        if all(d.stat().st_mode & 0o005 == 0o005 for d in (BUILD, *BUILD.parents)):
            return
        self.programs = self.dir / "programs"
        self.programs.mkdir(mode=0o755)
        for program in BUILD.glob("chunklift*"):
            if program.is_file() and os.access(program, os.X_OK):
                shutil.copy2(program, self.programs)

    def run(self, *args, program="chunklift", status=0, timeout=120, env=None, **kw):
        """Runs a program to its end. status=None accepts any exit status."""
        done = subprocess.run(self.command(*args, program=program), env={**self.env, **(env or {})}, capture_output=True, text=True,
                              errors="surrogateescape", timeout=timeout, stdin=subprocess.DEVNULL, cwd=self.dir, **kw)
        self.outputs.append((args, done.returncode, done.stdout, done.stderr))
        if status is not None:
            assert done.returncode == status, f"{args}: exit status {done.returncode}, not {status}\n{done.stdout}{done.stderr}"
        return done

    def cp(self, *args, **kw):
        return self.run("cp", "--journal", self.journal, *args, **kw)

    def start(self, *args, program="chunklift", env=None, before=(), **kw):
        """before: a command prefix that executes the program."""
        log = open(self.dir / f"out-{len(self.outputs)}.log", "w+b")
        child = subprocess.Popen([*before, *self.command(*args, program=program)], env={**self.env, **(env or {})}, stdout=log, stderr=log,
                                 stdin=subprocess.DEVNULL, cwd=self.dir, **kw)
        child.log = Path(log.name)
        self.outputs.append((args, None, child.log, ""))
        return child

    def start_cp(self, *args, **kw):
        return self.start("cp", "--journal", self.journal, *args, **kw)

    def processes(self, name=None):
        """{pid: name} of this box's live processes, optionally only those of one program."""
        found = {}
        needle = f"CHUNKLIFT_BOX={self.mark}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if needle not in Path(f"/proc/{entry}/environ").read_bytes():
                    continue
                state = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
                program = os.path.basename(Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[0].decode())
            except (OSError, IndexError):
                continue
            if state != "Z" and (name is None or program == name):
                found[int(entry)] = program
        return found

    def kill_all(self, name=None, sig=signal.SIGKILL):
        for pid in self.processes(name):
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def gone(self, seconds=20):
        wait_for(lambda: not self.processes(), seconds, f"processes of the box end ({self.processes()})")

    def describe(self):
        for args, status, out, err in self.outputs[-4:]:
            if isinstance(out, Path):
                out = out.read_text(errors="replace")[-4000:] if out.exists() else ""
            print(f"$ chunklift {' '.join(map(str, args))}  -> {status}\n{out[-4000:]}{err[-4000:]}")
        log = self.journal / "consumer.log"
        if log.exists():
            print(f"consumer.log:\n{log.read_text(errors='replace')[-3000:]}")

    # an independent journal reader that shares no code with chunklift ------------------------------------------

    def records(self, ev=None):
        return [r for r in read_journal(self.journal) if ev is None or r["ev"] == ev]


def journal_lines(directory):
    directory = Path(directory)
    files = sorted(directory.glob("journal.*.jsonl")) + [directory / "journal.jsonl"]
    for file in files:
        if file.exists():
            yield from (line for line in file.read_bytes().split(b"\n")[:-1])


def read_journal(directory):
    return [json.loads(line) for line in journal_lines(directory)]


def check_chain(directory):
    """Checks seq and h of every line as docs/JOURNAL.md defines them. Returns the last seq."""
    last, seq = "0" * 32, 0
    for line in journal_lines(directory):
        body, _, rest = line.rpartition(b',"h":"')
        record = json.loads(line)
        want = hashlib.sha256(last.encode() + body).hexdigest()[:32]
        assert rest == record["h"].encode() + b'"}' and record["h"] == want, f"seq {record['seq']}: chain broken"
        assert record["seq"] == seq + 1, f"seq {record['seq']} after {seq}"
        last, seq = want, record["seq"]
    return seq


def valid_records(directory):
    """The valid records of a journal after a crash: the lines before the first one that breaks the chain."""
    last, records = "0" * 32, []
    for line in journal_lines(directory):
        body, _, rest = line.rpartition(b',"h":"')
        last = hashlib.sha256(last.encode() + body).hexdigest()[:32]
        if rest != last.encode() + b'"}':
            break
        records.append(json.loads(line))
    return records


def check_one_record_each(records):
    """Every chunk of every upload has at most one valid record; finished uploads have exactly one for each chunk."""
    have, plan = {}, {}
    for r in records:
        if r["ev"] == "begin":
            plan[r["upload"]] = r["chunks"]
        elif r["ev"] == "chunk":
            key = (r["upload"], r["chunk"])
            assert key not in have, f"chunk {key} recorded twice"
            have[key] = r
            if "total" in r:  # the last chunk of standard input
                plan[r["upload"]] = r["chunk"] + 1
        elif r["ev"] == "redo":
            del have[(r["upload"], r["chunk"])]
        elif r["ev"] == "finish":
            got = sorted(c for (u, c) in have if u == r["upload"])
            assert got == list(range(plan[r["upload"]])), f"upload {r['upload']} finished with chunks {got}"
