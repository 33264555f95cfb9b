"""The connection to an S3 store: certificate authorities, proxies, and replies of intermediaries."""

import base64
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from servers.memory_store import MemoryStore
from support.box import random_file
from support.toy_store import Reply, ToyStore, make_tls

KEYS = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}


@pytest.fixture(name="src")
def _src(box):
    return random_file(box.dir / "src", 1000)


@pytest.fixture(name="authority", scope="module")
def _authority(tmp_path_factory):
    """(the CA's certificate, the server's TLS context)"""
    return make_tls(tmp_path_factory.mktemp("tls"))


def lines(done):
    return done.stderr.splitlines()


def hashed_directory(box, certificate):
    """The directory that c_rehash(1) makes."""
    directory = box.dir / "certs"
    directory.mkdir()
    shutil.copy(certificate, directory / "ca.pem")
    name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", certificate], check=True, capture_output=True, text=True).stdout.strip()
    (directory / f"{name}.0").symlink_to("ca.pem")
    return directory


# --- certificate authorities ----------------------------------------------------------------------------------------------------------------------


def test_the_option_names_the_authority_before_all_settings(box, src, authority):
    ca, tls = authority
    other = {**KEYS, "AWS_CA_BUNDLE": "/nonexistent/ca.pem"}
    with ToyStore(tls=tls) as store:
        box.cp("--endpoint-url", store.url, "--ca-cert", ca, src, "s3://bucket/k", env=other)
        assert store.body("/bucket/k") == src.read_bytes()
        done = box.run("doctor", "--journal", box.journal, "--endpoint-url", store.url, "--ca-cert", ca, "s3://bucket", env=other, status=None)
        assert " tls: the store's certificate ends " in done.stdout and "fail  tls" not in done.stdout, done.stdout
    done = box.cp("--endpoint-url", "https://127.0.0.1:9", "--ca-cert", "/nonexistent/ca.pem", src, "s3://bucket/k", env=KEYS, status=2)
    assert lines(done) == ["chunklift: --ca-cert names /nonexistent/ca.pem for certificate authorities: No such file or directory"]


def test_a_certificate_that_is_not_checked_is_a_warning(box, src, authority):
    with ToyStore(tls=authority[1]) as store:
        done = box.cp("--endpoint-url", store.url, "--no-verify-ssl", src, "s3://bucket/k", env=KEYS)
        assert store.body("/bucket/k") == src.read_bytes()
        assert done.stderr.count("chunklift: --no-verify-ssl: the certificate of the store is not checked") == 1
        checks = box.run("doctor", "--journal", box.journal, "--endpoint-url", store.url, "--no-verify-ssl", "s3://bucket", env=KEYS, status=None).stdout
        assert any(line.startswith("warn") and "--no-verify-ssl" in line for line in checks.splitlines()), checks
        key = box.dir / "key"
        key.write_bytes(b"k" * 32)
        key.chmod(0o600)
        done = box.cp("--endpoint-url", store.url, "--no-verify-ssl", "--sse-c-key", key, src, "s3://bucket/other", env=KEYS, status=2)
        assert "with --no-verify-ssl the key could be sent to anyone" in done.stderr


def test_verify_asks_a_store_of_a_private_authority(box, src, authority):
    """As a command of its own, after the upload: with the authority, without one, and unchecked."""
    ca, tls = authority
    with MemoryStore(tls=tls) as store:
        box.cp("--endpoint-url", store.endpoint, "--ca-cert", ca, src, "s3://bucket/k", env=KEYS)
        command = ("verify", "--journal", box.journal, "--retry-for", "1s")
        assert "1 object compared" in box.run(*command, "--ca-cert", ca, env=KEYS).stderr
        assert "1 object compared" in box.run(*command, "--no-verify-ssl", env=KEYS).stderr
        done = box.run(*command, env=KEYS, status=None)
        assert done.returncode in (1, 3) and "--ca-cert" in done.stderr, done.stderr


@pytest.mark.parametrize("how", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "ca_bundle", "SSL_CERT_DIR", "directory"])
def test_a_private_authority_is_trusted_however_it_is_named(box, src, authority, how):
    ca, tls = authority
    env = dict(KEYS)
    if how == "ca_bundle":
        (box.dir / "home" / ".aws").mkdir()
        (box.dir / "home" / ".aws" / "config").write_text(f"[default]\nca_bundle = {ca}\n")
    elif how == "SSL_CERT_DIR":
        env[how] = f"/nonexistent:{hashed_directory(box, ca)}"
    elif how == "directory":
        env["AWS_CA_BUNDLE"] = str(hashed_directory(box, ca))
    else:
        env[how] = str(ca)
    with ToyStore(tls=tls) as store:
        box.cp("--endpoint-url", store.url, src, "s3://bucket/k", env=env)
        assert store.body("/bucket/k") == src.read_bytes()


def test_an_unknown_authority_fails_at_once_and_says_how_to_name_it(box, src, authority):
    with ToyStore(tls=authority[1]) as store:
        done = box.cp("--no-progress", "--endpoint-url", store.url, src, "s3://bucket/k", env=KEYS, status=None, timeout=9)
        assert done.returncode in (1, 3) and store.requests == []
        assert "AWS_CA_BUNDLE=FILE" in lines(done)[0] and "ca_bundle" in lines(done)[0], done.stderr


