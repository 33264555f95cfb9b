#!/usr/bin/env python3
"""Checks of the source tree's rules for ./check (test_house.py), and counts of it.

    house.py              every rule; prints the violations, exit status 1 if there are any
    house.py RULE [PATH]  one rule: layers stairs circles names long crowded modules prose sentences dead; violations under PATH only
    house.py words [PATH] the lines with a word of the list of `prose`
    house.py loc          product lines of code by folder (no blank lines, no comments), and the share of shared function names
"""

import ast
import collections
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = ("common", "consumer", "producer", "uploader")

# ---- layers ----

# A file of the folder on the left may include only headers of the folders on the right (and of its own). "consumer" alone means the files directly in
# consumer/. The longest match applies.
MAY_INCLUDE = {
    "common/pure": [],
    "common/system": ["common/pure"],
    "common/runtime": ["common/pure", "common/system"],
    "common/journal": ["common/pure", "common/system"],
    "common/aws": ["common/pure", "common/system"],
    "consumer/journal": ["common"],
    "consumer/state": ["common", "consumer/journal"],
    "consumer/jobs": ["common", "consumer/state", "consumer/fleet"],
    "consumer/fleet": ["common", "consumer/state"],
    "consumer/offline": ["common", "consumer/journal", "consumer/state"],
    "consumer/handlers": ["common", "consumer/journal", "consumer/state", "consumer/jobs", "consumer/fleet", "consumer"],
    "consumer": ["common", "consumer/"],
    "producer/data": ["common", "producer/source"],
    "producer/select": ["common"],
    "producer/source": ["common", "producer/select"],
    "producer/show": ["common", "producer"],
    "producer/cli": ["common", "producer", "producer/data", "producer/select", "producer/show", "producer/cli/journal", "producer/cli/doctor", "producer/cli/store"],
    "producer/cli/doctor": ["common", "producer/cli"],
    "producer/cli/journal": ["common", "producer", "producer/show", "producer/cli"],
    "producer/cli/store": ["common", "producer", "producer/show", "producer/cli", "producer/cli/journal"],
    "producer": ["common", "producer/data", "producer/select", "producer/source"],
    "uploader/policy": ["common"],
    "uploader/http": ["common", "uploader/policy"],
    "uploader/aws": ["common", "uploader/http"],
    "uploader/source": ["common"],
    "uploader/file": ["common", "uploader/policy"],
    "uploader/doctor": ["common", "uploader", "uploader/aws", "uploader/file", "uploader/http", "uploader/s3", "uploader/source"],
    "uploader/tasks": ["common", "uploader", "uploader/policy", "uploader/source"],
    "uploader/s3": ["common", "uploader/http", "uploader/aws"],
    "uploader": ["common", "uploader/"],
}
# Headers at the top of a program that are below its folders: interfaces and containers. Any file of the program may include them.
LOW_HEADERS = {
    "uploader/backend.h",
    "consumer/peers.h", "consumer/outbox.h", "consumer/events.h", "consumer/recent.h",
    "producer/files.h",
}
# EXEMPT: main.c starts its program, and the standalone producer is a command of cli/.
EXEMPT = {"producer/main.c"}
# Library headers, and the only places that include them.
LIBRARIES = {
    "zmq.h": ("common/runtime/",),
    "curl/curl.h": ("uploader/http/",),
    "expat.h": ("uploader/http/xml.c",),
    "pcre2.h": ("producer/select/pattern.c",),
    "msgpack.h": ("common/pure/proto",),
    "json-c/json.h": ("uploader/aws/",),
    "openssl/": ("common/pure/digest.c", "uploader/"),
}
# Stores, credentials and HTTP do not depend on queues.
NO_QUEUES = ("uploader/s3/", "uploader/file/", "uploader/aws/", "uploader/http/")
QUEUES = {"common/runtime/session.h", "common/runtime/endpoint.h"}

INCLUDE = re.compile(r'^#include ([<"])([^">]+)[">]', re.M)


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=TOP, check=True, capture_output=True, text=True).stdout.split()
    return [f for f in listed if (TOP / f).exists()]


def sources():
    return [f for f in tracked(*PROGRAMS) if f.endswith((".c", ".h"))]


def text_of(path):
    return (TOP / path).read_text()


def folder_of(path):
    return path.rsplit("/", 1)[0]


def resolve(included, files):
    for candidate in (included, "common/" + included):
        if candidate in files:
            return candidate
    return None


def includes():
    """(file, included file of the tree or None, text in quotes or angles) of every #include."""
    files = set(sources())
    for path in sorted(files):
        for kind, included in INCLUDE.findall(text_of(path)):
            yield path, resolve(included, files) if kind == '"' else None, included


def may_include(path, target):
    own, other = folder_of(path), folder_of(target)
    if own == other or path in EXEMPT or (target in LOW_HEADERS and own.split("/")[0] == other.split("/")[0]):
        return True
    for allowed in MAY_INCLUDE[own]:
        if other == allowed or (allowed == "common" and other.startswith("common/")) or (allowed.endswith("/") and other.startswith(allowed)):
            return True
    return False


