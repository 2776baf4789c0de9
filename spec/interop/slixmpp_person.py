"""A slixmpp client on loopback that notes what it hears, for the scripts beside."""
import asyncio

import slixmpp

DEADLINE = 30


class Person(slixmpp.ClientXMPP):
    """A client that notes what it hears."""

    def __init__(self, jid, port, direct_port, ca_file, password="secret", mechanism=None):
        super().__init__(jid, password, sasl_mech=mechanism)
        self.port, self.direct_port = port, direct_port
        self.ca_certs = ca_file
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
        self.connect(("127.0.0.1", self.direct_port if direct else self.port), use_ssl=direct)
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
