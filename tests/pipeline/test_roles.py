"""Roles that a profile assumes (AssumeRole at STS): the keys that uploads are signed with, their renewal, and lines about failures."""

import json
import time
from urllib.parse import parse_qs

import pytest

from support.box import random_file
from support.toy_store import Reply, ToyStore, error

BASE = "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = hunter2secret\n"
DEV = BASE + "[profile dev]\nrole_arn = arn:aws:iam::1:role/dev\nsource_profile = base\nexternal_id = hunter2id\n"
SECRETS = ("hunter2secret", "hunter2id", "hunter2token", "hunter2role")


def configure(box, text):
    (box.dir / "home" / ".aws").mkdir(exist_ok=True)
    (box.dir / "home" / ".aws" / "config").write_text(text)


def utc(seconds_from_now):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_from_now))


def sts_keys(key_id, seconds=3600):
    return Reply(body=f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>hunter2role</SecretAccessKey><SessionToken>hunter2token</SessionToken>
<Expiration>{utc(seconds)}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>""".encode())


def refusal(status, code, message):
    return Reply(status, f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode())


def form_of(request):
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def assert_no_secrets(box, *texts):
    journal = b"".join(path.read_bytes() for path in box.journal.rglob("*") if path.is_file()) if box.journal.exists() else b""
    for secret in SECRETS:
        assert not [text for text in texts if secret in text] and secret.encode() not in journal


@pytest.fixture(name="src")
def _src(box):
    return random_file(box.dir / "src", 1000)


@pytest.fixture(name="store")
def _store():
    with ToyStore() as store:
        yield store


def test_an_upload_is_signed_with_the_keys_of_the_role(box, store, src):
    with ToyStore(lambda request: sts_keys("ASIADEV")) as sts:
        configure(box, DEV + f"region = eu-west-1\nservices = here\n[services here]\nsts =\n  endpoint_url = {sts.url}\n")
        done = box.cp("-v", "--profile", "dev", "--endpoint-url", store.url, src, "s3://bucket/k")
        form = form_of(sts.requests[0])
        assert form["Action"] == "AssumeRole" and form["RoleArn"] == "arn:aws:iam::1:role/dev" and form["ExternalId"] == "hunter2id"
        signed_for = sts.requests[0].signed_for
        assert signed_for[0] == "AKIDBASE" and signed_for[2:] == ["eu-west-1", "sts", "aws4_request"]
    assert store.body("/bucket/k") == src.read_bytes()
    assert store.requests[-1].signed_for[0] == "ASIADEV" and store.requests[-1].headers["x-amz-security-token"] == "hunter2token"
    assert_no_secrets(box, done.stdout, done.stderr)


def test_a_chain_of_roles(box, store, src):
    configure(box, DEV + "[profile far]\nrole_arn = arn:far\nsource_profile = dev\n")
    with ToyStore(lambda request: sts_keys("ASIA" + form_of(request)["RoleArn"].rpartition("/")[2].rpartition(":")[2])) as sts:
        box.cp("--endpoint-url", store.url, src, "s3://bucket/k", env={"AWS_PROFILE": "far", "AWS_ENDPOINT_URL_STS": sts.url})
        assert [r.signed_for[0] for r in sts.requests[:2]] == ["AKIDBASE", "ASIAdev"]
        assert sts.requests[1].headers["x-amz-security-token"] == "hunter2token"
    assert store.requests[-1].signed_for[0] == "ASIAfar"


@pytest.mark.parametrize("answer, message", [
    (refusal(403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole"),
     "the role of profile dev is refused by STS: 403 AccessDenied: User is not authorized to perform: sts:AssumeRole"),
    (Reply(503), "the role of profile dev needs STS, which answers with HTTP status 503"),
    (Reply(body=b"<html/>"), "the role of profile dev got an answer from STS that cannot be read"),
])
def test_a_role_that_is_not_given_ends_the_run_before_it_starts(box, store, src, answer, message):
    """Neither the keys of the source nor those of the same profile are used in its place."""
    configure(box, DEV + "aws_access_key_id = AKIDOWN\naws_secret_access_key = S\n")
    with ToyStore(lambda request: answer) as sts:
        done = box.cp("--profile", "dev", "--endpoint-url", store.url, src, "s3://bucket/k", env={"AWS_ENDPOINT_URL_STS": sts.url}, status=2)
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert store.requests == [] and not box.journal.exists()
    assert_no_secrets(box, done.stderr)


@pytest.mark.parametrize("more, message", [
    ("[profile p]\nrole_arn = arn:p\nsource_profile = q\n[profile q]\nrole_arn = arn:q\nsource_profile = p\n", "in a circle: p, q, p"),
    ("[profile p]\nrole_arn = arn:p\nsource_profile = base\nmfa_serial = arn:mfa\n", "needs a code of an MFA device"),
    ("[profile p]\nrole_arn = arn:p\ncredential_source = Ec2InstanceMetadata\n", "AWS_EC2_METADATA_DISABLED is true"),
    ("[profile p]\nrole_arn = arn:p\nsource_profile = ghost\n", "source_profile ghost, which is neither in"),
])
def test_a_configuration_that_cannot_work_is_one_line(box, store, src, more, message):
    configure(box, BASE + more)
    done = box.cp("--profile", "p", "--endpoint-url", store.url, src, "s3://bucket/k", status=2)
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert store.requests == [] and not box.journal.exists()


def test_doctor_shows_the_role_and_its_end(box):
    configure(box, DEV)
    with ToyStore(lambda request: sts_keys("ASIADEV")) as sts, ToyStore(lambda request: Reply()) as store:
        done = box.run("doctor", "--json", "--journal", box.journal, "--profile", "dev", "--endpoint-url", store.url, "s3://bucket/p",
                       env={"AWS_ENDPOINT_URL_STS": sts.url}, status=None)
    detail = {c["name"]: c["detail"] for c in map(json.loads, done.stdout.splitlines())}["credentials"]
    assert detail.startswith("from the role of profile dev, assumed with the keys of profile base (ASIA…, with a session token, valid until ")
    assert_no_secrets(box, done.stdout, done.stderr)


@pytest.mark.slow
def test_an_upload_outlives_its_keys(box):
    """Keys of 20 s are renewed at least twice during the upload. The store refuses expired keys, and no request has them."""
    configure(box, DEV)
    big = random_file(box.dir / "big", 27 << 20)
    ends, refused = {}, []

    def assume(request):
        key_id = f"ASIA{len(ends)}"
        ends[key_id] = time.time() + 20
        return sts_keys(key_id, 20)

    def answer(request):
        if ends[request.signed_for[0]] <= time.time():
            refused.append(request)
            return error(400, "ExpiredToken")
        return None

    with ToyStore(assume) as sts, ToyStore(answer) as store:
        done = box.cp("--json", "--profile", "dev", "--endpoint-url", store.url, "--chunk-size", "5MiB", "--uploaders", 1, "--slots", 1, "--bwlimit", "1MiB", big,
                      "s3://bucket/k", env={"AWS_ENDPOINT_URL_STS": sts.url})
    summary = [json.loads(line) for line in done.stdout.splitlines()][-1]
    used = {r.signed_for[0] for r in store.requests if r.method == "PUT"}
    assert store.body("/bucket/k") == big.read_bytes() and len(used) >= 3, used
    assert not refused and summary["event"] == "summary" and summary["retries"] == 0, summary


def test_a_real_service_gives_the_keys(box, rgw, src):
    """Ceph verifies the signature of the request for the role, and those that the role's keys make."""
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/assumer"]}, "Action": ["sts:AssumeRole"]}]}
    rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]}
    endpoint = rgw.start_sts()
    admin = lambda *args: rgw.command("radosgw-admin", "-c", rgw.dir / "ceph.conf", *args)
    admin("user", "create", "--uid=assumer", "--display-name=assumer", "--access-key=AKIDASSUMER", "--secret-key=hunter2secret")
    admin("role", "create", "--role-name=writer", "--path=/", f"--assume-role-policy-doc={json.dumps(trust)}")
    admin("role-policy", "put", "--role-name=writer", "--policy-name=p", f"--policy-doc={json.dumps(rights)}")
    text = ("[profile base]\naws_access_key_id = AKIDASSUMER\naws_secret_access_key = {}\n"
            "[profile dev]\nrole_arn = arn:aws:iam:::role/writer\nsource_profile = base\n")
    for secret, status in (("hunter2secret", 0), ("hunter2wrong", 2)):
        configure(box, text.format(secret))
        done = box.cp("--profile", "dev", "--endpoint-url", endpoint, src, "s3://bucket/roles/k", env={"AWS_ENDPOINT_URL_STS": endpoint}, status=status)
        assert status == 0 or "is refused by STS: 403 " in done.stderr, done.stderr
        assert secret not in done.stderr
