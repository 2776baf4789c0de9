-- Who gets what: the rows of RFC 6121 8.5, one by one, in accounts of every kind.

local Server = require "spec.support.server"

local KINDS = { "normal", "chat", "groupchat", "headline", "error" }

-- What becomes of messages of these kinds: resources that get it, in alphabetical order, or "refused" (the sender gets
-- service-unavailable), "kept" (until somebody comes), "dropped". The RFC lets us choose between an error and silence
-- for what nobody gets: a person who writes is told, a headline is not answered.
local messages = {
	["to nobody (8.5.1)"] = { "nobody",
		bare = { "refused", "refused", "refused", "dropped", "dropped" },
		gone = { "refused", "refused", "refused", "dropped", "dropped" },
	},
	["to somebody who is away (8.5.2.2.1, 8.5.3.2.1)"] = { "away",
		bare = { "kept", "kept", "refused", "dropped", "dropped" },
		gone = { "refused", "kept", "refused", "dropped", "dropped" },
	},
	["to somebody with a negative priority alone (8.5.2.1.1, 8.5.3)"] = { "shy", resources = { negative = -1 },
		bare = { "kept", "kept", "refused", "dropped", "dropped" },
		gone = { "refused", "kept", "refused", "dropped", "dropped" },
		negative = { "negative", "negative", "negative", "negative", "negative" },
	},
	["to somebody with one resource (8.5.2.1.1, 8.5.3)"] = { "lone", resources = { only = 0 },
		bare = { "only", "only", "refused", "only", "dropped" },
		gone = { "refused", "only", "refused", "dropped", "dropped" },
		only = { "only", "only", "only", "only", "only" },
	},
	["to somebody with many resources (8.5.2.1.1, 8.5.3)"] = { "busy",
		resources = { high = 5, low = 0, negative = -1, silent = false, twin = 5 },
		bare = { "high twin", "high twin", "refused", "high low twin", "dropped" },
		gone = { "refused", "high twin", "refused", "dropped", "dropped" },
		low = { "low", "low", "low", "low", "low" },
		negative = { "negative", "negative", "negative", "negative", "negative" },
		silent = { "silent", "silent", "silent", "silent", "silent" },
	},
	["to somebody who has sent no presence (8.5.2.2.1, 8.5.3.1)"] = { "mute", resources = { silent = false },
		bare = { "kept", "kept", "refused", "dropped", "dropped" },
		gone = { "refused", "kept", "refused", "dropped", "dropped" },
		silent = { "silent", "silent", "silent", "silent", "silent" },
	},
}

