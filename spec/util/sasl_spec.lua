local base64 = require "prosody.util.encodings".base64
local keys = require "prosody.util.sasl.keys"
local sasl = require "prosody.util.sasl"
local scram = require "spec.support.scram"

local function profile_for(accounts)
	local function get_keys(hash)
		return function (_, username)
			local account = accounts[username]
			if not account then return nil end
			local stored_key, server_key = keys.derive(hash, account.password, account.salt or "salt", 4096)
			return stored_key, server_key, 4096, account.salt or "salt", account.state ~= false
		end
	end
	return {
		scram_sha_1 = get_keys("SHA-1"), scram_sha_256 = get_keys("SHA-256"),
		plain_test = function (_, username, password)
			local account = accounts[username]
			if not account then return nil, nil end
			return account.password == password, account.state ~= false
		end,
		decoy_secret = "secret",
	}
end

local accounts = { romeo = { password = "juliet" }, paris = { password = "rose", state = false } }

local function handler_for(mechanism, profile)
	local handler = sasl.new("example.com", profile or profile_for(accounts))
	assert.is_true(handler:select(mechanism))
	return handler
end

local exchange, client_final = scram.run, scram.final

describe("util.sasl", function ()
	it("offers what the profile has functions for", function ()
		local handler = sasl.new("example.com", { anonymous = function () return true end })
		assert.same({ ANONYMOUS = true }, handler:mechanisms())
		handler = sasl.new("example.com", { plain = function () end })
		assert.same({ PLAIN = true, ["SCRAM-SHA-1"] = true, ["SCRAM-SHA-256"] = true }, handler:mechanisms())
	end)

	it("offers -PLUS only where the connection can bind", function ()
		local handler = sasl.new("example.com", profile_for(accounts))
		assert.is_nil(handler:mechanisms()["SCRAM-SHA-256-PLUS"])
		handler:add_cb_handler("tls-exporter", function () return "bytes" end)
		assert.is_true(handler:mechanisms()["SCRAM-SHA-256-PLUS"])
		assert.is_true(handler:mechanisms()["SCRAM-SHA-1-PLUS"])
	end)

	it("keeps the bindings of one session from the others that share the profile", function ()
		local profile = profile_for(accounts)
		sasl.new("example.com", profile):add_cb_handler("tls-exporter", function () return "bytes" end)
		assert.is_nil(sasl.new("example.com", profile):mechanisms()["SCRAM-SHA-256-PLUS"])
	end)

	it("selects nothing unknown, nothing twice, and nothing that was not announced", function ()
		local handler = sasl.new("example.com", profile_for(accounts))
		assert.is_nil(handler:select("LOGIN"))
		assert.is_nil(handler:select("plain"))
		assert.is_nil(handler:select("SCRAM-SHA-256-PLUS"))
		handler:announce({ "SCRAM-SHA-256" }, {}, false)
		assert.is_nil(handler:select("PLAIN"))
		assert.is_true(handler:select("SCRAM-SHA-256"))
		assert.is_nil(handler:select("SCRAM-SHA-256"))
	end)

	it("does nothing before a mechanism is selected or after the end", function ()
		local handler = sasl.new("example.com", profile_for(accounts))
		assert.same("failure", (handler:process("x")))
		handler = handler_for("PLAIN")
		assert.same("success", (handler:process("\0romeo\0juliet")))
		assert.same("failure", (handler:process("\0romeo\0juliet")))
	end)

	it("starts anew with a clean clone", function ()
		local handler = sasl.new("example.com", profile_for(accounts)):announce({ "PLAIN" }, {}, false)
		assert.is_true(handler:select("PLAIN"))
		assert.same("failure", (handler:process("\0romeo\0wrong")))
		local clone = handler:clean_clone()
		assert.is_nil(clone:select("SCRAM-SHA-1"))
		assert.is_true(clone:select("PLAIN"))
		assert.same("success", (clone:process("\0romeo\0juliet")))
		assert.same("romeo", clone.username)
	end)

	it("takes further mechanisms from modules", function ()
		sasl.registerMechanism("X-TEST", { "x_test" }, function (self, message)
			self.username = self.profile.x_test(message)
			return "success"
		end)
		local handler = handler_for("X-TEST", { x_test = function (message) return message end })
		assert.same("success", (handler:process("romeo")))
		assert.same("romeo", handler.username)
	end)

	describe("with SCRAM", function ()
		local function run_vector(vector)
			local handler = handler_for("SCRAM-" .. vector.hash, {
				[vector.backend] = function (_, username)
					if username ~= "user" then return nil end
					local salt = base64.decode(vector.salt)
					local stored_key, server_key = keys.derive(vector.hash, "pencil", salt, 4096)
					return stored_key, server_key, 4096, salt, true
				end,
			})
			handler.server_nonce = vector.server_nonce
			local status, server_first = handler:process(vector.client_first)
			assert.same("challenge", status)
			assert.same(vector.server_first, server_first)
			local result, server_final = handler:process(vector.client_final)
			assert.same("success", result)
			assert.same(vector.server_final, server_final)
			assert.same("user", handler.username)
		end

		it("speaks as RFC 5802 section 5 shows", function ()
			run_vector {
				hash = "SHA-1", backend = "scram_sha_1", salt = "QSXCR+Q6sek8bf92", server_nonce = "3rfcNHYJY1ZVvWVs7j",
				client_first = "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
				server_first = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
				client_final = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
				server_final = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
			}
		end)

		it("speaks as RFC 7677 section 3 shows", function ()
			run_vector {
				hash = "SHA-256", backend = "scram_sha_256", salt = "W22ZaJ0SNY7soEsUEjb6gQ==",
				server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
				client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
				server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
					.. "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
				client_final = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
					.. "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
				server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
			}
		end)

		for _, hash in ipairs { "SHA-1", "SHA-256" } do
			it("lets the right password in and no other (" .. hash .. ")", function ()
				local handler = handler_for("SCRAM-" .. hash)
				local status, data = exchange(handler, hash, "romeo", "juliet")
				assert.same("success", status)
				assert.matches("^v=", data)
				assert.same("romeo", handler.username)

				handler = handler_for("SCRAM-" .. hash)
				local condition
				status, condition = exchange(handler, hash, "romeo", "rosaline")
				assert.same("failure", status)
				assert.same("not-authorized", condition)
				assert.is_nil(handler.username)
				assert.same("romeo", handler.claimed_username)
			end)
		end

		it("makes every nonce new", function ()
			local seen = {}
			for _ = 1, 50 do
				local _, server_first = handler_for("SCRAM-SHA-1"):process("n,,n=romeo,r=abc")
				local nonce = server_first:match("^r=abc([^,]+)")
				assert.is_true(#nonce >= 24)
				assert.is_nil(seen[nonce])
				seen[nonce] = true
			end
		end)

		it("decodes names and prepares them", function ()
			local handler = handler_for("SCRAM-SHA-1", profile_for { ["a!b"] = { password = "x" } })
			-- U+FF01 is "!" to SASLprep.
			assert.same("success", (exchange(handler, "SHA-1", "a\239\188\129b", "x")))
			handler = handler_for("SCRAM-SHA-1")
			assert.same("success", (exchange(handler, "SHA-1", "ROMEO", "juliet")))
			assert.same("romeo", handler.username)
			local names = {}
			handler = handler_for("SCRAM-SHA-1", {
				nodeprep = false, scram_sha_1 = function (_, name) table.insert(names, name) end,
			})
			handler:process("n,,n=a=2Cb=3Dc,r=x")
			assert.same({ "a,b=c" }, names)
		end)

		it("refuses messages that are none", function ()
			for _, message in ipairs {
				"", "n", "n,", "n,,", "n,,n=romeo", "n,,r=abc,n=romeo", "n,,n=,r=abc", "n,,n=romeo,r=", "n,,n=ro=meo,r=abc",
				"n,,n=ro=2c,r=abc", "n,,m=x,n=romeo,r=abc", "x,,n=romeo,r=abc", "n=1,,n=romeo,r=abc", "N,,n=romeo,r=abc",
				"n,a=,n=romeo,r=abc", "n,romeo,n=romeo,r=abc", "n,,n=romeo,r=a\0c", "n,,n=romeo,r=abc,x", "n,,n=ro\0meo,r=abc",
				"p=tls-exporter,,n=romeo,r=abc", "p=,,n=romeo,r=abc", "n,,n=\255,r=abc", " n,,n=romeo,r=abc",
			} do
				local status, condition = handler_for("SCRAM-SHA-1"):process(message)
				assert.same({ message, "failure", "malformed-request" }, { message, status, condition })
			end
		end)

		it("ignores extensions it need not know", function ()
			local handler = handler_for("SCRAM-SHA-1")
			local first = "n,,n=romeo,r=abc,x=whatever"
			local _, server_first = handler:process(first)
			local final = client_final("SHA-1", "juliet", first, server_first, { extension = "y=1" })
			assert.same("success", (handler:process(final)))
		end)

		it("refuses final messages that do not fit", function ()
			local function final_with(change)
				local handler = handler_for("SCRAM-SHA-1")
				local first = "n,,n=romeo,r=abc"
				local _, server_first = handler:process(first)
				local final = change((client_final("SHA-1", "juliet", first, server_first)), first, server_first)
				local status, condition = handler:process(final)
				assert.is_nil(handler.username)
				return status .. " " .. condition
			end
			local function other(extra)
				return function (_, first, server_first)
					return (client_final("SHA-1", "juliet", first, server_first, extra))
				end
			end
			assert.same("failure malformed-request", final_with(function () return "" end))
			assert.same("failure malformed-request", final_with(function (final) return (final:gsub(",p=.*", "")) end))
			assert.same("failure malformed-request", final_with(function (final) return final .. ",x=y" end))
			assert.same("failure malformed-request", final_with(function (final) return (final:gsub("=$", "")) end))
			assert.same("failure malformed-request", final_with(function (final) return (final:gsub("p=.", "p= ")) end))
			assert.same("failure malformed-request", final_with(function (final) return (final:gsub("p=.*", "p=YQ==")) end))
			assert.same("failure malformed-request", final_with(function (final) return (final:gsub("c=biws", "c=biw")) end))
			assert.same("failure malformed-request", final_with(other { nonce = "abc" }))
			assert.same("failure malformed-request", final_with(other { nonce = "other" }))
			-- The GS2 header of the first message must come back, byte for byte.
			assert.same("failure not-authorized", final_with(other { gs2 = "y,," }))
			assert.same("failure not-authorized", final_with(other { gs2 = "n,a=romeo," }))
			assert.same("failure not-authorized", final_with(other { binding = "x" }))
		end)

		it("lets nobody act as somebody else", function ()
			local function with(authzid)
				return exchange(handler_for("SCRAM-SHA-1"), "SHA-1", "romeo", "juliet", { authzid = "a=" .. authzid })
			end
			assert.same("success", (with("romeo")))
			assert.same("success", (with("romeo@example.com")))
			assert.same("success", (with("Romeo@EXAMPLE.com")))
			for _, authzid in ipairs { "paris", "paris@example.com", "romeo@other.example", "example.com",
				"romeo@example.com/resource", "romeo@example.com@example.com" } do
				local _, condition = with(authzid)
				assert.same({ authzid, "invalid-authzid" }, { authzid, condition })
			end
		end)

		it("tells only who knows the password that an account is disabled", function ()
			local _, condition = exchange(handler_for("SCRAM-SHA-1"), "SHA-1", "paris", "wrong")
			assert.same("not-authorized", condition)
			_, condition = exchange(handler_for("SCRAM-SHA-1"), "SHA-1", "paris", "rose")
			assert.same("account-disabled", condition)
		end)

		it("shows unknown users the same salt each time, another for each name and hash, and fails at the end", function ()
			local function salt_of(mechanism, name)
				local handler = handler_for(mechanism)
				local status, server_first = handler:process("n,,n=" .. name .. ",r=abc")
				assert.same("challenge", status)
				local salt, iterations = server_first:match("s=([^,]+),i=(%d+)$")
				assert.same("10000", iterations)
				return base64.decode(salt)
			end
			local salt = salt_of("SCRAM-SHA-1", "nobody")
			assert.matches("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$", salt)
			assert.same(salt, salt_of("SCRAM-SHA-1", "nobody"))
			assert.not_same(salt, salt_of("SCRAM-SHA-1", "noone"))
			assert.not_same(salt, salt_of("SCRAM-SHA-256", "nobody"))
			local status, condition, text = exchange(handler_for("SCRAM-SHA-1"), "SHA-1", "nobody", "x")
			local wrong = { exchange(handler_for("SCRAM-SHA-1"), "SHA-1", "romeo", "x") }
			assert.same(wrong, { status, condition, text })
		end)

		it("does not take a broken store for a wrong password", function ()
			local handler = handler_for("SCRAM-SHA-1", {
				scram_sha_1 = function () return nil, nil, nil, nil, "temporary-auth-failure" end,
			})
			assert.same({ "failure", "temporary-auth-failure" }, { handler:process("n,,n=romeo,r=abc") })
		end)

		it("works with passwords kept as text", function ()
			local profile = {
				plain = function (_, username)
					if username == "romeo" then return "juliet", true end
					if username == "paris" then return "rose", false end
				end,
				iterations = 4096, decoy_secret = "secret",
			}
			local handler = handler_for("SCRAM-SHA-256", profile)
			assert.same("success", (exchange(handler, "SHA-256", "romeo", "juliet")))
			local _, condition = exchange(handler_for("SCRAM-SHA-256", profile), "SHA-256", "romeo", "x")
			assert.same("not-authorized", condition)
			_, condition = exchange(handler_for("SCRAM-SHA-256", profile), "SHA-256", "paris", "rose")
			assert.same("account-disabled", condition)
			_, condition = exchange(handler_for("SCRAM-SHA-256", profile), "SHA-256", "nobody", "rose")
			assert.same("not-authorized", condition)
		end)
	end)

	describe("with channel binding", function ()
		local function bound(mechanism, type)
			local handler = sasl.new("example.com", profile_for(accounts))
			handler:add_cb_handler(type or "tls-exporter", function () return "the bytes" end)
			if mechanism then assert.is_true(handler:select(mechanism)) end
			return handler
		end

		it("lets those in that see the same TLS session", function ()
			for _, type in ipairs { "tls-exporter", "tls-server-end-point", "tls-unique" } do
				local handler = bound("SCRAM-SHA-256-PLUS", type)
				local status = exchange(handler, "SHA-256", "romeo", "juliet",
					{ flag = "p=" .. type, binding = "the bytes" })
				assert.same("success", status)
			end
		end)

		it("refuses those that see another", function ()
			local handler = bound("SCRAM-SHA-256-PLUS")
			local status, condition = exchange(handler, "SHA-256", "romeo", "juliet",
				{ flag = "p=tls-exporter", binding = "other bytes" })
			assert.same("failure", status)
			assert.same("not-authorized", condition)
			local _
			_, condition = exchange(bound("SCRAM-SHA-256-PLUS"), "SHA-256", "romeo", "juliet", { flag = "p=tls-exporter" })
			assert.same("not-authorized", condition)
		end)

		it("refuses types the connection does not have, and -PLUS without a type", function ()
			for _, flag in ipairs { "p=tls-unique", "p=x", "n", "y" } do
				local _, condition = exchange(bound("SCRAM-SHA-256-PLUS"), "SHA-256", "romeo", "juliet", { flag = flag })
				assert.same("malformed-request", condition)
			end
		end)

		it("notices that -PLUS was taken from the list on its way to the client", function ()
			local _, condition = exchange(bound("SCRAM-SHA-256"), "SHA-256", "romeo", "juliet", { flag = "y" })
			assert.same("not-authorized", condition)
			-- A client that cannot bind at all says "n".
			assert.same("success", (exchange(bound("SCRAM-SHA-256"), "SHA-256", "romeo", "juliet")))
		end)

		it("judges that by what was announced", function ()
			local handler = bound():announce({ "SCRAM-SHA-256" }, {}, false)
			handler:select("SCRAM-SHA-256")
			assert.same("success", (exchange(handler, "SHA-256", "romeo", "juliet", { flag = "y" })))
			handler = bound():announce({ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1" }, {}, false)
			handler:select("SCRAM-SHA-1")
			local _, condition = exchange(handler, "SHA-1", "romeo", "juliet", { flag = "y" })
			assert.same("not-authorized", condition)
		end)

		it("signs what was announced as XEP-0474 shows", function ()
			local handler = bound()
				:announce({ "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1" }, { "tls-server-end-point", "tls-exporter" }, true)
			handler:select("SCRAM-SHA-1-PLUS")
			local first = "p=tls-exporter,,n=romeo,r=abc"
			local _, server_first = handler:process(first)
			assert.same("G6k/rBLDqgOhRRaCuuatSDFkJ08=", server_first:match(",h=([^,]+)$"))
			local final = client_final("SHA-1", "juliet", first, server_first, { binding = "the bytes" })
			assert.same("success", (handler:process(final)))
		end)
	end)

	describe("with PLAIN", function ()
		it("lets the right password in and no other", function ()
			local handler = handler_for("PLAIN")
			assert.same("success", (handler:process("\0romeo\0juliet")))
			assert.same("romeo", handler.username)
			for _, message in ipairs { "\0romeo\0rosaline", "\0nobody\0juliet", "\0paris\0wrong" } do
				local status, condition = handler_for("PLAIN"):process(message)
				assert.same({ "failure", "not-authorized" }, { status, condition })
			end
		end)

		it("tells only who knows the password that an account is disabled", function ()
			assert.same({ "failure", "account-disabled" }, { handler_for("PLAIN"):process("\0paris\0rose") })
		end)

		it("refuses messages that are none", function ()
			for _, message in ipairs { "", "\0", "\0\0", "romeo", "romeo\0juliet", "\0romeo\0", "\0\0juliet",
				"\0romeo\0juliet\0", "\0romeo\0ju\0liet", "\0ro\255meo\0juliet", "\0ro@meo\0juliet" } do
				local status, condition = handler_for("PLAIN"):process(message)
				assert.same({ message, "failure", "malformed-request" }, { message, status, condition })
			end
		end)

		it("lets nobody act as somebody else", function ()
			for _, authzid in ipairs { "romeo", "romeo@example.com", "ROMEO@example.com" } do
				assert.same("success", (handler_for("PLAIN"):process(authzid .. "\0romeo\0juliet")))
			end
			for _, authzid in ipairs { "paris", "paris@example.com", "romeo@other.example", "example.com" } do
				local handler = handler_for("PLAIN")
				local status, condition = handler:process(authzid .. "\0romeo\0juliet")
				assert.same({ "failure", "invalid-authzid" }, { status, condition })
				assert.is_nil(handler.username)
			end
		end)

		it("compares with a password kept as text", function ()
			local profile = { plain = function (_, username) if username == "romeo" then return "juliet", true end end }
			assert.same("success", (handler_for("PLAIN", profile):process("\0romeo\0juliet")))
			assert.same("failure", (handler_for("PLAIN", profile):process("\0romeo\0juliett")))
			assert.same("failure", (handler_for("PLAIN", profile):process("\0nobody\0juliet")))
		end)
	end)

	it("asks its gate before it looks at a password or key", function ()
		local asked, looked = {}, 0
		local function look() looked = looked + 1 end
		for mechanism, message in pairs { PLAIN = "\0romeo\0juliet", ["SCRAM-SHA-1"] = "n,,n=romeo,r=abc" } do
			local handler = handler_for(mechanism, { plain_test = look, scram_sha_1 = look })
			handler.gate = function (username)
				table.insert(asked, username)
				return nil, "too often"
			end
			assert.same({ "failure", "temporary-auth-failure", "too often" }, { handler:process(message) })
		end
		assert.same({ "romeo", "romeo" }, asked)
		assert.same(0, looked)
	end)

	it("asks its gate again before it looks at a SCRAM proof", function ()
		local handler = handler_for("SCRAM-SHA-1")
		local is_open = true
		handler.gate = function () return is_open, "too often" end
		local first = "n,,n=romeo,r=abc"
		local _, server_first = handler:process(first)
		is_open = false
		assert.same({ "failure", "temporary-auth-failure", "too often" },
			{ handler:process(client_final("SHA-1", "juliet", first, server_first)) })
	end)

	describe("with EXTERNAL", function ()
		it("lets the layer below decide", function ()
			local profile = { external = function (authzid)
				if authzid == "" or authzid == "romeo@example.com" then return "romeo", true end
				if authzid == "paris@example.com" then return "paris", false end
			end }
			local handler = handler_for("EXTERNAL", profile)
			assert.same("success", (handler:process("")))
			assert.same("romeo", handler.username)
			assert.same("success", (handler_for("EXTERNAL", profile):process("romeo@example.com")))
			assert.same({ "failure", "account-disabled" },
				{ handler_for("EXTERNAL", profile):process("paris@example.com") })
			local _, condition = handler_for("EXTERNAL", profile):process("tybalt@example.com")
			assert.same("not-authorized", condition)
			_, condition = handler_for("EXTERNAL", profile):process("a\0b")
			assert.same("malformed-request", condition)
		end)
	end)

	describe("with ANONYMOUS", function ()
		it("makes up a name nobody has, whatever the client traces", function ()
			local refused = 0
			local profile = { anonymous = function () refused = refused + 1; return refused > 2 end }
			local handler = handler_for("ANONYMOUS", profile)
			assert.same("success", (handler:process("admin")))
			assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", handler.username)
			local other = handler_for("ANONYMOUS", profile)
			other:process("")
			assert.not_same(handler.username, other.username)
		end)

		it("gives up when every name is taken", function ()
			local handler = handler_for("ANONYMOUS", { anonymous = function () return false end })
			assert.same({ "failure", "temporary-auth-failure" }, { handler:process("") })
		end)
	end)
end)

describe("util.sasl.scram", function ()
	it("makes keys as Prosody's stores hold them", function ()
		-- An account that Prosody 0.12.3 wrote, password pw_bob.
		local hashers = require "prosody.util.sasl.scram".hashers
		local ok, stored_key, server_key = hashers["SHA-1"]("pw_bob", "0f355133-54d7-4302-80c8-38c6dda61184", 10000)
		assert.is_true(ok)
		local hex = require "prosody.util.hex"
		assert.same("3bd9bbf4120b9b0757450c2144b10272d09ac373", hex.encode(stored_key))
		assert.same("ec7b73b1793366ec63db4704040fabd1074f93f9", hex.encode(server_key))
	end)

	it("makes none with too few iterations or without a password", function ()
		local hashers = require "prosody.util.sasl.scram".hashers
		assert.is_false((hashers["SHA-256"]("x", "salt", 4095)))
		assert.is_false((hashers["SHA-256"](nil, "salt", 4096)))
	end)
end)
