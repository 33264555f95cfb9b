"""The benchmarks' sink (bench/sink.c) on a test host: a store with minimal cost that keeps no data."""

import subprocess

from support.box import BUILD


class Sink:
    env = {"AWS_ACCESS_KEY_ID": "sink", "AWS_SECRET_ACCESS_KEY": "sink", "AWS_DEFAULT_REGION": "us-east-1"}

    def __init__(self, host):
        self.child = subprocess.Popen([*host.enter, BUILD / "bench" / "sink", host.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://{host.address}:{self.child.stdout.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
