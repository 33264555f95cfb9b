"""Endpoint, profile, region and keys as the AWS CLI finds them: environment first, then ~/.aws."""

import pytest

from support.box import random_file
from support.toy_store import ToyStore

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
    with ToyStore() as amazon:  # a proxy: what would leave for Amazon ends there
        box.cp(src, "s3://bucket/k", env={"https_proxy": amazon.url})
        assert amazon.requests == []
    stored(store, "k", src)
    box.cp(src, "s3://bucket/k", env={"https_proxy": "http://127.0.0.1:1"})  # the same endpoint: nothing is sent again
    assert len([r for r in store.requests if r.method == "PUT"]) == 1


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