def layers():
    for path, target, included in includes():
        if target and not may_include(path, target):
            yield path, f"includes {target}, which is not in a layer below it"
        if target in QUEUES and path.startswith(NO_QUEUES):
            yield path, f"includes {target}: stores know nothing of queues"
        for library, places in LIBRARIES.items():
            if not target and included.startswith(library) and not path.startswith(places):
                yield path, f"includes <{included}>, which belongs in {' or '.join(places)}"


# ---- stairs ----

# Folders with modules that form a staircase, lowest first. kinds.h declares the five modules after it.
STAIRS = {
    "uploader/s3": "url replies error capabilities op object_headers scheme request existing trailer leftovers integrity kinds begin body complete object question upload_page delete survey backend_s3".split(),
}


def stairs():
    """A file of a staircase includes only modules below its own."""
    for path, target, _ in includes():
        steps = STAIRS.get(folder_of(path))
        if not steps or not target or folder_of(target) != folder_of(path):
            continue
        own, other = (Path(f).stem for f in (path, target))
        if own not in steps or other not in steps:
            yield path, f"{own if own not in steps else other} has no step on the staircase of {folder_of(path)} (tests/lint/house.py)"
        elif steps.index(other) > steps.index(own):
            yield path, f"includes {target}, which is above it on the staircase"


# ---- circles ----

def circles():
    """Modules (a .c and its .h) that include each other in a circle."""
    edges = collections.defaultdict(set)
    for path, target, _ in includes():
        if target:
            module, other = path.rsplit(".", 1)[0], target.rsplit(".", 1)[0]
            if module != other:
                edges[module].add(other)
    for found in components(edges):
        if len(found) > 1:
            yield min(found) + ".h", "includes in a circle: " + " ".join(sorted(found))


def components(edges):
    """Strongly connected components (Tarjan)."""
    index, low, stack, done = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            found = stack[stack.index(node):]
            del stack[stack.index(node):]
            done.append(found)

    sys.setrecursionlimit(10000)
    for node in sorted(edges):
        if node not in index:
            visit(node)
    return done


# ---- functions ----

