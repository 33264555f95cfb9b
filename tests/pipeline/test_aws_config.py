"""Endpoint, profile, region and keys are found as by the AWS CLI: environment first, then ~/.aws."""

import json
import time

import pytest

from support.box import random_file, wait_for
from support.toy_store import Reply, ToyStore, error

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}


def aws_files(box, config="", credentials=""):
    directory = box.dir / "home" / ".aws"
    directory.mkdir(exist_ok=True)
    (directory / "config").write_text(config)
    (directory / "credentials").write_text(credentials)


@pytest.fixture(name="src")
def _src(box):
    return random_file(box.dir / "src", 1000)


@pytest.fixture(name="store")
def _store():
    with ToyStore() as store:
        yield store


def stored(store, key, src):
    assert store.body(f"/bucket/{key}") == src.read_bytes(), [r.target for r in store.requests]


@pytest.mark.parametrize("config", ["[default]\nendpoint_url = {0}\n",
                                    "[default]\nservices = here\n[services here]\ns3 =\n  endpoint_url = {0}\n"])
def test_the_endpoint_of_the_profile_is_used(box, store, src, config):
    aws_files(box, config.format(store.url.replace("http", "HTTP") + "/"), "[default]\naws_access_key_id = A\naws_secret_access_key = S\n")
    with ToyStore() as amazon:  # used as proxy: it catches requests to Amazon
        box.cp(src, "s3://bucket/k", env={"https_proxy": amazon.url})
        assert amazon.requests == []
    stored(store, "k", src)
    sent = len(store.requests)
    box.cp(src, "s3://bucket/k", env={"https_proxy": "http://127.0.0.1:1"})  # the same endpoint: nothing is resent
    assert len(store.requests) == sent


def test_a_producer_and_an_uploader_of_their_own_find_the_same_endpoint(box, store, src):
    aws_files(box, f"[profile p]\nendpoint_url = {store.url}\naws_access_key_id = A\naws_secret_access_key = S\n")
    box.start("--journal", box.journal, program="chunklift-consumer")
    box.start("--journal", box.journal, "--allow", "s3://bucket/", "--root", box.dir, "--profile", "p", program="chunklift-uploader")
    box.run("producer", "--no-progress", "--journal", box.journal, "--profile", "p", src, "s3://bucket/k")
    stored(store, "k", src)


@pytest.mark.parametrize("text", ["[default]\n  aws_access_key_id = AKIDFILE\n  aws_secret_access_key = S\n",
                                  "[default]\nAWS_ACCESS_KEY_ID = AKIDFILE\nAWS_SECRET_ACCESS_KEY: S\n"])
def test_keys_are_read_however_they_are_written(box, store, src, text):
    aws_files(box, credentials=text)
    box.cp("--endpoint-url", store.url, src, "s3://bucket/k")
    assert store.requests[-1].signed_for[0] == "AKIDFILE"


@pytest.mark.parametrize("how", ["variable", "option"])
def test_a_missing_profile_is_exit_2_though_the_environment_has_keys(box, store, src, how):
    option = ["--profile", "ghost"] if how == "option" else []
    done = box.cp("--endpoint-url", store.url, *option, src, "s3://bucket/k", status=2, env={**KEYS, **({} if option else {"AWS_PROFILE": "ghost"})})
    assert "profile ghost is neither in" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert store.requests == [] and not box.journal.exists()
    done = box.cp(*option, src, "s3://bucket/k", status=2, env={**KEYS, **({} if option else {"AWS_PROFILE": "ghost"})})
    assert "profile ghost is neither in" in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("option, variables, region", [
    (["--region", "eu.west"], {}, "eu.west"),
    ([], {"AWS_REGION": " eu-west-1\t"}, "eu-west-1"),
    ([], {"AWS_REGION": "", "AWS_DEFAULT_REGION": "r_2"}, "r_2"),
    (["--region", "eu west"], {}, None),
    ([], {"AWS_REGION": "eu/west"}, None),
])
def test_a_region_is_used_as_it_is_or_refused(box, store, src, option, variables, region):
    done = box.cp("--endpoint-url", store.url, *option, src, "s3://bucket/k", status=0 if region else 2, env={**KEYS, **variables})
    if region:
        assert store.requests[-1].signed_for[2] == region
    else:
        assert "not the name of a region" in done.stderr and done.stderr.count("\n") == 1 and store.requests == []


