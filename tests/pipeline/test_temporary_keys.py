"""Keys of roles that a profile assumes (AssumeRole at STS), and of SSO: what uploads are signed with, renewal, and lines about failures."""

import hashlib
import json
import time
from urllib.parse import parse_qs

import pytest

from support.box import random_file
from support.toy_store import Reply, ToyStore, error

BASE = "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = hunter2secret\n"
DEV = BASE + "[profile dev]\nrole_arn = arn:aws:iam::1:role/dev\nsource_profile = base\nexternal_id = hunter2id\n"
SSO = """[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = uploader

[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.example/start
"""
SECRETS = ("hunter2secret", "hunter2id", "hunter2token", "hunter2role", "hunter2login")


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


def log_in(box, seconds, **more):
    """Leaves the file that `aws sso login` writes, and returns its path."""
    cache = box.dir / "home" / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    login = {"startUrl": "https://corp.example/start", "region": "eu-west-1", "accessToken": "hunter2login", "expiresAt": utc(seconds), **more}
    path = cache / (hashlib.sha1(b"corp").hexdigest() + ".json")
    path.write_text(json.dumps(login))
    return path


def portal_keys(key_id, seconds=3600):
    keys = {"accessKeyId": key_id, "secretAccessKey": "hunter2role", "sessionToken": "hunter2token", "expiration": int((time.time() + seconds) * 1000)}
    return Reply(body=json.dumps({"roleCredentials": keys}).encode())


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


# --- SSO ------------------------------------------------------------------------------------------------------------------------------------------


def test_an_upload_is_signed_with_the_keys_of_sso(box, store, src):
    configure(box, SSO)
    log_in(box, 3600)
    with ToyStore(lambda request: portal_keys("ASIASSO")) as portal:
        done = box.cp("-v", "--profile", "sso", "--endpoint-url", store.url, src, "s3://bucket/k", env={"AWS_ENDPOINT_URL_SSO": portal.url})
        asked = portal.requests[0]
        assert (asked.method, asked.path, asked.query) == ("GET", "/federation/credentials", {"role_name": "uploader", "account_id": "123456789012"})
        assert asked.headers["x-amz-sso_bearer_token"] == "hunter2login" and not asked.signed_for
        checks = box.run("doctor", "--json", "--journal", box.journal, "--profile", "sso", "--endpoint-url", store.url, "s3://bucket/p",
                         env={"AWS_ENDPOINT_URL_SSO": portal.url}, status=None)
    assert store.body("/bucket/k") == src.read_bytes()
    assert store.requests[-1].signed_for[0] == "ASIASSO" and store.requests[-1].headers["x-amz-security-token"] == "hunter2token"
    detail = {c["name"]: c["detail"] for c in map(json.loads, checks.stdout.splitlines())}["credentials"]
    assert detail.startswith("from SSO of profile sso (ASIA…, with a session token, valid until ")
    assert_no_secrets(box, done.stdout, done.stderr, checks.stdout, checks.stderr)


@pytest.mark.parametrize("seconds, message", [(None, "SSO of profile sso has no login"), (-1, "SSO of profile sso has a login that has expired"),
                                              (3600, "SSO of profile sso has a login that is no longer valid")])
def test_a_login_that_does_not_count_names_the_command(box, store, src, seconds, message):
    configure(box, SSO.replace("[sso-session", "aws_access_key_id = AKIDOWN\naws_secret_access_key = S\n[sso-session"))
    if seconds:
        log_in(box, seconds)
    with ToyStore(lambda request: Reply(401)) as portal:
        done = box.cp("--profile", "sso", "--endpoint-url", store.url, src, "s3://bucket/k", env={"AWS_ENDPOINT_URL_SSO": portal.url}, status=2)
        assert len(portal.requests) == (1 if seconds == 3600 else 0)
    assert f"no credentials: {message}; run 'aws sso login --profile sso'" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert store.requests == [] and not box.journal.exists()
    assert_no_secrets(box, done.stderr)


def test_a_login_is_renewed_once_for_all_programs(box, store, src):
    configure(box, SSO)
    path = log_in(box, -1, clientId="C", clientSecret="hunter2secret", refreshToken="hunter2id", registrationExpiresAt=utc(3600))
    fresh = {"accessToken": "next-login", "expiresIn": 3600, "refreshToken": "next-refresh", "tokenType": "Bearer"}
    with ToyStore(lambda request: portal_keys("ASIASSO")) as portal, ToyStore(lambda request: Reply(body=json.dumps(fresh).encode())) as oidc:
        done = box.cp("-v", "--profile", "sso", "--endpoint-url", store.url, "--uploaders", 3, src, "s3://bucket/k",
                      env={"AWS_ENDPOINT_URL_SSO": portal.url, "AWS_ENDPOINT_URL_SSO_OIDC": oidc.url})
        asked = [(r.method, r.path, json.loads(r.body)) for r in oidc.requests]
        assert {r.headers["x-amz-sso_bearer_token"] for r in portal.requests} == {"next-login"}
    form = {"grantType": "refresh_token", "clientId": "C", "clientSecret": "hunter2secret", "refreshToken": "hunter2id"}
    assert asked == [("POST", "/token", form)]
    login = json.loads(path.read_text())
    assert login["accessToken"] == "next-login" and login["refreshToken"] == "next-refresh" and login["clientSecret"] == "hunter2secret"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert store.body("/bucket/k") == src.read_bytes()
    assert_no_secrets(box, done.stdout, done.stderr)


# --- renewal --------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_upload_outlives_its_keys(box):
    """Keys of 20 s are renewed at least twice during the upload. The store refuses expired keys, and no request has them. Two uploads side by side."""
    configure(box, DEV + SSO)
    log_in(box, 3600)
    big = random_file(box.dir / "big", 27 << 20)
    ends, refused = {}, []

    def keys(make):
        def give(request):
            key_id = f"ASIA{make.__name__}{len(ends)}"
            ends[key_id] = time.time() + 20
            return make(key_id, 20)
        return give

    def answer(request):
        if ends[request.signed_for[0]] <= time.time():
            refused.append(request)
            return error(400, "ExpiredToken")
        return None

    with ToyStore(keys(sts_keys)) as sts, ToyStore(keys(portal_keys)) as portal, ToyStore(answer) as store:
        runs = {profile: box.start("cp", "--json", "--journal", box.dir / f"journal-{profile}", "--profile", profile, "--endpoint-url", store.url,
                                   "--chunk-size", "5MiB", "--uploaders", 1, "--slots", 1, "--bwlimit", "1MiB", big, f"s3://bucket/{profile}",
                                   env={"AWS_ENDPOINT_URL_STS": sts.url, "AWS_ENDPOINT_URL_SSO": portal.url}) for profile in ("dev", "sso")}
        for profile, child in runs.items():
            assert child.wait(90) == 0, child.log.read_text()
            used = {r.signed_for[0] for r in store.requests if r.method == "PUT" and r.path == f"/bucket/{profile}"}
            assert store.body(f"/bucket/{profile}") == big.read_bytes() and len(used) >= 3, used
            summary = [json.loads(line) for line in child.log.read_text().splitlines() if '"summary"' in line][-1]
            assert summary["retries"] == 0, summary
    assert not refused


# --- a real service -------------------------------------------------------------------------------------------------------------------------------


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
