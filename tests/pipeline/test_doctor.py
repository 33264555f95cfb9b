"""chunklift doctor: the lines that it prints, their results, and what it leaves behind."""

import json
import os
import signal
import subprocess
import threading
from datetime import datetime, timedelta, timezone

import pytest

from support.box import free_port, no_signal_waits, preloaded, wait_for
from support.toy_store import Reply, ToyStore, error, make_tls

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"}


@pytest.fixture(name="authority", scope="module")
def _authority(tmp_path_factory):
    return make_tls(tmp_path_factory.mktemp("tls"))


def doctor(box, *args, status=0, env=None, **kw):
    """{name: the check's object} of --json. No secret is in the output."""
    journal = () if "--consumer" in args else ("--journal", box.journal)
    done = box.run("doctor", "--json", *journal, *args, status=status, env=env, **kw)
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr and KEYS["AWS_ACCESS_KEY_ID"][:5] not in done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(c) == ["event", "name", "result", "detail", "remedy"] and c["event"] == "check" for c in found), done.stdout
    assert len({c["name"] for c in found}) == len(found)
    return {c["name"]: c for c in found}


def failed(checks):
    return [name for name, c in checks.items() if c["result"] == "fail"]


def bucket(request, *more):
    """The answer of a store with one bucket."""
    if request.path.rstrip("/") == "/bucket" and request.method in ("HEAD", "GET") and "uploads" not in request.query:
        return Reply()
    return None


# --- this host ------------------------------------------------------------------------------------------------------------------------------------


def test_a_host_without_a_destination_prints_a_line_for_each_check_and_makes_nothing(box):
    done = box.run("doctor", "--journal", box.journal)
    assert [line[:6].strip() for line in done.stdout.splitlines()] == ["ok"] * 4 or "warn" in done.stdout, done.stdout
    assert f"journal: {box.journal} does not exist yet, and can be made" in done.stdout
    assert not box.journal.exists() and sorted(p.name for p in box.dir.iterdir()) == ["home", "run", "state"]


def test_the_last_record_of_a_journal_is_read(box):
    (box.dir / "src").write_bytes(b"x")
    box.cp("--no-progress", "src", "out")
    checks = doctor(box)
    assert f"seq {box.records()[-1]['seq']} " in checks["journal-records"]["detail"]
    assert checks["journal-lock"]["detail"] == "no consumer runs; cp starts one"


def test_a_last_line_that_cannot_be_read_fails_with_the_command_that_names_it(box):
    (box.dir / "src").write_bytes(b"x")
    box.cp("--no-progress", "src", "out")
    with open(box.journal / "journal.jsonl", "ab") as f:
        f.write(b"{nonsense}\n")
    checks = doctor(box, status=1)
    assert failed(checks) == ["journal-records"] and "journal verify" in checks["journal-records"]["remedy"]


def test_bytes_of_an_unfinished_record_are_a_warning(box):
    (box.dir / "src").write_bytes(b"x")
    box.cp("--no-progress", "src", "out")
    with open(box.journal / "journal.jsonl", "ab") as f:
        f.write(b'{"seq":')
    records = doctor(box)["journal-records"]
    assert records["result"] == "warn" and "7 bytes of an unfinished record" in records["detail"]


@pytest.mark.parametrize("place", ["file/journal", "file"])
def test_a_journal_that_cannot_be_made_fails(box, place):
    (box.dir / "file").write_text("")
    checks = doctor(box, "--journal", place, status=1)
    assert failed(checks) == ["journal"] and "--journal" in checks["journal"]["remedy"]


@pytest.mark.skipif(os.geteuid() != 0, reason="switches to another user")
def test_a_journal_of_another_user_that_cannot_be_written_fails(box):
    box.share_programs()
    box.journal.mkdir(mode=0o755)
    for name in ("home", "run", "state"):
        os.chown(box.dir / name, 65534, 65534)
    checks = doctor(box, status=1, user=65534, group=65534, extra_groups=[])
    assert failed(checks) == ["journal"] and "cannot be written: Permission denied" in checks["journal"]["detail"]


