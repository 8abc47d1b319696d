"""One of the two builds that tools/bench compare measures: a program in that build's own environment.

compare_side.py CONFIG_FILE WORK ...:

    fill TENANT COUNT       make what is missing of the tables, and so many more instances of a tenant; print their ids
    publish EACH SENT       publish so many signed heartbeats of every instance, sent one second after the other from
                            SENT (seconds since the epoch) on; none is older than those of the last time

Uses only what the builds of several releases have.
"""
import json
import sys
import time
import uuid

import amqp
import kombu
import sqlalchemy

from onebox import figures
from trove import rpc
from trove.common import cfg, crypto, envelope
from trove.common.cfg import CONF
from trove.conductor import models as conductor_models
from trove.db import get_db_api
from trove.db.sqlalchemy import tables
from trove.instance import models as _models  # noqa: F401 - maps the rows

_FACTS = {"access": True, "repairs": 0, "binary_log": "on", "follows": False, "volume_full": False, "used": 0.13}


def fill(tenant, count):
    """See the module."""
    engine = get_db_api().get_engine()
    tables.metadata.create_all(engine)
    with get_db_api().writer() as session:
        version = session.execute(sqlalchemy.select(tables.datastores.c.default_version_id)).scalar()
        if version is None:
            datastore, version = str(uuid.uuid4()), str(uuid.uuid4())
            session.execute(tables.datastores.insert().values(
                id=datastore, name="mariadb", default_version_id=version))
            session.execute(tables.datastore_versions.insert().values(
                id=version, datastore_id=datastore, name="10.11", image_id=str(uuid.uuid4()), packages="",
                manager="mariadb", active=True))
        ids = figures.add_instances(session, tenant, version, int(count))
        session.execute(tables.conductor_lastseen.insert(), [
            {"instance_id": id_, "method_name": "heartbeat", "sent": time.time() - 3000} for id_ in ids])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables.metadata.tables:  # as the server does by itself some time later
            connection.exec_driver_sql(f"ANALYZE TABLE {table}")
    print(json.dumps(ids))


def publish(each, sent):
    """See the module."""
    with get_db_api().reader() as session:
        ids = sorted(session.execute(sqlalchemy.select(tables.instances.c.id)).scalars())
    payload = {"service_status": "running", "agent_version": "bench"}
    if hasattr(conductor_models, "checked_facts"):
        payload["facts"] = _FACTS
    topic, keys = CONF.conductor_queue, {id_: crypto.guest_key(id_) for id_ in ids}
    with kombu.Connection(CONF.transport_url.replace("rabbit://", "amqp://")) as connection:
        channel = connection.channel()
        if hasattr(rpc, "guests_exchange"):  # a queue for each guest
            exchange = kombu.Exchange(rpc.guests_exchange(), "topic", durable=True)
            routes = {id_: f"{topic}.{id_}" for id_ in ids}
        else:  # one for all
            exchange = kombu.Exchange(rpc.CONTROL_EXCHANGE, "topic", durable=False)
            routes = dict.fromkeys(ids, topic)
        for route in set(routes.values()):
            queue = kombu.Queue(route, exchange, routing_key=route, durable=exchange.durable, channel=channel)
            queue.declare()
            queue.purge()
        for number in range(1, int(each) + 1):
            for id_ in ids:
                args = {"instance_id": id_, "payload": payload}
                proof = envelope.sign(keys[id_], "heartbeat", args, float(sent) + number)
                message = {"method": "heartbeat", "version": "1.0", "_unique_id": uuid.uuid4().hex,
                           "args": {**args, "sent": float(sent) + number, "proof": proof}}
                body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)})
                channel.basic_publish(amqp.Message(body, content_type="application/json", content_encoding="utf-8"),
                                      exchange.name, routes[id_])


if __name__ == "__main__":
    cfg.parse_args(["--config-file", sys.argv[1], "--log-file", "/dev/null"])
    get_db_api().configure_db(CONF)
    {"fill": fill, "publish": publish}[sys.argv[2]](*sys.argv[3:])
