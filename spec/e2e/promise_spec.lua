-- Promises and runners in the server: their handlers run in a turn of their own, in order, and one that waits holds up
-- no other.

local http = require "spec.support.http"
local Server = require "spec.support.server"

local module_text = [==[
module:depends "http"
local async = require "prosody.util.async"
local promise = require "prosody.util.promise"

local function note(list, what) return function () list[#list + 1] = what end end

local open_gate
local gate = promise.new(function (resolve) open_gate = resolve end)

module:provides("http", { name = "promise"; route = {
	["GET /order"] = function ()
		local seen = {}
		local first, second = promise.resolve(), promise.resolve()
		local chain = first:next(note(seen, "first")):next(note(seen, "after first"))
		second:next(note(seen, "second"))
		seen[#seen + 1] = "the call itself"
		return chain:next(function () return table.concat(seen, ", ") end)
	end;
	["GET /patient"] = function ()
		return promise.resolve():next(function ()
			return (async.wait_for(gate)) -- settles only when another handler has run
		end)
	end;
	["GET /open"] = function ()
		return promise.resolve "opened":next(function (text) open_gate "through" return text end)
	end;
	["GET /runner"] = function (event)
		local seen, go = {}, nil
		async.once(function ()
			local wait, done = async.waiter()
			go = done
			wait()
			seen[#seen + 1] = "went on"
			event.response:send(table.concat(seen, ", "))
		end)
		go()
		seen[#seen + 1] = "said go"
		return true
	end;
} })
]==]

describe("In the server", function ()
	local server

	setup(function ()
		server = Server.start { with_http = true, more_modules = { "promise_probe" },
			plugins = { promise_probe = module_text } }
	end)
	teardown(function () server:stop() end)
	after_each(function () server:forget_clients() end)

	it("handlers of promises run after the call that made them, in their order", function ()
		assert.equal("the call itself, first, second, after first", http.get(server, "/promise/order").body)
	end)

	it("a handler that waits for what another handler does is not waited for by that one", function ()
		local patient = http.connect(server)
		patient:sends "GET /promise/patient HTTP/1.1\r\nHost: localhost\r\n\r\n"
		assert.equal("opened", http.get(server, "/promise/open").body)
		assert.equal("through", patient:response().body)
	end)

	it("what waited goes on in a later turn", function ()
		assert.equal("said go, went on", http.get(server, "/promise/runner").body)
	end)
end)