def test_a_region_of_the_profile_that_is_not_valid_is_refused(box, store, src):
    aws_files(box, "[default]\nregion = eu west\n")
    done = box.cp("--endpoint-url", store.url, src, "s3://bucket/k", status=2, env=KEYS)
    assert "region of the profile" in done.stderr and "'eu west'" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_the_session_token_under_its_older_name(box, store, src):
    box.cp("--endpoint-url", store.url, src, "s3://bucket/k", env={**KEYS, "AWS_SECURITY_TOKEN": "tok"})
    assert store.requests[-1].headers["x-amz-security-token"] == "tok"


@pytest.mark.parametrize("program, how", [("cp", "option"), ("cp", "variable"), ("cp", "profile"), ("uploader", "option"), ("uploader", "variable"),
                                          ("uploader", "profile"), ("uploader", "file of options")])
def test_a_password_in_the_endpoint_is_refused_and_not_shown(box, src, program, how):
    url = "http://user:hunter2pw@127.0.0.1:9/"
    options, env = [], dict(KEYS)
    if how == "option":
        options = ["--endpoint-url", url]
    elif how == "variable":
        env["AWS_ENDPOINT_URL"] = url
    elif how == "profile":
        aws_files(box, f"[default]\nendpoint_url = {url}\n")
    else:
        (box.dir / "options").write_text(f"endpoint-url = {url}\n")
        options = ["--config", box.dir / "options"]
    for more in ([], ["--json"], ["-v"]):
        if program == "cp":
            done = box.cp(*options, *more, src, "s3://bucket/k", status=2, env=env)
        else:
            done = box.run("--journal", box.journal, "--allow", "s3://bucket/", *options, *more, program="chunklift-uploader", status=2, env=env)
        assert "must not hold a user name or password" in done.stderr and "http://***@127.0.0.1:9/" in done.stderr, done.stderr
        assert "hunter2pw" not in done.stdout + done.stderr
    assert not box.journal.exists()


def keys_file(token):
    return f"[default]\naws_access_key_id = A\naws_secret_access_key = S\naws_session_token = {token}\n"


def test_keys_renewed_after_their_end_are_waited_for(box):
    """While the store refuses the old token and the file still has it, no request is sent with that token until the file is rewritten."""
    big = random_file(box.dir / "big", 12 << 20)
    refused = []

    def answer(request):
        if request.headers["x-amz-security-token"] == "old" and request.query.get("partNumber", "1") != "1":
            refused.append(request)
            return error(400, "ExpiredToken")
        return None

    with ToyStore(answer) as store:
        aws_files(box, credentials=keys_file("old"))
        child = box.start_cp("-v", "--no-progress", "--endpoint-url", store.url, "--chunk-size", "5MiB", "--integrity", "none", "--uploaders", 1, big,
                             "s3://bucket/k")
        wait_for(lambda: "profile default has keys that have expired" in child.log.read_text(), what="an attempt is made without a request")
        first = len(refused)
        aws_files(box, credentials=keys_file("new"))
        assert child.wait(60) == 0, child.log.read_text()
        assert first in (1, 2) and len(refused) == first
        assert store.body("/bucket/k") == big.read_bytes()


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken"])
def test_keys_of_the_environment_that_are_refused_are_final(box, store, src, code):
    store.answer = lambda request: error(403, code)
    done = box.cp("--no-progress", "--endpoint-url", store.url, src, "s3://bucket/k", env=KEYS, status=1)
    assert code in done.stderr.splitlines()[0] and ("run the same command again" in done.stderr) == (code == "ExpiredToken")


