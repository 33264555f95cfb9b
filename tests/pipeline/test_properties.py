"""Object properties: content types, headers, metadata, encryption and mtimes arrive with the objects, and a file keeps its mtime and mode."""

import base64
import os
import stat

import pytest

from servers.memory_store import CUT, Answer, MemoryStore
from support.box import random_file, sha256_of
from support.site import Site

MIB = 1 << 20
NS = 1_700_000_000_123_456_789

# option, value, the member of botocore's reply to HEAD
READ_BACK = [
    ("--content-type", "text/x-log; charset=utf-8", "ContentType"),
    ("--cache-control", "max-age=60, public", "CacheControl"),
    ("--content-disposition", 'attachment; filename="a b.txt"', "ContentDisposition"),
    ("--content-encoding", "gzip", "ContentEncoding"),
    ("--content-language", "de, en", "ContentLanguage"),
]


def cp(box, store, *args, **kw):
    return box.cp("--endpoint-url", store.endpoint, "--no-progress", *args, env={**store.env, **kw.pop("env", {})}, **kw)


def sources(box):
    """A file for one request and one in two chunks, both with NS as their mtime."""
    small = random_file(box.dir / "src" / "small.html", 3000)
    large = random_file(box.dir / "src" / "large.mkv", 6 * MIB)
    for path in (small, large):
        os.utime(path, ns=(NS, NS))
    return small, large


def upload(box, store, prefix, *args, **kw):
    return cp(box, store, "-r", "--chunk-size", "5MiB", *args, box.dir / "src", f"s3://bucket/{prefix}/", **kw)


def heads(store, prefix, **more):
    return {name: store.s3.head_object(Bucket="bucket", Key=f"{prefix}/{name}", **more) for name in ("small.html", "large.mkv")}


@pytest.fixture(params=["rgw", "swift", pytest.param("minio", marks=pytest.mark.interop), pytest.param("versitygw", marks=pytest.mark.interop)])
def store(request):
    return request.getfixturevalue(request.param)


def test_each_header_is_read_back(box, store):
    sources(box)
    given = [word for option, value, _ in READ_BACK for word in (option, value)]
    upload(box, store, "headers", *given, "--metadata", "Owner=me,Project=a  b", "--metadata", 'list="1,2"')
    for name, head in heads(store, "headers").items():
        for _, value, member in READ_BACK:
            assert head[member] == value, (name, member)
        own = {k.lower(): v for k, v in head["Metadata"].items()}
        assert own.pop("chunklift-upload") and own == {"owner": "me", "project": "a  b", "list": "1,2", "mtime": "1700000000.123456789"}, name


def test_types_and_times_by_default(box, store):
    sources(box)
    upload(box, store, "defaults")
    found = heads(store, "defaults")
    assert [found[n]["ContentType"] for n in ("small.html", "large.mkv")] == ["text/html", "video/x-matroska"]
    assert {h["Metadata"]["mtime"] for h in found.values()} == {"1700000000.123456789"}


def test_nothing_is_guessed_or_preserved_on_request(box, store):
    sources(box)
    upload(box, store, "plain", "--no-guess-mime-type", "--no-preserve")
    for head in heads(store, "plain").values():
        assert head["ContentType"] == "application/octet-stream" and "mtime" not in head["Metadata"]


def test_tags_acl_and_storage_class(box, rgw):
    sources(box)
    upload(box, rgw, "more", "--tagging", "a=1&b=x%20y", "--acl", "public-read", "--storage-class", "STANDARD", "--expected-bucket-owner", "testid")
    for name in ("small.html", "large.mkv"):
        where = {"Bucket": "bucket", "Key": f"more/{name}"}
        if name == "small.html":  # Ceph 16 forgets the tags of a multipart upload
            assert {t["Key"]: t["Value"] for t in rgw.s3.get_object_tagging(**where)["TagSet"]} == {"a": "1", "b": "x y"}
        grants = rgw.s3.get_object_acl(**where)["Grants"]
        assert any(g["Grantee"].get("URI", "").endswith("AllUsers") and g["Permission"] == "READ" for g in grants), name


