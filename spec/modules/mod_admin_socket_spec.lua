local adminstream = require "prosody.util.adminstream"
local fake_native = require "spec.support.fake_native"

describe("mod_admin_socket", function ()
	local world

	local function start(before)
		world = fake_native.serve { modules = { "admin_socket" }, before = before }
	end
	after_each(function () world.stop() end)

	local function path() return world.directory .. "/data/prosody.sock" end

	it("listens in the data directory and hands messages to whom they concern", function ()
		start()
		local callbacks = world.listeners[path()].listener
		local heard
		world.prosody.events.add_handler("admin/repl-input", function (event) heard = event end)
		local conn = { write = function () return true end }
		callbacks.onconnect(conn)
		callbacks.onincoming(conn, adminstream.encode { type = "repl-input", text = "hello" })
		assert.equal("hello", heard.message.text)
		assert.equal("admin", heard.origin.type)
	end)

	it("closes the socket and what is connected when it is unloaded", function ()
		start()
		local callbacks = world.listeners[path()].listener
		local conn = { close = function (self) self.is_closed = true end }
		callbacks.onconnect(conn)
		assert.is_true(world.load "modulemanager".unload("*", "admin_socket"))
		assert.is_nil(world.listeners[path()])
		assert.is_true(conn.is_closed)
	end)

	it("leaves the server running when the socket cannot be had", function ()
		start(function (new) new.taken[new.directory .. "/data/prosody.sock"] = "Address already in use" end)
		assert.is_truthy(world.log_has("error", "There is no admin socket"))
		assert.is_true(world.load "modulemanager".is_loaded("*", "admin_socket"))
	end)
end)