def test_a_journal_that_others_may_change_is_a_warning(box):
    box.journal.mkdir()
    box.journal.chmod(0o777)
    assert doctor(box)["journal"]["result"] == "warn"


def test_few_descriptors_are_a_warning_with_the_number_of_transfers(box):
    done = subprocess.run(["prlimit", "--nofile=90:90", *box.command("doctor", "--json", "--slots", 100)], env=box.env, capture_output=True, text=True, check=True)
    limits = json.loads(done.stdout.splitlines()[0])
    assert limits["name"] == "limits" and limits["result"] == "warn" and "not for 100" in limits["detail"] and "ulimit -n" in limits["remedy"]


def test_a_running_consumer_answers_and_is_named(box):
    consumer = box.start("--journal", box.journal, program="chunklift-consumer")
    wait_for(lambda: (box.journal / "consumer").exists(), what="the consumer listens")
    checks = doctor(box)
    assert f"process {consumer.pid}" in checks["journal-lock"]["detail"]
    assert f"process {consumer.pid}, journal " in checks["consumer"]["detail"] and checks["consumer"]["result"] == "ok"
    endpoint = (box.journal / "consumer").read_text().splitlines()[0]
    assert set(doctor(box, "--consumer", endpoint)) == {"limits", "consumer"}


def test_a_consumer_that_does_not_answer_fails_with_the_remedy(box):
    checks = doctor(box, "--consumer", f"tcp://127.0.0.1:{free_port()}", "--insecure", status=1)
    assert failed(checks) == ["consumer"] and "chunklift consumer" in checks["consumer"]["remedy"]


def test_keys_are_read_and_named_and_never_shown(box):
    box.run("keygen", "--roles", "consumer", "key")
    (box.dir / "trust").write_text((box.dir / "key.pub").read_text())
    (box.dir / "trust").chmod(0o644)
    checks = doctor(box, "--key", "key", "--trust", "trust")
    public = (box.dir / "key.pub").read_text().split()[0]
    assert checks["key"]["detail"] == f"key has the public key {public}" and checks["trust"]["detail"] == "trust trusts 1 key: 1 consumer"
    secret = next(line.split()[1] for line in (box.dir / "key").read_text().splitlines() if line.startswith("secret"))
    assert secret not in json.dumps(checks)
    (box.dir / "key").chmod(0o640)
    checks = doctor(box, "--key", "key", "--trust", "trust", status=1)
    assert failed(checks) == ["keys"] and "chmod 600" in checks["keys"]["remedy"]


def test_a_consumer_with_keys_is_asked_with_them(box):
    box.run("keygen", "--roles", "consumer,reader", "key")
    address = f"tcp://127.0.0.1:{free_port()}"
    (box.dir / "trust").write_text((box.dir / "key.pub").read_text())
    keys = ("--key", "key", "--trust", "trust")
    box.start("--journal", box.journal, "--bind", address, *keys, program="chunklift-consumer")
    wait_for(lambda: (box.journal / "consumer").exists(), what="the consumer listens")
    assert doctor(box, "--consumer", address, *keys)["consumer"]["result"] == "ok"
    checks = doctor(box, "--consumer", address, status=1)
    assert failed(checks) == ["consumer"] and "needs --key and --trust" in checks["consumer"]["detail"]


def test_a_journal_in_memory_is_a_warning(box):
    if subprocess.run(["stat", "-f", "-c", "%T", "/dev/shm"], capture_output=True, text=True, check=False).stdout.strip() != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs")
    disk = doctor(box, "--journal", f"/dev/shm/{box.mark}")["journal-disk"]
    assert disk["result"] == "warn" and "memory" in disk["detail"]