@pytest.mark.parametrize("form", ["raw", "base64"])
def test_an_object_with_the_customers_key_needs_it(box, rgw, form):
    small, large = sources(box)
    key = bytes(range(32))
    file = box.dir / "key"
    file.write_bytes(key if form == "raw" else base64.b64encode(key) + b"\n")
    file.chmod(0o600)
    upload(box, rgw, f"ssec-{form}", "--sse-c-key", file)
    with pytest.raises(rgw.s3.exceptions.ClientError):
        heads(rgw, f"ssec-{form}")
    given = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    assert {h["SSECustomerAlgorithm"] for h in heads(rgw, f"ssec-{form}", **given).values()} == {"AES256"}
    for path in (small, large):
        body = rgw.s3.get_object(Bucket="bucket", Key=f"ssec-{form}/{path.name}", **given)["Body"].read()
        assert body == path.read_bytes()
    secret = base64.b64encode(key)
    journal = b"".join(p.read_bytes() for p in box.journal.iterdir() if p.is_file())
    assert secret not in journal and key not in journal


def test_an_object_with_a_kms_key(box, rgw):
    small, large = sources(box)
    upload(box, rgw, "kms", "--sse", "aws:kms", "--sse-kms-key-id", "test-key")
    for head in heads(rgw, "kms").values():
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "test-key")
    for path in (small, large):
        assert rgw.s3.get_object(Bucket="bucket", Key=f"kms/{path.name}")["Body"].read() == path.read_bytes()


def test_rclone_sees_the_tree_as_unchanged(box, rgw):
    sources(box)
    upload(box, rgw, "rclone")
    env = {"RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_R_TYPE": "s3", "RCLONE_CONFIG_R_PROVIDER": "Ceph", "RCLONE_CONFIG_R_ENV_AUTH": "true",
           "RCLONE_CONFIG_R_ENDPOINT": rgw.endpoint, "RCLONE_CONFIG_R_FORCE_PATH_STYLE": "true", "AWS_CA_BUNDLE": ""}

    def rclone(*args):
        return rgw.command("rclone", *args, env=env).stderr

    rclone("check", "--size-only", box.dir / "src", "r:bucket/rclone")
    copied = rclone("copy", "-vv", box.dir / "src", "r:bucket/rclone")
    assert copied.count("Unchanged skipping") == 2 and "Copied" not in copied and "Updated" not in copied, copied
    rclone("copy", "r:bucket/rclone", box.dir / "back")
    assert {os.stat(p).st_mtime_ns for p in (box.dir / "back").iterdir()} == {NS}


# which header goes with which request --------------------------------------------------------------------------------

ACCESS = {"x-amz-request-payer": "requester", "x-amz-expected-bucket-owner": "111122223333"}
KEY = {"x-amz-server-side-encryption-customer-algorithm", "x-amz-server-side-encryption-customer-key", "x-amz-server-side-encryption-customer-key-md5"}
OBJECT = {"cache-control", "x-amz-tagging", "x-amz-acl", "x-amz-storage-class", "x-amz-meta-a", "x-amz-meta-mtime"}
SIGNED = {"content-type", *ACCESS, *KEY, *OBJECT}


