-- What busted prints here: nothing for what passes, the story of what fails, and a line "@@ passed failed skipped
-- seconds" that tools/spec sums up.
return function()
	local busted = require "busted"
	local handler = require "busted.outputHandlers.base" ()

	local function story(kind, item)
		local lines = { "", ("  %s: %s"):format(kind, item.name or "?") }
		local trace = item.trace or {}
		lines[#lines + 1] = ("  at %s:%s"):format(trace.short_src or "?", trace.currentline or "?")
		local text = item.message
		if type(text) ~= "string" then
			text = require "pl.pretty".write(text)
		end
		for line in (text .. "\n"):gmatch "(.-)\r?\n" do
			lines[#lines + 1] = "      " .. line
		end
		if kind == "ERROR" and type(trace.traceback) == "string" then
			lines[#lines + 1] = "      " .. trace.traceback:gsub("\n", "\n      ")
		end
		io.write(table.concat(lines, "\n"), "\n\n")
		io.flush()
	end

	function handler.suiteEnd()
		for _, item in ipairs(handler.failures) do story("FAILED", item) end
		for _, item in ipairs(handler.errors) do story("ERROR", item) end
		for _, item in ipairs(handler.pendings) do
			io.write(("  skipped: %s (%s)\n"):format(item.name, tostring(item.message or "no reason given")))
		end
		io.write(("@@ %d %d %d %.2f\n"):format(handler.successesCount, handler.failuresCount + handler.errorsCount,
			handler.pendingsCount, handler.getDuration()))
		io.flush()
		return nil, true
	end

	busted.subscribe({ "suite", "end" }, handler.suiteEnd)
	return handler
end
