"""cp into real S3 stores; another client reads the objects back and compares them."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.minio import Minio
from support.box import check_chain, check_one_record_each, random_file, sha256_of
from support.gate import Gate

MIB = 1 << 20

ODD_KEYS = [
    "a b", "a+b", "100%", "%41", "a:b@c=d,e", "it's", "(x)!*$;&", "#hash?query", 'quo"te', "back\\slash", "tab\there", "line\nbreak",
    "übung", "東京", "мир", "😀", "a=b&c=d", "~tilde._-", "[x]{y}|^`<>",
]


@pytest.fixture(params=["rgw", "swift", pytest.param("minio", marks=pytest.mark.interop), pytest.param("versitygw", marks=pytest.mark.interop)])
def store(request):
    return request.getfixturevalue(request.param)


class Reader:
    """Reads objects back with the client library of Debian's awscli, and caches their contents."""

    def __init__(self, box, store):
        self.box, self.store, self.n = box, store, 0

    def get(self, key, bucket="bucket"):
        self.n += 1
        out = self.box.dir / f"read-{self.n}"
        self.store.get_object(key, out, bucket)
        return out

    def keys(self, prefix, bucket="bucket"):
        pages = self.store.s3.get_paginator("list_objects").paginate(Bucket=bucket, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}


def cp(box, store, *args, **kw):
    return box.cp("--endpoint-url", store.endpoint, *args, env={**store.env, **kw.pop("env", {})}, **kw)


def test_sizes_around_the_limits(box, store, request):
    r = Reader(box, store)
    name = request.node.callspec.id
    for size in (0, 1, 5 * MIB, 5 * MIB + 1, 8 * MIB, 8 * MIB + 1, 33 * MIB + 7):
        src = random_file(box.dir / f"f{size}", size, seed=size)
        cp(box, store, src, f"s3://bucket/{name}/size/{size}")
        assert sha256_of(r.get(f"{name}/size/{size}")) == sha256_of(src), size
    src = random_file(box.dir / "parts", 5 * MIB + 1)
    cp(box, store, "--chunk-size", "5MiB", src, f"s3://bucket/{name}/size/two-parts")
    assert sha256_of(r.get(f"{name}/size/two-parts")) == sha256_of(src)
    assert [x["chunks"] for x in box.records("begin")][-1] == 2
    check_one_record_each(box.records())
    check_chain(box.journal)
    assert not [u for u in store.open_uploads("bucket") if u["Key"].startswith(f"{name}/size/")]


def test_a_gibibyte(box, store, request):
    name = request.node.callspec.id
    src = random_file(box.dir / "big", 1024 * MIB)
    done = cp(box, store, "--no-second-lease", src, f"s3://bucket/{name}/big", timeout=300)
    assert "; 0 B resent" in done.stderr
    assert sha256_of(Reader(box, store).get(f"{name}/big")) == sha256_of(src)
    store.s3.delete_object(Bucket="bucket", Key=f"{name}/big")


def test_odd_keys(box, store, request):
    name = request.node.callspec.id
    src = box.dir / "src"
    for i, key in enumerate(ODD_KEYS):
        random_file(src / key, 100 + i, seed=i)
    cp(box, store, "-r", src, f"s3://bucket/{name}/odd keys/")
    r = Reader(box, store)
    for i, key in enumerate(ODD_KEYS):
        assert sha256_of(r.get(f"{name}/odd keys/{key}")) == sha256_of(src / key), key
    big = random_file(box.dir / "big", 11 * MIB)
    for key in ("multi +%:@=,'()!*$;&#?\"\\\t é東😀", "double//slash", "a/./b/../c"):
        if isinstance(store, Minio) and "/" in key:  # MinIO rejects such keys, and its message is shown
            assert "XMinioInvalid" in cp(box, store, big, f"s3://bucket/{name}/{key}", status=1).stderr
            continue
        cp(box, store, big, f"s3://bucket/{name}/{key}")
        assert sha256_of(r.get(f"{name}/{key}")) == sha256_of(big), key
        cp(box, store, src / "a b", f"s3://bucket/{name}/small/{key}")
        assert sha256_of(r.get(f"{name}/small/{key}")) == sha256_of(src / "a b"), key


def test_tree_of_500_files(box, store, request):
    name = request.node.callspec.id
    src = box.dir / "src"
    for i in range(500):
        random_file(src / f"d{i % 7}" / f"s{i % 3}" / f"file {i}.dat", (i * 7919) % 60_000 if i % 100 else 6 * MIB + i, seed=i)
    done = cp(box, store, "-r", "--chunk-size", "5MiB", src, f"s3://bucket/{name}/tree/", timeout=300)
    assert "500 files uploaded" in done.stderr
    back = box.dir / "back"
    keys = Reader(box, store).keys(f"{name}/tree/")

    def get(key):
        path = back / key.removeprefix(f"{name}/tree/")
        path.parent.mkdir(parents=True, exist_ok=True)
        store.get_object(key, path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(get, keys))
    assert subprocess.run(["diff", "-r", src, back], capture_output=True).returncode == 0
    assert "500 skipped" in cp(box, store, "-r", src, f"s3://bucket/{name}/tree/").stderr


