local fake = require "spec.support.fake_native"

describe("A module's object", function ()
	local world, module
	local host = "capulet.example"

	-- Serves the host with a configuration's further text and gives the object of an empty module.
	local function begin(options, global_options)
		world = fake.start { config = ('%s\nVirtualHost "capulet.example"\nstorage = "memory" authentication = "null"\n%s')
			:format(global_options or "", options or "") }
		world.module("authz_internal", "")
		world.module("x", "")
		world.load("modulemanager")
		world.load("usermanager")
		world.load("hostmanager").activate_all()
		module = assert(world.load("modulemanager").load(host, "x")).module
	end

	after_each(function () world.stop() end)

	describe("reading options", function ()
		it("gives them as they are, of the host before the global", function ()
			begin("a = { x = 1 }", "a = 2 b = false")
			assert.same({ x = 1 }, module:get_option("a"))
			assert.is_false(module:get_option("b", true))
			assert.equal("d", module:get_option("c", "d"))
			assert.equal(2, module:context("*"):get_option("a"))
		end)

		it("makes strings of scalars and takes the first of a list", function ()
			begin 's = "text" n = 5 l = { "one", "two" } one = { "only" }'
			assert.equal("text", module:get_option_string("s"))
			assert.equal("5", module:get_option_string("n"))
			assert.equal("only", module:get_option_string("one"))
			assert.is_false(world.log_has("error", "takes one value"))
			assert.equal("one", module:get_option_string("l"))
			assert.is_string(world.log_has("error", "the option l takes one value"))
			assert.equal("d", module:get_option_string("unset", "d"))
			assert.is_nil(module:get_option_string("unset"))
		end)

		it("makes numbers of text and keeps them in their bounds", function ()
			begin 'n = "12" bad = "many" big = 100 half = 2.5 three = 3.0'
			assert.equal(12, module:get_option_number("n"))
			assert.equal(10, module:get_option_number("big", 1, 0, 10))
			assert.is_string(world.log_has("error", "the option big is 100, which is more than the most of 10"))
			assert.equal(7, module:get_option_number("bad", 7))
			assert.equal(2.5, module:get_option_number("half"))
			assert.equal(1, module:get_option_integer("half", 1))
			assert.equal("integer", math.type(module:get_option_integer("three", 1)))
			assert.equal(5, module:get_option_integer("n", 1, 1, 5))
		end)

		it("names file, line and mend of what it cannot use", function ()
			begin "\n\nbad = 'yess'"
			assert.is_true(module:get_option_boolean("bad", true))
			local text = world.log_has("error", "the option bad should be true or false, but it is \"yess\"")
			assert.matches("prosody.cfg.lua:6: ", text)
			assert.matches("Write bad = true, without quotes", text, 1, true)
		end)

		it("knows all words for true and false", function ()
			begin 'a = true b = "true" c = 1 d = false e = "false" f = 0'
			for _, name in ipairs { "a", "b", "c" } do assert.is_true(module:get_option_boolean(name)) end
			for _, name in ipairs { "d", "e", "f" } do assert.is_false(module:get_option_boolean(name, true)) end
			assert.is_nil(module:get_option_boolean("unset"))
			assert.is_false(module:get_option_boolean("unset", false))
		end)

		it("reads periods", function ()
			begin 'a = 90 b = "90m" c = "2 days" d = "1w" e = "never" f = false g = -1 h = "soon" i = "1h"'
			local expected = { a = 90, b = 5400, c = 172800, d = 604800, e = math.huge, f = math.huge, g = math.huge, h = 60 }
			for name, seconds in pairs(expected) do
				assert.equal(seconds, module:get_option_period(name, "1 minute"), name)
			end
			assert.equal(7200, module:get_option_period("i", nil, "2h"))
			assert.equal(86400, module:get_option_period("unset", "1 day"))
			assert.is_nil(module:get_option_period("unset"))
		end)

		it("makes lists and sets", function ()
			begin('one = "a" list = { "b", "c" }', 'list = { "d" } only_global = { "e" }')
			assert.same({ "a" }, { table.unpack(module:get_option_array("one")) })
			local set = module:get_option_set("list")
			assert.is_true(set:contains("b") and set:contains("c"))
			assert.is_false(set:contains("d"))
			local both = module:get_option_inherited_set("list")
			assert.is_true(both:contains("b") and both:contains("d"))
			assert.is_true(module:get_option_inherited_set("only_global"):contains("e"))
			assert.is_true(module:get_option_inherited_set("unset", { "f" }):contains("f"))
			assert.is_nil(module:get_option_set("unset"))
			module:get_option_array("list"):append { "changed" }
			assert.same({ "b", "c" }, module:get_option("list"))
		end)

		it("resolves paths", function ()
			begin 'p = "x/y" abs = "/z"'
			assert.equal(world.directory .. "/x/y", module:get_option_path("p"))
			assert.equal(world.directory .. "/data/x/y", module:get_option_path("p", nil, "data"))
			assert.equal("/base/x/y", module:get_option_path("p", nil, "/base"))
			assert.equal("/z", module:get_option_path("abs"))
			assert.is_nil(module:get_option_path("unset"))
		end)

		it("accepts only the values of an enum", function ()
			begin 'a = "red" b = "mauve"'
			assert.equal("red", module:get_option_enum("a", "blue", "red", "blue"))
			assert.equal("blue", module:get_option_enum("b", "blue", "red", "blue"))
			assert.is_string(world.log_has("error", 'should be one of "red", "blue"'))
			assert.equal("blue", module:get_option_enum("unset", "blue", "red", "blue"))
		end)
	end)

	describe("hooking events", function ()
		before_each(function () begin() end)

		it("hears them in order of priority until one answers", function ()
			local heard = {}
			module:hook("e", function () heard[#heard + 1] = "second" end)
			module:hook("e", function () heard[#heard + 1] = "first" end, 10)
			module:hook("e", function () return "answer" end, -1)
			module:hook("e", function () heard[#heard + 1] = "never" end, -2)
			assert.equal("answer", module:fire_event("e", {}))
			assert.same({ "first", "second" }, heard)
		end)

		it("can let go again", function ()
			local function handler() return 1 end
			module:hook("e", handler)
			module:unhook("e", handler)
			assert.is_nil(module:fire_event("e", {}))
			local events = require "util.events".new()
			module:hook_object_event(events, "o", handler)
			assert.equal(1, events.fire_event("o", {}))
			module:unhook_object_event(events, "o", handler)
			assert.is_nil(events.fire_event("o", {}))
		end)

		it("hears tags as origin, stanza and event", function ()
			local got
			module:hook_tag("urn:x", "auth", function (origin, stanza, event) got = { origin, stanza, event } return true end)
			local event = { origin = 1, stanza = 2 }
			assert.is_true(module:fire_event("stanza/urn:x:auth", event))
			assert.same({ 1, 2, event }, got)
			module:hook_tag("plain", function () return "no xmlns" end)
			assert.equal("no xmlns", module:fire_event("stanza/plain", event))
		end)

		it("passes native hooks on untouched", function ()
			local native_hook, added = setmetatable({}, { __name = "hook" }), nil
			local object = { add_handler = function (_, fn) added = fn end, remove_handler = function () end }
			module:hook_object_event(object, "message/bare", native_hook, 1)
			assert.equal(native_hook, added)
		end)

		it("wraps firings", function ()
			module:hook("e", function (event) return event.n end)
			module:wrap_event("e", function (handlers, name, data) return handlers(name, { n = data.n + 1 }) * 10 end)
			assert.equal(20, module:fire_event("e", { n = 1 }))
		end)

		it("is told when the server has started, also when it has already", function ()
			local n = 0
			module:on_ready(function () n = n + 1 end)
			assert.equal(0, n)
			prosody.events.fire_event("server-started")
			assert.equal(1, n)
			module:on_ready(function () n = n + 1 end)
			assert.equal(2, n)
		end)
	end)

	describe("sharing", function ()
		before_each(function () begin() end)

		it("gives one table per path", function ()
			local a, b = module:shared("a", "/*/other/b")
			assert.equal(a, module:shared("/capulet.example/x/a"))
			assert.equal(a, module:shared("x/a"))
			assert.equal(b, module:context("*"):shared("other/b"))
			assert.are_not.equal(a, b)
		end)

		it("gives weak tables for caches", function ()
			assert.equal("kv", getmetatable(module:shared("some-cache")).__mode)
		end)

		it("offers a copy of the module's globals when nothing else is given", function ()
			world.module("auth_thing", [[
				function test_password() return true end
				module:provides("auth")
				module:provides("net", { default_port = 1 })
			]])
			local environment = world.load("modulemanager").load(host, "auth_thing")
			local items = environment.module.items
			assert.equal("thing", items["auth-provider"][1].name)
			assert.is_true(items["auth-provider"][1].test_password())
			assert.equal("auth_thing", items["net-provider"][1].name)
			assert.equal("auth_thing", items["net-provider"][1]._provided_by)
		end)
	end)

	it("is a proxy for another host in context, assignments included", function ()
		begin()
		local other = module:context("*")
		assert.equal("*", other.host)
		assert.equal("global", other:get_host_type())
		assert.equal("local", module:get_host_type())
		other.field = 1
		assert.equal(1, module.field)
		assert.equal(host, module.host)
	end)

	describe("with timers", function ()
		before_each(function () begin() end)

		it("calls once, or again after what was returned", function ()
			local times = {}
			module:add_timer(5, function (now, a, b)
				assert.is_number(now)
				times[#times + 1] = world.now .. a .. b
				return #times < 2 and 10 or nil
			end, "a", "b")
			world.advance(100)
			assert.same({ "5ab", "15ab" }, times)
		end)

		it("stops and reschedules", function ()
			local n = 0
			local first = module:add_timer(5, function () n = n + 1 end)
			local second = module:add_timer(5, function () n = n + 10 end)
			first:stop()
			second:reschedule(50)
			world.advance(40)
			assert.equal(0, n)
			world.advance(20)
			assert.equal(10, n)
		end)
	end)

	describe("telling its status", function ()
		before_each(function () begin() end)

		it("keeps the weightier one", function ()
			local updates = 0
			module:hook("module-status/updated", function () updates = updates + 1 end)
			assert.is_true(module:set_status("info", "fine"))
			module:log_status("error", "broken: %d", 5)
			assert.is_false(module:set_status("info", "fine again"))
			local kind, message, since = module:get_status()
			assert.same({ "error", "broken: 5", "number" }, { kind, message, type(since) })
			assert.is_true(module:set_status("info", "mended", true))
			assert.equal(3, updates)
			assert.is_string(world.log_has("error", "broken: 5"))
			assert.is_false(module:set_status("strange", "x"))
		end)
	end)

	describe("asked for permission", function ()
		before_each(function ()
			begin()
			local new_role = require "util.roles".new
			local roles = { admin = new_role { name = "admin" }, guest = new_role { name = "guest" } }
			prosody.hosts[host].authz = {
				add_default_permission = function (role, permission) roles[role]:set_permission(permission, true) end,
				get_jid_role = function (jid) return jid == "boss@elsewhere.example" and roles.admin or nil end,
				get_user_role = function (name) return roles[name] end,
			}
			module:default_permission("admin", ":edit")
			world.roles = roles
		end)

		it("goes by the session's role", function ()
			local session = { type = "c2s", host = host, role = world.roles.admin }
			assert.is_true(module:may(":edit", { origin = session }))
			assert.is_true(module:may("x:edit", { origin = session }))
			session.role = world.roles.guest
			assert.is_false(module:may(":edit", { origin = session }))
			session.role = nil
			assert.is_false(module:may(":edit", { origin = session }))
		end)

		it("goes by the JID of those from elsewhere", function ()
			assert.is_true(module:may(":edit", "boss@elsewhere.example"))
			assert.is_false(module:may(":edit", "romeo@elsewhere.example"))
			assert.is_true(module:may(":edit", { actor_jid = "admin@capulet.example" }))
			assert.is_false(module:could(":edit", {}))
		end)
	end)

	it("counts", function ()
		begin()
		module:measure("size", "amount")(5)
		module:metric("counter", "things", "", "Things", { "kind" }):with_labels("a"):add(2)
		local families = world.load("statsmanager").get_metric_registry():get_metric_families()
		local labels, metric = families["prosody_mod_x__size"]:iter_metrics()()
		assert.same({ host = host }, labels)
		assert.same({ "", {}, 5 }, { metric:iter_samples()() })
		labels, metric = families["prosody_mod_x__things"]:iter_metrics()()
		assert.same({ host = host, kind = "a" }, labels)
		assert.same({ "_total", {}, 2 }, { metric:iter_samples()() })
	end)

	it("has no store when it is global", function ()
		begin()
		assert.same({ nil, "global-storage-not-supported" }, { module:context("*"):open_store() })
		assert.is_table((module:open_store("things", "map")))
	end)

	describe("sending", function ()
		local st = require "util.stanza"
		before_each(function () begin() end)

		it("uses the host as sender", function ()
			local stanza = st.message { to = "romeo@montague.example" }
			module:send(stanza)
			assert.equal(prosody.hosts[host], world.posted[1].origin)
			assert.equal(stanza, world.posted[1].stanza)
		end)

		it("broadcasts copies", function ()
			module:broadcast({ "a@x", "b@x" }, st.message { from = host })
			assert.equal("a@x", world.posted[1].stanza.attr.to)
			assert.equal("b@x", world.posted[2].stanza.attr.to)
		end)

		local function ask(timeout)
			local result
			local iq = st.iq { type = "get", id = "q1", from = host, to = "romeo@montague.example" }
			module:send_iq(iq, nil, timeout):next(function (event) result = { "ok", event } end,
				function (err) result = { "error", err } end)
			return iq, function () return result end
		end

		it("promises the answer to an iq", function ()
			local iq, result = ask()
			assert.equal(iq, world.posted[1].stanza)
			local answer = { stanza = st.reply(iq) }
			assert.is_true(module:fire_event("iq-result/host/q1", answer))
			assert.same({ "ok", answer }, result())
			assert.is_nil(module:fire_event("iq-result/host/q1", answer))
		end)

		it("does not take an answer from somebody else", function ()
			local iq, result = ask()
			local forged = st.reply(iq)
			forged.attr.from = "mercutio@montague.example"
			assert.is_nil(module:fire_event("iq-result/host/q1", { stanza = forged }))
			assert.is_nil(result())
		end)

		it("rejects with the error that came", function ()
			local iq, result = ask()
			module:fire_event("iq-error/host/q1", { stanza = st.error_reply(iq, "cancel", "item-not-found", "gone") })
			assert.equal("error", result()[1])
			assert.equal("item-not-found", result()[2].condition)
		end)

		it("rejects when time runs out", function ()
			local _, result = ask()
			world.advance(119)
			assert.is_nil(result())
			world.advance(2)
			assert.equal("remote-server-timeout", result()[2].condition)
		end)

		it("rejects a second iq with the same id", function ()
			ask()
			local _, result = ask()
			assert.equal("conflict", result()[2].condition)
			assert.equal(1, #world.posted)
		end)
	end)
end)
