"""The man pages are valid, and name exactly the options of the programs."""

import re
import subprocess

import pytest

from support.box import BUILD

from . import house

MAN = house.TOP / "docs" / "man"
JOURNAL = ("tail", "show", "verify", "export", "forget", "retire")
COMMANDS = {  # page: the command lines with the --help that it documents
    "chunklift-cp.1": [["chunklift", "cp"]],
    "chunklift-producer.1": [["chunklift-producer"], ["chunklift", "producer"]],
    "chunklift-uploader.1": [["chunklift-uploader"], ["chunklift", "uploader"]],
    "chunklift-consumer.1": [["chunklift-consumer"], ["chunklift", "consumer"]],
    "chunklift-journal.1": [["chunklift", "journal", command] for command in JOURNAL],
    "chunklift-status.1": [["chunklift", "status"]],
    "chunklift-set.1": [["chunklift", "set"]],
    "chunklift-doctor.1": [["chunklift", "doctor"]],
    "chunklift-keygen.1": [["chunklift", "keygen"]],
    "chunklift-verify.1": [["chunklift", "verify"]],
    "chunklift-gc.1": [["chunklift", "gc"]],
}


def test_man_pages_are_valid():
    said = subprocess.run(["mandoc", "-Tlint", *sorted(MAN.iterdir())], capture_output=True, text=True).stdout
    pages = {path.name for path in MAN.iterdir()}

    def is_ours(line):  # mandoc looks for referenced pages among the installed ones
        reference = re.search(r"referenced manual not found: Xr (\S+) (\d)", line)
        return reference and f"{reference[1]}.{reference[2]}" in pages or "outdated mandoc.db" in line or "cannot open database" in line

    assert [line for line in said.splitlines() if not is_ours(line)] == []


def options_of_help(command):
    said = subprocess.run([BUILD / command[0], *command[1:], "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^ {2}(?:-\w, |    )--([a-z0-9-]+)", said, re.M))


def options_of_page(page):
    items = re.findall(r"^\.It (Fl .*)$", (MAN / page).read_text(), re.M)
    return {name for item in items for name in re.findall(r"(?:Fl (?:\w , )?|, )-([a-z0-9-]+)", item)}


@pytest.mark.parametrize("page", sorted(COMMANDS))
def test_a_man_page_names_every_option(page):
    shown = set().union(*map(options_of_help, COMMANDS[page]))
    named = options_of_page(page)
    assert shown and named == shown, f"docs/man/{page}: lacks {sorted(shown - named)}, has {sorted(named - shown)} that --help does not print"


def test_every_event_of_the_journal_is_explained():
    layouts = house.text_of("common/journal/record_layout.c").split("record_layouts[EV_COUNT]")[1].split("};")[0]
    events = set(re.findall(r'\[EV_\w+\] = \{"(\w+)"', layouts))
    assert "chunk" in events
    for path, heading in (("docs/JOURNAL.md", r"^### (.*)$"), ("docs/man/chunklift-journal.5", r"^\.It Li (.*)$")):
        explained = {name for names in re.findall(heading, house.text_of(path), re.M) for name in re.findall(r"\w+", names)}
        assert not events - explained, f"{path} does not explain the events {sorted(events - explained)} of common/journal/record_layout.c"


def test_every_page_has_examples():
    for page in MAN.iterdir():
        assert ".Sh EXAMPLES" in page.read_text(), page


DOCUMENTS = [house.TOP / name for name in house.tracked("README.md", "CONTRIBUTING.md", "docs/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(house.TOP)))
def test_files_that_a_document_names_exist(document):
    tree = house.tracked(".")
    names = set(re.findall(r"`([\w/-]+\.(?:c|h|py|sh|def|cmake))`", document.read_text()))
    missing = [name for name in names if "NAME" not in name and not any(path == name or path.endswith("/" + name) for path in tree)]
    assert not missing, f"{document.name} names files that do not exist: {sorted(missing)}"


def literals():
    """All string literals of the programs; adjacent ones are joined."""
    texts = " ".join(house.text_of(path) for path in house.sources())
    joined = re.sub(r'"\s*\n?\s*(?:PRI\w+\s*)?"', "", texts)
    return re.sub(r"\s+", " ", joined)


def longest_words(quote):
    """The longest run of words in a quoted log line without a placeholder (capitals, digits, …)."""
    runs = re.split(r"\b[A-Z][A-Z_-]*\b|\d+(?: [a-zA-Z]\b)?|…|/", quote)
    return max((run.strip(" :;,()'") for run in runs), key=len)


def test_log_lines_that_operations_explains_exist():
    table = (house.TOP / "docs" / "OPERATIONS.md").read_text().split("## Log lines")[1]
    quotes = [quote for row in re.findall(r"^\| (`.*?) \|", table, re.M) for quote in re.findall(r"`([^`]+)`", row)]
    text = literals()
    missing = [quote for quote in quotes if longest_words(quote) not in text]
    assert len(quotes) > 30 and not missing, "no program prints these lines of docs/OPERATIONS.md, section Log lines:\n" + "\n".join(missing)
