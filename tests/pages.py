"""Pages whose examples are run: the commands on a page, what the page says they print, and the page written anew.

An example is a line ``$ command`` in an indented block, with what it prints below it. Used by the tests of
doc/users.rst and doc/operators.rst; runs nothing itself.
"""
import re
from dataclasses import dataclass

PROMPT = "$ "
# What differs each time it is run, and what stands for it when outputs are compared.
MASKS = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b\d+\.\d+\.\d+\.\d+(:\d+)?\b", "ADDRESS"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"TIME \d+ INFO", "TIME N INFO"),
    (r"(TIME N INFO \S+) \[[^\]]*\]", r"\1 [-]"),
    (r"at version \d+ \(was \d+\)", "at version N (was N)"),
    (r"(password\W+)\w{20,}", r"\1PASSWORD"),
    (r"(['\"]?seconds['\"]?: )[\d.]+", r"\1N"),
    (r"(\b(?:volume_used|uploaded)\W+)[\d.]+", r"\1N"),
    (r"\b0\.\d+\b", "0.N"),
    (r"\b\d{4,}\b", "N"),
    (r"\d+\.\d+\.\d+-MariaDB\S*", "VERSION"),
    (r"-{2,}", "--"),
    (r" {2,}", " "),
    (r" +$", ""),
]


@dataclass(frozen=True)
class Example:
    """One command of a page. output: the lines below it, without their indent; block: number of the block in which
    it stands; begin, end: the lines of the page that the output takes."""

    command: str
    output: str
    block: int
    indent: str
    begin: int
    end: int


def examples(page):
    """The examples of a page (text) in their order. Raises ValueError for a prompt outside of an indented block."""
    lines, found, block, at = page.splitlines(), [], 0, 0
    while at < len(lines):
        indent, prompt, command = lines[at].partition(PROMPT)
        if not prompt or indent.strip():
            block += bool(lines[at].strip()) and not lines[at].startswith(" ")  # text ends a block
            at += 1
            continue
        if not indent:
            raise ValueError(f"line {at + 1}: an example is indented: {lines[at]}")
        while command.endswith("\\"):
            at += 1
            command = command[:-1] + lines[at].strip()
        begin = at = at + 1
        while at < len(lines) and (lines[at].startswith(indent) or not lines[at].strip()) \
                and not lines[at].startswith(indent + PROMPT):
            at += 1
        end = at
        while end > begin and not lines[end - 1].strip():
            end -= 1
        output = "\n".join(line[len(indent):] for line in lines[begin:end])
        found.append(Example(command, output, block, indent, begin, end))
    return found


def masked(output):
    """An output without what is different each time."""
    lines = output.strip().splitlines()
    for pattern, stands_for in MASKS:
        lines = [re.sub(pattern, stands_for, line) for line in lines]
    return "\n".join(lines)


def rewritten(page, outputs):
    """The page with other outputs: one text for each of its examples."""
    lines = page.splitlines()
    for example, output in reversed(list(zip(examples(page), outputs, strict=True))):
        printed = output.strip("\n").splitlines()
        lines[example.begin:example.end] = [(example.indent + line).rstrip() for line in printed]
    return "\n".join(lines) + "\n"
