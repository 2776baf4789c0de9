--- Libraries that may be missing.
-- Always true: only "there is no such library" counts as missing; a library that fails to load raises its error.
local io_stderr = io.stderr
local error, ipairs, pcall, require, type = error, ipairs, pcall, require, type
local s_find = string.find

local _ENV = nil

--- The first of the named libraries that is there, or nil and why the last one is not.
local function softreq(...)
	local reason
	for _, name in ipairs { ... } do
		local found, library = pcall(require, name)
		if found then
			return library
		elseif type(library) ~= "string" or not s_find(library, "module '" .. name .. "' not found", 1, true) then
			error(library, 2)
		end
		reason = library
	end
	return nil, reason
end

--- Tells the person that something is missing. sources: a list of { where, what to do }.
local function missingdep(name, sources, message, url)
	io_stderr:write("\nThe library ", name, " was not found.\n")
	for _, source in ipairs(sources or {}) do
		io_stderr:write("    ", source[1] or "", "\t", source[2] or "", "\n")
	end
	if message then
		io_stderr:write(message, "\n")
	end
	if url then
		io_stderr:write("See ", url, "\n")
	end
end

return {
	softreq = softreq,
	missingdep = missingdep,
	check_dependencies = function () return true end, -- configure has looked
	log_warnings = function () end,
}
