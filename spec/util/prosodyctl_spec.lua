local prosodyctl = require "util.prosodyctl"

describe("util.prosodyctl", function ()
	local out, err, real
	before_each(function ()
		out, err = {}, {}
		real = io
		local function sink(list)
			return function (_, ...) list[#list + 1] = table.concat { ... } end
		end
		_G.io = setmetatable({
			write = function (...) out[#out + 1] = table.concat { ... } end,
			stderr = { write = sink(err) },
		}, { __index = real })
		package.loaded["util.prosodyctl"], package.loaded["prosody.util.prosodyctl"] = nil, nil
		prosodyctl = require "util.prosodyctl"
		_G.io = real
	end)
	teardown(function ()
		package.loaded["util.prosodyctl"], package.loaded["prosody.util.prosodyctl"] = nil, nil
	end)

	it("tells people on standard output and warns on standard error", function ()
		prosodyctl.show_message("%d users", 3)
		prosodyctl.show_message "100% sure"
		prosodyctl.show_warning("no %s", "host")
		assert.same({ "3 users\n", "100% sure\n" }, out)
		assert.same({ "no host\n" }, err)
	end)

	it("shows how to use a command when asked for help", function ()
		assert.is_false(prosodyctl.wants_help({ "romeo@example.com" }, "adduser JID", "Adds."))
		assert.same({}, out)
		assert.is_true(prosodyctl.wants_help({ "--help" }, "adduser JID", "Adds."))
		assert.equal("Usage: adduser JID\n\n  Adds.\n", table.concat(out))
	end)
end)
