"""MinIO, which verifies CRC32C checksums of parts and whole objects. Not in Debian: built once from its module, version pinned."""

import os
import shutil
import subprocess
from pathlib import Path

from servers.base import Server, wait_for
from support.box import ROOT

VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
PROGRAM = ROOT / "build" / "minio" / VERSION / "minio"


class Minio(Server):
    @classmethod
    def missing(cls):
        if PROGRAM.exists():
            return None
        go = shutil.which("go")
        if not go:
            return "Go is not installed: MinIO cannot be built"
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "GOBIN": str(PROGRAM.parent), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        done = subprocess.run([go, "install", f"github.com/minio/minio@{VERSION}"], env=env, capture_output=True, text=True, timeout=900,
                              cwd=Path("/"))
        if done.returncode != 0:
            return f"MinIO {VERSION} could not be built: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason given'}"
        return None

    def up(self):
        env = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key, "MINIO_BROWSER": "off",
               "MINIO_UPDATE": "off", "MINIO_PROMETHEUS_AUTH_TYPE": "public", "CI": "1"}
        self.start("minio", PROGRAM, "server", "--address", f"127.0.0.1:{self.port}", "--console-address", "127.0.0.1:0", self.dir / "data",
                   env=env)
        wait_for(lambda: self.answers(f"{self.endpoint}/minio/health/ready"), 60, "MinIO answers", 0.1)
        self.make_bucket("bucket")
