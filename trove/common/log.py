"""The log of every process: one record is one line, whatever a text from outside contains.

Control characters, line ends and characters without a glyph are written as backslash escapes. The lines of a traceback
follow their record behind ``TRACE``, which no record begins with. ``use_json`` has JSON's own escapes for the same.
"""
import logging
import secrets
import threading
import traceback

from oslo_log import formatters

from trove.common import security

# The lines of a traceback begin with this.
TRACE = "    | "
# Most characters of a line, and most lines of a traceback (half of them from each end).
_LONGEST, _MOST_LINES = 16384, 200
# Stand for the colours of a line (option log_color) while the rest of it is escaped.
_COLOURS = ("color", "reset_color")


class OneLine(logging.Formatter):
    """Wraps another formatter, which makes a line of a record without its traceback."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def format(self, record):
        """Return the line of a record, and the lines of its traceback."""
        hidden = {name: getattr(record, name) for name in ("exc_info", "exc_text", "stack_info")}
        record.__dict__.update(dict.fromkeys(hidden))
        colours = {name: record.__dict__[name] for name in _COLOURS if record.__dict__.get(name)}
        tokens = {name: secrets.token_hex(8) for name in colours}
        record.__dict__.update(tokens)
        try:
            line = self._line(record)
        finally:
            record.__dict__.update({**hidden, **colours})
        for name, token in tokens.items():
            line = line.replace(token, colours[name])
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            line += "\n" + _indented(record.stack_info)
        return line

    def _line(self, record):
        try:
            text = self.inner.format(record)
        except Exception as error:  # noqa: BLE001 - a record that cannot be formatted must not be printed as it is
            text = f"A log record of {record.name} cannot be formatted ({error}): {record.msg!r} % {record.args!r}"
        return security.printable(text, _LONGEST)

    def formatException(self, exc_info):  # noqa: N802 - the library's name
        """Return a traceback as lines behind ``TRACE``."""
        try:
            return _indented("".join(traceback.format_exception(*exc_info)))
        except Exception as error:  # noqa: BLE001 - an exception's own __str__ may fail
            return _indented(f"{exc_info[0]} cannot be printed: {error}")


def _indented(text):
    lines = text.rstrip("\n").split("\n")
    if len(lines) > _MOST_LINES:
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines left out ...", *lines[-half:]]
    return "\n".join(TRACE + security.printable(line, _LONGEST) for line in lines)


def setup(conf):
    """Make each handler that oslo.log has set up write one line per record; log what ends a thread."""
    handlers = list(logging.getLogger().handlers)
    if conf.log_config_append:  # that file may give handlers to any logger
        for logger in logging.root.manager.loggerDict.values():
            handlers.extend(getattr(logger, "handlers", ()))
    for handler in handlers:
        if not isinstance(handler.formatter, (OneLine, formatters.JSONFormatter, formatters.FluentFormatter)):
            handler.setFormatter(OneLine(handler.formatter or logging.Formatter()))
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(args):
    if args.exc_type is not SystemExit:
        logging.getLogger("trove").critical("The thread %s ended by an error", args.thread and args.thread.name,
                                            exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
