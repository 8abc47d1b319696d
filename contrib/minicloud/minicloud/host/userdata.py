"""User data of a server, as cloud-init reads it, turned into files to write and scripts to run. Pure.

Called by the daemon when a guest is created, so that the guest needs neither YAML nor cloud-init. What is not
understood becomes a note for the guest's console, as cloud-init would log it, and never stops the boot.
"""

from __future__ import annotations

import base64
import binascii
import email
import gzip
import shlex
import zlib
from dataclasses import dataclass, field

import yaml

_SUPPORTED = ("bootcmd", "runcmd", "write_files")


@dataclass
class Plan:
    """What user data asks for: `files` and `scripts` in the form that personalise.first_boot takes."""

    files: list[dict] = field(default_factory=list)
    scripts: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse(data: bytes) -> Plan:
    """Understand a shebang script, #cloud-config, or MIME parts of these, each possibly gzipped. Never raises."""
    plan = Plan()
    _part(data, plan)
    if plan.notes:
        lines = "\n".join(f"echo {shlex.quote('user data: ' + note)}" for note in plan.notes)
        plan.scripts.append(f"#!/bin/sh\n{lines}\n".encode())
    return plan


def _part(data: bytes, plan: Plan) -> None:
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            plan.notes.append(f"ignored: damaged gzip data: {error}")
            return
    if data.startswith(b"#!"):
        plan.scripts.append(data)
    elif data.startswith(b"#cloud-config"):
        _cloud_config(data, plan)
    elif b"mime-version:" in data[:4096].lower() or data[:13].lower() == b"content-type:":
        for part in email.message_from_bytes(data).walk():
            if not part.is_multipart():
                _part((part.get_payload(decode=True) or b"").lstrip(b"\r\n"), plan)
    elif data.strip():
        plan.notes.append("ignored: neither a script (#!), nor #cloud-config, nor MIME parts")


def _cloud_config(data: bytes, plan: Plan) -> None:
    try:
        config = yaml.safe_load(data) or {}
    except yaml.YAMLError as error:
        plan.notes.append(f"ignored: #cloud-config is not valid YAML: {' '.join(str(error).split())}")
        return
    if not isinstance(config, dict):
        plan.notes.append("ignored: #cloud-config must be a mapping")
        return
    for key in [key for key in _SUPPORTED if not isinstance(config.get(key) or [], list)]:
        plan.notes.append(f"ignored: {key} must be a list")
        del config[key]
    for entry in config.get("write_files") or []:
        try:
            plan.files.append(_file(entry))
        except (KeyError, TypeError, ValueError, AttributeError, OSError, binascii.Error) as error:
            plan.notes.append(f"ignored: entry of write_files: {error!r}")
    for key in ("bootcmd", "runcmd"):
        if config.get(key):
            plan.scripts.append(_commands(config[key]))
    unknown = sorted(str(key) for key in config if key not in _SUPPORTED)
    if unknown:
        plan.notes.append(f"ignored: {', '.join(unknown)} (supported: {', '.join(_SUPPORTED)})")


def _file(entry: dict) -> dict:
    path = entry["path"]
    if not path.startswith("/"):
        raise ValueError(f"path: {path!r} must be absolute")
    content = entry.get("content", "")
    content = content if isinstance(content, bytes) else str(content).encode()
    encoding = str(entry.get("encoding", "")).lower()
    if "64" in encoding:
        content = base64.b64decode(b"".join(content.split()), validate=True)
    if "gz" in encoding:
        content = gzip.decompress(content)
    mode = entry.get("permissions", 0o644)
    return {
        "path": path,
        "content": base64.b64encode(content).decode(),
        "owner": entry.get("owner", ""),
        "mode": mode if isinstance(mode, int) else int(mode, 8),
        "append": bool(entry.get("append", False)),
    }


def _commands(commands: list) -> bytes:
    lines = [shlex.join(map(str, item)) if isinstance(item, list) else str(item) for item in commands]
    return ("#!/bin/sh\n" + "\n".join(lines) + "\n").encode()