def test_each_request_has_the_headers_that_it_takes(box):
    sources(box)
    (box.dir / "key").write_bytes(b"k" * 32)
    (box.dir / "key").chmod(0o600)
    lost = []

    def before(request):
        if request.kind == "finish" and not lost:  # leads to a HEAD and to the list of parts
            lost.append(request)
            return CUT
        return None

    with MemoryStore(before) as store:
        upload(box, store, "p", "--sse-c-key", box.dir / "key", "--request-payer", "requester", "--expected-bucket-owner", "111122223333",
               "--cache-control", "no-store", "--tagging", "a=b", "--acl", "private", "--storage-class", "GLACIER", "--metadata", "a=1")
        kinds = {r.kind for r in store.requests}
        assert kinds >= {"put", "begin", "chunk", "finish", "head"}
        for request in store.requests:
            got = set(request.headers)
            creates = request.kind in ("put", "begin")
            assert {k: request.headers.get(k) for k in ACCESS} == ACCESS, request.kind
            assert KEY <= got, request.kind
            assert (got & OBJECT) == (OBJECT if creates else set()), request.kind
            signed = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
            assert signed == sorted(signed) and SIGNED & got <= set(signed), request.kind


def test_an_abort_has_no_key(box):
    random_file(box.dir / "f", 6 * MIB)
    (box.dir / "key").write_bytes(b"k" * 32)
    (box.dir / "key").chmod(0o600)
    with MemoryStore() as store:
        args = ("--chunk-size", "5MiB", "--request-payer", "requester", "--sse-c-key", box.dir / "key", box.dir / "f", "s3://bucket/f")
        interrupted(box, store, *args)
        cp(box, store, "--content-language", "de", *args)
        aborts = [r for r in store.requests if r.kind == "abort"]
        assert aborts and all("x-amz-request-payer" in r.headers and not KEY & set(r.headers) for r in aborts)


def test_commands_on_a_store_name_payer_owner_and_key(box):
    """verify, forget and doctor: each request for the bucket, and the key where bytes or their checksums are asked for."""
    small, large = random_file(box.dir / "small", 1000), random_file(box.dir / "f", 6 * MIB)
    (box.dir / "key").write_bytes(b"k" * 32)
    (box.dir / "key").chmod(0o600)
    options = ("--request-payer", "requester", "--expected-bucket-owner", "111122223333", "--sse-c-key", box.dir / "key")
    with MemoryStore() as store:
        cp(box, store, *options, small, "s3://bucket/small")
        interrupted(box, store, "--chunk-size", "5MiB", *options, large, "s3://bucket/f")

        def asks(*command, kinds, status=0):
            first = len(store.requests)
            box.run(*command, *options, "--journal", box.journal, env=store.env, status=status)
            asked = [r for r in store.requests[first:] if "authorization" in r.headers]
            assert {r.kind for r in asked} >= kinds
            for r in asked:
                assert {k: r.headers.get(k) for k in ACCESS} == ACCESS, (command, r.kind)
                assert KEY <= set(r.headers) or not r.key or r.kind in ("abort", "delete", "uploads"), (command, r.kind)

        asks("verify", "--read", kinds={"head", "get"})
        asks("journal", "forget", "--unfinished", "s3://bucket/f", kinds={"abort"})
        assert not store.uploads
        store.before = lambda request: None if request.key or "uploads" in request.query else Answer(200)  # the bucket is there
        asks("doctor", "--write", "--endpoint-url", store.endpoint, "s3://bucket/d", kinds={"put", "begin", "abort", "delete"}, status=None)


@pytest.mark.parametrize("command", [("verify",), ("journal", "forget", "--unfinished", "s3://bucket/f"), ("gc",), ("doctor", "s3://bucket")])
def test_values_for_access_are_checked(box, command):
    done = box.run(*command, "--request-payer", "nobody", "--journal", box.journal, env=MemoryStore.env, status=2)
    assert done.stderr == "chunklift: --request-payer: unknown; use requester\n"


# an unfinished upload ------------------------------------------------------------------------------------------------


def interrupted(box, store, *args):
    """A run that fails for good after the first chunk."""
    def before(request):
        return CUT if request.kind == "chunk" and request.part == 2 else None

    store.before = before
    cp(box, store, "--retry-for", "1s", *args, status=None)
    store.before = None
    assert box.records("begin") and box.records("chunk") and not box.records("finish")