@pytest.mark.parametrize("args", [["a", "b"], ["s3://b"], ["--write"], ["--key", "k"], ["--journal", ""], ["--consumer", "ipc:///x", "--journal", "j"],
                                  ["--nonsense"], ["--slots", "0", "x"]])
def test_wrong_usage_is_one_line_and_exit_2(box, args):
    done = box.run("doctor", *args, status=2)
    assert done.stderr.count("\n") == 1 and done.stdout == "", done.stderr


# --- a directory ----------------------------------------------------------------------------------------------------------------------------------


def test_a_directory_is_written_to_only_with_write_and_left_as_it_was(box):
    out = box.dir / "out"
    out.mkdir()
    before = out.stat().st_mtime_ns
    assert set(doctor(box, "out")) >= {"destination", "destination-disk"} and out.stat().st_mtime_ns == before
    checks = doctor(box, "out", "--write")
    assert checks["write"]["result"] == checks["names"]["result"] == "ok" and list(out.iterdir()) == [] and out.stat().st_mtime_ns > before


def test_a_directory_that_does_not_exist_is_not_made(box):
    checks = doctor(box, f"file://{box.dir}/new/deep/", "--write")
    assert "does not exist yet" in checks["destination"]["detail"] and checks["write"]["result"] == "ok" and not (box.dir / "new").exists()


def test_a_destination_under_a_file_fails(box):
    (box.dir / "file").write_text("")
    checks = doctor(box, "file/x", "--write", status=1)
    assert failed(checks) == ["destination"] and "write" not in checks


def test_a_directory_that_folds_case_is_a_warning(box):
    (box.dir / "out").mkdir()
    names = doctor(box, "out", "--write", env={**preloaded("fold_case"), "FOLD_CASE": "keep"})["names"]
    assert names["result"] == "warn" and "upper and lower case" in names["detail"]


# --- a store --------------------------------------------------------------------------------------------------------------------------------------


def test_a_store_in_order_has_only_good_lines_and_the_key_id_is_cut(box):
    with ToyStore(bucket) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env=KEYS)
        assert list(checks)[-5:] == ["credentials", "endpoint", "tls", "clock", "bucket"] and {c["result"] for c in list(checks.values())[-5:]} == {"ok"}
        assert checks["credentials"]["detail"] == "from the environment (AKIA…, no session token)"
        assert {r.method for r in store.requests} == {"HEAD"} and not store.objects


def test_with_write_an_object_and_an_upload_are_made_and_removed(box):
    with ToyStore(bucket) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", "--write", env=KEYS)
        written = [r.path for r in store.requests if r.method == "PUT"]
        assert checks["write"]["result"] == "ok" and written and all(p.startswith("/bucket/p/.chunklift-doctor-") for p in written)
        assert not store.objects and not store.uploads
        assert checks["integrity"]["detail"] == "the store confirms bytes with md5; --integrity auto uses md5"


@pytest.mark.parametrize("ahead, result", [(0, "ok"), (100, "warn"), (-100, "warn"), (1030, "fail"), (-7200, "fail")])
def test_the_clock_of_the_store_is_compared(box, ahead, result):
    with ToyStore(bucket, clock_ahead=ahead) as store:
        clock = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env=KEYS, status=int(result == "fail"))["clock"]
    assert clock["result"] == result and (result == "ok" or ("behind" in clock["detail"]) == (ahead > 0))
    assert result != "fail" or clock["remedy"] == "set it, requests are refused beyond 15 minutes"


def test_the_clock_of_this_host_is_compared(box):
    with ToyStore(bucket) as store:
        clock = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env={**KEYS, **preloaded("other_clock"), "OTHER_CLOCK_S": "-1025"}, status=1)["clock"]
    assert clock["detail"] == "17 minutes behind the store's"


