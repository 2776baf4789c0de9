"""aioxmpp against the server. One scenario per run: aioxmpp_client.py SCENARIO PORT DIRECT_PORT CA_FILE

aioxmpp is strict: it checks every element against its schema and breaks the stream when the server sends what the RFCs
do not allow. The spec (aioxmpp_spec.lua) starts the server and the accounts romeo, juliet and nurse@localhost.
"""
import asyncio
import contextlib
import sys

import aiosasl
import aiosasl.channel_binding
import aioxmpp
import aioxmpp.ibr
import aioxmpp.sasl
import aioxmpp.security_layer
import OpenSSL.SSL

SCENARIO, PORT, DIRECT_PORT, CA_FILE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
DEADLINE = 30


def trust():
    context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(CA_FILE)
    return context


class BoundPassword(aioxmpp.security_layer.SASLProvider):
    """SCRAM with channel binding. The binding's data is the client's Finished message, so TLS 1.2 (RFC 5929 3)."""

    async def execute(self, client_jid, features, xmlstream, tls_transport):
        async def credentials():
            return client_jid.localpart, "secret"

        connection = tls_transport.get_extra_info("ssl_object")
        assert connection.get_protocol_version_name() == "TLSv1.2"
        scram = aiosasl.SCRAMPLUS(credentials, aiosasl.channel_binding.TLSUnique(connection))
        mechanism, token = self._find_supported(features, [scram])
        assert mechanism, "SCRAM with channel binding is not offered"
        return await self._execute(aioxmpp.sasl.SASLXMPPInterface(xmlstream), mechanism, token)


@contextlib.asynccontextmanager
async def person(jid, password="secret", direct=False, security=None):
    if direct:
        connector, port = aioxmpp.connector.XMPPOverTLSConnector(), DIRECT_PORT
    else:
        connector, port = aioxmpp.connector.STARTTLSConnector(), PORT
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(jid),
        security or aioxmpp.make_security_layer(password)._replace(ssl_context_factory=trust),
        override_peer=[("localhost", port, connector)],
        max_initial_attempts=1,
    )
    client.heard = asyncio.Queue()
    dispatcher = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
    dispatcher.register_callback(None, None, client.heard.put_nowait)
    client.roster = client.summon(aioxmpp.RosterClient)
    client.blocking = client.summon(aioxmpp.BlockingClient)
    client.presence_client = client.summon(aioxmpp.PresenceClient)
    async with client.connected():
        print(client.local_jid, "is in")
        yield client


async def hears(client, sender, text):
    while True:
        message = await asyncio.wait_for(client.heard.get(), DEADLINE)
        if message.from_.bare() == aioxmpp.JID.fromstr(sender).bare() and (text is None or text in message.body.values()):
            print(client.local_jid, "heard", message)
            return message


def says(client, to, text):
    message = aioxmpp.Message(to=aioxmpp.JID.fromstr(to), type_=aioxmpp.MessageType.CHAT)
    message.body[None] = text
    return client.send(message)


async def until(question):
    """Waits for something that is seen by asking; every answer of the server gives another look."""
    end = asyncio.get_event_loop().time() + DEADLINE
    while not question():
        assert asyncio.get_event_loop().time() < end, "waited too long"
        await asyncio.sleep(0.02)


async def login_starttls():
    async with person("romeo@localhost") as romeo:
        await aioxmpp.ping.ping(romeo, aioxmpp.JID.fromstr("localhost"))


async def login_direct():
    async with person("romeo@localhost/orchard", direct=True) as romeo:
        assert str(romeo.local_jid) == "romeo@localhost/orchard"


async def login_wrong():
    try:
        async with person("romeo@localhost", "wrong"):
            raise SystemExit("a wrong password was let in")
    except Exception as why:
        print("refused:", type(why).__name__, why)
        assert "uth" in type(why).__name__ + str(why)


async def distrusts(direct):
    try:
        async with person("romeo@localhost", direct=direct):
            raise SystemExit("a strange certificate was trusted")
    except Exception as why:
        # What OpenSSL says is lost on the way up: aioopenssl reports it to a future that is over.
        chain = [why]
        while chain[-1].__context__:
            chain.append(chain[-1].__context__)
        print("refused:", chain)
        assert any("certificate verify failed" in str(one) for one in chain)


