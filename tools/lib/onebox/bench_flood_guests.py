"""The guests of tools/bench flood, as a process: ``neighbours`` report at an interval, ``flood`` sends without a pause.

Reads one line of JSON from standard input, [{"id", "key", "url", "ssl_ca_file", "ssl_cert_file"}], and works until
standard input ends. The broker wants a certificate of the CA; any will do, as it is the password that names the guest.
"""
import json
import ssl
import sys
import threading
import time

import amqp
import kombu

from trove import rpc
from trove.common import envelope
from trove.common.cfg import CONF

ERRORS = (OSError, amqp.AMQPError, kombu.exceptions.KombuError)


class Guest:
    """One guest with a connection of its own account."""

    def __init__(self, facts):
        self.facts = facts
        self._channel = None
        self._exchange, self._key = rpc.CONTROL_EXCHANGE, CONF.conductor_queue
        if hasattr(rpc, "guests_exchange"):  # the release before has one exchange and one queue for all
            self._exchange, self._key = rpc.guests_exchange(), f"{CONF.conductor_queue}.{facts['id']}"

    def beat(self):
        """Send one genuine heartbeat, without waiting for the broker to confirm it."""
        if self._channel is None:
            own = self.facts["ssl_cert_file"]
            connection = kombu.Connection(
                self.facts["url"].replace("rabbit://", "amqp://"), connect_timeout=5,
                ssl={"ca_certs": self.facts["ssl_ca_file"], "certfile": own, "keyfile": own,
                     "cert_reqs": ssl.CERT_REQUIRED})
            self._channel = connection.channel()
        sent = time.time()
        args = {"instance_id": self.facts["id"], "payload": {"service_status": "running", "agent_version": "bench"}}
        proof = envelope.sign(self.facts["key"], "heartbeat", args, sent)
        message = {"method": "heartbeat", "args": {**args, "sent": sent, "proof": proof}, "version": "1.0",
                   "_unique_id": f"{sent}"}
        body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)})
        try:
            self._channel.basic_publish(amqp.Message(body, content_type="application/json", content_encoding="utf-8"),
                                        self._exchange, self._key)
        except ERRORS:
            self._channel = None
            raise


def main():
    """Play the part that the first argument names; print how many heartbeats were sent."""
    part, interval = sys.argv[1], float(sys.argv[2])
    guests = [Guest(facts) for facts in json.loads(sys.stdin.readline())]
    ended, count = threading.Event(), 0
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    pause = interval / len(guests) if part == "neighbours" else 0
    while not ended.is_set():
        for guest in guests:
            try:
                guest.beat()
                count += 1
            except ERRORS as error:
                print(error, file=sys.stderr)
                ended.wait(0.5)
            if pause and ended.wait(pause):
                break
    print(count)


if __name__ == "__main__":
    main()