def test_a_known_authority_is_named_with_the_end_of_the_certificate(box, authority):
    ca, tls = authority
    with ToyStore(bucket, tls=tls) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env={**KEYS, "AWS_CA_BUNDLE": str(ca)})
    assert checks["tls"]["result"] == "warn" and "ends in" in checks["tls"]["detail"], checks["tls"]
    assert ", TLS " in checks["endpoint"]["detail"] and checks["bucket"]["result"] == "ok"


def test_an_unknown_authority_fails_with_the_way_to_name_it(box, authority):
    with ToyStore(bucket, tls=authority[1]) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env=KEYS, status=1)
    assert failed(checks) == ["tls"] and "AWS_CA_BUNDLE=FILE" in checks["tls"]["remedy"] and "bucket" not in checks


def test_a_missing_file_of_authorities_fails(box):
    checks = doctor(box, "--endpoint-url", "https://127.0.0.1:9", "s3://bucket/p", env={**KEYS, "AWS_CA_BUNDLE": "/nonexistent"}, status=1)
    assert failed(checks) == ["tls"] and "AWS_CA_BUNDLE names /nonexistent" in checks["tls"]["detail"]


@pytest.mark.parametrize("speaks_tls", [True, False])
def test_the_wrong_scheme_is_named(box, authority, speaks_tls):
    with ToyStore(bucket, tls=authority[1] if speaks_tls else None) as store:
        url = store.url.replace("https:", "http:") if speaks_tls else store.url.replace("http:", "https:")
        checks = doctor(box, "--endpoint-url", url, "s3://bucket/p", env=KEYS, status=1)
    assert failed(checks) == ["endpoint"] and checks["endpoint"]["remedy"] == f"write the endpoint URL with {'https' if speaks_tls else 'http'}://"


def test_an_endpoint_that_nothing_listens_at_fails(box):
    checks = doctor(box, "--endpoint-url", f"http://127.0.0.1:{free_port()}", "s3://bucket/p", env=KEYS, status=1)
    assert failed(checks) == ["endpoint"] and "bucket" not in checks


def test_a_name_that_does_not_resolve_fails(box):
    checks = doctor(box, "--endpoint-url", "http://no.such.host.invalid", "s3://bucket/p", env=KEYS, status=1)
    assert failed(checks) == ["endpoint"] and "does not resolve" in checks["endpoint"]["detail"]


def test_no_credentials_fail_and_the_endpoint_is_checked_all_the_same(box):
    with ToyStore(bucket) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", status=1)
    assert failed(checks) == ["credentials"] and "AWS_ACCESS_KEY_ID" in checks["credentials"]["remedy"] and checks["clock"]["result"] == "ok"


def test_a_profile_that_is_missing_fails(box):
    checks = doctor(box, "--profile", "ghost", "s3://bucket/p", env=KEYS, status=1)
    assert failed(checks) == ["endpoint"] and "profile ghost is neither in" in checks["endpoint"]["detail"]


@pytest.mark.parametrize("name, section", [("credentials", "[p]"), ("config", "[profile p]")])
def test_keys_of_a_profile_name_their_file(box, name, section):
    (box.dir / "home" / ".aws").mkdir()
    (box.dir / "home" / ".aws" / name).write_text(f"{section}\naws_access_key_id = AKIAX\naws_secret_access_key = S\naws_session_token = T\n")
    with ToyStore(bucket) as store:
        detail = doctor(box, "--profile", "p", "--endpoint-url", store.url, "s3://bucket/p")["credentials"]["detail"]
    assert detail == f"from profile p in {box.dir}/home/.aws/{name} (AKIA…, with a session token)"


