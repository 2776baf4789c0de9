--- What survives kill -9: everything that was acknowledged, and nothing torn.

local fake = require "spec.support.fake_module"

local host = "capulet.example"
local rounds = tonumber(os.getenv "CRASH_ROUNDS") or 100

local drivers = { "internal" }
if pcall(require, "couplet.sqlite3") then
	table.insert(drivers, "sql")
else
	describe("storage driver sql", function () pending "SQLite is not built in" end)
end

for _, driver in ipairs(drivers) do
	describe("a server with " .. driver .. " storage that is killed while it writes", function ()
		local directory

		setup(function () directory = fake.directory() end)
		teardown(function () fake.remove(directory) end)

		-- Starts the writer, kills it after some turns, and gives the last turn it acknowledged.
		local function run_and_kill(first, turns)
			local lua = arg[-1] or "lua5.4"
			local child = io.popen(("exec %s spec/support/storage_child.lua %s '%s' %d"):format(lua, driver, directory, first))
			local pid = assert(child:read("n", "l"), "the writer did not start")
			local last = first - 1
			for _ = 1, turns do last = assert(tonumber(child:read("l")), "the writer ended by itself") end
			assert(os.execute("kill -KILL " .. pid))
			for line in child:lines("L") do
				-- A number without its end of line may have been cut.
				if line:sub(-1) == "\n" then last = tonumber(line) end
			end
			child:close()
			return last
		end

		it(("has all that was acknowledged, in %d rounds"):format(rounds), function ()
			local last = 0
			for round = 1, rounds do
				local acknowledged = run_and_kill(last + 1, (round * 7) % 12)

				local server = fake.server { data = directory, options = { ["*"] = { storage = driver } } }
				local keyval = server.storagemanager.open(host, "things")
				local archive = server.storagemanager.open(host, "archive", "archive")
				local value, err = keyval:get("juliet")
				assert.is_nil(err)
				local turn = value and value.turn or 0
				-- The turn that was being committed may be there or not.
				assert.is_true(turn == acknowledged or turn == acknowledged + 1)
				if value then assert.equal(("x"):rep(turn % 300), value.text) end

				local seen = {}
				for id, stanza in assert(archive:find("juliet")) do
					local its_turn, part = id:match("^(%d+)%.(%d)$")
					its_turn = tonumber(its_turn)
					assert.equal(its_turn % 300, #(stanza:get_child_text("body") or ""))
					seen[id] = true
					if driver == "sql" then assert.is_true(its_turn <= turn and part ~= nil) end
				end
				for i = 1, acknowledged do
					for part = 1, 3 do assert.is_true(seen[("%d.%d"):format(i, part)]) end
				end
				last = acknowledged -- the next run writes the unfinished turn again
				server.stop()
			end
			assert.is_true(last > 2 * rounds)
		end)
	end)
end