@pytest.mark.parametrize("more, restarts", [
    ((), False), (("--expected-bucket-owner", "1"), False), (("--content-type", "a/b"), True), (("--metadata", "k=v"), True), (("--no-preserve",), True),
], ids=["same", "owner", "type", "metadata", "no-preserve"])
def test_other_properties_restart_an_unfinished_upload(box, more, restarts):
    source = random_file(box.dir / "f.mkv", 11 * MIB)
    with MemoryStore() as store:
        args = ("--chunk-size", "5MiB", source, "s3://bucket/f.mkv")
        interrupted(box, store, *args)
        first = box.records("begin")[0]
        cp(box, store, *more, *args)
        begins = box.records("begin")
        assert [b.get("properties") is not None for b in begins] == [True] * len(begins)
        if restarts:
            assert len(begins) == 2 and begins[1]["properties"] != first["properties"]
            assert [r["reason"] for r in box.records("abort")] == ["superseded"]
            assert not store.uploads
        else:
            assert len(begins) == 1 and len({r["chunk"] for r in box.records("chunk")}) == 3 == len(box.records("chunk"))
        assert box.records("finish")


def test_a_finished_file_is_not_sent_again_for_other_properties(box):
    random_file(box.dir / "f", 1000)
    with MemoryStore() as store:
        cp(box, store, box.dir / "f", "s3://bucket/f")
        sent = store.count("put")
        cp(box, store, "--cache-control", "no-store", box.dir / "f", "s3://bucket/f")
        assert store.count("put") == sent
        cp(box, store, "--force", "--cache-control", "no-store", box.dir / "f", "s3://bucket/f")
        caches = [r.headers.get("cache-control") for r in store.requests if r.kind == "put"]
        assert set(caches[:sent]) == {None} and set(caches[sent:]) == {"no-store"}


@pytest.mark.parametrize("name", ["CRC32C", "SHA256"])
def test_a_checksum_algorithm_is_a_check_of_the_store(box, name):
    """The journal names it. A store that does not verify it fails the file."""
    source = random_file(box.dir / "f", 1000)
    with MemoryStore(verifies=[name.lower()]) as store:
        cp(box, store, "--checksum-algorithm", name, source, "s3://bucket/f")
        assert box.records("put")[-1]["integrity"] == name.lower()
    with MemoryStore() as store:
        assert name.lower() in cp(box, store, "--checksum-algorithm", name, source, "s3://bucket/g", status=1).stderr


@pytest.mark.parametrize("args, said", [
    (("--checksum-algorithm", "SHA1"), "--checksum-algorithm SHA1: not one that chunklift computes; use CRC32C or SHA256"),
    (("--checksum-algorithm", "crc32c"), "--checksum-algorithm crc32c: not one that chunklift computes; use CRC32C or SHA256"),
    (("--checksum-algorithm", "CRC32C", "--integrity", "md5"), "--checksum-algorithm CRC32C: does not go with --integrity md5; use one of them"),
])
def test_other_checksum_algorithms_are_refused(box, args, said):
    source = random_file(box.dir / "f", 10)
    assert box.cp(*args, source, "s3://bucket/f", env=MemoryStore.env, status=2).stderr == f"chunklift: {said}\n"


# files ---------------------------------------------------------------------------------------------------------------


def attributes(path):
    st = os.stat(path)
    return stat.S_IMODE(st.st_mode), st.st_mtime_ns


@pytest.mark.parametrize("fetched", [False, True], ids=["read", "fetched"])
def test_a_file_keeps_mtime_and_permissions(box, fetched):
    small, large = sources(box)
    small.chmod(0o751)
    large.chmod(0o640)
    early = random_file(box.dir / "src" / "early", 10)
    os.utime(early, ns=(NS, -1_500_000_000))
    if fetched:
        site = Site(box)
        site.uploader()
        site.upload("-r", "--chunk-size", "1MiB", box.dir / "src", f"{box.dir}/out/")
    else:
        box.cp("-r", "--chunk-size", "1MiB", box.dir / "src", f"{box.dir}/out/")
    for path in (small, large, early):
        assert attributes(box.dir / "out" / path.name) == attributes(path), path.name
        assert sha256_of(box.dir / "out" / path.name) == sha256_of(path)