@pytest.mark.parametrize("status, code, result, remedy", [
    (404, "NoSuchBucket", "fail", "create it, or correct DEST"),
    (403, "InvalidAccessKeyId", "fail", "correct the access keys"),
    (403, "SignatureDoesNotMatch", "fail", "correct the access keys"),
    (403, "RequestTimeTooSkewed", "fail", "set the clock"),
    (403, "AccessDenied", "warn", "--write tries one"),
])
def test_a_bucket_that_is_refused_has_the_words_of_the_store(box, status, code, result, remedy):
    def answer(request):
        return Reply(status) if request.method == "HEAD" else error(status, code)

    with ToyStore(answer) as store:
        found = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env=KEYS, status=int(result == "fail"))["bucket"]
    assert found["result"] == result and code in found["detail"] and remedy in found["remedy"], found


def test_a_bucket_in_another_region_is_a_warning_that_names_it(box):
    def answer(request):
        if request.signed_for and request.signed_for[2] != "eu-west-9":
            return Reply(301, headers={"x-amz-bucket-region": "eu-west-9"})
        return bucket(request)

    with ToyStore(answer) as store:
        found = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env=KEYS)["bucket"]
        assert found["result"] == "warn" and found["remedy"] == "set --region eu-west-9"
        assert doctor(box, "--endpoint-url", store.url, "--region", "eu-west-9", "s3://bucket/p", env=KEYS)["bucket"]["result"] == "ok"


def test_a_bucket_that_takes_no_objects_fails_with_write_only(box):
    def answer(request):
        return error(403, "AccessDenied") if request.method in ("PUT", "POST") else bucket(request)

    with ToyStore(answer) as store:
        assert doctor(box, "--endpoint-url", store.url, "s3://bucket/p", env=KEYS)["bucket"]["result"] == "ok"
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", "--write", env=KEYS, status=1)
    assert failed(checks) == ["write"] and "AccessDenied" in checks["write"]["detail"]


def test_a_bucket_with_versions_is_a_warning(box):
    def answer(request):
        return Reply(204, headers={"x-amz-version-id": "v1"}) if request.method == "DELETE" and not request.query else bucket(request)

    with ToyStore(answer) as store:
        write = doctor(box, "--endpoint-url", store.url, "s3://bucket", "--write", env=KEYS)["write"]
    assert write["result"] == "warn" and "keeps versions" in write["detail"]


def test_a_proxy_is_named_without_its_password(box):
    with ToyStore(bucket) as proxy:
        url = proxy.url.replace("http://", "http://user:hunter2pw@")
        done = box.run("doctor", "--endpoint-url", "http://store.example", "s3://bucket/p", env={**KEYS, "HTTP_PROXY": url})
    assert "proxy: HTTP_PROXY=http://***@127.0.0.1" in done.stdout and "hunter2pw" not in done.stdout + done.stderr
    assert "warn  tls:" in done.stdout  # the store behind it is not on this host


def test_quiet_prints_only_what_is_not_in_order(box):
    with ToyStore(bucket) as store:
        done = box.run("doctor", "-q", "--journal", "file/j", "--endpoint-url", store.url, "s3://bucket/p", env={**KEYS, "AWS_SECRET_ACCESS_KEY": ""}, status=1)
    assert [line for line in done.stdout.splitlines() if line.startswith("ok")] == [] and "fail  credentials: " in done.stdout


def test_a_stop_request_during_write_removes_the_object(box):
    asked, go = threading.Event(), threading.Event()

    def answer(request):
        if request.method == "PUT" and not asked.is_set():
            asked.set()
            go.wait(20)
        return bucket(request)

    with ToyStore(answer) as store:
        child = box.start("doctor", "--endpoint-url", store.url, "s3://bucket/p", "--write", env=KEYS)
        assert asked.wait(20)
        os.kill(child.pid, signal.SIGTERM)
        wait_for(lambda: no_signal_waits(child), what="it took the signal")
        go.set()
        assert child.wait(20) == 128 + signal.SIGTERM, child.log.read_text()
        stopped = len(store.requests)
        assert store.requests[-1].method == "DELETE" and not store.objects and not store.uploads
        doctor(box, "--endpoint-url", store.url, "s3://bucket/p", "--write", env=KEYS)
        assert stopped < len(store.requests) - stopped  # the other checksums were not tried


