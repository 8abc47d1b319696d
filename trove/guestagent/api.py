"""RPC client of the guest agent: the control plane's only door to a guest. The methods are those of the base Manager,
in its order. Every command carries a proof made with the guest's key, without which the agent refuses it; every
answer is looked at before anybody relies on its shape, as whoever has root in the guest may have made it.
"""
from trove import rpc
from trove.common import exception, origin
from trove.common.cfg import CONF
from trove.db import get_db_api, guest_secrets, keys

CAST = None
LOW = "agent_call_low_timeout"
HIGH = "agent_call_high_timeout"
# Characters of a text that a guest tells of itself.
_LONGEST_TEXT = 65536
# Bound of the number of pieces of an archive of logs.
_MOST_PIECES = 10 ** 8
# Bound of the numbers in an answer.
_LARGEST_NUMBER = 2 ** 100
# Seconds after the time that a command may take in which its guest's reports still count as part of the request.
_GRACE = 60


def _longest_wait():
    """Seconds for which an operation may wait for what a guest reports of a command that is not answered."""
    return max(CONF.usage_timeout, CONF.restore_usage_timeout, CONF.backup_time_out)


def _validity(method):
    """Seconds in which the guest must have a command: only the one to prepare waits for a guest that boots."""
    return max(CONF.bus_command_validity, CONF.usage_timeout if method == "prepare" else 0)


def _generations(instance_id):
    with get_db_api().reader() as session:
        return guest_secrets.generations(session, instance_id)


def _is_database(value):
    return isinstance(value, dict) and isinstance(value.get("_name"), str)


def _is_user(value):
    return (_is_database(value) and isinstance(value.get("_host") or "", str)
            and isinstance(value.get("_password") or "", str) and _is_list(value.get("_databases") or [], _is_database))


def _is_user_or_none(value):
    return value is None or _is_user(value)


def _is_user_with_password(value):
    return _is_user(value) and bool(value.get("_password"))


def _is_list(value, of):
    return isinstance(value, (list, tuple)) and all(map(of, value))


def _is_database_list(value):
    return _is_list(value, _is_database)


def _is_page(value, of):
    return (isinstance(value, (list, tuple)) and len(value) == 2 and _is_list(value[0], of)
            and (value[1] is None or isinstance(value[1], str)))


def _is_database_page(value):
    return _is_page(value, _is_database)


def _is_user_page(value):
    return _is_page(value, _is_user)


def _is_number(value):
    # As a comparison it also keeps out NaN, infinities, and whole numbers that no float can hold.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER


def _has_numbers(value, *names):
    return isinstance(value, dict) and all(_is_number(value.get(name)) for name in names)


def _has_sizes(value):
    return _has_numbers(value, "total", "free", "used")


def _is_hardware(value):
    return _has_numbers(value, "mem_total", "num_cpus")


def _is_diagnostics(value):
    return (_has_numbers(value, "fd_size", "vm_size", "vm_peak", "vm_rss", "vm_hwm", "threads")
            and isinstance(value.get("version"), str))


def _is_short_text(value):
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def _is_snapshot(value):
    return isinstance(value, dict) and _has_numbers(value.get("dataset"), "dataset_size")


def _is_replica_context(value):
    return (isinstance(value, dict) and isinstance(value.get("running"), bool)
            and (value.get("lag") is None or _is_number(value["lag"]))
            and all(value.get(name) is None or _is_short_text(value[name]) for name in ("error", "log_position")))


def _is_event(value):
    return (isinstance(value, dict) and value.get("state") in ("enabled", "disabled", "replica")
            and all(_is_short_text(value.get(name)) for name in ("database", "name")))


def _is_event_list(value):
    return _is_list(value, _is_event)


def _is_transaction(value):
    return _has_numbers(value, "count") and all(_is_short_text(value.get(name)) for name in ("source", "txn"))


def _are_reasons(value, names):
    return isinstance(value, dict) and all(name in names and _is_short_text(value[name]) for name in value)


def _is_archive(value):
    return (_has_numbers(value, "next") and isinstance(value["next"], int) and 0 <= value["next"] <= _MOST_PIECES
            and (value.get("id") is None or _is_short_text(value["id"])))


def _is_truth(value):
    return isinstance(value, bool)


LOG_STATES = ("Disabled", "Enabled", "Unavailable", "Ready", "Published", "Partial", "Rotated", "Restart Required")


def _is_log(value):
    return (_has_numbers(value, "published", "pending") and isinstance(value.get("name"), str)
            and value.get("type") in ("SYS", "USER") and value.get("status") in LOG_STATES)


