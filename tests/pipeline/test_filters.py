"""The files of a tree that filters select: the same ones as rclone selects with the same options, and how a user sees it."""

import json
import os
import random
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from support.box import BUILD, free_port, wait_for

RULE_SETS = 200
# chunklift differs from Debian's rclone 1.60 on purpose where a user would lose or send files unseen. The random names and rules have none of these:
DIFFERENCES = {
    "braces nest, as in rclone 1.70; 1.60 refuses the pattern": (["--include", "{a,{b,c}}"], ["a", "b", "c", "d"], ["a", "b", "c"]),
    "** matches a line break; rclone would send a file that no rule includes": (["--include", "*.c"], ["a\nb", "x.c"], ["x.c"]),
    "in [ ] a backslash quotes, as documented; 1.60 refuses the pattern": (["--include", r"[\]x]"], ["]", "x", "y"], ["]", "x"]),
    "a size without a file between its bounds is refused": (["--min-size", "2k", "--max-size", "1k"], [], None),
    "a backslash at the end of a pattern is refused; rclone matches a '$'": (["--include", "a\\"], [], None),
}


def select(tree, *options, env=None, **kw):
    done = subprocess.run([BUILD / "support" / "select_tree", *options, tree, "-"], capture_output=True, text=True, env={**os.environ, **(env or {})}, **kw)
    return done, sorted(done.stdout.splitlines())