def test_upload_id_in_the_metadata(box, store, request):
    name = request.node.callspec.id
    for size, ev in ((10, "put"), (9 * MIB, "begin")):
        src = random_file(box.dir / "f", size, seed=size)
        cp(box, store, src, f"s3://bucket/{name}/meta-{ev}")
        head = store.s3.head_object(Bucket="bucket", Key=f"{name}/meta-{ev}")
        assert head["Metadata"]["chunklift-upload"] == box.records(ev)[-1]["upload"]


def test_content_md5_on_request(box, store, request):
    name = request.node.callspec.id
    src = random_file(box.dir / "f", 17 * MIB)
    cp(box, store, "--content-md5", src, f"s3://bucket/{name}/md5")
    assert sha256_of(Reader(box, store).get(f"{name}/md5")) == sha256_of(src)


def test_changed_source_leaves_no_open_upload(box, rgw):
    """An unfinished upload of a changed source is aborted before the new one begins."""
    import os
    src = random_file(box.dir / "f", 200 * MIB)
    child = box.start_cp("--endpoint-url", rgw.endpoint, "--no-progress", src, "s3://bucket/superseded", env=rgw.env)
    from support.box import wait_for
    wait_for(lambda: (box.journal / "journal.jsonl").exists() and box.records("chunk"), what="a chunk recorded")
    box.kill_all()
    child.wait()
    random_file(src, 50 * MIB, seed=2)
    os.utime(src)
    cp(box, rgw, "--lease", "2s", src, "s3://bucket/superseded")
    assert sha256_of(Reader(box, rgw).get("superseded")) == sha256_of(src)
    assert not [u for u in rgw.open_uploads("bucket") if u["Key"] == "superseded"]
    assert [r["reason"] for r in box.records("abort")] == ["superseded"]


def test_store_that_verifies_checksums_is_found_out(box, minio):
    src = random_file(box.dir / "f", 17 * MIB)
    done = cp(box, minio, "-v", src, "s3://bucket/verified")
    assert box.records("begin")[0]["checksum"] == "crc32c/FULL_OBJECT"
    assert "crc32c" in done.stderr


test_store_that_verifies_checksums_is_found_out = pytest.mark.interop(test_store_that_verifies_checksums_is_found_out)


def test_store_that_ignores_checksums_is_found_out(box, rgw):
    cp(box, rgw, random_file(box.dir / "f", 17 * MIB), "s3://bucket/unverified")
    assert "checksum" not in box.records("begin")[0]


def test_credentials_from_files_and_a_process(box, rgw):
    aws = box.dir / "home" / ".aws"
    aws.mkdir()
    src = random_file(box.dir / "f", 1000)
    (aws / "credentials").write_text(f"[default]\naws_access_key_id={rgw.access_key}\naws_secret_access_key = {rgw.secret_key}\n")
    box.cp("--endpoint-url", rgw.endpoint, src, "s3://bucket/cred/file")
    helper = box.dir / "helper"
    helper.write_text("#!/bin/sh\n" f"""echo '{{"Version":1,"AccessKeyId":"{rgw.access_key}","SecretAccessKey":"{rgw.secret_key}"}}'\n""")
    helper.chmod(0o755)
    (aws / "credentials").unlink()
    (aws / "config").write_text(f"[profile other]\nregion = us-east-1\ncredential_process = {helper}\n")
    box.cp("--endpoint-url", rgw.endpoint, "--profile", "other", src, "s3://bucket/cred/process")
    done = box.cp("--endpoint-url", rgw.endpoint, "--profile", "nobody", src, "s3://bucket/cred/none", status=2)
    assert "nobody" in done.stderr
    r = Reader(box, rgw)
    assert sha256_of(r.get("cred/file")) == sha256_of(r.get("cred/process")) == sha256_of(src)


def test_secrets_are_nowhere(box, rgw):
    src = random_file(box.dir / "f", 9 * MIB)
    done = cp(box, rgw, "-v", src, "s3://bucket/secrets")
    seen = done.stdout + done.stderr
    for file in box.journal.iterdir():
        if file.is_file():
            seen += file.read_text(errors="replace")
    assert rgw.secret_key not in seen


def test_parts_that_somebody_else_replaced_are_sent_again(box, rgw):
    """Rule 11: finish sends a part again when the part at the store is not the recorded one, or has another ETag."""
    src = random_file(box.dir / "f", 23 * MIB)
    other = random_file(box.dir / "other", 5 * MIB, seed=2)
    tampered = []

    def moment(request):
        if request.kind == "finish" and request.stage == "head" and not tampered:
            tampered.append(request.query["uploadId"][0])
            for part, body in (("2", other), ("4", other)):
                rgw.s3.upload_part(Bucket="bucket", Key="redo", PartNumber=int(part), UploadId=tampered[0], Body=body.read_bytes())

    with Gate(rgw.port, moment) as gate:
        done = box.cp("--endpoint-url", gate.endpoint, "--chunk-size", "5MiB", src, "s3://bucket/redo", env=rgw.env)
    assert "1 file uploaded (23 MiB)" in done.stderr and "; 10 MiB resent\n" in done.stderr, done.stderr
    assert sha256_of(Reader(box, rgw).get("redo")) == sha256_of(src)
    records = box.records()
    assert [r["chunk"] for r in records if r["ev"] == "redo"] == [1, 3]
    assert sorted(r["chunk"] for r in records if r["ev"] == "chunk") == [0, 1, 1, 2, 3, 3, 4]
    check_one_record_each(records)
    check_chain(box.journal)
