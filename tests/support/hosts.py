"""Hosts of a test: each has its own network, host name, boot id and mounts, and a wire to a switch that only they share.

    with Hosts(box, "store", "consumer", "producer", "u1", "u2") as hosts:
        hosts["u1"].start("--consumer", f"tcp://{hosts['consumer'].address}:7701", …, program="chunklift-uploader")
        hosts["u1"].limit("100mbit")       # the rate limit of its wire, each way
        hosts["u1"].partition(); …; hosts["u1"].heal()
        hosts.lose(2)                      # percent of all packets
    with Hosts(box, …, delay_ms=10) as hosts:   # every wire has 10 ms of latency: 20 ms from host to host
        hosts.delay(25)

The system outside does not change. All namespaces are anonymous. One process for each keeps it alive and exits with the test, however the test
ends; the kernel removes a namespace with its last process. Hosts share the machine's files, except under paths passed to hide().

The switch is a bridge in a network namespace of its own. Wires are veth pairs; with delay_ms they are pairs of TAP devices between which
servers/delay.c carries frames. Partitions and losses are nft rules of the bridge, so a host sees the same as on a real network: no reply, no error.
"""

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

from support import mounts
from support.box import BUILD, wait_for

NET = "10.77.0"
CLONE_NEWNET = 0x40000000
QUEUE_MS = 50  # queue of a limited wire before it drops packets


def missing():
    """The reason why this machine cannot run hosts, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    gone = [p for p in ("ip", "tc", "bridge", "nft", "unshare", "nsenter") if not shutil.which(p, path="/usr/sbin:/sbin:" + os.environ["PATH"])]
    if gone:
        return f"{', '.join(gone)} not installed"
    if mounts.in_chroot():
        return "in a chroot: a process that enters a namespace leaves the chroot"
    done = subprocess.run(["unshare", "--net", "--mount", "--uts", "ip", "link", "add", "x", "type", "veth"], capture_output=True, text=True, timeout=30)
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else None


def _do(*command, text=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, input=text)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}{done.stdout.strip()}\n{text or ''}")
    return done.stdout


class Place:
    """Namespaces kept by a process that exits when its standard input closes."""

    def __init__(self, name, directory, boot_id=None):
        self.name, self.dir = name, directory
        boot = f"mount --bind '{boot_id}' /proc/sys/kernel/random/boot_id && " if boot_id else ""
        script = f"echo '{name}' >/proc/sys/kernel/hostname && {boot}ip link set lo up && echo ready && exec cat >/dev/null"
        self.keeper = subprocess.Popen(["unshare", "--net", "--mount", "--uts", "sh", "-c", script], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self.keeper.stdout.readline()
        if said != "ready\n":
            self.close()
            raise OSError(f"{name}: no namespaces: {said}")

    @property
    def enter(self):
        """The command prefix that enters the host. It executes the command with the same pid."""
        return ["nsenter", f"--net=/proc/{self.keeper.pid}/ns/net", f"--mount=/proc/{self.keeper.pid}/ns/mnt",
                f"--uts=/proc/{self.keeper.pid}/ns/uts", f"--wdns={self.dir}", "--"]

    @property
    def net(self):
        return f"/proc/{self.keeper.pid}/ns/net"

    def do(self, *command, text=None):
        return _do(*self.enter, *command, text=text)

    def close(self):
        self.keeper.kill()
        self.keeper.wait()
        for pipe in (self.keeper.stdin, self.keeper.stdout):
            pipe.close()


class Host(Place):
    def __init__(self, hosts, name, number):
        boot = hosts.dir / f"{name}.boot"
        boot.write_text(f"{uuid.uuid4()}\n")
        super().__init__(name, hosts.box.dir, boot)
        self.hosts = hosts
        self.address = f"{NET}.{number}"
        self.port = f"w{number}-{name}"[:15]  # the switch's end of its wire

    # programs ---------------------------------------------------------------------------------------------------

    def start(self, *args, before=(), **kw):
        """Box.start on this host."""
        return self.hosts.box.start(*args, before=[*self.enter, *before], **kw)

    def run(self, *command, check=True, timeout=120, env=None, **kw):
        """Runs any command to its end."""
        box = self.hosts.box
        return subprocess.run([*self.enter, *map(str, command)], check=check, capture_output=True, text=True, timeout=timeout,
                              env={**box.env, **(env or {})}, stdin=subprocess.DEVNULL, **kw)

    def within(self, function):
        """Calls function() in this host's network namespace. Sockets that it creates belong there permanently."""
        result = []

        def work():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(self.net, "rb") as ns:
                if libc.setns(ns.fileno(), CLONE_NEWNET) != 0:
                    result.append((False, OSError(ctypes.get_errno(), "setns")))
                    return
            try:
                result.append((True, function()))
            except BaseException as e:  # pylint: disable=broad-except
                result.append((False, e))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        ok, value = result[0]
        if not ok:
            raise value
        return value

    def hide(self, *paths):
        """Mounts empty directories over these paths, on this host only."""
        for path in paths:
            self.do("mount", "-t", "tmpfs", "-o", "mode=0755", "chunklift-test", path)

    # its wire ---------------------------------------------------------------------------------------------------

    def limit(self, rate, burst="32kb"):
        """Limits its wire to this rate each way, with a queue of QUEUE_MS; None removes the limit."""
        for place, device in ((self, "eth0"), (self.hosts.switch, self.port)):
            if rate is None:
                place.do("tc", "qdisc", "del", "dev", device, "root")
            else:
                place.do("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", burst, "latency", f"{QUEUE_MS}ms")

    def partition(self):
        """Drops every packet on its wire, both ways, without an error to either side."""
        self.hosts.rules[self.name] = [f'iifname "{self.port}" drop', f'oifname "{self.port}" drop']
        self.hosts.write_rules()

    def heal(self):
        del self.hosts.rules[self.name]
        self.hosts.write_rules()

    def lose(self, percent):
        """Drops this share of the packets on its wire, each way."""
        self.hosts.lose_some(self.name, percent, [f'iifname "{self.port}"', f'oifname "{self.port}"'])

    def received(self):
        """Bytes received over its wire."""
        return self._count("rx")

    def sent(self):
        return self._count("tx")

    def _count(self, way):
        out = self.do("ip", "-s", "-json", "link", "show", "dev", "eth0")
        return int(re.search(rf'"{way}":\{{"bytes":(\d+)', out)[1])