def test_an_upload_whose_reply_was_lost_is_aborted_too(box):
    def answer(request):
        if request.method == "POST" and not store.uploads:
            store.reply(request)
            return "cut"
        if request.method == "GET" and "uploads" in request.query:
            now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            listed = "".join(f"<Upload><Key>{request.query['prefix']}</Key><UploadId>{name}</UploadId><Initiated>{now}</Initiated></Upload>" for name in store.uploads)
            return Reply(body=f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{listed}</ListMultipartUploadsResult>".encode())
        if request.method == "GET" and request.query.get("uploadId") in store.uploads:
            return Reply(body=b"<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>")
        return bucket(request)

    with ToyStore(answer) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", "--write", env=KEYS)
        assert checks["write"]["result"] == "ok" and not store.uploads and not store.objects


def test_an_object_whose_reply_is_lost_is_removed_too(box):
    def answer(request):
        if request.method == "PUT":
            store.reply(request)
            return "cut"
        return bucket(request)

    with ToyStore(answer) as store:
        checks = doctor(box, "--endpoint-url", store.url, "s3://bucket/p", "--write", env=KEYS, status=1)
        assert failed(checks) == ["write"] and not store.objects


@pytest.mark.parametrize("option, message", [(["--region", "eu west"], "--region names the region 'eu west'"), ([], None)])
def test_a_region_that_is_not_valid_is_named(box, option, message):
    with ToyStore(bucket) as store:
        checks = doctor(box, "--endpoint-url", store.url, *option, "s3://bucket/p", env=KEYS, status=int(bool(option)))
    assert failed(checks) == (["settings"] if message else []) and (not message or message in checks["settings"]["detail"])


def test_keys_of_a_program_show_their_end(box):
    end = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = json.dumps({"Version": 1, "AccessKeyId": "AKIAX", "SecretAccessKey": "S", "SessionToken": "T", "Expiration": end})
    (box.dir / "keys.json").write_text(keys)
    (box.dir / "home" / ".aws").mkdir()
    (box.dir / "home" / ".aws" / "config").write_text(f"[default]\ncredential_process = cat {box.dir}/keys.json\n")
    with ToyStore(bucket) as store:
        detail = doctor(box, "--endpoint-url", store.url, "s3://bucket/p")["credentials"]["detail"]
    assert detail == f"from the credential_process of profile default (AKIA…, with a session token, valid until {end})"


# --- a real store ---------------------------------------------------------------------------------------------------------------------------------


def test_a_real_store_is_in_order_and_keeps_nothing(box, rgw):
    checks = doctor(box, "--endpoint-url", rgw.endpoint, "s3://bucket/doctor/", "--write", env=rgw.env)
    assert not failed(checks) and checks["bucket"]["detail"] == "bucket exists" and checks["write"]["result"] == "ok", checks
    assert "--integrity auto uses " in checks["integrity"]["detail"]
    assert "Contents" not in rgw.s3.list_objects_v2(Bucket="bucket", Prefix="doctor/")
    assert not [u for u in rgw.open_uploads("bucket") if u["Key"].startswith("doctor/")]


def test_a_real_store_refuses_wrong_keys_and_knows_no_other_bucket(box, rgw):
    checks = doctor(box, "--endpoint-url", rgw.endpoint, "s3://bucket/", env={**rgw.env, "AWS_SECRET_ACCESS_KEY": "wrong"}, status=1)
    assert failed(checks) == ["bucket"] and "SignatureDoesNotMatch" in checks["bucket"]["detail"]
    checks = doctor(box, "--endpoint-url", rgw.endpoint, "s3://no-such-bucket/", env=rgw.env, status=1)
    assert failed(checks) == ["bucket"] and "NoSuchBucket" in checks["bucket"]["detail"]