def test_a_file_is_new_without_preserve(box):
    small, large = sources(box)
    for path in (small, large):
        path.chmod(0o666)
    old = os.umask(0o027)
    try:
        box.cp("-r", "--no-preserve", "--chunk-size", "1MiB", box.dir / "src", f"{box.dir}/out/")
    finally:
        os.umask(old)
    for path in (small, large):
        mode, mtime = attributes(box.dir / "out" / path.name)
        assert mode == 0o640 and mtime != NS, path.name


# the key and a fleet -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [None, b"other".ljust(32)], ids=["no-key", "another-key"])
def test_an_uploader_without_the_key_takes_no_job(box, own):
    random_file(box.dir / "f", 1000)
    for name, key in (("key", b"k" * 32), ("own", own or b"")):
        (box.dir / name).write_bytes(key)
        (box.dir / name).chmod(0o600)
    with MemoryStore() as store:
        site = Site(box, store=store)
        site.uploader(*(("--sse-c-key", box.dir / "own") if own else ()), root=box.dir)
        said = site.upload("--retry-for", "2s", "--sse-c-key", box.dir / "key", box.dir / "f", "s3://bucket/f", status=1)
        assert ("another --sse-c-key" if own else "no --sse-c-key") in said, said
        assert not store.requests


# bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args, said", [
    (("--content-type", "a/b\nx: y"), "--content-type: has a control character"),
    (("--cache-control", ""), "--cache-control: is empty"),
    (("--metadata", "a b=1"), "header's name cannot have"),
    (("--metadata", "name"), "not K=V"),
    (("--metadata", "a=1,b"), "not K=V"),
    (("--metadata", "a=\x1b[31m"), "has a control character"),
    (("--metadata", "a=ü"), "not ASCII"),
    (("--metadata", "a=1,A=2"), "given twice"),
    (("--metadata", "Chunklift-Upload=1"), "chunklift's own"),
    (("--metadata", "a=" + "x" * 2050), "more than 1,968 bytes"),
    (("--sse", "rot13"), "use AES256"),
    (("--sse-kms-key-id", "k"), "needs --sse aws:kms"),
    (("--request-payer", "me"), "use requester"),
    (("--sse-c-key", "/dev/null"), "not a regular file"),
    (("--sse-c-key", "KEY", "--sse", "AES256"), "cannot be combined"),
    (("--sse-c-key", "OPEN"), "other users may open it"),
    (("--sse-c-key", "SHORT"), "must have 32 bytes"),
    (("--sse-c-key", "KEY", "--endpoint-url", "http://store.example"), "use https"),
], ids=lambda v: None if isinstance(v, tuple) else v[:20])
def test_bad_properties_are_refused_in_one_line(box, args, said):
    for name, size, mode in (("KEY", 32, 0o600), ("OPEN", 32, 0o644), ("SHORT", 31, 0o600)):
        (box.dir / name).write_bytes(b"k" * size)
        (box.dir / name).chmod(mode)
    random_file(box.dir / "f", 10)
    done = box.cp(*args, box.dir / "f", "s3://bucket/f", status=2)
    assert said in done.stderr and done.stderr.count("\n") == 1 and "\x1b" not in done.stderr, done.stderr


def test_a_file_destination_refuses_properties_of_objects(box):
    random_file(box.dir / "f", 10)
    for args in (("--cache-control", "no-store"), ("--metadata", "a=b")):
        done = box.cp(*args, box.dir / "f", box.dir / "g", status=2)
        assert f"{args[0]}: only objects in S3" in done.stderr
