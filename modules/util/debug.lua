--- Tracebacks that show the values of local variables.
-- Always true: a variable whose name sounds like a secret is shown as its type only, long strings are cut, and making a
-- traceback never raises.
local debug = debug
local coroutine_running = coroutine.running
local ipairs, pcall, tostring, type = ipairs, pcall, tostring, type
local s_find, s_format, s_lower, s_sub = string.find, string.format, string.lower, string.sub
local t_concat = table.concat
local clean = require "prosody.util.format".clean

local _ENV = nil

local secret_words = { "password", "secret", "token", "_key", "salt", "proof", "hash" }
local max_text = 80

local function is_secret(name)
	name = s_lower(name)
	for _, word in ipairs(secret_words) do
		if s_find(name, word, 1, true) then
			return true
		end
	end
	return false
end

local function describe(name, value)
	if type(value) == "string" then
		if is_secret(name) then
			return "string (hidden)"
		end
		return s_format("%q", #value > max_text and clean(s_sub(value, 1, max_text)) .. "…" or clean(value))
	end
	local ok, text = pcall(tostring, value)
	return ok and clean(text) or type(value)
end

--- A list of { name =, value = } of the local variables at a level of a coroutine's stack.
local function get_locals_table(thread, level)
	local locals = {}
	for i = 1, 200 do
		local name, value = debug.getlocal(thread, level, i)
		if not name then
			break
		end
		locals[i] = { name = name, value = value }
	end
	return locals
end

--- The same for a function's upvalues.
local function get_upvalues_table(fn)
	local upvalues = {}
	for i = 1, 255 do
		local name, value = debug.getupvalue(fn, i)
		if not name then
			break
		end
		upvalues[i] = { name = name, value = value }
	end
	return upvalues
end

--- "name = value, name = value" of such a list; temporaries are left out.
local function string_from_var_table(vars)
	local parts = {}
	for _, var in ipairs(vars) do
		if s_sub(var.name, 1, 1) ~= "(" then
			parts[#parts + 1] = var.name .. " = " .. describe(var.name, var.value)
		end
	end
	return t_concat(parts, ", ")
end

--- A list of { level =, info = debug.getinfo, locals = } from the inside out.
local function get_traceback_table(thread, start_level)
	thread = thread or coroutine_running()
	local levels = {}
	for level = start_level or 0, (start_level or 0) + 50 do
		local info = debug.getinfo(thread, level, "Slnf")
		if not info then
			break
		end
		levels[#levels + 1] = { level = level, info = info, locals = get_locals_table(thread, level) }
	end
	return levels
end

local function build_traceback(thread, message, level)
	local lines = { message and tostring(message) or nil }
	lines[#lines + 1] = "stack traceback:"
	for _, entry in ipairs(get_traceback_table(thread, level)) do
		local info = entry.info
		local where = info.what == "C" and "[C]" or s_format("%s:%d", info.short_src, info.currentline)
		local name = info.name and s_format("%s '%s'", info.namewhat ~= "" and info.namewhat or "function", info.name)
			or info.what == "main" and "main chunk" or s_format("function <%s:%d>", info.short_src, info.linedefined)
		lines[#lines + 1] = s_format("\t%s: in %s", where, name)
		local vars = info.what ~= "C" and string_from_var_table(entry.locals) or ""
		if vars ~= "" then
			lines[#lines + 1] = "\t\t" .. vars
		end
	end
	return t_concat(lines, "\n")
end

--- debug.traceback, with local variables: traceback([thread,] [message [, level]]).
local function traceback(thread, message, level)
	if type(thread) ~= "thread" then
		thread, message, level = coroutine_running(), thread, (message or 1) + 2 -- pcall and this function
	end
	local ok, text = pcall(build_traceback, thread, message, level)
	return ok and text or debug.traceback(thread, tostring(message))
end

return {
	traceback = traceback,
	get_locals_table = get_locals_table,
	get_upvalues_table = get_upvalues_table,
	get_traceback_table = get_traceback_table,
	string_from_var_table = string_from_var_table,
	use = function () end, -- COMPAT Prosody: replaced debug.traceback everywhere; we do not
}
