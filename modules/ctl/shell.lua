--- coupletctl shell: commands for the running server.

local human_io = require "prosody.util.human.io"
local ui = require "ctl.ui"

local commands = {}

local leaving = { quit = true, exit = true, bye = true }

local function answer(client, question)
	local text
	if question.secret and ui.is_terminal() then
		io.stdout:write(question.text)
		io.stdout:flush()
		text = human_io.getpass()
		io.stdout:write("\n")
	else
		if ui.is_terminal() then
			io.stdout:write(question.text)
			io.stdout:flush()
		end
		text = io.read("l")
	end
	client:send({ type = "repl-answer", text = text or "" })
end

-- Runs one line; true when it worked, nil when the server has gone.
local function run_line(client, line)
	client:send({ type = "repl-input", text = line, width = human_io.term_width(80) })
	while true do
		local message, err = client:receive()
		if not message then
			ui.warn("The connection to the server is lost: %s", err)
			return nil
		elseif message.type == "repl-output" then
			ui.print("%s", message.text)
		elseif message.type == "repl-question" then
			answer(client, message)
		elseif message.type == "repl-result" then
			if message.text and message.ok then ui.print("%s", message.text) end
			if not message.ok then ui.warn("%s", ui.red("Error: ") .. (message.text or "This did not work")) end
			return message.ok
		end
	end
end

local function run_interactively(client)
	local is_terminal = ui.is_terminal()
	if is_terminal then ui.print("Welcome to Couplet. `help` lists the commands, `bye` leaves.") end
	local code = 0
	while true do
		if is_terminal then
			io.stdout:write(ui.bold("couplet> "))
			io.stdout:flush()
		end
		local line = io.read("l")
		if not line then
			if is_terminal then io.stdout:write("\n") end
			return code
		end
		line = line:match("^%s*(.-)%s*$")
		if leaving[line] then return code end
		if line ~= "" then
			local ok = run_line(client, line)
			if ok == nil then return 1 end
			if not is_terminal then code = ok and 0 or 1 end
		end
	end
end

-- A word that was one word for the user's shell is one for ours.
local function as_word(text)
	if text:find("^[%w_@%.:/%-=%*%(%),\">]+$") then return text end
	return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

commands.shell = {
	usage = "shell [COMMAND ...]",
	about = "Give commands to the running server",
	details = "Without a command they are read line by line. Both forms are understood:\n"
		.. "    coupletctl shell user list example.com\n"
		.. "    coupletctl shell 'user:list(\"example.com\")'",
	run = function (ctl, args)
		local client, err, is_absent = ctl:connect()
		if not client then
			ui.fail(is_absent and "Couplet is not running, or without mod_admin_shell. (%s)"
				or "The server cannot be reached. (%s)", err)
		end
		local code
		if args[1] then
			local line
			if #args == 1 then
				line = args[1]
			else
				local words = {}
				for i, word in ipairs(args) do words[i] = as_word(word) end
				line = table.concat(words, " ")
			end
			code = run_line(client, line) and 0 or 1
		else
			code = run_interactively(client)
		end
		client:close()
		return code
	end,
}

return commands
