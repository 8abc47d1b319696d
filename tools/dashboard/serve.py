"""Serve the dashboard and its static files on 127.0.0.1; run with the dashboard's own Python: serve.py PORT.

For development and tests: one process with threads, no TLS.
"""
import sys

from django.conf import settings
from openstack_dashboard.wsgi import application
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.serving import run_simple

run_simple("127.0.0.1", int(sys.argv[1]), SharedDataMiddleware(application, {"/static": settings.STATIC_ROOT}),
           threaded=True)
