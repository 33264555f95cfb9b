"""Runs ways to do the same work in turn, and measures them: time, CPU time of all processes, memory."""

import dataclasses
import hashlib
import os
import resource
import statistics
import subprocess
import threading
import time
from pathlib import Path

from support.box import BUILD

MIB, GIB = 1 << 20, 1 << 30
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}

ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}


@dataclasses.dataclass
class Cost:
    seconds: float
    cpu: float
    mib: float = None  # peak PSS of all processes


def children_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def descendants(of):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents.setdefault(int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found, left = [], [of]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


class PeakMemory(threading.Thread):
    """Samples the sum of the proportional set sizes (PSS) of all descendants of this process, except sinks."""

    def __init__(self):
        super().__init__(daemon=True)
        self.kib, self.stop = 0, threading.Event()

    def run(self):
        while not self.stop.wait(0.05):
            total = 0
            for pid in descendants(os.getpid()):
                try:
                    if Path(f"/proc/{pid}/comm").read_text() == "sink\n":
                        continue
                    with open(f"/proc/{pid}/smaps_rollup") as f:
                        total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
                except (OSError, StopIteration):
                    pass
            self.kib = max(self.kib, total)


def cost_of(run):
    """run must wait for all its processes."""
    before, began = children_cpu(), time.perf_counter()
    run()
    return Cost(time.perf_counter() - began, children_cpu() - before)


def alternate(ways, runs):
    """ways: name: function without arguments. Medians of runs; the memory is that of one more run."""
    costs = {name: [] for name in ways}
    for _ in range(runs):
        for name, run in ways.items():
            costs[name].append(cost_of(run))
    result = {}
    for name, run in ways.items():
        memory = PeakMemory()
        memory.start()
        run()
        memory.stop.set()
        memory.join()
        result[name] = Cost(*(statistics.median(getattr(c, field) for c in costs[name]) for field in ("seconds", "cpu")), memory.kib / 1024)
    return result


def read_once(path):
    """Into the page cache."""
    for file in [path] if path.is_file() else path.iterdir():
        with open(file, "rb") as f:
            while f.read(16 * MIB):
                pass


def cost_of_sha256(path, gib):
    """CPU time of OpenSSL's SHA-256 over the first GiBs of a file, reading included."""
    began, digest = time.process_time(), hashlib.sha256()
    with open(path, "rb") as f:
        for _ in range(gib * GIB // MIB):
            digest.update(f.read(MIB))
    return time.process_time() - began


# --- other programs: (url of the sink, source, directory for files of their own) -> arguments ---

def loop(url, src, part=8 * MIB, ca=None):
    """The plain libcurl loop, with the files of a directory or the parts of a file. ca: the authority of a TLS sink."""
    arguments = (f"{url}/bucket", src, "0") if src.is_dir() else (f"{url}/bucket/key", src, str(part))
    subprocess.run([BUILD / "bench" / "baseline", *arguments, "8"], check=True, capture_output=True,
                   env={**ENVIRONMENT, **CREDENTIALS, **({"AWS_CA_BUNDLE": str(ca)} if ca else {})})


def peer_commands(url, src, directory, ca):
    """The programs of Debian 12 that are installed, with eight transfers at a time and no second look at the store."""
    key = "s3://bucket/tree/" if src.is_dir() else "s3://bucket/key"
    config = directory / "aws.config"  # its other transfer client, CRT, ignores the port of an endpoint
    config.write_text("[default]\ns3 =\n  max_concurrent_requests = 8\n")
    aws = ["/usr/bin/aws", "--endpoint-url", url, "s3", "cp", "--quiet", *(["--recursive"] if src.is_dir() else []), str(src), key]
    rclone = ["/usr/bin/rclone", "--config", "", "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", url, "--s3-no-check-bucket", "--s3-no-head", "--ignore-checksum",
              "--no-traverse", "--transfers", "8", "--checkers", "8", "--s3-chunk-size", "8M", "--s3-upload-cutoff", "8M", "--s3-upload-concurrency", "8",
              *(["copy", str(src), ":s3:bucket/tree"] if src.is_dir() else ["copyto", str(src), ":s3:bucket/key"])]
    if ca:
        rclone += ["--ca-cert", str(ca)]
        aws += ["--ca-bundle", str(ca)]
    found = {"rclone 1.60": (rclone, {}), "AWS CLI 2.9": (aws, {"AWS_CONFIG_FILE": str(config)})}
    if src.is_file():
        curl = ["/usr/bin/curl", "-sSf", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "bench:bench", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T", str(src), f"{url}/bucket/key"]
        found["curl"] = (curl, {})
    return {name: (command, env) for name, (command, env) in found.items() if os.access(command[0], os.X_OK)}


def peers(url, src, directory, ca=None):
    """name: function that runs it once."""
    def run(name, command, env):
        done = subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **CREDENTIALS, "HOME": str(directory), **env})
        assert done.returncode == 0, f"{name}: {done.stderr[-500:]}"
    return {name: (lambda name=name, command=command, env=env: run(name, command, env)) for name, (command, env) in peer_commands(url, src, directory, ca).items()}
