"""Runs the commands of docs/OPERATIONS.md for standing services word for word, in a mount namespace with its own /etc, /home, /run, /usr/local
and /var/lib. `systemctl` is simulated: a unit's command line runs as its user, with its directories and its umask."""

import os
import re
import shlex
import signal
import subprocess

import pytest
from support import mounts
from support.box import BUILD, ROOT, free_port, random_file, read_journal, wait_for

OPERATIONS = ROOT / "docs/OPERATIONS.md"
CONSUMER = "ipc:///run/chunklift/consumer"


class Machine:
    """A machine in a mount namespace. Every process in it ends with keeper."""

    def __init__(self, box):
        self.box, self.units, self.starts = box, {}, 0
        for name in ("etc", "home", "run", "local", "lib"):
            (box.dir / "machine" / name).mkdir(parents=True)
        made = f"{box.dir}/machine"
        script = (f"cp -a /etc/. {made}/etc/ && mount --bind {made}/etc /etc && mount --bind {made}/home /home && mount --bind {made}/run /run && "
                  f"mount --bind {made}/local /usr/local && mount --bind {made}/lib /var/lib && echo ready && exec sleep 600")
        self.keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "slave", "sh", "-c", script], stdout=subprocess.PIPE, text=True,
                                       env={**box.env, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert self.keeper.stdout.readline() == "ready\n"
        self.enter = ["nsenter", "--mount", f"--target={self.keeper.pid}", "env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

    def run(self, command, user=None, status=0):
        """Runs one line of the document."""
        enter = [*self.enter]
        if user:
            enter += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "env", f"HOME=/home/{user}"]
        done = subprocess.run([*enter, "sh", "-c", command], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, cwd="/")
        assert done.returncode == status, f"{user or 'root'}: {command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def path(self, path):
        """The host's path of a path of the machine."""
        return f"/proc/{self.keeper.pid}/root{path}"

    def systemctl(self, words):
        unit = words[-1].removesuffix(".service")
        if "restart" in words or "stop" in words:
            self.stop(unit)
        if "stop" not in words:
            self.start(unit)

    def start(self, unit):
        name, _, instance = unit.partition("@")
        with open(self.path(f"/usr/local/lib/systemd/system/{name}{'@' if instance else ''}.service"), encoding="utf-8") as f:
            settings = dict(re.findall(r"^(\w+)=-?(.*)$", f.read().replace("%i", instance), re.M))
        user, group = settings["User"], settings["Group"]
        for kind, at in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
            if kind in settings:
                self.run(f"install -d -o {user} -g {group} -m {settings[kind + 'Mode']} {at}/{settings[kind]}")
        environment = shlex.split(settings.get("Environment", ""))
        if file := settings.get("EnvironmentFile"):
            environment += self.run(f"cat {file}").stdout.split()  # root reads it
        command = (f"mount -t tmpfs private /tmp && umask {settings['UMask']} && exec setpriv --reuid={user} --regid={group} --init-groups "
                   f"--inh-caps=-all --bounding-set=-all env {' '.join(map(shlex.quote, environment))} {settings['ExecStart']}")
        log = open(self.box.dir / f"{unit}.log", "ab")
        child = subprocess.Popen([*self.enter, "unshare", "--mount", "--propagation", "slave", "sh", "-c", command], stdout=log,
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/")
        self.units[unit] = child
        if name == "chunklift-consumer":
            self.starts += 1
            wait_for(lambda: self.log(unit).count('"listening"') == self.starts or child.poll() is not None, what="a consumer that listens")
        else:
            wait_for(lambda: f'"role":"uploader","worker":"{os.uname().nodename}/{child.pid}"' in self.log("chunklift-consumer")
                     or child.poll() is not None, what="an uploader that joined")
        assert child.poll() is None, self.log(unit)

    def stop(self, unit):
        child = self.units.pop(unit)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0, self.log(unit)

    def log(self, unit):
        return (self.box.dir / f"{unit}.log").read_text(errors="replace")

    def close(self):
        for child in self.units.values():
            child.kill()
            child.wait()
        self.keeper.kill()
        self.keeper.wait()


@pytest.fixture
def machine(box):
    if reason := mounts.missing():
        pytest.skip(reason)
    if mounts.in_chroot():
        pytest.skip("in a chroot: another process would enter the machine outside of it")
    m = Machine(box)
    try:
        m.run("useradd --create-home alice && useradd --create-home bob && install -d /home/alice/run42 && echo data >/home/alice/run42/a && "
              "chown -R alice: /home/alice/run42")
        yield m
    finally:
        for unit in m.units:
            print(unit, m.log(unit))
        m.close()


def blocks():
    """The blocks of commands of "Standing services"."""
    section = OPERATIONS.read_text(encoding="utf-8").split("## Standing services")[1].split("\n## ")[0]
    return [[line for line in block.strip().splitlines()] for block in re.findall(r"```\n(.*?)```", section, re.S)]


def follow(machine, block):
    outputs = []
    for line in block:
        user, command = re.fullmatch(r"(?:(\w+)\$|#) (.*)", line).groups()
        command = command.replace("build/release", str(BUILD))
        if command.startswith("systemctl"):
            machine.systemctl(command.split())
        else:
            outputs.append(machine.run(command, user))
    return outputs


def test_operations_word_for_word(box, machine):
    install, member, keys, network = blocks()
    follow(machine, install)
    _, copied, status = follow(machine, member)
    assert "1 file uploaded" in copied.stderr and "consumer" in status.stdout
    with open(machine.path("/home/alice/archive/a"), encoding="utf-8") as f:
        assert f.read() == "data\n"
    journal = machine.path("/var/lib/chunklift/journal")
    assert [r["src"] for r in read_journal(journal) if r["ev"] == "put"] == ["/home/alice/run42/a"]
    # another user sees the reason of the refusal
    refused = machine.run(f"chunklift cp --consumer {CONSUMER} /etc/hostname /home/bob/x", "bob", status=3)
    assert "permission denied" in refused.stderr.splitlines()[0]
    # a command of root on the stopped service's journal leaves only files that the service can open
    machine.stop("chunklift-consumer")
    machine.run("chunklift cp --journal /var/lib/chunklift/journal /home/alice/run42/a /root/copy-of-a 2>&1 && rm /root/copy-of-a || true")
    machine.run("! find /var/lib/chunklift ! -user chunklift | grep .")
    machine.start("chunklift-consumer")
    # across hosts: the files are edited as the document says
    follow(machine, keys)
    at, jobs = f"tcp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}"
    key = machine.run("cut -d' ' -f1 /etc/chunklift/trust").stdout.strip()
    machine.run("chunklift keygen --owner alice --roles producer /home/alice/key")
    producer = machine.run("cut -d' ' -f1 /home/alice/key.pub").stdout.strip()
    machine.run(f"printf '%s\\n' '{key} consumer {at}' '{producer} producer {jobs}' >>/etc/chunklift/trust")
    edited = f"bind = {at}\\nkey = /etc/chunklift/key\\ntrust = /etc/chunklift/trust\\n"
    machine.run(f"printf '{edited}' >/etc/chunklift/consumer.conf")
    edited = f"consumer = {at}\\njobs = {jobs}\\nkey = /etc/chunklift/key\\ntrust = /etc/chunklift/trust\\nallow = file:///var/lib/chunklift/in/\\n"
    machine.run(f"printf '{edited}' >/etc/chunklift/media.conf && install -d -o chunklift /var/lib/chunklift/in")
    follow(machine, network)
    machine.run(f"cp /etc/chunklift/trust /home/alice/trust && chown alice: /home/alice/key.pub")
    sent = machine.run(f"chunklift producer --consumer {at} --jobs {jobs} --key /home/alice/key --trust /home/alice/trust --no-progress "
                       "/home/alice/run42/a /var/lib/chunklift/in/", "alice")
    assert "1 file uploaded" in sent.stderr
    for unit in list(machine.units):
        machine.stop(unit)


def test_root_gives_a_journal_to_its_owner(box):
    """After cp as root on another user's journal directory, every file there belongs to that user."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    box.journal.mkdir(mode=0o700)
    os.chown(box.journal, 65534, 65534)
    box.cp(random_file(box.dir / "f", 100), box.dir / "out/")
    box.gone()
    assert {p.name: p.stat().st_uid for p in box.journal.iterdir() if p.stat().st_uid != 65534} == {}
    assert {"journal.jsonl", "lock", "consumer.log", "snapshot"} <= {p.name for p in box.journal.iterdir()}
