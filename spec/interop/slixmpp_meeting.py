"""Two users of two servers meet: slixmpp_meeting.py FIRST_JID PORT OTHER_JID PORT CA_FILE

The first begins: nothing has passed between the servers before. Both have the password "secret" and no contacts yet.
Prints what they hear; the last line is PASS.
"""
import asyncio
import sys

from slixmpp.exceptions import IqError

from slixmpp_person import Person, until

FIRST, FIRST_PORT, OTHER, OTHER_PORT, CA_FILE = sys.argv[1:]


async def chat(one, other):
    one.send_message(other.boundjid.full, "art thou there? <&>'\"", mtype="chat")
    await other.hears("message", one.boundjid.full, "art thou there? <&>'\"")
    other.send_message(one.boundjid.full, "ay me \U0001f339", mtype="chat")
    await one.hears("message", other.boundjid.full, "ay me \U0001f339")


async def ping(one, other):
    await one["xep_0199"].ping(other.boundjid.domain)
    await one["xep_0199"].ping(other.boundjid.full)


async def subscribe(one, other):
    """One asks, the other agrees and asks in turn."""
    one.send_presence_subscription(other.boundjid.bare, ptype="subscribe")
    await one.hears("presence", other.boundjid.full, "available")
    await other.hears("presence", one.boundjid.full, "available")
    for person, contact in (one, other), (other, one):
        item = person.client_roster[contact.boundjid.bare]
        await until(lambda: item["subscription"] == "both")
    for person, contact in (one, other), (other, one):
        person.send_presence(pstatus="in the orchard")
        status = None
        while status != "in the orchard":  # the first presence may come more than once
            status = (await contact.hears("presence", person.boundjid.full, "available"))[3]


async def read_card(one, other):
    card = one["xep_0054"].make_vcard()
    card["FN"] = one.boundjid.user.title()
    await one["xep_0054"].publish_vcard(card)
    read = await other["xep_0054"].get_vcard(one.boundjid.bare)
    assert read["vcard_temp"]["FN"] == one.boundjid.user.title(), read


async def miss(one, other):
    one.send_message("nobody@" + other.boundjid.domain, "hello?", mtype="chat")
    await one.hears("error", "nobody@" + other.boundjid.domain, None)


async def main():
    one = await Person(FIRST, int(FIRST_PORT), None, CA_FILE).enters()
    other = await Person(OTHER, int(OTHER_PORT), None, CA_FILE).enters()
    try:
        await chat(one, other)
        await ping(one, other)
        await ping(other, one)
        await subscribe(one, other)
        await read_card(one, other)
        await read_card(other, one)
        await miss(one, other)
        await miss(other, one)
        await one.leaves()
        await other.hears("presence", one.boundjid.full, "unavailable")
        await other.leaves()
    except IqError as error:
        print(error.iq)
        raise

asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 90))
print("PASS")
