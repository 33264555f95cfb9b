"""Bad input gives one clear line and the right exit status, and the other files are copied."""

import os
import re
import socket
import subprocess
import threading

import pytest

from support.box import check_chain, free_port, random_file, sha256_of, wait_for
from support.faults import Faults

MIB = 1 << 20


def lines(done):
    return [line for line in done.stderr.splitlines() if line.startswith("chunklift: ")]


def one_line(done, *words):
    found = lines(done)
    assert len(found) == 1, done.stderr
    for word in words:
        assert word in found[0], found[0]


@pytest.fixture
def ordinary(box):
    """Runs chunklift as a user without privileges when the tests run as root: root can read and write every file."""
    if os.geteuid() != 0:
        return {}
    os.chmod(box.dir, 0o755)
    box.share_programs()
    for name in ("home", "run", "state"):
        os.chown(box.dir / name, 65534, 65534)
    work = box.dir / "work"
    work.mkdir()
    os.chown(work, 65534, 65534)
    return {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.mark.parametrize("args, word", [
    (["cp"], "SRC"), (["cp", "a"], "DEST"), (["cp", "--no-such", "a", "b"], "--no-such"), (["cp", "--chunk-size", "3x", "a", "b"], "--chunk-size"),
    (["cp", "--chunk-size"], "--chunk-size"), (["cp", "--uploaders", "0", "a", "b"], "--uploaders"), (["cp", "--slots", "-1", "a", "b"], "--slots"),
    (["cp", "--lease", "soon", "a", "b"], "--lease"), (["cp", "--on-change", "shrug", "a", "b"], "--on-change"), (["frobnicate"], "frobnicate"),
    (["journal", "frobnicate"], "frobnicate"), (["cp", "s3://b/k", "x"], "download"), (["cp", "a", "gs://b/k"], "gs://"),
    (["cp", "--chunk-size", "1MiB", "a", "s3://bucket/x"], "5 MiB"), (["consumer", "--bind", "tcp://127.0.0.1:*"], "--insecure"),
    (["uploader", "--slots", "0"], "--slots"),
])
def test_wrong_usage_is_exit_2(box, args, word):
    random_file(box.dir / "a", 10)
    one_line(box.run(*args, status=2), word)
    assert not box.journal.exists()


@pytest.mark.parametrize("dest, right", [
    ("s3:/bucket/key", "s3://bucket/key"), ("S3://bucket/key", "s3://bucket/key"), ("file:/tmp/x", "file:///tmp/x"), ("minio:bucket/x", "./minio:bucket/x"),
    ("http://host/bucket", "--endpoint-url http://host"), ("s3://b/k", "too short"), ("s3://bucket/" + 1025 * "k", "1025 bytes"),
])
def test_mistyped_destination_is_no_local_directory(box, dest, right):
    random_file(box.dir / "a", 10)
    before = sorted(os.listdir(box.dir))
    for args in (["cp", "a", dest], ["uploader", "--allow", dest]):
        one_line(box.run(*args, status=2), dest, right)
    assert not box.journal.exists() and set(os.listdir(box.dir)) == set(before)


def test_messages_name_the_option_and_the_host(box):
    (box.dir / "trust").write_text("")
    one_line(box.run("status", "--key", "nokey", "--trust", "trust", status=2), "--key nokey: No such file")
    one_line(box.run("status", "--consumer", "tcp://no-such-host.invalid:7701", "--insecure", status=3, timeout=60), "host name 'no-such-host.invalid' does not resolve")
    one_line(box.run("cp", "--retry-for", "5x", "a", "b", status=2), "--retry-for 5x", "1h30m")


def test_a_host_name_that_does_not_resolve_is_named(box):
    """The host name of a store or a proxy that does not resolve is named; consumer and producer are tested below."""
    a = random_file(box.dir / "a", 10)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    store = ["--retry-for", "1s", "--endpoint-url", "https://no-store.invalid", a, "s3://bucket/a"]
    one_line(box.cp(*store, status=3, env=keys), "host name 'no-store.invalid' does not resolve; correct the endpoint URL")
    one_line(box.cp(*store, status=3, env={**keys, "https_proxy": "http://no-proxy.invalid:3128"}),
             "host name 'no-proxy.invalid' does not resolve; correct the proxy's URL")


def test_a_local_name_with_a_colon_is_written_with_a_dot(box):
    random_file(box.dir / "a", 10)
    done = box.cp("a", "./minio:bucket")
    assert (box.dir / "minio:bucket").exists()
    assert f"\nfile://{box.dir}/minio:bucket: 1 file uploaded" in done.stderr


def test_help_and_version(box):
    for command in ([], ["cp"], ["producer"], ["uploader"], ["consumer"], ["journal"], ["status"]):
        done = box.run(*command, "--help")
        assert "usage" in done.stdout.lower() and done.stderr == "", command
    assert box.run("--version").stdout.startswith("chunklift ")


def test_help_names_a_command_as_its_option_does(box):
    for command in (["cp"], ["uploader"], ["consumer"], ["keygen"], ["journal"], ["journal", "verify"], ["journal", "retire"]):
        assert box.run("help", *command).stdout == box.run(*command, "--help").stdout, command
    assert box.run("help").stdout == box.run("--help").stdout
    one_line(box.run("help", "nonsense", status=2), "nonsense: no such command")


def test_an_option_has_one_wording_in_all_programs(box):
    """One option has one wording in all programs, except the two ends of `--jobs`, the scope of `--bwlimit`, and `set` with its values 0 and none."""
    seen = {}
    for command in (["cp"], ["producer"], ["uploader"], ["consumer"], ["status"], ["keygen"], ["journal", "tail"], ["journal", "show"],
                    ["journal", "verify"], ["journal", "export"], ["journal", "forget"], ["journal", "retire"]):
        for line in box.run(*command, "--help").stdout.splitlines():
            found = re.match(r"  (?:-\w, |    )(--[a-z0-9-]+)(?: \S+)? {2,}(.*)", line)
            if found and found[1] not in ("--bwlimit", "--jobs"):
                assert seen.setdefault(found[1], found[2]) == found[2], (command, line)
    assert len(seen) > 40


def test_no_such_file_and_the_others_go_on(box):
    a = random_file(box.dir / "a", 10)
    done = box.cp(box.dir / "missing", a, f"{box.dir}/out/", status=1)
    one_line(done, "missing", "No such file")
    assert (box.dir / "out" / "a").exists()


def test_directory_without_r(box):
    (box.dir / "d").mkdir()
    one_line(box.cp(box.dir / "d", f"{box.dir}/out/", status=1), "-r")


def test_special_files_as_source(box):
    os.mkfifo(box.dir / "fifo")
    (box.dir / "broken").symlink_to("nowhere")
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(box.dir / "sock"))
    a = random_file(box.dir / "a", 10)
    done = box.cp(box.dir / "fifo", box.dir / "broken", box.dir / "sock", "/dev/null", a, f"{box.dir}/out/", status=1)
    found = lines(done)
    assert len(found) == 4, done.stderr
    for name in ("fifo", "broken", "sock", "/dev/null"):
        assert any(name in line for line in found), name
    assert (box.dir / "out" / "a").exists()


