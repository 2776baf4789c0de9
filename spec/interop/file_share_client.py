"""slixmpp's XEP-0363 plugin against the server: file_share_client.py PORT CA_FILE FOLDER

Romeo finds the service, uploads two files and is told that a third is too large. Prints GET and the address of each,
then PASS."""
import asyncio
import os
import sys

from slixmpp.exceptions import IqError

import slixmpp_person

PORT, CA_FILE, FOLDER = int(sys.argv[1]), sys.argv[2], sys.argv[3]
UPLOAD = "urn:xmpp:http:upload:0"


async def find_service(person):
    """As the plugin's own search, which Debian's slixmpp cannot do with Debian's Python."""
    disco, upload = person["xep_0030"], person["xep_0363"]
    for jid, _, _ in (await disco.get_items(jid="localhost"))["disco_items"]["items"]:
        info = await disco.get_info(jid=jid)
        if UPLOAD in info["disco_info"]["features"]:
            assert ("store", "file") in {identity[:2] for identity in info["disco_info"]["identities"]}
            values = next(form["values"] for form in info["disco_info"].iterables)
            assert values["FORM_TYPE"] in (UPLOAD, [UPLOAD]), values
            upload.upload_service, upload.max_file_size = jid, int(values["max-file-size"])
            return jid
    raise AssertionError("there is no service")


async def main():
    romeo = slixmpp_person.Person("romeo@localhost", PORT, PORT, CA_FILE)
    romeo.register_plugin("xep_0363")
    await romeo.enters()
    upload, service = romeo["xep_0363"], await find_service(romeo)
    for name, filetype in (("small.txt", "text/plain"), ("large picture.png", None)):
        path = os.path.join(FOLDER, name)
        with open(path, "rb") as file:
            print("GET", await upload.upload_file(path, input_file=file, content_type=filetype, timeout=30))
    try:
        await upload.request_slot(service, "huge.bin", upload.max_file_size + 1)
    except IqError as why:
        assert why.iq["error"]["condition"] == "not-acceptable", why
        print("too large:", why.iq["error"]["text"])
    else:
        raise AssertionError("a slot for a file that is too large was given")
    await romeo.leaves()
    print("PASS")


asyncio.get_event_loop().run_until_complete(main())
