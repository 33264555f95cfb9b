"""MinIO, which verifies CRC32C checksums of parts and whole objects."""

from servers.base import wait_for
from servers.go import GoServer


class Minio(GoServer):
    module, version = "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"

    def up(self):
        env = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key, "MINIO_BROWSER": "off",
               "MINIO_UPDATE": "off", "MINIO_PROMETHEUS_AUTH_TYPE": "public", "CI": "1"}
        self.start("minio", self.program(), "server", "--address", f"127.0.0.1:{self.port}", "--console-address", "127.0.0.1:0", self.dir / "data",
                   env=env)
        wait_for(lambda: self.answers(f"{self.endpoint}/minio/health/ready"), 60, "MinIO answers", 0.1)
        self.make_bucket("bucket")
