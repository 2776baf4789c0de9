--- The admin's shell: commands for the running server, over the admin socket (coupletctl shell).
-- @hooks  admin/repl-input, item-added/shell-command, item-removed/shell-command        @fires none        @stores none
-- @spec   spec/modules/mod_admin_shell_spec.lua
--
-- A command is an item:
--
--     module:add_item("shell-command", { section = "x", section_desc = "…", name = "y", desc = "…",
--         args = { { name = "jid", type = "string" } }, flags = { value_params = { role = true } },
--         host_selector = "jid", handler = function (self, jid, options) return true, "done" end })
--
-- and is called as `x:y("a@b")` or as `x y a@b`. With host_selector the command belongs to the host that added it, and
-- the argument of that name says which host's command is meant. The handler gives true and a text, or nil and why not;
-- self.session has print(...) and ask(question, is_secret).
--
-- COMPAT: tables that modules put into module:shared("/*/admin_shell/env") are sections too.

module:set_global()
module:depends("admin_socket")

local argparse = require "prosody.util.argparse"
local async = require "prosody.util.async"
local jid = require "prosody.util.jid"
local sorted_keys = require "prosody.util.table".sorted_keys

local env = module:shared("env")
local sections = {} -- name -> { desc =, commands = { name -> { item... } } }

-- ---- commands ----

local function add_command(event)
	local item = event.item
	local section = sections[item.section]
	if not section then
		section = { commands = {} }
		sections[item.section] = section
	end
	section.desc = section.desc or item.section_desc
	local variants = section.commands[item.name] or {}
	section.commands[item.name] = variants
	table.insert(variants, { item = item, host = event.source and event.source.host })
end

local function remove_command(event)
	local item = event.item
	local section = sections[item.section]
	local variants = section and section.commands[item.name] or {}
	for i = #variants, 1, -1 do
		if variants[i].item == item then table.remove(variants, i) end
	end
	if section and not variants[1] then
		section.commands[item.name] = nil
		if not next(section.commands) then sections[item.section] = nil end
	end
end

-- Gives the item that is meant by the arguments, nil and why there is none.
local function choose(variants, ...)
	local item = variants[1].item
	local selector = item.host_selector
	if not selector then return item end
	for i, arg in ipairs(item.args or {}) do
		if arg.name == selector then
			local value = select(i, ...)
			local _, host = jid.split(type(value) == "string" and value or "")
			if not host then return nil, ("The argument %q is needed"):format(selector) end
			for _, variant in ipairs(variants) do
				if variant.host == host then return variant.item end
			end
			return nil, prosody.hosts[host] and ("This command is not there on %s: its module is not loaded"):format(host)
				or ("There is no host %s"):format(host)
		end
	end
	return item
end