def test_a_credential_process_that_fails_is_said_once_before_anything_starts(box, store):
    tree = box.dir / "tree"
    for i in range(20):
        random_file(tree / str(i), 10)
    aws_files(box, "[default]\ncredential_process = /bin/sh -c 'sleep 0.1; exit 7'\n")
    done = box.cp("-r", "--endpoint-url", store.url, tree, "s3://bucket/p", status=2)
    assert done.stderr.count("\n") == 1 and "credential_process of profile default ended with exit status 7" in done.stderr, done.stderr
    assert store.requests == [] and not box.journal.exists()


def test_an_uploader_for_another_endpoint_names_both(box, store, src):
    box.start("consumer", "--journal", box.journal)
    box.start("uploader", "--journal", box.journal, "--allow", "s3://bucket/", "--root", box.dir, "--endpoint-url", "http://127.0.0.1:9/other", env=KEYS)
    done = box.run("producer", "--no-progress", "--journal", box.journal, "--endpoint-url", store.url, "--retry-for", "1s", src, "s3://bucket/k", status=1)
    assert f"the file goes to endpoint {store.url}, this uploader's --endpoint-url is http://127.0.0.1:9/other" in done.stderr, done.stderr


STS_KEYS = b"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>
<SecretAccessKey>S</SecretAccessKey><SessionToken>web-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


@pytest.mark.parametrize("sts_works", [True, False])
def test_web_identity(box, store, src, sts_works):
    (box.dir / "token").write_text("hunter2pw\n")
    with ToyStore(lambda request: Reply(body=STS_KEYS) if sts_works else Reply(503)) as sts:
        env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(box.dir / "token"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_ENDPOINT_URL_STS": sts.url}
        done = box.cp("-v", "--endpoint-url", store.url, src, "s3://bucket/k", env=env, status=0 if sts_works else 2)
        assert b"WebIdentityToken=hunter2pw" in sts.requests[0].body
    if sts_works:
        assert store.requests[-1].signed_for[0] == "ASIAWEB" and store.requests[-1].headers["x-amz-security-token"] == "web-token"
    else:
        assert [line for line in done.stderr.splitlines() if "web identity needs STS, which answers with HTTP status 503" in line] != [] and store.requests == []
    assert "hunter2pw" not in done.stdout + done.stderr


def test_keys_of_a_container_that_end_soon(box, store, src):
    """Keys that expire within the five-minute refresh window are fetched once per program, not once per request."""
    asked = []

    def answer(request):
        asked.append(request)
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        return Reply(body=json.dumps({"AccessKeyId": f"ASIA{len(asked)}", "SecretAccessKey": "S", "Token": "T", "Expiration": soon}).encode())

    with ToyStore(answer) as agent:
        box.cp("--endpoint-url", store.url, src, "s3://bucket/k", env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{agent.url}/keys"})
    assert store.requests[-1].signed_for[0].startswith("ASIA") and asked[0].target == "/keys"
    assert len(asked) <= 3  # one request per program: the check by cp, and two uploaders


def test_an_uploader_whose_credential_process_fails_does_not_hold_files_up(box, store):
    tree = box.dir / "tree"
    for i in range(3):
        random_file(tree / str(i), 10)
    aws_files(box, "[default]\ncredential_process = /bin/sh -c 'sleep 0.3; exit 1'\n")  # fails only after the uploader has started
    box.start("consumer", "--journal", box.journal)
    box.start("uploader", "--journal", box.journal, "--allow", "s3://bucket/", "--root", box.dir, "--endpoint-url", store.url)
    done = box.run("producer", "-r", "--no-progress", "--journal", box.journal, "--endpoint-url", store.url, tree, "s3://bucket/p", status=None, timeout=50)
    assert done.returncode in (1, 3) and "the credential_process of profile default ended with exit status 1" in done.stderr, done.stderr
    assert store.requests == []
