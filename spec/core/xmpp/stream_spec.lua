-- What may happen when on a client's stream: every cell of the table in core/xmpp/stream.c, written down from RFC 6120.
local T = require "couplet_core"

local states = { "header", "plain", "tls", "secured", "authed", "bound", "closing" }

-- One row per kind of input, one column per state, in the order above.
local expected = {
	-- RFC 6120 4.2: a header opens a stream and comes only where one is due.
	header = { "open", "ignore", "ignore", "ignore", "ignore", "ignore", "ignore" },
	-- RFC 6120 4.4: a closing tag is answered, whenever it comes; not inside a TLS negotiation.
	footer = { "end", "end", "ignore", "end", "end", "end", "end" },
	-- RFC 6120 5.4.2: only on a plain stream that has its features; never twice.
	starttls = { "not-authorized", "event", "ignore", "unsupported", "unsupported", "unsupported", "ignore" },
	-- RFC 6120 6.4: after the features; mod_saslauth refuses a second login and one without TLS (6.5.5).
	sasl = { "not-authorized", "event", "ignore", "event", "event", "event", "ignore" },
	-- RFC 6120 7.1, 8.2.3: before a resource is bound only what a module answers (binding, registration).
	iq = { "not-authorized", "iq-event", "ignore", "iq-event", "iq-event", "route", "ignore" },
	-- RFC 6120 4.9.3.12: a stanza before its time ends the stream.
	message = { "not-authorized", "not-authorized", "ignore", "not-authorized", "not-authorized", "route", "ignore" },
	presence = { "not-authorized", "not-authorized", "ignore", "not-authorized", "not-authorized", "route", "ignore" },
	-- Extensions (stream management, client state): a module answers or the stream ends with 4.9.3.24.
	nonza = { "not-authorized", "event", "ignore", "event", "event", "event", "ignore" },
	-- RFC 6120 4.9.1.1: stream errors are unrecoverable.
	error = { "give-up", "give-up", "ignore", "give-up", "give-up", "give-up", "ignore" },
	-- RFC 6120 4.9.3.24
	stranger = {
		"unsupported", "unsupported", "ignore", "unsupported", "unsupported", "unsupported", "ignore",
	},
}

describe("a client's stream", function ()
	local actual = T.stream_table()

	for class, row in pairs(expected) do
		for i, state in ipairs(states) do
			it(("in state %s answers %s with %s"):format(state, class, row[i]), function ()
				assert.equal(row[i], actual[state][class])
			end)
		end
	end

	it("has no state and no kind of input beside these", function ()
		for state, row in pairs(actual) do
			assert.is_true(table.concat(states, " "):find(state, 1, true) ~= nil, state)
			for class in pairs(row) do
				assert.is_table(expected[class], class)
			end
		end
	end)
end)
