--- compile("churn", "-lssl -lcrypto"): a program of spec/support, made when its source is newer. Gives its path.

local lfs = require "lfs"

local build = os.getenv "COUPLET_BUILD" or "build/test"

return function (name, libraries)
	local source, program = ("spec/support/%s.c"):format(name), ("%s/%s"):format(build, name)
	local made, written = lfs.attributes(program, "modification"), lfs.attributes(source, "modification")
	if not made or made < written then
		-- Straight and trickled scenarios may run side by side.
		local scratch = ("%s.%s"):format(program, io.open("/proc/self/stat"):read "n")
		assert(os.execute(("cc -std=gnu11 -D_GNU_SOURCE -O2 -o %s %s %s && mv %s %s"):format(scratch, source,
			libraries or "", scratch, program)), source .. " does not compile")
	end
	return lfs.currentdir() .. "/" .. program
end
