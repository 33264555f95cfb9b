"""Common base of the throwaway servers: a directory, child processes that are ended by pid, free ports."""

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.box import free_port, wait_for


class Server:
    access_key = "testkey0123456789AB"
    secret_key = "testsecret0123456789testsecret0123456789"
    region = "us-east-1"
    needs = ()  # required programs

    def __init__(self, host=None):
        """host: the host of support/hosts.py to run on."""
        self.host, self.address = host, host.address if host else "127.0.0.1"
        self.dir = Path(tempfile.mkdtemp(prefix=f"cl-{type(self).__name__.lower()}-"))
        (self.dir / "log").mkdir()
        self.children = []
        self.port = free_port()

    @classmethod
    def missing(cls):
        """The reason why this server cannot run on this machine, or None."""
        gone = [p for p in cls.needs if not shutil.which(p)]
        return f"{', '.join(gone)} not installed" if gone else None

    @property
    def endpoint(self):
        return f"http://{self.address}:{self.port}"

    @property
    def env(self):
        """Credentials for chunklift and for other clients."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_DEFAULT_REGION": self.region,
                "AWS_EC2_METADATA_DISABLED": "true"}

    def there(self, argv):
        return [*(self.host.enter if self.host else ()), *map(str, argv)]

    def start(self, name, *argv, env=None):
        log = open(self.dir / "log" / f"{name}.out", "ab")
        child = subprocess.Popen(self.there(argv), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
                                 cwd=self.dir)
        child.name = name
        self.children.append(child)
        return child

    def alive(self):
        for child in self.children:
            if child.poll() is not None:
                out = (self.dir / "log" / f"{child.name}.out").read_text(errors="replace")[-2000:]
                raise AssertionError(f"{child.name} ended with {child.returncode}:\n{out}")
        return True

    def answers(self, url):
        self.alive()

        def ask():
            urllib.request.urlopen(url, timeout=5).close()
        try:
            if self.host:
                self.host.within(ask)
            else:
                ask()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def command(self, *argv, timeout=60, check=True, env=None):
        return subprocess.run(self.there(argv), check=check, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **self.env, **(env or {})})

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for child in reversed(self.children):
            child.send_signal(signal.SIGKILL)
        for child in self.children:
            child.wait()
        for _ in range(20):
            shutil.rmtree(self.dir, ignore_errors=True)
            if not self.dir.exists():
                break
            time.sleep(0.1)

    # an independent client ------------------------------------------------------------------------------------

    def aws(self, *args, check=True, timeout=300):
        """Runs Debian's awscli, an independent S3 client."""
        return self.command("/usr/bin/aws", "--endpoint-url", self.endpoint, *args, check=check, timeout=timeout,
                            env={"HOME": str(self.dir), "AWS_CONFIG_FILE": "/dev/null"})

    @functools.cached_property
    def s3(self):
        """The client library of Debian's awscli in this process: saves half a second of CPU per call. Not for a server on a host of its own."""
        from awscli.botocore import config, session  # imported here, because machines without a store do not have it
        assert not self.host
        return session.Session().create_client("s3", endpoint_url=self.endpoint, region_name=self.region, aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
                                               config=config.Config(s3={"addressing_style": "path"}))

    def make_bucket(self, name):
        if self.host:
            self.aws("s3api", "create-bucket", "--bucket", name)
        else:
            self.s3.create_bucket(Bucket=name)

    def open_uploads(self, bucket):
        return self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def get_object(self, key, path, bucket="bucket"):
        with open(path, "wb") as f:
            for piece in self.s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
                f.write(piece)


__all__ = ["Server", "wait_for", "free_port"]