class Hosts:
    def __init__(self, box, *names, delay_ms=None):
        self.box, self.delay_ms = box, delay_ms
        self.rules = {}
        self.all = {}
        self.wire = None
        self.stack = contextlib.ExitStack()
        try:
            self._make(names)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __getitem__(self, name):
        return self.all[name]

    def __iter__(self):
        return iter(self.all.values())

    def close(self):
        self.box.kill_all()
        self.stack.close()

    # setup ------------------------------------------------------------------------------------------------------

    def _make(self, names):
        self.dir = Path(tempfile.mkdtemp(prefix="hosts-", dir=self.box.dir))
        self.switch = Place("switch", self.box.dir)
        self.stack.callback(self.switch.close)
        self._in_switch("link add bridge type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set bridge up")
        self.switch.do("nft", "-f", "-", text="table bridge wires { chain forward { type filter hook forward priority 0; }; }")
        for number, name in enumerate(names, 1):
            self._add(name, number)
        if self.delay_ms is not None:
            self._start_wires(self.all.values())
        for host in self:
            self._connect(host)

    def _add(self, name, number):
        host = self.all[name] = Host(self, name, number)
        self.stack.callback(host.close)
        if self.delay_ms is None:
            self._in_switch(f"link add {host.port} type veth peer name eth0 netns {host.keeper.pid}")
        return host

    def _start_wires(self, hosts):
        command = [BUILD / "servers" / "delay", int(self.delay_ms * 1000), self.switch.net, *(f"{h.port}={h.net}" for h in hosts)]
        self.wire = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.stack.callback(self._end_wires, self.wire)
        if self.wire.stdout.readline() != "ready\n":
            raise OSError("the delayed wires could not be made")

    @staticmethod
    def _end_wires(wire):
        wire.kill()
        wire.wait()
        wire.stdin.close()
        wire.stdout.close()

    def _connect(self, host):
        self._in_switch(f"link set {host.port} master bridge", f"link set {host.port} up")
        host.do("ip", "-batch", "-", text=f"addr add {host.address}/24 dev eth0\nlink set eth0 up\n")

    def _in_switch(self, *lines):
        self.switch.do("ip", "-batch", "-", text="".join(f"{line}\n" for line in lines))

    # all wires --------------------------------------------------------------------------------------------------

    def delay(self, ms):
        """Sets the one-way latency of every wire; two hosts are two wires apart. Needs delay_ms."""
        self.wire.stdin.write(f"{int(ms * 1000)}\n")
        self.wire.stdin.flush()
        self.delay_ms = ms

    def lose(self, percent):
        """Drops this share of all packets between hosts; 0 ends the losses."""
        self.lose_some("", percent, [""])

    def lose_some(self, whose, percent, matches):
        for host in self:  # the bridge would drop a large segment as a whole before it is split into packets
            host.do("ip", "link", "set", "eth0", "gso_max_segs", 1)
        some = f"numgen random mod 1000 < {int(percent * 10)}" if percent < 100 else ""
        self.rules[f"lose {whose}"] = [f"{m} {some} drop" for m in matches if percent]
        self.write_rules()

    def write_rules(self):
        lines = [f"add rule bridge wires forward {rule}" for rules in self.rules.values() for rule in rules]
        self.switch.do("nft", "-f", "-", text="\n".join(["flush chain bridge wires forward", *lines, ""]))


__all__ = ["Hosts", "missing", "wait_for"]