def test_unreadable_file_and_directory(box, ordinary):
    src = box.dir / "work" if ordinary else box.dir
    src = src / "src"
    for name in ("good", "secret", "dir/x"):
        random_file(src / name, 100)
    os.chmod(src / "secret", 0)
    os.chmod(src / "dir", 0)
    done = box.run("cp", "--journal", src.parent / "j", "-r", src, f"{src.parent}/out/", status=1, **ordinary)
    os.chmod(src / "dir", 0o700)
    found = lines(done)
    assert len(found) == 2 and all("ermission denied" in line for line in found), done.stderr
    assert (src.parent / "out" / "good").exists()


def test_destination_not_writable(box, ordinary):
    if not ordinary:
        pytest.skip("needs root to become another user")
    a = random_file(box.dir / "a", 10)
    closed = box.dir / "closed"
    closed.mkdir(mode=0o755)
    done = box.run("cp", "--journal", box.dir / "work" / "j", a, f"{closed}/x", status=1, **ordinary)
    one_line(done, "ermission denied", str(a))


def test_destination_is_a_file_in_the_way(box):
    a = random_file(box.dir / "a", 10)
    b = random_file(box.dir / "b", 9 * MIB)
    (box.dir / "wall").write_bytes(b"x")
    for f in (a, b):
        one_line(box.cp(f, f"{box.dir}/wall/x", status=1), str(f))
    (box.dir / "adir").mkdir()
    done = box.cp("-r", a, box.dir / "adir/", status=0)
    assert (box.dir / "adir" / "a").exists(), done.stderr


