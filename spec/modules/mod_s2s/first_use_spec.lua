--- What mod_s2s/first_use promises when things go wrong: a store that fails, and strangers with many names.

local libraries = require "spec.support.s2s_libraries"

describe("Trust on first use", function ()
	local first_use, check, kept, fails

	before_each(function ()
		kept, fails = nil, {}
		local world = { native = {}, prosody = { hosts = { ["montague.example"] = {} } } }
		local load_with, module = libraries.load(world, "first_use")
		function module.context()
			return { open_store = function ()
				if fails.open then return nil, "no such driver" end
				return {
					get = function ()
						if fails.get then return nil, "the disk is broken" end
						return kept
					end,
					set = function (_, _, data)
						if fails.set then return nil, "the disk is full" end
						kept = data
						return true
					end,
				}
			end }
		end
		first_use = load_with { trusts_on_first_use = function (domain) return domain ~= "stranger.example" end }
		first_use.add_host { hook = function (_, name, fn)
			assert.equal("s2s-check-certificate", name)
			check = fn
		end }
	end)

	-- Whether that certificate proves the domain, and the sentence about it.
	local function judge(domain, sha256, is_trusted_anyway, ip)
		local session = { host = "montague.example", ip = ip, direction = ip and "incoming" or "outgoing" }
		if is_trusted_anyway then session.cert_chain_status, session.cert_identity_status = "valid", "valid" end
		check { session = session, host = domain, cert = { digest = function () return sha256 end } }
		return session.cert_chain_status == "valid" and session.cert_identity_status == "valid",
			session.cert_problem or session.cert_proof
	end

	it("remembers the first, believes only it, and forgets when told", function ()
		assert.is_true((judge("capulet.example", "aa")))
		assert.is_true((judge("capulet.example", "aa")))
		assert.is_false((judge("capulet.example", "bb")))
		assert.equal("aa", kept["capulet.example"].sha256)
		assert.equal(1, first_use.forget "capulet.example")
		assert.is_nil(kept)
		assert.equal(0, first_use.forget "capulet.example")
		assert.is_true((judge("capulet.example", "bb")))
		assert.same({ "capulet.example", "BB" }, { first_use.list()[1].theirs, first_use.list()[1].fingerprint })
	end)

	it("does nothing for domains that are not listed, and for certificates that are trusted anyway", function ()
		assert.is_false((judge("stranger.example", "aa")))
		assert.is_true((judge("capulet.example", "aa", true)))
		assert.is_nil(kept)
	end)

	it("believes nobody when it cannot read or write what it knows", function ()
		for _, case in ipairs {
			{ "open", "no such driver" }, { "get", "the disk is broken" }, { "set", "the disk is full" },
		} do
			local what, text = table.unpack(case)
			fails = { [what] = true }
			local is_believed, why = judge("capulet.example", "aa")
			assert.is_false(is_believed)
			assert.truthy(why:find(text, 1, true), why)
			fails = {}
		end
		assert.same({}, first_use.list())
		assert.is_true((judge("capulet.example", "aa")))
		fails.set = true
		assert.is_nil((first_use.forget "capulet.example"))
		assert.is_false((judge("capulet.example", "bb")))
	end)

	it("does not meet names of the local network from outside it first", function ()
		for _, domain in ipairs { "capulet.local", "capulet", "192.168.1.20", "[fd00::20]" } do
			local is_believed, why = judge(domain, "bb", false, "1.2.3.4")
			assert.is_false(is_believed, domain)
			assert.truthy(why:find("1.2.3.4 is not in the local network", 1, true), why)
			assert.is_true((judge(domain, "aa", false, "192.168.1.20")), domain)
			assert.is_true((judge(domain, "aa", false, "1.2.3.4")), domain) -- known by now
		end
		assert.is_true((judge("capulet.example", "aa", false, "1.2.3.4")))
		assert.is_true((judge("[2600::1]", "aa", false, "2600::1")))
	end)

	it("knows a thousand domains of a host, and no more until one is forgotten", function ()
		for i = 1, 1000 do assert.is_true((judge(("n%d.example"):format(i), "aa"))) end
		local is_believed, why = judge("one.more.example", "aa")
		assert.is_false(is_believed)
		assert.truthy(why:find("coupletctl s2s forget", 1, true), why)
		assert.is_true((judge("n1000.example", "aa")))
		first_use.forget "n7.example"
		assert.is_true((judge("one.more.example", "aa")))
	end)
end)
