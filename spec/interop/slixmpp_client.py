"""slixmpp against the server. One scenario per run: slixmpp_client.py SCENARIO PORT DIRECT_PORT CA_FILE

Each prints what it saw; the last line is PASS. The spec (slixmpp_spec.lua) starts the server and the accounts
romeo, juliet and nurse@localhost, all with the password "secret".
"""
import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError

SCENARIO, PORT, DIRECT_PORT, CA_FILE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
DEADLINE = 30


class Person(slixmpp.ClientXMPP):
    """A client that notes what it hears."""

    def __init__(self, jid, password="secret", mechanism=None):
        super().__init__(jid, password, sasl_mech=mechanism)
        self.ca_certs = CA_FILE
        self.auto_authorize = True
        self.auto_subscribe = True
        for plugin in ("xep_0030", "xep_0054", "xep_0077", "xep_0092", "xep_0191", "xep_0199", "xep_0202", "xep_0049"):
            self.register_plugin(plugin)
        self.heard = asyncio.Queue()
        self.up = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("failed_all_auth", lambda _: self._failed("authentication failed"))
        self.add_event_handler("connection_failed", lambda why: self._failed(why))
        self.add_event_handler("ssl_invalid_chain", lambda why: self._failed(why))
        self.add_event_handler("message", lambda m: self.heard.put_nowait(("message", str(m["from"]), m["body"], m["type"])))
        self.add_event_handler("message_error", lambda m: self.heard.put_nowait(("error", str(m["from"]), m["body"], m["type"])))
        self.add_event_handler("presence_available", lambda p: self._presence("available", p))
        self.add_event_handler("presence_unavailable", lambda p: self._presence("unavailable", p))

    def _failed(self, why):
        if not self.up.done():
            self.up.set_exception(RuntimeError(str(why)))

    def _started(self, _):
        if not self.up.done():
            self.up.set_result(True)

    def _presence(self, kind, presence):
        if presence["from"].bare != self.boundjid.bare:
            self.heard.put_nowait(("presence", str(presence["from"]), kind, presence["status"]))

    async def enters(self, direct=False):
        self.connect(("127.0.0.1", DIRECT_PORT if direct else PORT), use_ssl=direct)
        await asyncio.wait_for(self.up, DEADLINE)
        await self.get_roster()
        self.send_presence()
        print(self.boundjid, "is in by", self["feature_mechanisms"].mech.name if self["feature_mechanisms"].mech else "?")
        return self

    async def hears(self, kind, sender, what):
        """Waits for it, passing over the rest."""
        while True:
            event = await asyncio.wait_for(self.heard.get(), DEADLINE)
            if event[0] == kind and event[1].startswith(sender) and (what is None or event[2] == what):
                print(self.boundjid, "heard", event)
                return event

    async def leaves(self):
        self.disconnect()
        await asyncio.wait_for(self.disconnected, DEADLINE)


async def until(question):
    """Waits for what a push of the server changes in the client's own tables."""
    end = asyncio.get_event_loop().time() + DEADLINE
    while not question():
        assert asyncio.get_event_loop().time() < end, "waited too long"
        await asyncio.sleep(0.02)


async def login_starttls():
    person = await Person("romeo@localhost").enters()
    assert person["feature_mechanisms"] is not None
    await person["xep_0199"].ping("localhost")
    await person.leaves()


async def login_direct():
    person = await Person("romeo@localhost/orchard").enters(direct=True)
    assert person.boundjid.full == "romeo@localhost/orchard", person.boundjid
    await person.leaves()


async def login_wrong():
    person = Person("romeo@localhost", "wrong")
    try:
        await person.enters()
    except RuntimeError as why:
        print("refused:", why)
        return
    raise AssertionError("a wrong password was let in")


async def distrusts(direct):
    person = Person("romeo@localhost")
    try:
        await person.enters(direct)
    except RuntimeError as why:
        print("refused:", why)
        assert "CERTIFICATE_VERIFY_FAILED" in str(why)
        return
    raise AssertionError("a strange certificate was trusted")


