--- Loaded by busted before any spec: where code is found, and the C core of the test build.
--
-- `require "util.x"` and `require "prosody.util.x"` give the same table, as in the server: C libraries come from
-- couplet_core, the others from modules/. `require "couplet_core"` gives T.

local build = os.getenv "COUPLET_BUILD" or "build/test"

package.path = "./?.lua;" .. package.path
package.cpath = ("%s/?.so;%s/lib/?.so;%s"):format(build, build, package.cpath)

-- Opens a library of ours under the name without "prosody.", so both names are one table.
table.insert(package.searchers, 2, function(name)
	local plain = name:match "^prosody%.([%w_]+%..+)$"
	if plain then
		return function() return require(plain) end, "the name without prosody."
	end
	if name:match "^util%." or name:match "^core%." or name:match "^net%." then
		local path = "modules/" .. name:gsub("%.", "/") .. ".lua"
		local file = io.open(path)
		if not file then
			return ("\n\tno file '%s'"):format(path)
		end
		file:close()
		return assert(loadfile(path, "t")), path
	end
end)

-- Scenarios against the server as a process do not need the core in this process.
local found, why = pcall(require, "couplet_core")
if not found and not tostring(why):find("module 'couplet_core' not found", 1, true) then
	io.stderr:write("couplet_core: ", tostring(why), "\n")
end
