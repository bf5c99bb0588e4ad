"""What telemetry costs: the same commands with traces and figures and without, side by side.

Figures are scraped, and both are sent to a collector, which takes what it is sent and drops it. So many
requests are traced as a service traces that nobody has told anything else.
"""

import contextlib
import http.client
import http.server
import socket
import threading

from . import cost

SCRAPE_EVERY_S = 5
SCRAPE_WAIT_S = 5
TARGET = 0.95


class _Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken += 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def measured(stacks, options, report):
    """The share of the throughput that is left."""
    with _collector() as collector, _scraper() as scraper:
        variables = {
            "FLORIN_OPERATOR_PORT": str(scraper.port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        }
        ways = {True: ("telemetry on", variables), False: ("telemetry off", {})}
        setting = cost.Setting("telemetry", ways, TARGET)
        outcome = cost.measured(stacks, options, report, setting)
        outcome.figures[0].detail = (
            f"{collector.taken:,} messages to the collector, {scraper.scrapes:,} scrapes"
        )
    return outcome


@contextlib.contextmanager
def _collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    server.taken = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


class _Scraper(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.scrapes = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(SCRAPE_EVERY_S):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SCRAPE_WAIT_S)
            # Nobody is there while it is off.
            with contextlib.suppress(OSError, http.client.HTTPException), \
                    contextlib.closing(connection):
                connection.request("GET", "/metrics")
                answer = connection.getresponse()
                answer.read()
                self.scrapes += answer.status == 200


@contextlib.contextmanager
def _scraper():
    scraper = _Scraper()
    scraper.start()
    try:
        yield scraper
    finally:
        scraper.over.set()
        scraper.join()
