"""Hosts with keys from chunklift keygen, and trust files."""

import os
import signal

import zmq

from support.box import wait_for


class Keys:
    """The keys of one test: keys.make("up", "uploader") → a host; keys.trust is the trust file of all hosts."""

    def __init__(self, box):
        self.box = box
        self.dir = box.dir / "keys"
        self.dir.mkdir(mode=0o700)
        self.trust = self.dir / "trust"
        self.lines = {}
        self.write()

    def make(self, name, roles=None, endpoint=""):
        """Makes a key. With roles, also trusts it."""
        self.box.run("keygen", "--quiet", self.dir / name)
        key = (self.dir / f"{name}.pub").read_text().split()[0]
        secret = next(line.split()[1] for line in (self.dir / name).read_text().splitlines() if line.startswith("secret"))
        host = Host(name, key, secret, self.dir / name, self.trust)
        if roles:
            self.allow(host, roles, endpoint)
        return host

    def allow(self, host, roles, endpoint=""):
        self.lines[host.name, endpoint] = f"{host.key} {roles} {endpoint} # {host.name}"
        self.write()

    def revoke(self, host):
        self.lines = {k: v for k, v in self.lines.items() if k[0] != host.name}
        self.write()

    def write(self, extra=""):
        new = self.dir / "trust.new"
        new.write_text("# who may talk to whom\n" + "".join(f"{line}\n" for line in self.lines.values()) + extra)
        os.chmod(new, 0o644)
        os.replace(new, self.trust)

    def reread(self, child, said="read again"):
        """Sends SIGHUP and waits until the program logs that it has reread its trust file."""
        before = child.log.read_text(errors="replace").count(said)
        child.send_signal(signal.SIGHUP)
        wait_for(lambda: child.log.read_text(errors="replace").count(said) > before, what=f"'{said}' after SIGHUP")


class Host:
    def __init__(self, name, key, secret, file, trust):
        self.name, self.key, self.secret = name, key, secret
        self.options = ["--key", file, "--trust", trust]

    def client(self, server):
        """Options of a pyzmq socket that connects to this server."""
        return {"CURVE_PUBLICKEY": self.key.encode(), "CURVE_SECRETKEY": self.secret.encode(), "CURVE_SERVERKEY": server.key.encode()}

    def server(self):
        return {"CURVE_SERVER": 1, "CURVE_SECRETKEY": self.secret.encode()}


def stranger(kind, endpoint, **options):
    """A connected pyzmq socket."""
    s = zmq.Context.instance().socket(kind)
    s.linger = 0
    for name, value in options.items():
        setattr(s, name, value)
    s.connect(endpoint)
    return s


def tree_text(pid):
    """Title and environment of a process, as visible to other processes."""
    with open(f"/proc/{pid}/cmdline", "rb") as f, open(f"/proc/{pid}/environ", "rb") as e:
        return f.read() + e.read()