def functions():
    """(file, name, first line, last line, is static) of every function."""
    listed = subprocess.run(["ctags", "-x", "--c-kinds=f", "--_xformat=%{input} %{name} %{line} %{end} %{file}", *[f for f in sources() if f.endswith((".c", ".h"))]],
                            cwd=TOP, check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        path, name, first, last, *static = line.split(" ")
        yield path, name, int(first), int(last or first), static == ["file"]


def names():
    """A function name is used in one file of a program, common/ included, so that a debugger and grep find one function."""
    places = collections.defaultdict(set)
    for path, name, *_ in functions():
        places[name].add(path)
    for name, paths in sorted(places.items()):
        programs = collections.Counter(path.split("/")[0] for path in paths)
        if name != "main" and (max(programs.values()) > 1 or "common" in programs and len(programs) > 1):
            yield min(paths), f"{name}() is defined in {' and in '.join(sorted(paths))}"


def shared_share():
    """(functions that share their name with a function of another file, all functions), over all programs."""
    found = [(name, path) for path, name, *_ in functions()]
    places = collections.defaultdict(set)
    for name, path in found:
        places[name].add(path)
    return sum(len(places[name]) > 1 for name, _ in found), len(found)


def long():
    for path, name, first, last, _ in functions():
        if last - first + 1 > 60:
            yield path, f"{name}() has {last - first + 1} lines (at most 60)"
    for path in sources():
        lines = text_of(path).count("\n")
        if lines > 700:
            yield path, f"has {lines} lines (at most 700)"


def crowded():
    """Folders with too many modules directly in them."""
    modules = collections.defaultdict(set)
    for path in sources():
        modules[folder_of(path)].add(path.rsplit(".", 1)[0])
    for folder, found in sorted(modules.items()):
        most = 20 if "/" not in folder else 40
        if len(found) > most:
            yield folder + "/", f"has {len(found)} modules side by side (at most {most})"


def modules():
    """Test files that Python imports by the same name: one would hide the other."""
    packages = {path.parent for path in map(Path, tracked("tests/**/__init__.py"))}
    first = {}
    for path in map(Path, tracked("tests/**/*.py")):
        if path.parent not in packages and path.name != "conftest.py":
            other = first.setdefault(path.name, path)
            if other != path:
                yield str(path), f"has the name of {other}: rename one"


def dead():
    """Functions that a header exports and that no other file calls, tests included."""
    words = {path: collections.Counter(re.findall(r"\w+", text_of(path))) for path in sources() + tracked("tests/*.c", "tests/*.h")}
    for path, name, _, _, is_static in functions():
        header = path[:-1] + "h"
        if is_static or name == "main" or not path.endswith(".c"):
            continue
        if not any(found[name] > (1 if other == header else 0) for other, found in words.items() if other != path):
            yield path, f"{name}() is exported and no other file calls it"


# ---- prose ----

COMMENT = re.compile(r"/\*(.*?)\*/|//([^\n]*)", re.S)
WORDS = """what who whom whose whoever whatever whichever nobody somebody anybody everybody anew meanwhile beneath
    hereby thereof therein lest albeit ere hence thence""".split()
PROSE_PER_1000 = 2.0
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs")
SENTENCE_WORDS = {"README.md": 18, "docs/man": 22}  # on average


def comments_of(path):
    """The comments of a C, Python or SPIN file, and the docstrings of a Python file."""
    text = text_of(path)
    if not path.endswith(".py"):
        return "\n".join((a or b).replace("*", " ") for a, b in COMMENT.findall(text))
    found = [token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT]
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    return "\n".join(found + [ast.get_docstring(node) or "" for node in nodes])


def rate_of(text):
    found = re.findall(r"[A-Za-z][A-Za-z'’]*", text)
    count = sum(w.lower() in WORDS for w in found)
    return len(found), count


def prose_by(group_of, paths, reader):
    groups = collections.defaultdict(lambda: [0, 0])
    for path in paths:
        total, count = rate_of(reader(path))
        groups[group_of(path)][0] += total
        groups[group_of(path)][1] += count
    return groups


def prose():
    """Words of the list in comments (by folder) and in documents."""
    paths = sources() + tracked("tests/*.c", "tests/*.h", "tests/*.py", "tests/*.pml", "docs/*.c", "docs/*.h", "docs/*.py")
    groups = prose_by(folder_of, paths, comments_of)
    groups.update(prose_by(lambda p: p, [f for f in tracked(*DOCUMENTS) if f.endswith((".md", ".1", ".5"))], text_of))
    for place, (total, count) in sorted(groups.items()):
        if total >= 300 and count * 1000 > PROSE_PER_1000 * total:
            yield place, f"{count * 1000 / total:.1f} words of the list in 1,000 ({count} of {total}; at most {PROSE_PER_1000})"


def listed_words(under):
    """file:line: the comments and document lines that have words of the list."""
    listed = re.compile(r"\b(%s)\b" % "|".join(WORDS), re.I)
    code = [f for f in sources() + tracked("tests/*.c", "tests/*.h", "docs/*.c", "docs/*.h") if f.startswith(under)]
    for path in code:
        text = text_of(path)
        for found in COMMENT.finditer(text):
            first = text.count("\n", 0, found.start()) + 1
            for n, line in enumerate(found[0].splitlines()):
                if listed.search(line):
                    print(f"{path}:{first + n}: {line.strip()}")
    for path in [f for f in tracked(*DOCUMENTS) if f.startswith(under) and f.endswith((".md", ".1", ".5"))]:
        for n, line in enumerate(text_of(path).splitlines(), 1):
            if listed.search(line):
                print(f"{path}:{n}: {line.strip()}")


def sentences_of(text):
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r'^\.(?:\\"|It|S[hs]|B[ld]|E[ldv]|D[dtl]|Os|N[dm]|Pp|Xr).*$|^\|.*$|^#.*$', "\n\n", text, flags=re.M)
    for block in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", text):
        for sentence in re.split(r"(?<=[.!?:;])\s+(?=[A-Z`*\[])", block):
            count = len(re.findall(r"[A-Za-z0-9][\w'’./:-]*", sentence))
            if count > 2:
                yield count, " ".join(sentence.split())


def sentences():
    for path in tracked("README.md", "docs/man"):
        counts = [count for count, _ in sentences_of(text_of(path))]
        most = SENTENCE_WORDS["README.md" if path == "README.md" else "docs/man"]
        if counts and sum(counts) / len(counts) > most:
            yield path, f"{sum(counts) / len(counts):.1f} words a sentence on average (at most {most})"


# ---- lines of code ----

def loc():
    counts = collections.Counter()
    for path in sources():
        code = COMMENT.sub("", text_of(path))
        counts[folder_of(path)] += sum(bool(line.strip()) for line in code.splitlines())
    for folder in sorted(counts):
        print(f"{counts[folder]:6} {folder}")
    print(f"{sum(counts.values()):6} lines of code")
    shared, total = shared_share()
    print(f"{total:6} functions, {100 * shared / total:.1f} % share their name with a function of another file")


RULES = {"layers": layers, "stairs": stairs, "circles": circles, "names": names, "long": long, "crowded": crowded, "modules": modules, "prose": prose, "sentences": sentences, "dead": dead}


def violations(rule, under=""):
    return [f"{path}: {text}" for path, text in RULES[rule]() if path.startswith(under)]


def main():
    rule, under = (sys.argv[1:] + ["", ""])[:2]
    if rule == "loc":
        return loc() or 0
    if rule == "words":
        return listed_words(under) or 0
    if rule and rule not in RULES:
        print(__doc__, end="", file=sys.stderr)
        return 2
    found = [line for name in ([rule] if rule else RULES) for line in violations(name, under)]
    print("\n".join([*found, f"{len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
