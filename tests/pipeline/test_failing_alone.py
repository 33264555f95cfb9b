"""A job that no uploader can do fails at once with the store's message, and a missing bucket is one error."""

import time

from support.box import preloaded, random_file

FORTY, MANY = 40, 300


def sources(box, count):
    for i in range(count):
        random_file(box.dir / "src" / f"{i:03}", 100 + i, seed=i)
    return box.dir / "src"


def errors(done):
    return [line for line in done.stderr.splitlines() if line.startswith("chunklift: ")]


def fail_all(box, rgw, dest, count=FORTY, **env):
    folder = sources(box, count)
    began = time.monotonic()
    done = box.cp("--no-progress", "-r", "--endpoint-url", rgw.endpoint, folder, dest, status=1, env={**rgw.env, **env})
    print(f"{count} files failed in {time.monotonic() - began:.1f} s")
    assert f"{count} failed" in done.stderr, done.stderr
    return done, time.monotonic() - began


def test_a_wrong_secret_fails_all_files_promptly(box, rgw):
    """A wrong secret fails every file at once when all uploaders are on this host, without a wait for another one."""
    done, seconds = fail_all(box, rgw, "s3://bucket/alone/", AWS_SECRET_ACCESS_KEY="wrong")
    assert len([e for e in errors(done) if "SignatureDoesNotMatch" in e]) == FORTY, done.stderr
    assert seconds < 15
    assert {r["class"] for r in box.records("fail")} == {"denied"}


def test_a_clock_that_is_off_fails_all_files_promptly(box, rgw):
    done, seconds = fail_all(box, rgw, "s3://bucket/alone/", **preloaded("other_clock"), OTHER_CLOCK_S="86400")
    assert len([e for e in errors(done) if "RequestTimeTooSkewed" in e]) == FORTY, done.stderr
    assert seconds < 15


def test_many_files_for_a_missing_bucket_are_one_error(box, rgw):
    done, _ = fail_all(box, rgw, "s3://no-such-bucket/x/", MANY)
    first, more = errors(done)
    assert "NoSuchBucket" in first and "bucket 'no-such-bucket'" in first, first
    assert f"s3://no-such-bucket: no such bucket; {MANY - 1} more files were not sent" in more, more
    assert len(box.records("fail")) < MANY / 2  # only the jobs in flight
