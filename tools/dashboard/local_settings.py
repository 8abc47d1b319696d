"""Settings of the dashboard for one set-up: sessions in files, assets made in advance, no other service needed.

Copied into the dashboard's environment by onebox.dashboard, which also sets the variables read here.
"""
import os
import sys
from pathlib import Path

STATE = Path(os.environ["DASHBOARD_STATE"])
OPENSTACK_KEYSTONE_URL = os.environ["OS_AUTH_URL"]
SECRET_KEY = (STATE / "secret").read_text()
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = str(STATE / "sessions")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
STATIC_ROOT = f"{sys.prefix}/static"
COMPRESS_OFFLINE = True
AVAILABLE_THEMES = [("default", "Default", "themes/default")]
TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