def _is_log_list(value):
    return _is_list(value, _is_log)


class API:
    """Commands for the agent of one instance.

    Every method raises GuestTimeout when the guest does not answer in time and GuestError when it fails the command
    (a cast: when the bus does not take the message).
    """

    def __init__(self, context, instance_id):
        self.context = context
        self.instance_id = instance_id
        self.topic = f"guestagent.{instance_id}"

    def _send(self, timeout, method, fits=None, /, **kwargs):
        """Send ``method``; timeout: CAST for no answer, else the name of the option with the seconds to wait; fits:
        tells whether an answer is of the shape that the method has.
        """
        generation, pending = _generations(self.instance_id)
        with rpc.GuestErrors():
            client = rpc.get_client(self.topic, "guestagent")
            patience = CONF[timeout] if timeout else _longest_wait()
            context = rpc.signed(self.context, keys.guest_key(self.instance_id, generation), method, kwargs,
                                 origin.seal(self.instance_id, self.context, patience + _GRACE), _validity(method),
                                 pending and keys.guest_key(self.instance_id, pending))
            if timeout is CAST:
                return client.prepare().cast(context, method, **kwargs)
            with rpc.answered_by(self.instance_id):
                answer = client.prepare(timeout=CONF[timeout]).call(context, method, **kwargs)
        if fits is not None and not fits(answer):
            raise exception.GuestError(original=f"its answer to {method} is not understood.")
        return answer

    def prepare(self, packages, databases, memory_mb, users, device_path=None, mount_point=None, backup_info=None,
                config_contents=None, root_password=None, overrides=None, cluster_config=None, snapshot=None,
                modules=None):
        """Make a database server of the guest. May be sent again until the guest has reported that it is done.

        packages: list of names; databases, users: dicts of ``guestagent.db.models``; memory_mb: RAM of the flavor;
        device_path: data volume or None; backup_info: of the backup to restore or None: {"id", "instance_id",
        "location", "type", "checksum", "chain": [of each backup, the full one first: {"id", "type", "location",
        "checksum", "segments": [[name, size, MD5]], "key", "storage"}]}; for a point in time also "archive": {"id",
        "key", "storage", "first", "count": the numbers of its pieces, "point": seconds since the epoch};
        config_contents: text of the configuration file; overrides: dict; snapshot: for a replica, what
        ``attach_replica`` is given, with "config".
        """
        self._send(CAST, "prepare", packages=packages, databases=databases, memory_mb=memory_mb, users=users,
                   device_path=device_path, mount_point=mount_point, backup_info=backup_info,
                   config_contents=config_contents, root_password=root_password, overrides=overrides,
                   cluster_config=cluster_config, snapshot=snapshot, modules=modules)

    def rpc_ping(self):
        """True, if the agent answers."""
        return self._send(LOW, "rpc_ping")

    def rotate_secrets(self, generation, sealed):
        """Replace key, broker account and certificate; it has answered when they are in its files and were tried.

        generation: of the new secrets; a guest that has them already does nothing. sealed: its new files, see
        ``common.sealing``, sealed with the key that the guest has.
        """
        self._send(LOW, "rotate_secrets", generation=generation, sealed=sealed)

    def install_certificate(self, sealed):
        """Give the database server a key and a certificate, without restarting it. sealed: a PEM text, see
        ``common.sealing``.
        """
        self._send(LOW, "install_certificate", sealed=sealed)

    def create_database(self, databases):
        """Make databases (list of dicts); those that exist are left alone."""
        self._send(HIGH, "create_database", databases=databases)

    def delete_database(self, database):
        """Drop a database (dict); one that does not exist is fine."""
        self._send(HIGH, "delete_database", database=database)

    def list_databases(self, limit=None, marker=None, include_marker=False):
        """A page of databases by name: (list of dicts, marker of the next page or None)."""
        return self._send(LOW, "list_databases", _is_database_page, limit=limit, marker=marker,
                          include_marker=include_marker)

    def create_user(self, users):
        """Make users (list of dicts) with their passwords and grants."""
        self._send(HIGH, "create_user", users=users)

    def delete_user(self, user):
        """Drop a user (dict); one that does not exist is fine."""
        self._send(HIGH, "delete_user", user=user)

    def get_user(self, username, hostname):
        """The user as a dict with its databases, or None."""
        return self._send(LOW, "get_user", _is_user_or_none, username=username, hostname=hostname)

    def list_users(self, limit=None, marker=None, include_marker=False):
        """A page of users by name@host: (list of dicts, marker of the next page or None)."""
        return self._send(HIGH, "list_users", _is_user_page, limit=limit, marker=marker,
                          include_marker=include_marker)

    def change_passwords(self, users):
        """Set passwords: list of {"name", "host", "password"}."""
        self._send(HIGH, "change_passwords", users=users)

    def update_attributes(self, username, hostname, user_attrs):
        """Change name, host or password of a user: user_attrs has some of these keys."""
        self._send(HIGH, "update_attributes", username=username, hostname=hostname, user_attrs=user_attrs)

    def list_access(self, username, hostname):
        """The databases (dicts) that a user may use. An unknown user is NotFound."""
        return self._send(LOW, "list_access", _is_database_list, username=username, hostname=hostname)

    def grant_access(self, username, hostname, databases):
        """Let a user use databases (names)."""
        self._send(HIGH, "grant_access", username=username, hostname=hostname, databases=databases)

    def revoke_access(self, username, hostname, database):
        """Take a user's right to use a database (name). NotFound when it has none."""
        self._send(HIGH, "revoke_access", username=username, hostname=hostname, database=database)

    def enable_root(self):
        """Enable root with a fresh password: the user's dict."""
        return self._send(HIGH, "enable_root", _is_user_with_password)

    def enable_root_with_password(self, root_password=None):
        """Enable root with a given password (None: a fresh one): the user's dict."""
        return self._send(HIGH, "enable_root_with_password", _is_user_with_password, root_password=root_password)

    def disable_root(self):
        """Disable root."""
        self._send(LOW, "disable_root")

    def is_root_enabled(self):
        """Whether root may log in over the network now."""
        return self._send(LOW, "is_root_enabled")

    def restart(self):
        """Restart the database server."""
        self._send(HIGH, "restart")

    def stop_db(self, do_not_start_on_reboot=False):
        """Stop the database server; on demand it stays off when the guest boots."""
        self._send(HIGH, "stop_db", do_not_start_on_reboot=do_not_start_on_reboot)

    def start_db_with_conf_changes(self, config_contents):
        """Write a configuration (text) and start the database server, also at boot."""
        self._send(HIGH, "start_db_with_conf_changes", config_contents=config_contents)

    def reset_configuration(self, configuration):
        """Write a configuration ({"config_contents": text}) without touching the server."""
        self._send(HIGH, "reset_configuration", configuration=configuration)

    def update_overrides(self, overrides, remove=False):
        """Let the configuration have exactly these values ({name: value}) over the base; remove: none at all.

        The server is not touched: they hold from its next start on.
        """
        self._send(HIGH, "update_overrides", overrides=overrides, remove=remove)

    def apply_overrides(self, overrides):
        """Set values ({name: value, None for the server's own default}) in the running server.

        Returns {name: reason} of those that it did not take.
        """
        return self._send(HIGH, "apply_overrides", lambda refused: _are_reasons(refused, overrides),
                          overrides=overrides)

    def mount_volume(self, device_path=None, mount_point=None):
        """Mount the data volume."""
        self._send(LOW, "mount_volume", device_path=device_path, mount_point=mount_point)

    def unmount_volume(self, device_path=None, mount_point=None):
        """Unmount the data volume."""
        self._send(LOW, "unmount_volume", device_path=device_path, mount_point=mount_point)

    def resize_fs(self, device_path=None, mount_point=None, online=False, size=None):
        """Let the file system fill its volume; a mounted one is taken down for it, so nothing may use it then.

        online: leave it mounted, or do nothing where that cannot be; size: GB that the device is to have by then.
        Returns whether the file system fills its volume.
        """
        return self._send(HIGH, "resize_fs", device_path=device_path, mount_point=mount_point, online=online, size=size)

    def create_backup(self, backup_info):
        """Take a backup. May be sent again: one that runs goes on, one that has ended is reported again.

        backup_info: {"id", "name", "description", "instance_id", "backup_type", "datastore", "datastore_version",
        "parent": {"id", "location", "checksum", "metadata"} or None, "key": hexadecimal or None, "storage": see
        ``backup.store.signatures``}.
        """
        self._send(CAST, "create_backup", backup_info=backup_info)

    def begin_archive(self, archive, backup_type):
        """Archive logs from now on, if backups of that type can be brought to later times; one that it fills goes on.

        archive: {"id", "pieces": how many it is known to have, "key": hexadecimal or None, "storage": see
        ``backup.store.signatures``}. Returns {"id": of the archive that it fills or None, "next": number of the piece
        with which replay begins after a backup that is taken now}.
        """
        return self._send(LOW, "begin_archive", _is_archive, archive=archive, backup_type=backup_type)

    def renew_archive(self, archive_id, archive):
        """Give new signatures for an archive. archive: as for ``begin_archive``; None: nobody needs it any more."""
        self._send(CAST, "renew_archive", archive_id=archive_id, archive=archive)

    def get_filesystem_stats(self, fs_path=None):
        """Sizes of the data file system: block_size, total_blocks, free_blocks; total, free, used in GB."""
        return self._send(LOW, "get_filesystem_stats", _has_sizes, fs_path=fs_path)

    def get_hwinfo(self):
        """{"mem_total": kB, "num_cpus": n}."""
        return self._send(LOW, "get_hwinfo", _is_hardware)

    def get_diagnostics(self):
        """Version and memory of the agent: version, fd_size, vm_size, vm_peak, vm_rss, vm_hwm, threads."""
        return self._send(LOW, "get_diagnostics", _is_diagnostics)

    def get_replication_snapshot(self, snapshot_info, replica_source_config):
        """Make the server a source, whose data ``create_backup`` then takes; it is restarted if it must.

        snapshot_info: {"accounts": of all its replicas, see ``enable_as_master``}; replica_source_config: text.
        Returns {"dataset": {"dataset_size": GB, ...}, "replication_strategy"}.
        """
        return self._send(HIGH, "get_replication_snapshot", _is_snapshot, snapshot_info=snapshot_info,
                          replica_source_config=replica_source_config)

    def enable_as_master(self, replica_source_config, accounts):
        """Let exactly these accounts (list of {"user", "password"}) follow the server."""
        self._send(HIGH, "enable_as_master", replica_source_config=replica_source_config, accounts=accounts)

    def attach_replica(self, replica_info, slave_config):
        """Make the server a replica, read-only. It has answered when it follows its source.

        replica_info: {"master": {"host", "port", "user", "password"}, "log_position": of the source or None,
        "must_connect": whether it is an error when the source does not answer}; slave_config: text.
        """
        self._send(HIGH, "attach_replica", replica_info=replica_info, slave_config=slave_config)

    def detach_replica(self, for_failover=False):
        """Follow nobody any more; be writable, unless it is for a failover."""
        self._send(HIGH, "detach_replica", for_failover=for_failover)

    def get_replica_context(self):
        """{"running", "lag" in seconds or None, "error" or None, "log_position" or None}."""
        return self._send(HIGH, "get_replica_context", _is_replica_context)

    def make_read_only(self, read_only):
        """Refuse the writes of users, also after a restart; or take them."""
        self._send(HIGH, "make_read_only", read_only=read_only)

    def list_events(self):
        """The events of the server: [{"database", "name", "state": enabled, disabled, or replica}]; the last one is off
        because it came from a source.
        """
        return self._send(HIGH, "list_events", _is_event_list)

    def switch_events(self, events, on):
        """Enable those events ([{"database", "name"}]) that are off as on a replica, or let enabled ones be so."""
        self._send(HIGH, "switch_events", events=events, on=on)

    def demote_replication_master(self):
        """Refuse writes and let nobody follow any more."""
        self._send(HIGH, "demote_replication_master")

    def get_last_txn(self):
        """What a replica has received: {"source": empty if it does not know, "count": the more the newer, "txn"}."""
        return self._send(HIGH, "get_last_txn", _is_transaction)

    def get_latest_txn_id(self):
        """The newest transaction that was committed."""
        return self._send(HIGH, "get_latest_txn_id", _is_short_text)

    def wait_for_txn(self, txn):
        """Whether a transaction was carried out within some seconds."""
        return self._send(HIGH, "wait_for_txn", _is_truth, txn=txn)

    def cleanup_source_on_replica_detach(self, replica_info):
        """Remove the account of a replica: {"user"}."""
        self._send(HIGH, "cleanup_source_on_replica_detach", replica_info=replica_info)

    def guest_log_list(self):
        """The logs of the guest: [{"name", "type": SYS or USER, "status", "published", "pending": bytes}]."""
        return self._send(HIGH, "guest_log_list", _is_log_list)

    def guest_log_action(self, log_name, enable=False, disable=False, publish=False, discard=False, storage=None):
        """Turn a log on or off, forget what was published of it, or publish what is new; returns its dict.

        storage: where to publish it, {"url": of a container, "PUT": query string with a signature for what begins with
        "prefix", "prefix"}.
        """
        return self._send(HIGH, "guest_log_action", _is_log, log_name=log_name, enable=enable, disable=disable,
                          publish=publish, discard=discard, storage=storage)

    def cluster_complete(self):
        """Tell a member that its cluster is complete."""
        self._send(LOW, "cluster_complete")
