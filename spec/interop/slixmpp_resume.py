"""slixmpp with XEP-0198, through connections that break: slixmpp_resume.py PORT CA_FILE

Prints IN, RESUMED, ANEW (a session of its own after a failed resumption), DOWN, and HEARD with the text of each message.
Says what it reads on its input ("say TEXT") to romeo@localhost, and leaves at "quit".
"""
import asyncio
import sys

import slixmpp

PORT, CA_FILE = int(sys.argv[1]), sys.argv[2]


def tell(*words):
    print(*words, flush=True)


class Juliet(slixmpp.ClientXMPP):
    def __init__(self):
        super().__init__("juliet@localhost/balcony", "secret")
        self.ca_certs = CA_FILE
        self.is_leaving = False
        self.was_in = False
        self.register_plugin("xep_0198")
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("session_resumed", lambda _: tell("RESUMED"))
        self.add_event_handler("disconnected", self._disconnected)
        self.add_event_handler("message", lambda message: tell("HEARD", message["body"]))

    def enters(self):
        self.connect(("127.0.0.1", PORT))

    def _started(self, _):
        self.send_presence()
        tell("ANEW" if self.was_in else "IN")
        self.was_in = True

    def _disconnected(self, _):
        tell("DOWN")
        if not self.is_leaving:
            asyncio.get_event_loop().call_later(0.05, self.enters)


async def obey(juliet):
    reader = asyncio.StreamReader()
    await asyncio.get_event_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        verb, _, text = line.partition(" ")
        if verb == "quit":
            break
        juliet.send_message("romeo@localhost", text, mtype="chat")
    juliet.is_leaving = True
    juliet.disconnect()
    await juliet.disconnected


async def main():
    juliet = Juliet()
    juliet.enters()
    await obey(juliet)


asyncio.get_event_loop().run_until_complete(main())