async def distrust_starttls():
    await distrusts(direct=False)


async def distrust_direct():
    await distrusts(direct=True)


async def login_bound():
    def trust_1_2():
        context = trust()
        context.set_max_proto_version(OpenSSL.SSL.TLS1_2_VERSION)
        return context

    security = aioxmpp.make_security_layer("secret")._replace(
        ssl_context_factory=trust_1_2, sasl_providers=(BoundPassword(),))
    async with person("romeo@localhost", security=security) as romeo:
        await aioxmpp.ping.ping(romeo, aioxmpp.JID.fromstr("localhost"))


async def password():
    for old, new in (("secret", "changed"), ("changed", "secret")):
        async with person("romeo@localhost", old) as romeo:
            await romeo.summon(aioxmpp.ibr.RegistrationService).change_pass(new)


async def talk():
    async with person("romeo@localhost/orchard") as romeo, person("juliet@localhost/balcony", direct=True) as juliet:
        r, j = romeo.local_jid, juliet.local_jid
        for one, other in ((romeo, j), (juliet, r)):
            one.roster.on_subscribe.connect(lambda presence, one=one: one.roster.approve(presence.from_))
        romeo.roster.subscribe(j.bare())
        juliet.roster.subscribe(r.bare())
        await until(lambda: j.bare() in romeo.roster.items and romeo.roster.items[j.bare()].subscription == "both")
        await until(lambda: romeo.presence_client.get_stanza(j) is not None
                    and romeo.presence_client.get_stanza(j).type_ == aioxmpp.PresenceType.AVAILABLE)
        print("contacts see each other")
        await romeo.roster.set_entry(j.bare(), name="Juliet", add_to_groups={"Loves"})
        await until(lambda: romeo.roster.items[j.bare()].name == "Juliet")

        await says(romeo, "juliet@localhost", "art thou there? <&>'\"")
        await hears(juliet, "romeo@localhost", "art thou there? <&>'\"")
        await says(juliet, "romeo@localhost/orchard", "ay me \U0001f339")
        await hears(romeo, "juliet@localhost", "ay me \U0001f339")

        disco = romeo.summon(aioxmpp.DiscoClient)
        info = await disco.query_info(aioxmpp.JID.fromstr("localhost"))
        print("features:", len(info.features))
        version = await aioxmpp.version.query_version(romeo.stream, aioxmpp.JID.fromstr("localhost"))
        print("the server is", version.name, version.version)
        vcards, theirs = romeo.summon(aioxmpp.vcard.VCardService), juliet.summon(aioxmpp.vcard.VCardService)
        await vcards.set_vcard(await vcards.get_vcard())
        await theirs.get_vcard(r.bare())

        async with person("romeo@localhost/tomb") as tomb:
            await says(juliet, "romeo@localhost/tomb", "only here")
            await hears(tomb, "juliet@localhost", "only here")

        await juliet.blocking.block_jids([r.bare()])
        await until(lambda: romeo.presence_client.get_stanza(j) is None
                    or romeo.presence_client.get_stanza(j).type_ == aioxmpp.PresenceType.UNAVAILABLE)
        await says(romeo, "juliet@localhost", "villain")
        answer = await hears(romeo, "juliet@localhost", None)
        assert answer.type_ == aioxmpp.MessageType.ERROR, answer
        await juliet.blocking.unblock_jids([r.bare()])
        await says(romeo, "juliet@localhost", "again")
        heard = await hears(juliet, "romeo@localhost", None)
        assert "again" in heard.body.values(), heard


async def offline_send():
    async with person("romeo@localhost") as romeo:
        await says(romeo, "nurse@localhost", "where is my lady?")
        await aioxmpp.ping.ping(romeo, aioxmpp.JID.fromstr("localhost"))


async def offline_read():
    async with person("nurse@localhost") as nurse:
        await hears(nurse, "romeo@localhost", "where is my lady?")


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(globals()[SCENARIO](), 90))
print("PASS")