class Rclone:
    """One rclone that lists trees with the filters of a request: the code of `rclone lsf -R --files-only`, without a start for each list."""

    def __init__(self, box):
        self.url = f"http://127.0.0.1:{free_port()}"
        env = {**box.env, "RCLONE_CONFIG": str(box.dir / "rclone.conf")}
        self.child = subprocess.Popen(["rclone", "rcd", "--rc-no-auth", "--rc-addr", self.url[7:]], env=env, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.ask("rc/noop", {}) is not None, what="rclone answers")

    def ask(self, what, body):
        """The answer; None: not reachable."""
        request = urllib.request.Request(f"{self.url}/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            return json.load(refused)
        except urllib.error.URLError:
            return None

    def select(self, tree, rules):
        answer = self.ask("operations/list", {"fs": str(tree), "remote": "", "opt": {"recurse": True, "filesOnly": True}, "_filter": rules})
        return answer.get("error"), sorted(entry["Path"] for entry in answer.get("list") or [])

    def stop(self):
        self.child.terminate()
        self.child.wait(20)


@pytest.fixture
def rclone(box):
    server = Rclone(box)
    yield server
    server.stop()


def random_tree(rng, root):
    """A few hundred small files, most names from few characters, so that random patterns match some of them."""
    now = time.time()
    dirs = [root]
    for _ in range(rng.randrange(5, 25)):
        path = rng.choice(dirs) / rng.choice(["a", "b", "ab", "dir", "x.d", "A", "sub dir", "é", "[q]"])
        path.mkdir(parents=True, exist_ok=True)
        dirs.append(path)
    for _ in range(rng.randrange(20, 150)):
        stem = "".join(rng.choice("abcAB1-_ é{}[]*?+$^!,\\|") for _ in range(rng.randrange(1, 4)))
        path = rng.choice(dirs) / (stem + rng.choice(["", ".c", ".h", ".jpg", ".JPG", ".tar.gz", "~"]))
        if not path.exists():
            path.write_bytes(b"x" * rng.choice([0, 1, 9, 1023, 1024, 1025, 3000]))
            age = rng.choice([0.0, 1800, 5400, 86000, 90000, 700000])
            os.utime(path, (now - age, now - age))


PIECES = ["a", "b", "ab", "A", "x", "dir", "é", "1", ".c", ".h", ".jpg", "*", "*", "*", "**", "?", "[ab]", "[^a]", "[a-c]", "[!a]", "[[:alpha:]]", r"\*", r"\?", r"\[",
          r"\{", r"\d", "{a,b}", "{a*,dir}", "{*.c,*.h}", "{a,b/c}", "{dir/**,b}", "{{[ab]+}}", "{{a|b.*}}", "/", "/", "+", "$", "^", "|", "(", " ", "~", ",", "!", "-"]


def random_pattern(rng):
    pattern = "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 5)))
    return rng.choice(["", "", "", "/"]) + pattern + rng.choice(["", "", "", "", "/", "/**", "/*"])


def random_rules(rng, directory):
    """The options for chunklift, and the same for rclone."""
    options, rules = [], {}

    def add(option, key, value):
        options.extend([f"--{option}", value])
        rules.setdefault(key, []).append(value)

    def add_file(option, key, lines):
        path = directory / f"{option}{len(options)}"
        path.write_text("# a comment\n; another\n\n" + "".join(rng.choice(["", " ", "\t"]) + line + rng.choice(["", " "]) + rng.choice(["\n", "\r\n"]) for line in lines))
        add(option, key, str(path))

    def rule():
        return "!" if rng.random() < 0.04 else rng.choice("+-") + " " + random_pattern(rng)

    for _ in range(rng.choice([0, 0, 1, 2])):
        add("include", "IncludeRule", random_pattern(rng))
    for _ in range(rng.choice([0, 0, 1, 2])):
        add("exclude", "ExcludeRule", random_pattern(rng))
    for _ in range(rng.choice([0, 1, 3, 6])):
        add("filter", "FilterRule", rule())
    if rng.random() < 0.2:
        add_file("include-from", "IncludeFrom", [random_pattern(rng) for _ in range(3)])
    if rng.random() < 0.2:
        add_file("exclude-from", "ExcludeFrom", [random_pattern(rng) for _ in range(3)])
    if rng.random() < 0.2:
        add_file("filter-from", "FilterFrom", [rule() for _ in range(4)] + ["- *"])
    for option, key, values in (("min-size", "MinSize", ["1", "9b", "1K", "off"]), ("max-size", "MaxSize", ["1", "1024B", "1.5k", "2Ki"]),
                                ("min-age", "MinAge", ["1h", "3600", "59m"]), ("max-age", "MaxAge", ["1d", "25h", "1w", "1.5d"])):
        if rng.random() < 0.1:
            options.extend([f"--{option}", value := rng.choice(values)])
            rules[key] = value
    if rng.random() < 0.2:
        options.append("--ignore-case")
        rules["IgnoreCase"] = True
    return options, rules


def dry_runs(box):
    """Selects as `select` does, by dry runs of cp."""
    box.start("--journal", box.journal, program="chunklift-consumer")  # a start for each of them would take longer
    wait_for(lambda: (box.journal / "consumer").exists(), what="the consumer serves")

    def select_by_dry_run(tree, *options):
        done = box.cp("-r", "--dry-run", "--json", *options, tree, f"{box.dir}/out/", status=None)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return done, sorted(os.path.relpath(e["src"], tree) for e in events if e["event"] == "would-upload")

    return select_by_dry_run


@pytest.mark.parametrize("how", ["selection", "dry run"])
def test_selection_is_that_of_rclone(box, rclone, how):
    """Random trees, 200 random sets of rules: the same files, and the same sets are refused."""
    rng = random.Random(1610)
    chosen = select if how == "selection" else dry_runs(box)
    selected = refused = 0
    for number in range(RULE_SETS):
        tree = box.dir / f"tree{number // 10}"
        if number % 10 == 0:
            random_tree(rng, tree)
        options, rules = random_rules(rng, box.dir)
        error, expected = rclone.select(tree, rules)
        done, found = chosen(tree, *options)
        assert (done.returncode == 2) == bool(error), f"{options}: {error}\n{done.stderr}"
        if error:
            assert len([line for line in done.stderr.splitlines() if "--include and --exclude" not in line]) == 1, done.stderr
            refused += 1
            continue
        assert done.returncode == 0 and found == expected, f"{options}: chunklift only {set(found) - set(expected)}, rclone only {set(expected) - set(found)}"
        selected += bool(found)
    assert selected > RULE_SETS // 4 and refused < RULE_SETS // 4, (selected, refused)


EXAMPLES = [  # rclone's documentation, "Filter pattern examples"
    ("*.jpg", ["file.jpg", "dir/file.jpg"], ["file.png", "dir/file.png"]),
    ("/*.jpg", ["file.jpg", "file2.jpg"], ["dir/file.jpg", "file.png"]),
    ("*.{jpg,png}", ["file.jpg", "dir/file.png"], ["file.gif", "dir/file.gif"]),
    ("dir/**", ["dir/anyfile"], ["file.png"]),
    ("*.t?t", ["file.txt", "dir/file.tzt"], ["file.qxt", "dir/file.png"]),
    ("*.[a-z]", ["file.a", "dir/file.b"], ["file.0", "dir/file.1"]),
    (r"*.\?\?\?", ["file.???", "dir/file.???"], ["file.abc", "dir/file.def"]),
    (r"*.\d\d\d", ["file.012", "dir/file.345"], ["file.abc", "dir/file.def"]),
    ("*.{{jpe?g}}", ["file.jpeg", "dir/file.jpg"], ["file.png", "dir/file.jpeeg"]),
    (r"/{{.*\.jpe?g}}", ["file.jpeg", "file.jpg"], ["file.png"]),
    ("file.jpg", ["file.jpg", "dir/file.jpg"], ["afile.jpg", "dir/afile.jpg"]),
]


def make(tree, names):
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.mark.parametrize("pattern, inside, outside", EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_examples_of_the_documentation(box, pattern, inside, outside):
    make(box.dir / "tree", inside + outside)
    assert select(box.dir / "tree", "--include", pattern)[1] == sorted(inside)
    assert select(box.dir / "tree", "--exclude", pattern)[1] == sorted(outside)


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_differences_from_rclone(box, difference):
    options, names, expected = DIFFERENCES[difference]
    make(box.dir / "tree", [*names, "z"])
    done, found = select(box.dir / "tree", *options)
    assert done.returncode == (0 if expected is not None else 2), done.stderr
    if expected is not None:
        assert found == sorted(expected)


def test_rules_are_printed_as_rclone_prints_them(box):
    options = ["--include", "/dir/**/x/*.jpg", "--exclude", "a/b/", "--filter", "+ {a,b/c}", "--filter", "- *", "--ignore-case"]
    (box.dir / "tree").mkdir()
    shown = select(box.dir / "tree", *options, "--dump-filters")[0].stdout
    other = subprocess.run(["rclone", "lsf", "--dump", "filters", *options, box.dir / "tree"], env=box.env, capture_output=True, text=True, check=True).stdout
    assert shown == other and "+ (?i)^dir/.*/x/$" in shown


def test_age_in_local_time(box):
    """A date without a zone is in local time: midnight of Tokyo comes nine hours before that of UTC."""
    make(box.dir / "tree", ["file"])
    os.utime(box.dir / "tree" / "file", (1767225600 - 3600,) * 2)  # an hour before 2026 in UTC
    for zone, expected in (("UTC0", []), ("JST-9", ["file"])):
        assert select(box.dir / "tree", "--max-age", "2026-01-01", env={"TZ": zone})[1] == expected


def test_excluded_files_are_counted_and_named(box):
    make(box.dir / "src", ["a.c", "a.o", "obj/b.o", "obj/deep/c.o"])
    done = box.cp("-r", "--exclude", "obj/", "--exclude", "*.o", box.dir / "src", f"{box.dir}/out/")
    assert "1 file uploaded" in done.stderr and "1 file and 1 directory excluded" in done.stderr
    assert [p.name for p in (box.dir / "out").rglob("*")] == ["a.c"]
    events = [json.loads(line) for line in box.cp("-r", "--json", "--force", "--exclude", "obj/", "--exclude", "*.o", box.dir / "src", f"{box.dir}/out/").stdout.splitlines()]
    skipped = {e["path"]: e["what"] for e in events if e["event"] == "entry_skipped"}
    assert skipped == {f"{box.dir}/src/a.o": "excluded", f"{box.dir}/src/obj": "excluded directory"}
    assert events[-1]["files_excluded"] == 1 and events[-1]["dirs_excluded"] == 1


def test_a_single_file_is_selected_by_its_name(box):
    make(box.dir / "src", ["a.c", "a.o"])
    done = box.cp("--exclude", "*.o", box.dir / "src" / "a.c", box.dir / "src" / "a.o", f"{box.dir}/out/")
    assert [p.name for p in (box.dir / "out").iterdir()] == ["a.c"] and "1 file and 0 directories excluded" in done.stderr


def test_rules_from_standard_input(box):
    make(box.dir / "tree", ["a.c", "a.o"])
    assert select(box.dir / "tree", "--filter-from", "-", input="- *.o\n")[1] == ["a.c"]


BAD = [
    (["--filter", "x"], "--filter 'x': not a rule; write '+ PATTERN', '- PATTERN' or '!'"),
    (["--exclude", "{a"], "--exclude '{a': a '{' without its '}'"),
    (["--include", "a]"], "--include 'a]': a ']' without its '['"),
    (["--include", "***"], "--include '***': more than two '*' in a row"),
    (["--include", "{{(}}"], "--include '{{(}}': missing closing parenthesis"),
    (["--include", b"\xff"], r"--include '\xff': it is not UTF-8"),
    (["--filter-from", "RULES"], "--filter-from RULES:3: [a: a '[' without its ']'"),
    (["--exclude-from", "/dev/zero"], "--exclude-from /dev/zero: larger than 4 MiB; for a list of names use --files-from"),
    (["--exclude-from", "missing"], "--exclude-from missing: No such file or directory"),
    (["--exclude-from", "-", "--include-from", "-"], "-: standard input can be read only once; name files for the other lists"),
    (["--min-size", "5q"], "--min-size 5q: not a size; use for example 10B, 100K or 1.5G (a number alone is in KiB)"),
    (["--max-age", "now"], "--max-age now: not an age; use for example 90s, 2d, 1h30m or 2026-11-30 (units ms, s, m, h, d, w, M, y)"),
    (["--min-age", "2d", "--max-age", "1d"], "--min-age 2d: older than --max-age 1d, so that no file fits"),
]


@pytest.mark.parametrize("options, line", BAD, ids=[str(b[0]) for b in BAD])
def test_bad_rules_are_one_line_before_anything_starts(box, options, line):
    make(box.dir / "src", ["a"])
    (box.dir / "RULES").write_text("# rules\n- b\n- [a\n")
    done = box.run("cp", "--journal", box.journal, *options, "-r", box.dir / "src", f"{box.dir}/out/", status=2) if isinstance(options[1], str) else None
    if done is None:  # bytes that are not UTF-8
        done = subprocess.run([*box.command("cp", "--journal", box.journal), *options, "-r", box.dir / "src", f"{box.dir}/out/"], env=box.env, capture_output=True, text=True)
        assert done.returncode == 2
    assert done.stderr == f"chunklift: {line}\n" and not box.journal.exists()
