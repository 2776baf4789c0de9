-- Stream management between our server and Debian's Prosody, whose mod_smacks does it on streams between servers too.

local loop = require "spec.support.loop"
local meeting = require "spec.support.meeting"
local prosody = require "spec.support.prosody"

local function count(text, what) return select(2, text:gsub(what:gsub("%p", "%%%0"), "")) end

for _, path in ipairs {
	{ name = "one stream for each direction", modules = { "smacks" }, their_modules = { "smacks" } },
	{ name = "one stream for both directions", modules = { "smacks", "s2s_bidi" },
		their_modules = { "smacks", "s2s_bidi" } },
} do
	describe(("With stream management between us and Prosody, and %s,"):format(path.name), function()
		if not prosody.is_here then
			pending "need Debian's prosody"
			return
		end

		local here, montague, capulet, romeo, juliet

		setup(function()
			here = meeting.start(path, prosody.start)
			montague, capulet = here.montague, here.capulet
			romeo, juliet = montague:person "romeo", capulet:person "juliet"
		end)
		teardown(function()
			if not here then return end
			capulet:stop()
			montague:stop()
			here.names:close()
		end)

		local function talk(n, from, to)
			for i = 1, n do
				from:sends(("<message to='%s' type='chat' id='m%d'><body>%d</body></message>"):format(to.jid, i, i))
			end
			for i = 1, n do to:awaits(("<message from='%s' id='m%d'/>"):format(from.jid, i)) end
		end

		local function on_the_way() return montague:ctl("s2s", "show") end

		it("a thousand messages each way arrive, and both sides confirm them", function()
			talk(1000, romeo, juliet)
			talk(1000, juliet, romeo)
			montague:awaits(function()
				local shown = on_the_way()
				return shown:find "montague.*| 0%s*\n" and not shown:find("not acknowledged", 1, true)
			end, "Prosody to acknowledge all")
			assert.is_true(count(montague:log(), "Stream management is on") + count(montague:log(),
				"Stream management is asked for") >= 1)
		end)

		it("what is written while the streams are closed arrives, once and in order", function()
			local n, seen = 300, {}
			for i = 1, n do
				romeo:sends(("<message to='%s' type='chat' id='c%d'><body>%d</body></message>"):format(juliet.jid, i, i))
				if i == n // 2 then montague:ctl("s2s", "close", "capulet.example") end
			end
			loop.await(function()
				for _, stanza in ipairs(juliet.inbox) do
					local i = stanza.name == "message" and tonumber(stanza.attr.id:match "^c(%d+)$")
					if i then table.insert(seen, i) end
				end
				juliet:forgets()
				return #seen >= n
			end, function() return ("%d messages, not %d"):format(n, #seen) end)
			for i = 1, n do assert.equal(i, seen[i]) end
			romeo:settles()
			for _, stanza in ipairs(romeo.inbox) do assert.not_equal("error", stanza.attr.type) end
		end)

		-- How many of the messages k1, k2 ... it has acknowledged, by its own log, which has ended.
		local function n_acknowledged()
			local log = capulet:log()
			local first = log:match "Handled (%d+) incoming stanzas\n[^\n]* id='k1'"
			local last
			for h in log:gmatch "acking for (%d+)" do last = h end
			return tonumber(last) - tonumber(first) + 1
		end

		it("what it takes along when it is killed comes back, unless it arrived or was acknowledged", function()
			local n, fate = 200, {}
			for i = 1, n do
				romeo:sends(("<message to='%s' type='chat' id='k%d'><body>%d</body></message>"):format(juliet.jid, i, i))
				if i == n // 2 then
					fate[juliet:awaits("<message id='k1'/>").attr.id] = true
					capulet:signal(9)
				end
			end
			loop.await(function() return capulet.output_ended end, "Prosody to end")
			-- It may have ended between telling us that it has a message and giving it to Juliet.
			local acknowledged, missing = n_acknowledged(), nil
			loop.await(function()
				for _, side in ipairs { juliet, romeo } do
					for _, stanza in ipairs(side.inbox) do fate[stanza.attr.id or ""] = true end
				end
				missing = nil
				for i = n, math.max(acknowledged, 0) + 1, -1 do
					if not fate["k" .. i] then missing = i end
				end
				return not missing
			end, function()
				return ("k%d to arrive or come back; acknowledged were %d"):format(missing, acknowledged)
			end)
			capulet:kill9()
			capulet:run()
			capulet:await_ready()
			capulet:client { user = "juliet" }:logs_in():leaves() -- up to its main loop, where it can be told to end
		end)
	end)
end
