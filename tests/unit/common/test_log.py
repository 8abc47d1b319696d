"""One record is one line in the log, whatever is in its texts; tracebacks cannot be taken for records."""
import json
import logging
import threading

import pytest

from trove.common import cfg, log
from trove.common.context import TroveContext

HOSTILE = ["two\nlines", "two\r\nlines", "\x1b[31mred", "nul\0byte", "\u2028", "\u2029", "\x85", "\x0b\x0c\x1c\x1d\x1e",
           "\u202egnol", "\udcff", "\x9b31m", "2026-11-27 14:00:00.000 1 INFO trove.x [-] forged".join("\n\n")]


@pytest.fixture
def written(conf, tmp_path):
    """A function that logs as a process does, and returns what is in its log."""
    path = tmp_path / "log"

    def run(log_something, *arguments):
        cfg.parse_args(["--log-file", str(path), *arguments], default_config_files=[])
        log_something(logging.getLogger("trove.test"))
        for handler in logging.getLogger().handlers:
            handler.flush()
        return path.read_bytes().decode()
    yield run
    cfg.parse_args([], default_config_files=[])


def one(text):
    """The only line of a text: no character of it ends a line anywhere or moves a cursor."""
    assert text.endswith("\n")
    assert text[:-1].isprintable(), text
    return text[:-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_is_one_line(written, text):
    assert "hello" in one(written(lambda logger: logger.warning("%s hello", text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_format_with_the_text_in_it_is_one_line(written, text):
    assert "hello" in one(written(lambda logger: logger.warning(text + " hello")))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_the_context_says_is_escaped_too(written, text):
    def run(logger):
        TroveContext(user_id=text, project_id=text, request_id=text)
        logger.info("hello")
    try:
        assert "hello" in one(written(run))
    finally:
        TroveContext()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_traceback_has_its_own_place(written, text):
    def run(logger):
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("of ours")
    first, *trace = written(run)[:-1].split("\n")
    assert first.isprintable() and "of ours" in first
    assert len(trace) > 3
    assert all(line.startswith(log.TRACE) and line.isprintable() for line in trace)


@pytest.mark.parametrize("text", HOSTILE)
def test_json_has_one_line_as_well(written, text):
    line = written(lambda logger: logger.warning("%s", text), "--use-json")
    assert line.count("\n") == 1 and line[:-1].isprintable() and len(line.splitlines()) == 1
    assert json.loads(line)["message"] == text


def test_a_record_that_cannot_be_formatted_is_a_line(written, capsys):
    line = one(written(lambda logger: logger.warning("%d\n", "text\n")))
    assert "text\\n" in line
    assert "Logging error" not in capsys.readouterr().err


def test_a_long_text_is_cut(written):
    assert len(one(written(lambda logger: logger.warning("x" * 10 ** 6)))) < 20000


def test_a_long_traceback_is_cut(written):
    def run(logger):
        try:
            raise ValueError("line\n" * 10000)
        except ValueError:
            logger.exception("of ours")
    assert written(run).count("\n") < 300


def test_colours_stay_and_cannot_be_made(written, capfd, conf):
    cfg.parse_args([], default_config_files=[])
    record = logging.LogRecord("trove.test", logging.INFO, "", 0, "a\x1b[31m", None, None)
    record.color, record.reset_color = "\x1b[00;36m", "\x1b[00m"
    formatter = log.OneLine(logging.Formatter("%(color)s%(message)s%(reset_color)s"))
    assert formatter.format(record) == "\x1b[00;36ma\\x1b[31m\x1b[00m"
    assert formatter.format(record) == "\x1b[00;36ma\\x1b[31m\x1b[00m"


def test_the_end_of_a_thread_is_logged(written):
    def run(_logger):
        def end():
            raise OSError("bad\nend")
        thread = threading.Thread(target=end, name="worker\n1")
        thread.start()
        thread.join()
    first, *trace = written(run)[:-1].split("\n")
    assert "worker\\n1" in first and "CRITICAL" in first
    assert all(line.startswith(log.TRACE) for line in trace)


def test_handlers_of_a_logging_file_write_one_line(written, tmp_path):
    config = tmp_path / "logging.conf"
    config.write_text(f"""[loggers]
keys=root,own
[handlers]
keys=file
[formatters]
keys=
[logger_root]
handlers=
[logger_own]
qualname=trove.own
handlers=file
level=INFO
[handler_file]
class=FileHandler
args=("{tmp_path}/own",)
""")
    cfg.parse_args(["--log-config-append", str(config)], default_config_files=[])
    own = logging.getLogger("trove.own")
    own.warning("two\nlines")
    assert one((tmp_path / "own").read_text()) == "two\\nlines"
    for handler in list(own.handlers):
        own.removeHandler(handler)
