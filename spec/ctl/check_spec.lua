local ctl = require "spec.support.ctl"

describe("coupletctl check", function ()
	local place

	local function check(config, area)
		place = ctl.place(config)
		return place:run("check", area or "config")
	end
	after_each(function () place:remove() end)

	-- Finds the mistake, names the line, and ends with 2.
	local function finds(what, line, config)
		local output, code = check(config)
		assert.equal(2, code, output)
		local found
		for text in output:gmatch "[^\n]+" do
			if text:find("problem:", 1, true) and text:find(what, 1, true) then found = text end
		end
		assert.is_truthy(found, output)
		if line then assert.is_truthy(found:find(("prosody.cfg.lua:%d:"):format(line), 1, true), found) end
	end

	it("finds nothing where nothing is wrong", function ()
		local output, code = check [[
			admins = { "romeo@capulet.example" }
			modules_enabled = { "roster"; "saslauth"; "tls" }
			c2s_ports = { 5222 }
			VirtualHost "capulet.example"
				modules_enabled = { "blocklist" }
		]]
		assert.equal(0, code, output)
		assert.matches("No problems were found", output)
		assert.is_nil(output:find("hint:", 1, true))
	end)

	it("finds files that cannot be read as a configuration", function ()
		finds("unfinished string", 2, 'VirtualHost "capulet.example')
	end)

	it("finds a server without hosts", function ()
		finds("there is no host", nil, "admins = { 'a@b' }")
	end)

	it("finds options of the server that stand after a host", function ()
		local config = 'VirtualHost "capulet.example"\n\tlog = "x"\n\tc2s_ports = { 1 }\n\tinterfaces = { "*" }\n'
		for option, line in pairs { log = 3, c2s_ports = 4, interfaces = 5 } do
			finds(option .. " is an option of the whole server", line, config)
			place:remove()
		end
		check ""
	end)

	it("finds modules that are not there, on hosts and everywhere", function ()
		finds('no module "rooster"', 2, 'modules_enabled = { "rooster" }\nVirtualHost "capulet.example"')
		place:remove()
		finds('no module "rooster"', 3, 'VirtualHost "capulet.example"\nmodules_enabled = { "rooster" }')
		place:remove()
		finds('no module "house"', 2, 'Component "rooms.capulet.example" "house"')
		place:remove()
		finds('no module "auth_nonsense"', 3, 'VirtualHost "capulet.example"\nauthentication = "nonsense"')
	end)

	it("finds modules and options with a slip in their names, and says what may be meant", function ()
		for config, what in pairs {
			['modules_enabled = { "rostr" }'] = 'no module "rostr"; did you mean "roster"?',
			['authentication = "internal_hased"'] = 'did you mean "auth_internal_hashed"?',
			['storage = "sqll"'] = 'no module "storage_sqll"; did you mean "storage_sql"?',
			['storage = { roster = "intrenal" }'] = 'did you mean "storage_internal"?',
			['c2s_require_encrpytion = true'] = "did you mean c2s_require_encryption?",
			['alow_registration = true'] = "did you mean allow_registration?",
		} do
			finds(what, 2, config .. '\nVirtualHost "capulet.example"')
			place:remove()
		end
		local output, code = check 'storage = { roster = "sqlite"; vcard = "null" }\nVirtualHost "capulet.example"'
		assert.equal(0, code, output)
	end)

	it("hints at options that nobody reads, and knows those of an admin's own modules", function ()
		local config = 'plugin_paths = { "mine" }\nVirtualHost "capulet.example"\n\tverona_gates = 4\n\tthing_ports = { 1 }'
		place = ctl.place(config)
		place:file("mine/mod_gates.lua", "module:get_option_number('verona_gates')")
		local output = place:run("check", "config")
		assert.is_nil(output:find("verona", 1, true), output)
		place:remove()
		output = check((config:gsub('"mine"', '"."')))
		assert.matches("no module here reads these options: .*prosody.cfg.lua:4: verona_gates", output)
	end)

	it("finds folders that are not there", function ()
		finds("plugin_paths: the folder", 2, 'plugin_paths = "nowhere"\nVirtualHost "capulet.example"')
		place:remove()
		finds("certificates: the folder", 2, 'certificates = "nowhere"\nVirtualHost "capulet.example"')
	end)

	it("finds a certificate that is no table", function ()
		finds("ssl should be a table", 3, 'VirtualHost "capulet.example"\n\tssl = "x.crt"')
	end)

	it("finds names without quotes", function ()
		finds("missing quotes", 2, 'modules_enabled = { roster }\nVirtualHost "capulet.example"')
	end)

	it("finds admins that are no addresses", function ()
		finds("romeo", 2, 'admins = { "romeo" }\nVirtualHost "capulet.example"')
	end)

	it("finds what is wrong with how names are looked up", function ()
		for wanted, what in pairs {
			['{ forward = "ns.example" }'] = "forward must be the address of a name server",
			['{ servers = "192.0.2.1" }'] = 'there is no "servers"; there are forward,',
			['{ trusted = "nonsense" }'] = "trust anchor nonsense",
			['{ options = { ["no-such"] = 1 } }'] = "option no-such",
			['{ hoststxt = "none.txt" }'] = "No such file",
			['true'] = "unbound must be a table",
		} do
			finds(what, 2, "unbound = " .. wanted .. '\nVirtualHost "capulet.example"\n')
			place:remove()
		end
		local _, code = check 'unbound = { forward = { "192.0.2.1", "2001:db8::1@5353" } }\nVirtualHost "capulet.example"\n'
		assert.equal(0, code)
	end)

	it("finds certificates that are not there", function ()
		finds("cannot be found", 2, 'ssl = { certificate = "x.crt"; key = "x.key" }\nVirtualHost "capulet.example"')
	end)

	it("hints at what may be meant so", function ()
		local output, code = check [[
			modules_enabled = { "roster"; "roster" }
			allow_registration = true
			c2s_require_encryption = false
			VirtualHost "capulet.example"
		]]
		assert.equal(0, code, output)
		for _, what in ipairs {
			'names "roster" twice', "allow_registration", "c2s_require_encryption", "admins is not set",
		} do
			assert.is_truthy(output:find(what, 1, true), what)
		end
	end)

	it("looks at certificates", function ()
		local output, code = check('VirtualHost "capulet.example"', "certs")
		assert.equal(2, code)
		assert.matches("capulet.example", output)
		assert.equal(0, select(2, place:run("cert", "generate", "capulet.example")))
		output, code = place:run("check", "certs")
		assert.equal(0, code, output)
		assert.matches("valid for 36%d days", output)
	end)

	it("finds certificates for another host", function ()
		check('VirtualHost "capulet.example"', "certs")
		assert.equal(0, select(2, place:run("cert", "generate", "capulet.example")))
		local other = ctl.place [[
			ssl = { certificate = "other.crt"; key = "other.key" }
			VirtualHost "montague.example"
		]]
		other:file("other.crt", place:read "certs/capulet.example.crt")
		other:file("other.key", place:read "certs/capulet.example.key")
		local output, code = other:run("check", "certs")
		other:remove()
		assert.equal(2, code)
		assert.matches("does not name this host", output)
	end)
end)
