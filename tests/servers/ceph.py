"""A single-node Ceph with its S3 gateway, on 127.0.0.1 or on a test host's address: monitor, one in-memory object store daemon, radosgw. It starts in
seconds and leaves no files."""

import uuid

from servers.base import Server, free_port, wait_for

CONF = """
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{mon_v2}/0,v1:127.0.0.1:{mon_v1}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {osd_low}
ms bind port max = {osd_high}
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
keyring = /dev/null
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd min up ratio = 0
run dir = {dir}/run
admin socket = {dir}/run/$name.asok
log file = {dir}/log/$name.log
mon cluster log file = {dir}/log/cluster.log
crash dir = {dir}/run
[mon.a]
host = localhost
mon data = {dir}/mon
[osd]
osd data = {dir}/osd
osd objectstore = memstore
osd class load list = *
osd class default list = *
memstore device bytes = 6442450944
osd memory target = 939524096
[client.rgw]
rgw data = {dir}/run
rgw frontends = beast endpoint={address}:{port}
rgw thread pool size = 64
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = test-key=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
rgw cache enabled = true
rgw enable usage log = false
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw gc processor max time = 2
rgw enable ops log = true
rgw ops log rados = false
rgw ops log socket path =
rgw ops log file path = {dir}/log/ops.json
debug rgw = 1
"""


class CephRgw(Server):
    needs = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")

    def up(self):
        for name in ("mon", "osd", "run"):
            (self.dir / name).mkdir()
        conf = self.dir / "ceph.conf"
        low = 26800
        fsid, mon_v2, mon_v1 = uuid.uuid4(), free_port(), free_port()
        conf.write_text(CONF.format(fsid=fsid, dir=self.dir, port=self.port, address=self.address, mon_v2=mon_v2, mon_v1=mon_v1, osd_low=low, osd_high=low + 400))
        c = ("-c", conf)
        self.command("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]",
                     self.dir / "monmap")
        self.command("ceph-mon", *c, "-i", "a", "--mkfs", "--monmap", self.dir / "monmap")
        self.start("mon", "ceph-mon", *c, "-i", "a", "-f")
        wait_for(lambda: self.ceph(c, "mon", "stat").returncode == 0, 60, "the monitor answers", 0.1)
        osd = uuid.uuid4()
        self.ceph(c, "osd", "new", str(osd))
        self.command("ceph-osd", *c, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start("osd", "ceph-osd", *c, "-i", "0", "-f")
        wait_for(lambda: "1 up" in self.ceph(c, "osd", "stat").stdout, 60, "the object store daemon is up", 0.1)
        self.start("rgw", "radosgw", *c, "-n", "client.rgw", "-f")
        wait_for(lambda: self.answers(self.endpoint), 90, "the gateway answers", 0.1)
        self.command("radosgw-admin", *c, "user", "create", "--uid=test", "--display-name=test", f"--access-key={self.access_key}",
                     f"--secret-key={self.secret_key}")
        self.make_bucket("bucket")

    def start_sts(self):
        """Starts a second gateway, which also gives the keys of roles, and returns its URL. It refuses wrong keys in other words than the first one."""
        url = f"http://{self.address}:{free_port()}"
        self.start("sts", "radosgw", "-c", self.dir / "ceph.conf", "-n", "client.rgw", "-f", "--admin-socket", self.dir / "run" / "sts.asok",
                   "--log-file", self.dir / "log" / "sts.log", "--rgw-frontends", f"beast endpoint={url.removeprefix('http://')}",
                   "--rgw-s3-auth-use-sts", "true", "--rgw-sts-key", "0123456789abcdef")
        wait_for(lambda: self.answers(url), 90, "the gateway for roles answers", 0.1)
        return url

    def ceph(self, c, *args):
        self.alive()
        return self.command("ceph", *c, "--connect-timeout", "3", *args, check=False)
