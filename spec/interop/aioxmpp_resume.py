"""aioxmpp with XEP-0198, through connections that break: aioxmpp_resume.py PORT CA_FILE

Prints IN, RESUMED, ANEW (a session of its own after a failed resumption), DOWN, and HEARD with the text of each message.
Says what it reads on its input ("say TEXT") to romeo@localhost, and leaves at "quit".
"""
import asyncio
import datetime
import sys

import aioxmpp
import OpenSSL.SSL

PORT, CA_FILE = int(sys.argv[1]), sys.argv[2]


def tell(*words):
    print(*words, flush=True)


def trust():
    context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(CA_FILE)
    return context


async def main():
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr("juliet@localhost/balcony"),
        aioxmpp.make_security_layer("secret")._replace(ssl_context_factory=trust),
        override_peer=[("localhost", PORT, aioxmpp.connector.STARTTLSConnector())],
    )
    client.backoff_start = datetime.timedelta(seconds=0.1)
    client.backoff_cap = datetime.timedelta(seconds=0.2)
    client.on_stream_suspended.connect(lambda why: tell("DOWN"))
    client.on_stream_resumed.connect(lambda: tell("RESUMED"))
    client.on_stream_established.connect(lambda: tell("IN"))
    client.on_stream_destroyed.connect(lambda *why: tell("ANEW"))
    dispatcher = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
    dispatcher.register_callback(None, None, lambda message: tell("HEARD", message.body.any()))
    reader = asyncio.StreamReader()
    await asyncio.get_event_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with client.connected():
        while line := (await reader.readline()).decode().strip():
            verb, _, text = line.partition(" ")
            if verb == "quit":
                break
            message = aioxmpp.Message(to=aioxmpp.JID.fromstr("romeo@localhost"), type_=aioxmpp.MessageType.CHAT)
            message.body[None] = text
            client.enqueue(message)


asyncio.get_event_loop().run_until_complete(main())
