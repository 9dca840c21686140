"""Receives webhooks and verifies them with the official library of PyPI: prints its port, then a line for each delivery.

SECRET is the secret; what does not verify is answered with 401.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

webhook = Webhook(os.environ["SECRET"])


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {"headers": headers, "body": body.decode()}
        try:
            told["event"] = webhook.verify(body, headers)
        except Exception as error:
            told["error"] = str(error)
        print(json.dumps(told), flush=True)
        self.send_response(401 if "error" in told else 204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
