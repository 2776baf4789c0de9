"""slixmpp against the server. One scenario per run: slixmpp_client.py SCENARIO PORT DIRECT_PORT CA_FILE

Each prints what it saw; the last line is PASS. The spec (slixmpp_spec.lua) starts the server and the accounts
romeo, juliet and nurse@localhost, all with the password "secret".
"""
import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError

import slixmpp_person
from slixmpp_person import until

SCENARIO, PORT, DIRECT_PORT, CA_FILE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


class Person(slixmpp_person.Person):
    def __init__(self, jid, password="secret", mechanism=None):
        super().__init__(jid, PORT, DIRECT_PORT, CA_FILE, password, mechanism)


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
