-- What may happen when on a stream: every cell of the tables in core/xmpp/stream_c2s.c and stream_s2s.c, written
-- down from RFC 6120, XEP-0220 and XEP-0288.
local T = require "couplet_core"

local client_states = { "header", "plain", "tls", "secured", "authed", "bound", "closing" }

-- One row per kind of input, one column per state, in the order above.
local client_expected = {
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
	-- Extensions (client state ...): a module answers or the stream ends with 4.9.3.24.
	nonza = { "not-authorized", "event", "ignore", "event", "event", "event", "ignore" },
	-- XEP-0198 3, 5: a module refuses it before login, agrees to it once a resource is bound, and resumes instead of
	-- binding; acknowledgements are the core's.
	sm = { "not-authorized", "event", "ignore", "event", "event", "count", "ignore" },
	-- RFC 6120 4.9.1.1: stream errors are unrecoverable.
	error = { "give-up", "give-up", "ignore", "give-up", "give-up", "give-up", "ignore" },
	-- RFC 6120 4.9.3.24
	stranger = {
		"unsupported", "unsupported", "ignore", "unsupported", "unsupported", "unsupported", "ignore",
	},
}

local server_states = { "header", "plain", "tls", "secured", "proven", "closing" }

-- A server that came to us.
local incoming_expected = {
	-- RFC 6120 4.2
	header = { "open", "ignore", "ignore", "ignore", "ignore", "ignore" },
	-- RFC 6120 4.4
	footer = { "end", "end", "ignore", "end", "end", "end" },
	-- RFC 6120 5.4.2: only on a plain stream; not once somebody was believed on it.
	starttls = { "not-authorized", "event", "ignore", "unsupported", "unsupported", "ignore" },
	-- RFC 6120 13.7, XEP-0178: once, before anything is proven.
	sasl = { "not-authorized", "event", "ignore", "event", "unsupported", "ignore" },
	-- RFC 6120 8.1.2.2: not from who has proven nothing; of which pair of domains, the router looks. 4.4: what comes
	-- after our closing tag, before theirs, still counts.
	iq = { "not-authorized", "not-authorized", "ignore", "not-authorized", "route", "route-late" },
	message = { "not-authorized", "not-authorized", "ignore", "not-authorized", "route", "route-late" },
	presence = { "not-authorized", "not-authorized", "ignore", "not-authorized", "route", "route-late" },
	-- XEP-0198 3: agreed on only once a pair is proven; what was handled may be told until the very end.
	sm = { "not-authorized", "event", "ignore", "event", "count", "count" },
	-- Extensions: bidirectional streams are asked for before authentication (XEP-0288 2).
	nonza = { "not-authorized", "event", "ignore", "event", "event", "ignore" },
	error = { "give-up", "give-up", "ignore", "give-up", "give-up", "ignore" },
	stranger = { "unsupported", "unsupported", "ignore", "unsupported", "unsupported", "ignore" },
	-- XEP-0220 2.1.1, 2.6: keys and questions about keys, also for further pairs later.
	dialback = { "not-authorized", "event", "ignore", "event", "event", "ignore" },
	-- Only who is asked offers features, and answers <starttls/>.
	features = { "unsupported", "unsupported", "ignore", "unsupported", "unsupported", "ignore" },
	tls = { "unsupported", "unsupported", "ignore", "unsupported", "unsupported", "ignore" },
}

-- A server that we came to.
local outgoing_expected = {
	header = { "open", "ignore", "ignore", "ignore", "ignore", "ignore" },
	footer = { "end", "end", "ignore", "end", "end", "end" },
	-- It is us who ask for TLS.
	starttls = { "unsupported", "unsupported", "ignore", "unsupported", "unsupported", "ignore" },
	-- Answers to our <auth/>; one that nobody waits for ends the stream (the module does not answer).
	sasl = { "not-authorized", "event", "ignore", "event", "unsupported", "ignore" },
	-- XEP-0198 3: agreed on only once a pair is proven; what was handled may be told until the very end.
	sm = { "not-authorized", "event", "ignore", "event", "count", "count" },
	-- XEP-0288: stanzas may come this way too, if that was agreed on; the router looks.
	iq = { "not-authorized", "not-authorized", "ignore", "not-authorized", "route", "route-late" },
	message = { "not-authorized", "not-authorized", "ignore", "not-authorized", "route", "route-late" },
	presence = { "not-authorized", "not-authorized", "ignore", "not-authorized", "route", "route-late" },
	nonza = { "not-authorized", "event", "ignore", "event", "event", "ignore" },
	error = { "give-up", "give-up", "ignore", "give-up", "give-up", "ignore" },
	stranger = { "unsupported", "unsupported", "ignore", "unsupported", "unsupported", "ignore" },
	-- XEP-0220 2.1.2, 2.3.2: answers.
	dialback = { "not-authorized", "event", "ignore", "event", "event", "ignore" },
	-- RFC 6120 4.3.2: after each header.
	features = { "not-authorized", "event", "ignore", "event", "event", "ignore" },
	-- RFC 6120 5.4.2: only while there is no TLS.
	tls = { "unsupported", "event", "ignore", "unsupported", "unsupported", "ignore" },
}

local function of_a(what, kind, states, expected)
	describe(what, function ()
		local actual = T.stream_table(kind)

		for class, row in pairs(expected) do
			for i, state in ipairs(states) do
				it(("in state %s answers %s with %s"):format(state, class, row[i]), function ()
					assert.equal(row[i], actual[state][class])
				end)
			end
		end

		it("has no state and no kind of input beside these", function ()
			local n_states = 0
			for state, row in pairs(actual) do
				n_states = n_states + 1
				assert.is_true((" " .. table.concat(states, " ") .. " "):find(" " .. state .. " ", 1, true) ~= nil, state)
				for class in pairs(row) do
					assert.is_table(expected[class], class)
				end
			end
			assert.equal(#states, n_states)
		end)
	end)
end

of_a("a client's stream", "c2s", client_states, client_expected)
of_a("a stream that another server opened", "s2sin", server_states, incoming_expected)
of_a("a stream that we opened to another server", "s2sout", server_states, outgoing_expected)
