"""[DEFAULT] options of backups, and of what else goes to the object store: the control plane's and the agent's."""
from oslo_config import cfg

control_opts = [
    cfg.StrOpt("backup_swift_container", default="database_backups",
               help="What the names of the containers of backups begin with, in the account of the user who keeps "
                    "them; the id of the backup follows. Backups of earlier releases lie together in the container of "
                    "just this name. Do not change it while there are backups."),
    cfg.BoolOpt("backup_use_openssl_encryption", default=True,
                help="Whether new backups are encrypted (AES-256-GCM; the name is from when openssl did it)."),
    cfg.MultiStrOpt("backup_encryption_key", secret=True, default=[],
                    help="Secret (at least 32 characters) from which the key of each backup is made; without it no "
                         "backup can be taken while backups are to be encrypted. Backups cannot be restored without "
                         "it: keep a copy elsewhere. "
                         "`python -c \"import secrets; print(secrets.token_urlsafe(32))\"` makes one. To rotate it, "
                         "put a line with the new key before the line with the old one, in the same file: the first "
                         "is for new backups, and each backup is restored with the one it was taken with."),
    cfg.BoolOpt("verify_swift_checksum_on_restore", default=True,
                help="Whether the checksum of a backup is compared with the object store's before it is restored."),
    cfg.IntOpt("backup_time_out", default=36000,
               help="Seconds for one backup; a guest may write to the object store for so long."),
    cfg.StrOpt("guest_log_container_name", default="database_logs",
               help="Container of published logs, in the account of the tenant; it is made if it is missing."),
    cfg.IntOpt("object_store_time_out", default=1800,
               help="Seconds until the object store must have written, checked or deleted the objects of a backup. An "
                    "object store that is away, or whose listings lag, is asked again for so long."),
    cfg.FloatOpt("backup_audit_interval", default=3600.0, min=1,
                 help="Seconds between two looks of a task manager for containers of backups that failed or were "
                      "deleted: what came late or could not be deleted then is deleted."),
    cfg.IntOpt("archive_signature_validity", default=86400, min=60,
               help="Seconds for which a guest may write to its archive of logs without hearing of the control plane; "
                    "its signatures are renewed when half of them have passed."),
    cfg.FloatOpt("archive_audit_interval", default=60.0, min=1,
                 help="Seconds between two looks of a task manager at archives of logs: which guests need new "
                      "signatures, and which pieces no backup needs any more."),
]

guest_opts = [
    cfg.StrOpt("storage_strategy", default="SwiftStorage", help="Name of the class that keeps backups."),
    cfg.StrOpt("storage_namespace", default="trove.guestagent.strategies.storage.swift",
               help="Module of the classes that keep backups."),
    cfg.BoolOpt("backup_use_gzip_compression", default=True, help="Whether backups are compressed."),
    cfg.StrOpt("backup_compressor", default="zstd", choices=["zstd", "gzip"],
               help="Program that compresses; gzip is taken where zstd is not installed. Both are read."),
    cfg.StrOpt("backup_aes_cbc_key", secret=True,
               help="Pass phrase of old backups, encrypted by openssl (.enc); needed to restore those only."),
    cfg.DictOpt("backup_runner_options", default={},
                help="Name of a backup class -> further arguments for its program, separated by blanks."),
    cfg.IntOpt("backup_segment_max_size", default=16 * 1024 * 1024, min=1024 * 1024,
               help="Bytes of one object in the store. Guests hold three segments in memory, those below 1 GB two; "
                    "an object store lists at most 10000 of them, which limits a compressed backup to 156 GB with "
                    "the default."),
    cfg.IntOpt("backup_request_patience", default=900, min=0,
               help="Seconds for which the agent repeats a request to the object store that failed in passing; they "
                    "begin again with each byte that a restore reads. A signature that is refused is also tried for "
                    "so long, at most until its end. With 0 nothing is repeated."),
    cfg.IntOpt("backup_request_timeout", default=60, min=1,
               help="Seconds of silence after which a request of the agent to the object store has failed."),
    cfg.IntOpt("backup_prepare_timeout", default=7200, min=1,
               help="Seconds for making the files of one restored backup consistent."),
    cfg.FloatOpt("archive_interval", default=10.0, min=1,
                 help="Seconds between two pieces of an archive of logs while users write. The newest point in time to "
                      "which an instance can be restored is so old, and some seconds more for the upload and the "
                      "heartbeat (report_interval)."),
    cfg.IntOpt("archive_late", default=300, min=30,
               help="Seconds without a stored piece of an archive of logs, while there is something to store, after "
                    "which the instance shows that archiving lags."),
    cfg.IntOpt("archive_least_free", default=10, min=1, max=90,
               help="Percent of the data volume that must be free for logs to be kept that cannot be archived now. "
                    "With less the archive ends, the server deletes its logs, and the next backup begins another."),
    cfg.IntOpt("archive_piece_size", default=64 * 1024 * 1024, min=1024 * 1024,
               help="Bytes of log files after which no further file is added to a piece of an archive; one file is "
                    "never divided."),
    cfg.IntOpt("archive_replay_timeout", default=7200, min=1,
               help="Seconds for replaying one log file into a restored backup."),
    cfg.IntOpt("backup_idle_timeout", default=600, min=1,
               help="Seconds after which a program of a backup or restore that moves no data counts as hanging."),
]


def register_opts(conf):
    """Register this area's options on ``conf``."""
    conf.register_opts(control_opts)
    conf.register_opts(guest_opts)