@pytest.mark.parametrize("size", [3000, 24 * MIB])
@pytest.mark.parametrize("change", ["grow", "shrink", "replace", "rewrite"])
def test_file_that_changes_while_it_is_uploaded(box, change, size):
    """A file that changes after an uploader got its job fails or arrives whole."""
    src = random_file(box.dir / "a.bin", size)
    other = random_file(box.dir / "other.bin", 5000, seed=5)
    faults, granted = Faults(box), "grant_read.put" if size == 3000 else "grant_read.chunk"
    faults.arm(granted, 1, "stop")
    child = box.start_cp("--no-progress", "--uploaders", "1", "--lease", "2s", src, other, f"{box.dir}/out/")
    faults.wait(granted)
    try:
        if change == "grow":
            with open(src, "ab") as f:
                f.write(b"more")
        elif change == "shrink":
            os.truncate(src, size - 1)
        elif change == "replace":
            random_file(box.dir / "new", size, seed=7)
            os.rename(box.dir / "new", src)
        else:
            st = os.stat(src)
            with open(src, "r+b") as f:
                f.write(b"overwritten")
            os.utime(src, ns=(st.st_atime_ns, st.st_mtime_ns))
    finally:
        for pid in box.processes("chunklift-uploader"):
            os.kill(pid, 18)
    status = child.wait(60)
    output = child.log.read_text()
    assert sha256_of(box.dir / "out" / "other.bin") == sha256_of(other)
    out = box.dir / "out" / "a.bin"
    if status == 0:  # the change came before the plan or after the end: one whole version arrived
        assert out.exists(), output
    else:
        assert status == 1 and "a.bin" in output and "changed" in output and not out.exists(), output
        box.cp(src, f"{box.dir}/out/")
        assert sha256_of(out) == sha256_of(src)


def test_names_with_newlines_make_one_line(box):
    (box.dir / "bad\nname").mkdir()
    one_line(box.cp(box.dir / "bad\nname", f"{box.dir}/out/", status=1), "bad\\nname")


def test_key_that_is_not_utf8_fails_alone_on_s3(box, rgw):
    src = box.dir / "src"
    random_file(src / "good", 100)
    with open(os.fsencode(src) + b"/caf\xe9", "wb") as f:
        f.write(b"x")
    done = box.cp("-r", "--endpoint-url", rgw.endpoint, src, "s3://bucket/utf8/", env=rgw.env, status=1)
    one_line(done, "caf\\xe9", "UTF-8")
    assert "1 file uploaded" in done.stderr


def test_journal_in_use_by_a_stranger(box):
    """A journal is reported as in use when the process with its lock does not answer."""
    box.journal.mkdir(mode=0o700)
    holder = subprocess.Popen(["flock", str(box.journal / "lock"), "sleep", "60"], env=box.env)
    try:
        wait_for(lambda: subprocess.run(["flock", "-n", str(box.journal / "lock"), "true"]).returncode != 0, what="the lock")
        done = box.cp(random_file(box.dir / "a", 10), box.dir / "b", status=3, timeout=60)
        one_line(done, "in use")
    finally:
        box.kill_all("sleep")
        holder.wait()


def test_journal_directory_not_writable(box, ordinary):
    if not ordinary:
        pytest.skip("needs root to become another user")
    (box.dir / "locked").mkdir(mode=0o755)
    done = box.run("cp", "--journal", box.dir / "locked" / "j", random_file(box.dir / "a", 10), box.dir / "work" / "b", status=3, **ordinary)
    one_line(done, "locked", "ermission denied")
    (box.dir / "readable").mkdir(mode=0o755)
    done = box.run("cp", "--journal", box.dir / "readable", box.dir / "a", box.dir / "work" / "b", status=3, **ordinary)
    one_line(done, "readable", "--journal")


def test_journal_damaged_in_the_middle(box):
    box.cp(random_file(box.dir / "a", 30 * MIB), box.dir / "b")
    box.gone()
    file = box.journal / "journal.jsonl"
    text = bytearray(file.read_bytes())
    text[text.index(b'"ev":"begin"') + 6] ^= 1
    file.write_bytes(text)
    done = box.cp(random_file(box.dir / "c", 10), box.dir / "d", status=3)
    one_line(done, "journal.jsonl:3")
    assert file.read_bytes() == bytes(text)
    verify = box.run("journal", "verify", box.journal, status=1)
    one_line(verify, "journal.jsonl:3")