@pytest.mark.parametrize("how", ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "ca_bundle"])
def test_a_file_of_authorities_that_is_missing_is_exit_2(box, src, how):
    env = dict(KEYS)
    if how == "ca_bundle":
        (box.dir / "home" / ".aws").mkdir()
        (box.dir / "home" / ".aws" / "config").write_text("[default]\nca_bundle = /nonexistent/ca.pem\n")
    else:
        env[how] = "/nonexistent/ca.pem"
    done = box.cp("--endpoint-url", "https://127.0.0.1:9", src, "s3://bucket/k", env=env, status=2)
    assert len(lines(done)) == 1 and how in done.stderr and "/nonexistent/ca.pem" in done.stderr and "No such file" in done.stderr, done.stderr


# --- proxies --------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env, used", [
    ({"HTTP_PROXY": "{}"}, True),
    ({"http_proxy": "{}", "HTTP_PROXY": "http://127.0.0.1:1"}, True),
    ({"ALL_PROXY": "{}"}, True),
    ({"HTTP_PROXY": "{}", "NO_PROXY": "127.0.0.1"}, False),
    ({"HTTP_PROXY": "{}", "REQUEST_METHOD": "GET"}, False),
    ({"HTTPS_PROXY": "{}"}, False),
])
def test_the_proxy_of_the_environment(box, src, env, used):
    with ToyStore() as store, ToyStore() as proxy:
        done = box.cp("--endpoint-url", store.url, src, "s3://bucket/k", env={**KEYS, **{k: v.format(proxy.url) for k, v in env.items()}})
        assert [bool(s.requests) for s in (proxy, store)] == [used, not used]
        assert not used or proxy.requests[0].target.startswith(store.url)
        assert ("REQUEST_METHOD" in done.stderr) == ("REQUEST_METHOD" in env)


def test_a_proxy_of_https_in_capitals_and_one_that_wants_a_password(box, src):
    def answer(request):
        return Reply(407, headers={"Proxy-Authenticate": 'Basic realm="x"'})

    with ToyStore(answer) as proxy:
        for endpoint, variable in (("http://store.example", "HTTP_PROXY"), ("https://store.example", "HTTPS_PROXY")):
            done = box.cp("--no-progress", "--endpoint-url", endpoint, src, "s3://bucket/k", env={**KEYS, variable: proxy.url}, status=None, timeout=9)
            assert done.returncode in (1, 3) and "407" in lines(done)[0] and "the proxy wants a user name and a password" in lines(done)[0], done.stderr


def test_the_password_of_a_proxy_is_used_and_not_shown(box, src):
    with ToyStore() as proxy:
        url = proxy.url.replace("http://", "http://user:hunter2pw@")
        done = box.cp("-v", "--endpoint-url", "http://store.example:8000", src, "s3://bucket/k", env={**KEYS, "HTTP_PROXY": url})
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:hunter2pw").decode()
        assert "hunter2pw" not in done.stdout + done.stderr + (box.journal / "journal.jsonl").read_text()


# --- replies of intermediaries --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_says_where_to(box, src, status):
    where = "https://user:hunter2pw@portal.example/login?key=hunter2pw"
    with ToyStore(lambda r: Reply(status, headers={"Location": where})) as store:
        done = box.cp("--no-progress", "--endpoint-url", store.url, src, "s3://bucket/k", env=KEYS, status=1)
        assert f"{status} " in lines(done)[0] and "https://***@portal.example" in lines(done)[0] and "--endpoint-url" in lines(done)[0], done.stderr
        assert "hunter2pw" not in done.stdout + done.stderr + (box.journal / "journal.jsonl").read_text()


# --- the wrong scheme -----------------------------------------------------------------------------------------------------------------------------


class Strict:
    """A TLS server that answers 400 to plain HTTP, as nginx and servers written in Go do."""

    def __init__(self, tls):
        self.tls, self.listener = tls, socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                with self.listener.accept()[0] as client:
                    self.serve(client)
            except ssl.SSLError:
                pass
            except OSError:
                return

    def serve(self, client):
        if client.recv(1, socket.MSG_PEEK) == b"\x16":
            with self.tls.wrap_socket(client, server_side=True) as spoken:
                spoken.recv(1)
        else:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 48\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n\n")


@pytest.mark.parametrize("kind", ["plain to TLS", "plain to TLS with 400", "TLS to plain"])
def test_a_wrong_scheme_is_found_out_at_once(box, authority, kind):
    tree = box.dir / "tree"
    for i in range(5):
        random_file(tree / str(i), 10)
    with ToyStore(tls=authority[1] if kind == "plain to TLS" else None) as store:
        url = store.url.replace("https", "http") if kind == "plain to TLS" else store.url.replace("http", "https")
        if kind == "plain to TLS with 400":
            url = Strict(authority[1]).url
        done = box.cp("-r", "--no-progress", "--endpoint-url", url, tree, "s3://bucket/p", env=KEYS, status=3, timeout=20)
        right = "http://" if kind == "TLS to plain" else "https://"
        assert done.stderr.count(f"write the endpoint URL with {right}") >= 1 and "write the endpoint URL" in lines(done)[0], done.stderr
        assert f"{url.split('//')[1]} {'does not speak' if right == 'http://' else 'speaks'} TLS" in done.stderr
