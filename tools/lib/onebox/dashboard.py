"""The dashboard in front of a set-up: Horizon with trove-dashboard in an environment of its own, on a local port.

For tests and for looking at it; it is a client of the cloud like any other. Ends with the set-up.
"""
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from onebox import cloud, processes, venv
from onebox.command import run
from onebox.settings import CHECKOUT, SetupError, free_port, secret, write

RELEASES = {
    "27.0.0": ("horizon==27.0.0", "trove-dashboard==27.0.0"),
    "25.3.2": ("horizon==25.3.2", "trove-dashboard==19.0.0", "XStatic-Font-Awesome==4.7.0.0"),
}
SERVER = "Werkzeug==3.1.9"
SOURCES, SETTINGS = CHECKOUT / "tools/dashboard", "local_settings.py"
START_TIMEOUT = 300  # seconds


def environment(cache, release):
    """The directory of an environment with a release of Horizon and its assets, made once."""
    return venv.client(cache, f"dashboard-{release}", (*RELEASES[release], SERVER), _install,
                       (SOURCES / SETTINGS,))


def start(settings, release):
    """Start a release of the dashboard; returns its URL.

    Raises SetupError naming the log when it does not come up.
    """
    name, home, port = service(release), settings.state / "dashboard" / release, free_port(settings.state)
    (home / "sessions").mkdir(parents=True, exist_ok=True, mode=0o700)
    write(home / "secret", secret(settings, "dashboard"), mode=0o600)
    python = environment(settings.cache, release) / "bin/python"
    processes.start(settings, name, [str(python), "-W", "ignore", str(SOURCES / "serve.py"), str(port)],
                    _variables(home, cloud.tenant_environment(settings)["OS_AUTH_URL"]))
    url = f"http://127.0.0.1:{port}"
    if not processes.wait(lambda: _answers(url) or not processes.running(settings, name), START_TIMEOUT, 0.2) \
            or not _answers(url):
        raise SetupError(f"the dashboard did not start; see {settings.logs / name}.log")
    return url


def stop(settings, release):
    """End a release of the dashboard."""
    processes.stop(settings, service(release))


def service(release):
    """The name of its process and of its log."""
    return f"dashboard-{release}"


def _install(python):
    """Put our settings and the panels into the environment, and make all assets."""
    packages = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    local = packages / "openstack_dashboard/local"
    shutil.copy(SOURCES / SETTINGS, local)
    for panel in sorted((packages / "trove_dashboard/enabled").glob("_*.py")):
        shutil.copy(panel, local / "enabled")
    with tempfile.TemporaryDirectory() as home:
        write(Path(home) / "secret", "only while assets are made", mode=0o600)
        for command in (("collectstatic", "--noinput"), ("compress", "--force")):
            run([python, "-W", "ignore", "-m", "django", *command], environment=_variables(home, "http://127.0.0.1"))


def _variables(home, auth_url):
    return {"DJANGO_SETTINGS_MODULE": "openstack_dashboard.settings", "DASHBOARD_STATE": str(home),
            "OS_AUTH_URL": auth_url}


def _answers(url):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/auth/login/", timeout=30):
            return True
    except (urllib.error.URLError, OSError):
        return False