def test_torn_tail_is_cut_and_kept(box):
    box.cp(random_file(box.dir / "a", 30 * MIB), box.dir / "b")
    box.gone()
    file = box.journal / "journal.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"seq":99,"ba')
    assert "torn" in box.run("journal", "verify", box.journal, status=1).stderr
    box.cp(random_file(box.dir / "c", 10), box.dir / "d")
    assert file.read_bytes().startswith(whole)
    check_chain(box.journal)
    kept = list(box.journal.glob("torn-*"))
    assert len(kept) == 1 and kept[0].read_bytes() == b'{"seq":99,"ba'


def test_unreachable_endpoint_is_exit_3_after_ten_seconds(box):
    """An unreachable store or consumer, or a host name that does not resolve, gives exit status 3 after ten seconds."""
    port = free_port()
    a = random_file(box.dir / "a", 10)
    verify = box.start("journal", "verify", "--consumer", f"ipc://{box.dir}/run/nobody")
    uploader = box.start("uploader", "--insecure", "--consumer", "tcp://no-consumer.invalid:7701", "--jobs", "tcp://no-producer.invalid:7702",
                         "--allow", box.dir, "--retry-for", "1s")
    producer = box.start("cp", "--insecure", "--consumer", "tcp://no-consumer.invalid:7701", a, box.dir / "b")
    done = box.cp("--endpoint-url", f"http://127.0.0.1:{port}", a, "s3://bucket/a", status=3, timeout=40,
                  env={"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
    one_line(done, f"127.0.0.1:{port}", "connect")
    assert verify.wait(20) == 3
    assert re.fullmatch(r"chunklift: .*/nobody: no consumer answers there; start it \('chunklift consumer'\), or correct the address\n", verify.log.read_text())
    assert uploader.wait(30) == 3 and producer.wait(30) == 3  # cp waits ten seconds, not ten minutes, for a consumer it did not start
    said = uploader.log.read_text()
    assert "--jobs tcp://no-producer.invalid:7702: host name 'no-producer.invalid' does not resolve" in said
    assert "tcp://no-consumer.invalid:7701: host name 'no-consumer.invalid' does not resolve" in said
    assert producer.log.read_text().count("host name 'no-consumer.invalid' does not resolve") == 1
    assert list(box.dir.glob("chunklift-journal-*")) == []


def test_no_credentials_is_exit_2_and_names_the_sources(box):
    a = random_file(box.dir / "a", 10)
    done = box.cp("--endpoint-url", "http://127.0.0.1:9", a, "s3://bucket/a", status=2)
    assert lines(done) and all("AWS_ACCESS_KEY_ID" in line and "credentials" in line for line in lines(done)), done.stderr
    one_line(done)


def test_wrong_secret_and_no_such_bucket(box, rgw):
    a = random_file(box.dir / "a", 10)
    big = random_file(box.dir / "big", 12 * MIB)
    for f in (a, big):
        done = box.cp("--endpoint-url", rgw.endpoint, f, "s3://bucket/denied", status=1, env={**rgw.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
        one_line(done, str(f), "SignatureDoesNotMatch")
        done = box.cp("--endpoint-url", rgw.endpoint, f, "s3://no-such-bucket/x", status=1, env=rgw.env)
        one_line(done, str(f), "NoSuchBucket")


def scripted_store(reply):
    """An HTTP server that answers every request with the same reply: for replies that a real store does not give on demand."""
    s = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            with c:
                head = b""
                while b"\r\n\r\n" not in head and (more := c.recv(65536)):
                    head += more
                c.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return s, f"http://127.0.0.1:{s.getsockname()[1]}"


def test_clock_too_far_off_shows_the_stores_words(box):
    body = b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the server's time is too large.</Message></Error>"
    s, url = scripted_store(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    with s:
        done = box.cp("--endpoint-url", url, random_file(box.dir / "a", 10), "s3://bucket/a", status=1,
                      env={"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
    one_line(done, "RequestTimeTooSkewed", "too large")


def test_source_in_its_own_destination(box):
    src = box.dir / "src"
    random_file(src / "a", 10)
    one_line(box.cp("-r", src, src / "copy", status=2), "src")
