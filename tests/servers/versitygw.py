"""versitygw, a gateway from S3 to a directory. It verifies CRC32C checksums and is strict about requests."""

from servers.base import wait_for
from servers.go import GoServer


class Versitygw(GoServer):
    module, version = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"

    def up(self):
        data = self.dir / "data"
        data.mkdir()
        env = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        self.start("versitygw", self.program(), "--port", f"127.0.0.1:{self.port}", "posix", data, env=env)
        wait_for(lambda: self.answers(self.endpoint), 60, "versitygw answers", 0.1)
        self.make_bucket("bucket")