async def distrust_starttls():
    await distrusts(direct=False)


async def distrust_direct():
    await distrusts(direct=True)


async def talk():
    romeo = await Person("romeo@localhost/orchard").enters()
    juliet = await Person("juliet@localhost/balcony").enters(direct=True)

    # contacts, both ways, and their presence
    romeo.send_presence_subscription("juliet@localhost", ptype="subscribe")
    await romeo.hears("presence", "juliet@localhost/balcony", "available")
    await juliet.hears("presence", "romeo@localhost/orchard", "available")
    item = romeo.client_roster["juliet@localhost"]
    await until(lambda: item["subscription"] == "both")
    await romeo.update_roster("juliet@localhost", name="Juliet", groups=["Loves", "Capulets"])
    await until(lambda: item["name"] == "Juliet" and sorted(item["groups"]) == ["Capulets", "Loves"])

    # words, both ways
    romeo.send_message("juliet@localhost", "art thou there? <&>'\"", mtype="chat")
    await juliet.hears("message", "romeo@localhost/orchard", "art thou there? <&>'\"")
    juliet.send_message("romeo@localhost", "ay me \U0001f339", mtype="chat")
    await romeo.hears("message", "juliet@localhost/balcony", "ay me \U0001f339")

    # services
    version = await romeo["xep_0092"].get_version("localhost")
    print("the server is", version["software_version"]["name"], version["software_version"]["version"])
    await romeo["xep_0202"].get_entity_time("localhost")
    info = await romeo["xep_0030"].get_info("localhost")
    assert ("server", "im") in {(i[0], i[1]) for i in info["disco_info"]["identities"]}
    card = romeo["xep_0054"].make_vcard()
    card["FN"] = "Romeo Montague"
    await romeo["xep_0054"].publish_vcard(card)
    read = await juliet["xep_0054"].get_vcard("romeo@localhost")
    assert read["vcard_temp"]["FN"] == "Romeo Montague", read

    # a second resource
    tomb = await Person("romeo@localhost/tomb").enters()
    juliet.send_message("romeo@localhost/tomb", "only here", mtype="chat")
    await tomb.hears("message", "juliet@localhost/balcony", "only here")
    await tomb.leaves()
    await juliet.hears("presence", "romeo@localhost/tomb", "unavailable")

    # blocking
    await juliet["xep_0191"].block("romeo@localhost")
    await romeo.hears("presence", "juliet@localhost/balcony", "unavailable")
    romeo.send_message("juliet@localhost", "villain", mtype="chat")
    await romeo.hears("error", "juliet@localhost", None)
    blocked = (await juliet["xep_0191"].get_blocked())["blocklist"]["items"]
    assert slixmpp.JID("romeo@localhost") in blocked, blocked
    await juliet["xep_0191"].unblock("romeo@localhost")
    romeo.send_message("juliet@localhost", "again", mtype="chat")
    event = await juliet.hears("message", "romeo@localhost/orchard", None)
    assert event[2] == "again", event

    await romeo.leaves()
    await juliet.hears("presence", "romeo@localhost/orchard", "unavailable")
    await juliet.leaves()


async def password():
    romeo = await Person("romeo@localhost").enters()
    await romeo["xep_0077"].change_password("changed", "localhost", "romeo@localhost")
    await romeo.leaves()
    again = await Person("romeo@localhost", "changed").enters()
    await again["xep_0077"].change_password("secret", "localhost", "romeo@localhost")
    await again.leaves()


async def offline_send():
    romeo = await Person("romeo@localhost").enters()
    romeo.send_message("nurse@localhost", "where is my lady?", mtype="chat")
    await romeo["xep_0199"].ping("localhost")
    await romeo.leaves()


async def offline_read():
    nurse = await Person("nurse@localhost").enters()
    await nurse.hears("message", "romeo@localhost", "where is my lady?")
    await nurse.leaves()


async def main():
    try:
        await asyncio.wait_for(globals()[SCENARIO](), 90)
    except IqError as error:
        print(error.iq)
        raise

asyncio.get_event_loop().run_until_complete(main())
print("PASS")
