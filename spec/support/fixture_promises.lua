--- What the data of a real Prosody holds (spec/fixtures/prosody), whatever driver reads it.

local assert = require "luassert"
local st = require "prosody.util.stanza"

local host = "example.test"

local function sorted(iterator)
	local list = {}
	for name in iterator do list[#list + 1] = name end
	table.sort(list)
	return list
end

return function (storagemanager, version)
	local function open(store, kind, on_host) return assert(storagemanager.open(on_host or host, store, kind)) end

	local accounts = open("accounts")
	assert.same({ "admin", "alice", "bob", "we.ird\\20us%er" }, sorted(accounts:users()))
	for name in accounts:users() do
		local account = accounts:get(name)
		assert.equal(10000, account.iteration_count)
		assert.matches("^%x+$", account.stored_key)
		assert.equal(40, #account.server_key)
		assert.is_string(account.salt)
	end
	assert.equal("plainpw", open("accounts", nil, "plain.test"):get("pat").password)
	assert.equal("integer", math.type(open("account_details", "map"):get("alice", "registered")))

	local roster = open("roster"):get("alice")
	assert.same({ name = "Bob & co", groups = { Pals = true }, subscription = "to" }, roster["bob@example.test"])
	assert.same({ groups = {}, ask = "subscribe", subscription = "none" }, roster["carol@remote.example"])
	assert.same({ version = 4, pending = {} }, roster[false])
	assert.equal(4, open("roster", "map"):get("alice", false).version)
	local request = open("roster"):get("bob")[false].pending["admin@example.test"]
	local presence = st.deserialize(request)
	assert.equal("presence", presence.name)
	assert.equal("subscribe", presence.attr.type)
	assert.equal("hi", presence:get_child_text("status"))

	local private = st.deserialize(open("private", "map"):get("alice", "exodus:exodus:prefs"))
	assert.equal("Hamlet", private:get_child_text("defaultnick"))

	local offline = open("offline", "archive")
	local texts, times = {}, {}
	for id, stanza, when, with in offline:find("bob") do
		assert.is_string(id)
		assert.equal("", with)
		assert.is_nil(stanza.attr.stamp)
		assert.equal("alice@example.test/r1", stanza.attr.from)
		assert.is_truthy(stanza:get_child("stanza-id", "urn:xmpp:sid:0"))
		texts[#texts + 1], times[#times + 1] = stanza:get_child_text("body"), when
	end
	assert.same({ "offline one", "offline two é" }, texts)
	assert.is_true(times[1] > 1795371000 and times[2] >= times[1])

	local archive = open("archive", "archive")
	local iterator, total = archive:find("alice", { with = "bob@example.test", total = true, limit = 2, reverse = true })
	assert.equal(3, total)
	local _, newest, when = iterator()
	assert.equal("offline two é", newest:get_child_text("body"))
	assert.equal(version == "13" and "float" or "integer", math.type(when))
	assert.same({ ["bob@example.test"] = 3 }, archive:summary("alice").counts)
	assert.same({ "2026-11-22" }, archive:dates("alice"))
	assert.same({ "admin", "alice", "bob" }, sorted(archive:users()))

	local prefs = open("archive_prefs")
	assert.same({ [false] = "roster", ["bob@example.test"] = true }, prefs:get("alice"))
	assert.is_number(open("blocklist", "map"):get("alice", "spam@evil.example"))

	local _, card = open("pep_urn:xmpp:vcard4", "archive"):find("alice")()
	assert.equal("Alice L", card:find("fn/text#"))
	assert.equal("urn:ietf:params:xml:ns:vcard-4.0", card.attr.xmlns)
	local id, bookmark, _, with = open("pep_urn:xmpp:bookmarks:1", "archive"):find("alice")()
	assert.equal("room@rooms.example.test", id)
	assert.equal("true", bookmark.attr.autojoin)
	assert.equal("alice@example.test", with)
	local node = open("pep", "map"):get("alice", "urn:xmpp:bookmarks:1")
	assert.equal("whitelist", node.config.access_model)

	local room = open("config", nil, "rooms.example.test"):get("room")
	assert.equal("Topic", room._data.subject)
	assert.equal("member", room["bob@example.test"])
	assert.is_true(open("persistent", "map", "rooms.example.test"):get(nil, "room@rooms.example.test"))
	local _, said = open("muc_log", "archive", "rooms.example.test"):find("room")()
	assert.equal("hi room", said:get_child_text("body"))
	local _, upload = open("uploads", "archive"):find(nil)()
	assert.equal("a b.txt", upload.attr.filename)
	assert.equal("My blog", open("pubsub_nodes", nil, "pubsub.example.test"):get("blog").config.title)
	local _, entry = open("pubsub_blog", "archive", "pubsub.example.test"):find(nil)()
	assert.equal("t", entry:get_child_text("title"))

	-- And it can be written to.
	assert(open("roster", "map"):set("alice", "bob@example.test", { name = "Bob", groups = {}, subscription = "both" }))
	assert(archive:append("alice", nil, st.message({ from = "a@b" }, "new"), 1795371999.5, "bob@example.test"))
	assert.equal(4, select(2, archive:find("alice", { with = "bob@example.test", total = true })))
	assert.equal("Bob", open("roster"):get("alice")["bob@example.test"].name)
	assert.same({ version = 4, pending = {} }, open("roster"):get("alice")[false])
	assert.is_true(storagemanager.purge("bob", host))
	assert.is_nil(accounts:get("bob"))
	assert.is_nil(offline:find("bob")())
end