describe("A stanza", function()
	local server, romeo, people

	setup(function()
		server = Server.start { more_modules = { "offline" } }
		for _, user in ipairs { "away", "shy", "lone", "busy", "mute" } do server:register(user) end
	end)
	teardown(function() server:stop() end)
	before_each(function()
		romeo = server:person("romeo", { resource = "orchard" })
		people = {}
	end)
	after_each(function() server:forget_clients() end)

	-- Brings somebody's resources. priorities: resource -> priority, or false for one that says nothing.
	local function come(user, priorities)
		for resource, priority in pairs(priorities or {}) do
			people[resource] = server:client { user = user, resource = resource }:logs_in()
			if priority then people[resource]:appears(("<priority>%d</priority>"):format(priority)) end
		end
		for _, one in pairs(people) do one:settles() end
		for _, one in pairs(people) do one:forgets() end
	end

	local function jid(user, resource)
		return user .. "@localhost" .. (resource == "bare" and "" or "/" .. resource)
	end

	-- Who has received stanzas of that name and id since romeo sent them, as in the tables.
	local function fate(name, id)
		local who = {}
		for resource, one in pairs(people) do
			for _, stanza in ipairs(one.inbox) do
				if stanza.name == name and stanza.attr.id == id then table.insert(who, resource) end
			end
		end
		table.sort(who)
		for _, stanza in ipairs(romeo.inbox) do
			if stanza.name == name and stanza.attr.id == id then
				assert.truthy(stanza:at("error", "service-unavailable"), tostring(stanza))
				table.insert(who, "refused")
			end
		end
		return table.concat(who, " ")
	end

	local function all_settle()
		romeo:settles()
		for _, one in pairs(people) do one:settles() end
	end

	local function is_target(key) return key ~= 1 and key ~= "resources" end

	for what, case in pairs(messages) do
		describe("that is a message " .. what, function()
			local user = case[1]

			for target, expected in pairs(case) do
				if is_target(target) then
					it(target == "bare" and "by the bare JID" or target == "gone" and "by a resource that is not there"
						or "by the resource " .. target, function()
						come(user, case.resources)
						for i, kind in ipairs(KINDS) do
							romeo:sends(("<message to='%s' type='%s' id='%s'><body>%s</body>%s</message>"):format(jid(user, target),
								kind, kind, kind, kind == "error" and "<error type='cancel'><gone "
								.. "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>" or ""))
						end
						all_settle()
						local kept = {}
						for i, kind in ipairs(KINDS) do
							local got = fate("message", kind)
							if expected[i] == "kept" then table.insert(kept, kind) end
							assert.equal((expected[i] == "kept" or expected[i] == "dropped") and "" or expected[i], got, kind)
						end
						if user == "nobody" then return end
						-- What was kept is there for the next who comes, in order, and nothing else is.
						local late = server:client { user = user, resource = "late" }:logs_in()
						late:sends "<presence/>"
						late:settles()
						local found = {}
						for _, stanza in ipairs(late.inbox) do
							if stanza.name == "message" then table.insert(found, stanza.attr.id) end
						end
						assert.same(kept, found)
					end)
				end
			end
		end)
	end

	local PING = "<iq type='get' to='%s' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>"
	local STRANGE = "<iq type='%s' to='%s' id='%s'><strange xmlns='urn:example:strange'/></iq>"

	it("that is a question to the bare JID is answered by the server, never by a resource (8.5.2.1.3)", function()
		come("lone", { only = 0 })
		for _, kind in ipairs { "get", "set" } do romeo:sends(STRANGE:format(kind, jid("lone", "bare"), kind)) end
		all_settle()
		assert.equal("refused", fate("iq", "get"))
		assert.equal("refused", fate("iq", "set"))
	end)

	it("that is a question to nobody, or to an account of a stranger, is refused alike (8.5.1)", function()
		for _, user in ipairs { "nobody", "away" } do
			for _, target in ipairs { "bare", "gone" } do
				romeo:sends(STRANGE:format("get", jid(user, target), user .. target))
				romeo:settles()
				assert.equal("refused", fate("iq", user .. target))
			end
		end
	end)

	it("that is a question to a resource reaches it alone, whatever its priority (8.5.3.1)", function()
		come("busy", { high = 5, negative = -1, silent = false })
		for resource in pairs(people) do romeo:sends(PING:format(jid("busy", resource), resource)) end
		all_settle()
		for resource in pairs(people) do assert.equal(resource, fate("iq", resource)) end
	end)

	it("that is a question to a resource that is not there is refused, its answers are dropped (8.5.3.2.3)", function()
		come("lone", { only = 0 })
		romeo:sends(PING:format(jid("lone", "gone"), "question"))
		romeo:sends(("<iq type='result' to='%s' id='result'/>"):format(jid("lone", "gone")))
		romeo:sends(("<iq type='error' to='%s' id='error'><error type='cancel'><item-not-found "
			.. "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"):format(jid("lone", "gone")))
		all_settle()
		assert.equal("refused", fate("iq", "question"))
		assert.equal("", fate("iq", "result"))
		assert.equal("", fate("iq", "error"))
	end)

	it("that is presence to the bare JID reaches all available resources (8.5.2.1.2)", function()
		come("busy", { high = 5, low = 0, negative = -1, silent = false })
		romeo:sends(("<presence to='%s' id='here'/>"):format(jid("busy", "bare")))
		romeo:sends(("<presence to='%s' type='unavailable' id='gone'/>"):format(jid("busy", "bare")))
		all_settle()
		assert.equal("high low negative", fate("presence", "here"))
		assert.equal("high low negative", fate("presence", "gone"))
	end)

	it("that is presence to a resource reaches it, or nobody when it is not there (8.5.3.1, 8.5.3.2.2)", function()
		come("busy", { low = 0, negative = -1 })
		for _, target in ipairs { "low", "negative", "gone" } do
			romeo:sends(("<presence to='%s' id='%s'/>"):format(jid("busy", target), target))
		end
		all_settle()
		assert.equal("low", fate("presence", "low"))
		assert.equal("negative", fate("presence", "negative"))
		assert.equal("", fate("presence", "gone"))
	end)

	it("that is presence to nobody, or to somebody who is away, is dropped (8.5.1, 8.5.2.2.2)", function()
		for _, user in ipairs { "nobody", "away" } do
			for _, target in ipairs { "bare", "gone" } do
				romeo:sends(("<presence to='%s' id='%s'/>"):format(jid(user, target), user))
			end
			romeo:settles()
			assert.equal("", fate("presence", user))
		end
	end)

	it("that is a question to the server, or to a resource of it, is answered by the server (8.3, 8.4)", function()
		romeo:sends(PING:format("localhost", "ping"))
		romeo:receives "<iq type='result' from='localhost' id='ping'/>"
		romeo:sends "<iq type='get' to='localhost/nowhere' id='strange'><strange xmlns='urn:example:strange'/></iq>"
		romeo:receives "<iq type='error' from='localhost/nowhere' id='strange'/>"
	end)
end)
