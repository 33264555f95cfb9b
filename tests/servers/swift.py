"""OpenStack Swift with its S3 API on 127.0.0.1: one replica of account, container and object server behind a proxy. It checks signatures strictly."""

import contextlib

from servers.base import Server, free_port, wait_for

BACK = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {dir}
devices = {dir}/dev
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
recon_cache_path = {dir}/cache
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[{kind}-replicator]
[{kind}-updater]
[{kind}-auditor]
"""

FRONT = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {dir}
log_level = INFO
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk s3api tempauth slo copy proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{nothing}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_upload_part_num = 10000
"""

# One process instead of nine runs of swift-ring-builder, of a CPU second each.
RINGS = """
import sys
from swift.common.ring import RingBuilder
for kind, port in zip(sys.argv[2::2], sys.argv[3::2]):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")
"""


class Swift(Server):
    access_key = "test:tester"
    secret_key = "testing"
    needs = ("swift-proxy-server", "swift-object-server", "swift-container-server", "swift-account-server")

    def up(self):
        import getpass

        user = getpass.getuser()
        (self.dir / "dev" / "d1").mkdir(parents=True)
        (self.dir / "cache").mkdir()
        ports = {kind: free_port() for kind in ("account", "container", "object")}

        for kind, port in ports.items():
            (self.dir / f"{kind}.conf").write_text(BACK.format(kind=kind, port=port, dir=self.dir, user=user))
        self.command("/usr/bin/python3", "-c", RINGS, self.dir, *(word for kind, port in ports.items() for word in (kind, port)), timeout=300)
        (self.dir / "proxy.conf").write_text(FRONT.format(port=self.port, dir=self.dir, user=user, nothing=free_port()))
        for kind in (*ports, "proxy"):
            self.start(kind, f"swift-{kind}-server", self.dir / f"{kind}.conf", "-v")
        wait_for(lambda: self.answers(f"{self.endpoint}/info"), 120, "the proxy answers", 0.1)

        def made():
            self.alive()
            with contextlib.suppress(Exception):  # errors of botocore during startup
                self.make_bucket("bucket")
                return True
            return False

        wait_for(made, 120, "a bucket can be made", 0.2)
