"""An SMS centre (SMPP 3.4) that can be stopped, reset its connections, be slow, and give receipts twice or early.

What it accepted, it remembers; a receipt that was not acknowledged is given again at the next bind.
"""
import socket
import struct
import threading
import time
from collections import Counter

BIND, BIND_RESP, SUBMIT, SUBMIT_RESP, DELIVER = 0x09, 0x80000009, 0x04, 0x80000004, 0x05
DELIVER_RESP, ENQUIRE, ENQUIRE_RESP, UNBIND, UNBIND_RESP = 0x80000005, 0x15, 0x80000015, 0x06, 0x80000006


def text_at(body, at):
    """An octet string that ends with a zero octet: (the string, what comes after it)."""
    end = body.index(b"\0", at)
    return body[at:end], end + 1


class Smsc:
    def __init__(self, port):
        self.port = port
        self.lock, self.listener, self.links = threading.RLock(), None, []
        # Faults: seconds before an answer; each so many submissions a reset; receipts twice, and before their answer.
        self.delay, self.reset_each, self.twice, self.early = 0.0, 0, False, False
        self.texts = Counter()       # accepted submissions by text
        self.lost = set()            # texts whose answer was never sent
        self.receipts = Counter()    # receipts acknowledged, by id
        self.submits = self.resets = self.binds = 0
        self.waiting = {}            # receipts not acknowledged yet: id → (time due, source, destination)

    def open(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(8)
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self):
        """Stops: nobody listens, and what was connected is gone."""
        listener, self.listener = self.listener, None
        if listener:
            # A thread that waits in accept() would hold the port.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self.lock:
            links = list(self.links)
        for link in links:
            link.drop()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            link = Link(self, connection)
            with self.lock:
                self.links.append(link)
            threading.Thread(target=link.read, daemon=True).start()
            threading.Thread(target=link.give_receipts, daemon=True).start()


class Link:
    """One connection of a gateway."""

    def __init__(self, centre, connection):
        self.centre, self.connection, self.bound, self.open = centre, connection, False, True
        self.sequence, self.sending, self.given = 0, threading.Lock(), {}

    def drop(self, reset=False):
        self.open = False
        try:
            if reset:
                # Zero linger turns the close into a RST.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()
        except OSError:
            pass
        with self.centre.lock:
            if self in self.centre.links:
                self.centre.links.remove(self)

    def send(self, command, sequence, body=b"", status=0):
        try:
            with self.sending:
                self.connection.sendall(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)
        except OSError:
            self.drop()

    def read(self):
        data = b""
        while self.open:
            try:
                got = self.connection.recv(65536)
            except OSError:
                break
            if not got:
                break
            data += got
            while len(data) >= 4 and len(data) >= (length := int.from_bytes(data[:4], "big")) and self.open:
                _, command, status, sequence = struct.unpack(">IIII", data[:16])
                body, data = data[16:length], data[length:]
                self.take(command, status, sequence, body)
        self.drop()

    def take(self, command, status, sequence, body):
        centre = self.centre
        if command == BIND:
            with centre.lock:
                centre.binds += 1
            self.send(BIND_RESP, sequence, b"FAULTS\0")
            self.bound = True
        elif command == SUBMIT:
            self.submit(sequence, body)
        elif command == DELIVER_RESP and status == 0:
            with centre.lock:
                ident = self.given.pop(sequence, None)
                if ident:
                    centre.receipts[ident] += 1
                    centre.waiting.pop(ident, None)
        elif command == ENQUIRE:
            self.send(ENQUIRE_RESP, sequence)
        elif command == UNBIND:
            self.send(UNBIND_RESP, sequence)
            self.drop()

    def submit(self, sequence, body):
        centre, at = self.centre, 0
        _, at = text_at(body, at)
        source, at = text_at(body, at + 2)
        destination, at = text_at(body, at + 2)
        at += 3                                 # esm_class, protocol, priority
        _, at = text_at(body, at)
        _, at = text_at(body, at)
        coding, length = body[at + 2], body[at + 4]
        content = body[at + 5:at + 5 + length]
        text = content.decode("utf-16-be" if coding == 8 else "latin-1", errors="replace")
        with centre.lock:
            centre.submits += 1
            centre.texts[text] += 1
            ident = f"{centre.submits:08X}"
            reset = centre.reset_each and centre.submits % centre.reset_each == 0
            delay, early = centre.delay, centre.early
            centre.waiting[ident] = (time.monotonic() + (0 if early else delay + 0.05), source, destination)
            if reset:
                centre.resets += 1
                centre.lost.add(text)
        if reset:
            self.drop(reset=True)
            return
        def answer():
            if self.open:
                self.send(SUBMIT_RESP, sequence, ident.encode() + b"\0")
            if not self.open:
                with centre.lock:
                    centre.lost.add(text)
        wait = max(delay, 0.3 if early else 0)
        if wait:
            timer = threading.Timer(wait, answer)
            timer.daemon = True
            timer.start()
        else:
            answer()

    def give_receipts(self):
        """Gives what is due, as often as it takes: each is asked for again after five seconds without an answer."""
        tried = {}
        while self.open:
            time.sleep(0.02)
            if not self.bound:
                continue
            now, due = time.monotonic(), []
            with self.centre.lock:
                twice = self.centre.twice
                for ident, (at, source, destination) in list(self.centre.waiting.items())[:200]:
                    if at <= now and now - tried.get(ident, -9) > 5:
                        tried[ident] = now
                        due.append((ident, source, destination))
            for ident, source, destination in due:
                for _ in range(2 if twice else 1):
                    self.deliver(ident, source, destination)

    def deliver(self, ident, source, destination):
        report = (f"id:{ident} sub:001 dlvrd:001 submit date:2611250000 done date:2611250000 stat:DELIVRD err:000 text:").encode()
        body = (b"\0\x01\x01" + destination + b"\0" + b"\0\x01" + source + b"\0" + b"\x04\0\0" + b"\0\0" + b"\0\0\0\0"
                + bytes([len(report)]) + report)
        with self.centre.lock:
            self.sequence += 1
            sequence = self.sequence
            self.given[sequence] = ident
        self.send(DELIVER, sequence, body)
