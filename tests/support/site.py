"""A consumer, a producer and uploaders, started one by one as on separate hosts. Uploaders without a root fetch the bytes that they send."""

import re
from pathlib import Path

from support.box import free_port, wait_for
from support.keys import Keys


class Site:
    def __init__(self, box, tcp=False, store=None, lease=None, keys=False):
        """keys: tcp with a key for each program."""
        tcp = tcp or keys
        self.box, self.store = box, store
        self.tcp = ["--insecure"] if tcp and not keys else []
        self.at = f"tcp://127.0.0.1:{free_port()}" if tcp else f"ipc://{box.dir}/run/consumer"
        port = free_port()
        self.jobs = f"tcp://127.0.0.1:{port}" if tcp else f"ipc://{box.dir}/run/jobs"
        self.data = f"tcp://127.0.0.1:{port + 2}" if tcp else f"ipc://{box.dir}/run/data"
        self.lease = ["--lease", lease] if lease else []
        self.to_store = ["--endpoint-url", store.endpoint] if store else []
        self.env = store.env if store else {}
        self.keys = self._make_keys(Keys(box)) if keys else {}
        self.consumer = box.start("consumer", "--journal", box.journal, "--bind", self.at, *self._who("consumer"), *self.lease)
        wait_for((box.journal / "consumer").exists, what="the consumer serves")
        self.uploaders, self.producers = [], []

    def _make_keys(self, keys):
        made = {name: keys.make(name, name, endpoint) for name, endpoint in (("consumer", self.at), ("producer", self.jobs), ("uploader", ""))}
        keys.allow(made["producer"], "producer", self.data)
        return {name: host.options for name, host in made.items()}

    def _who(self, program):
        return self.keys.get(program, self.tcp)

    def uploader(self, *args, root=None, allow=None, slots=4, **kw):
        roots = ["--root", root] if root else []
        allow = allow or ("s3://bucket/" if self.store else f"file://{self.box.dir}/out/")
        child = self.box.start("uploader", "--consumer", self.at, "--jobs", self.jobs, *roots, "--allow", allow, "--slots", slots, *self.to_store,
                               *self._who("uploader"), *args, env={**self.env, **kw.pop("env", {})}, **kw)
        self.uploaders.append(child)
        return child

    def producer(self, *args, data=None, **kw):
        at = [] if self.tcp or self.keys else ["--data", data or self.data]  # tcp: the default is two ports up
        child = self.box.start("producer", "--consumer", self.at, "--jobs", self.jobs, *at, *self.to_store, *self._who("producer"), *args, env=self.env, **kw)
        self.producers.append(child)
        return child

    def upload(self, *args, status=0, seconds=60):
        child = self.producer(*args)
        assert child.wait(seconds) == status, child.log.read_text()
        return child.log.read_text()

    def logs(self):
        return "".join(Path(c.log).read_text(errors="replace") for c in [*self.uploaders, *self.producers])


def memory_kib(pid, what="VmHWM"):
    return int(re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def cpu_seconds(pid):
    """utime + stime of a live process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100
