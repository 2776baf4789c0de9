--- Loading Lua code into an environment of its own.
-- Always true: only text is loaded. Binary chunks can crash the interpreter, so they are refused.
local io_open, load = io.open, load

local _ENV = nil

--- envload(code, source, env): a function, or nil and an error. code: text, or a function that gives it in pieces;
-- source: how errors name it ("@file", "=name").
local function envload(code, source, env)
	return load(code, source, "t", env)
end

--- envloadfile(path, env): the same for a file.
local function envloadfile(path, env)
	local file, err, errno = io_open(path, "rb")
	if not file then
		return nil, err, errno
	end
	local code = file:read("*a")
	file:close()
	if not code then
		return nil, path .. ": cannot be read"
	end
	-- The first line may be for the shell.
	code = code:gsub("^#[^\n]*", "")
	return load(code, "@" .. path, "t", env)
end

return {
	envload = envload,
	envloadfile = envloadfile,
}