local function usage_of(item)
	local words = { item.section, item.name }
	for _, arg in ipairs(item.args or {}) do
		local name = arg.name:upper()
		table.insert(words, arg.required and name or "[" .. name .. "]")
	end
	local flags = {}
	for _, kind in ipairs { "value_params", "array_params", "kv_params", "params" } do
		for name in pairs(item.flags and item.flags[kind] or {}) do
			table.insert(flags, kind == "params" and ("[--%s]"):format(name) or ("[--%s VALUE]"):format(name))
		end
	end
	table.sort(flags)
	table.move(flags, 1, #flags, #words + 1, words)
	return table.concat(words, " ")
end

local function call_command(self, variants, ...)
	local item, err = choose(variants, ...)
	if not item then return nil, err end
	for i, arg in ipairs(item.args or {}) do
		if arg.required and (select(i, ...)) == nil then
			return nil, ("%s is needed: %s"):format(arg.name:upper(), usage_of(item))
		end
	end
	return item.handler(self, ...)
end

-- ---- the two ways of writing a command ----

-- What `section` is to a Lua expression: a table whose functions are the commands, called with a colon.
local function section_for(session, name)
	local section, theirs = sections[name], env[name]
	if not section and type(theirs) ~= "table" then return nil end
	return setmetatable({ session = session }, { __index = function (_, command_name)
		local variants = section and section.commands[command_name]
		if variants then
			return function (self, ...) return call_command(self, variants, ...) end
		end
		return theirs and theirs[command_name]
	end })
end

local function environment_for(session)
	if not session.env then
		session.env = setmetatable({ session = session, print = session.print }, {
			__index = function (_, name)
				return section_for(session, name) or rawget(_G, name) or prosody[name]
			end,
		})
	end
	return session.env
end

-- Runs Lua: an expression or a statement. The admin is whom the server belongs to; nothing is kept from them.
local function evaluate(session, code)
	local environment = environment_for(session)
	local chunk = load("return " .. code, "=shell", "t", environment)
	local err
	if not chunk then
		chunk, err = load(code, "=shell", "t", environment)
		if not chunk then return nil, "This is neither a command nor Lua: " .. tostring(err) end
	end
	return chunk()
end

-- Splits a line into words; quotes keep words together, a backslash takes the next character as it is.
local function split_words(line)
	local words, word, quote, at = {}, nil, nil, 1
	while at <= #line do
		local char = line:sub(at, at)
		if char == "\\" and quote ~= "'" and at < #line then
			at = at + 1
			word = (word or "") .. line:sub(at, at)
		elseif char == quote then
			quote = nil
		elseif not quote and (char == '"' or char == "'") then
			quote, word = char, word or ""
		elseif not quote and char:find("%s") then
			if word then table.insert(words, word) end
			word = nil
		else
			word = (word or "") .. char
		end
		at = at + 1
	end
	if quote then return nil, "A quotation mark is missing" end
	if word then table.insert(words, word) end
	return words
end

local function convert(arg, word)
	if arg.type == "number" or arg.type == "integer" then
		local number = tonumber(word)
		if not number then return nil, ("%s must be a number"):format(arg.name) end
		return number
	elseif arg.type == "boolean" then
		if word == "true" or word == "yes" or word == "on" then return true end
		if word == "false" or word == "no" or word == "off" then return false end
		return nil, ("%s must be true or false"):format(arg.name)
	end
	return word
end

local function run_words(session, words)
	local name, command_name = table.remove(words, 1), table.remove(words, 1)
	local self = section_for(session, name)
	if not self then return nil, ("There is no command %q; try: help"):format(name) end
	if not command_name then return nil, ("Which command? Try: help %s"):format(name) end
	local variants = sections[name] and sections[name].commands[command_name]
	if not variants then
		local theirs = self[command_name]
		if type(theirs) ~= "function" then
			return nil, ("There is no command %s %s; try: help %s"):format(name, command_name, name)
		end
		return theirs(self, table.unpack(words))
	end
	-- Variants of one command differ by host, not by form.
	local item = variants[1].item
	local options
	if item.flags then
		local parse_config = { stop_on_positional = false, strict = item.flags.strict }
		for key, value in pairs(item.flags) do parse_config[key] = value end
		local err, where
		options, err, where = argparse.parse(words, parse_config)
		if not options then return nil, ("%s: %s"):format(where or "?", err == "missing-value" and "a value is missing"
			or "there is no such option") end
	end
	local args, n_args = {}, #(item.args or {})
	local is_list = n_args > 0 and item.args[n_args].type == "list"
	if #words > n_args and not is_list then
		return nil, ("Too many arguments: %s"):format(usage_of(item))
	end
	for i = 1, n_args do
		if words[i] ~= nil and item.args[i].type == "list" then
			args[i] = table.move(words, i, #words, 1, {})
		elseif words[i] ~= nil then
			local value, err = convert(item.args[i], words[i])
			if value == nil then return nil, err end
			args[i] = value
		end
	end
	args[n_args + 1] = options
	return call_command(self, variants, table.unpack(args, 1, n_args + (options and 1 or 0)))
end

-- ---- help ----

local topics = {
	console = "Commands are written as words: `user create romeo@example.com`, or as Lua: "
		.. "`user:create(\"romeo@example.com\")`. A line that starts with > is Lua, with the whole server in reach. "
		.. "bye, quit or exit leave.",
	columns = "Lists of sessions take the names of columns: jid, host, user, resource, ip, type, secure, tls, presence, "
		.. "priority, id.",
	roles = "Every account has a role: prosody:guest, prosody:registered, prosody:member, prosody:admin or "
		.. "prosody:operator. `user set_role` gives one; `admins` in the configuration makes operators.",
}

local function help(session, topic, command_name)
	local print = session.print
	local section = topic and sections[topic]
	if section then
		if section.desc then print(section.desc) print("") end
		for _, name in ipairs(sorted_keys(section.commands)) do
			local item = section.commands[name][1].item
			if not command_name or name == command_name then
				print("  " .. usage_of(item))
				if item.desc then print("      " .. item.desc) end
			end
		end
		return true
	elseif topic and topics[topic] then
		print(topics[topic])
		return true
	elseif topic then
		return nil, ("There is no help on %q"):format(topic)
	end
	print("Commands:")
	for _, name in ipairs(sorted_keys(sections)) do
		print(("  %-12s %s"):format(name, sections[name].desc or ""))
	end
	print("Topics:      " .. table.concat(sorted_keys(topics), ", "))
	print("More:        help SECTION, help TOPIC")
	return true
end

-- ---- a line ----

local function run_line(session, line)
	line = line:match("^%s*(.-)%s*$")
	if line == "" then return true end
	if line:sub(1, 1) == ">" then return evaluate(session, line:sub(2)) end
	local topic, name = line:match("^help%s*:?%s*([%w_]*)[%s:]*([%w_]*)$")
	if topic then return help(session, topic ~= "" and topic or nil, name ~= "" and name or nil) end
	-- A Lua call starts with section:command( or section.command(.
	if line:find("^[%a_][%w_]*%s*[:.]%s*[%a_][%w_]*%s*[%({\"']") then return evaluate(session, line) end
	local words, err = split_words(line)
	if not words then return nil, err end
	-- section:command without parentheses, as one gets used to writing it.
	local first, rest = words[1]:match("^([%a_][%w_]*):([%a_][%w_]*)$")
	if first then
		words[1] = first
		table.insert(words, 2, rest)
	end
	return run_words(session, words)
end

-- Gives ok and the text to show for what a command or expression gave.
local function describe(called, ok, text)
	if not called then return false, tostring(ok) end
	if ok == nil and text == nil then return true, nil end -- a statement, or a command with nothing to say
	if ok == nil or ok == false then return false, text ~= nil and tostring(text) or "This did not work" end
	if ok == true then
		return true, text ~= nil and ("OK: " .. tostring(text)) or nil
	end
	return true, "Result: " .. tostring(ok) .. (text ~= nil and ", " .. tostring(text) or "")
end

local function print_to(session)
	return function (...)
		local parts = {}
		for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
		session:send({ type = "repl-output", text = table.concat(parts, "\t") })
	end
end

-- Asks the person at the other end; nil when they have left.
local function ask_from(session)
	return function (question, is_secret)
		local wait, done = async.waiter(1, true)
		local answer
		session.on_answer = function (text)
			session.on_answer, answer = nil, text
			done()
		end
		session:send({ type = "repl-question", text = question, secret = is_secret or false })
		wait()
		return answer
	end
end

local function handle_input(event)
	local session, message = event.origin, event.message
	if type(message.text) ~= "string" then return end
	session.print = session.print or print_to(session)
	session.ask = session.ask or ask_from(session)
	session.width = math.tointeger(message.width)
	local ok, text = describe(xpcall(run_line, function (err)
		module:log("debug", "A shell command died: %s", debug.traceback(tostring(err), 2))
		return err
	end, session, message.text))
	session:send({ type = "repl-result", ok = ok, text = text })
	return true
end

module:hook("admin/repl-input", handle_input)

module:handle_items("shell-command", add_command, remove_command)

function module.add_host(host_module)
	host_module:handle_items("shell-command", add_command, remove_command)
end

for _, name in ipairs { "sessions", "modules", "hosts", "users", "server" } do
	module:require("commands_" .. name)
end
