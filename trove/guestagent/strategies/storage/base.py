"""What keeps backups must offer."""
import abc
from dataclasses import dataclass


@dataclass(frozen=True)
class Saved:
    """checksum: of the whole as the control plane computes it; size: bytes; segments: how many."""

    checksum: str
    size: int
    segments: int


class Storage(abc.ABC):
    """Keeps the streams of backups. Every method raises StorageError."""

    @abc.abstractmethod
    def save(self, backup, blocks):
        """Keep a stream. backup: backup_info of create_backup; blocks: iterator of bytes-like parts of any size, each
        valid only until the next one is asked for. Returns Saved.

        Whatever ``blocks`` raises goes through.
        """

    @abc.abstractmethod
    def save_metadata(self, backup, metadata):
        """Keep {name: text} with a backup that was saved."""

    @abc.abstractmethod
    def load(self, link):
        """The stream of a backup, as an iterator of bytes; it ends only if every byte is as it was saved.

        link: one of the chain in prepare's backup_info.
        """
