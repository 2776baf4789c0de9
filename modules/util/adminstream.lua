--- The stream between coupletctl and the server, over the admin socket: one message per line, each a JSON object with a
-- `type`.
--
--     to the server   { type = "repl-input", text =, width =, colour = }    a command line
--                     { type = "repl-answer", text = }                      what was asked for
--     from it         { type = "repl-output", text = }                      printed while the command runs
--                     { type = "repl-question", text =, secret = }          asks for a line
--                     { type = "repl-result", ok =, text = }                the command is over
--
-- Always true: a line is at most max_line_bytes long and nothing is kept of a message once it was handed on.

local json = require "prosody.util.json"
local new_id = require "prosody.util.id".short
local logger = require "prosody.util.logger"

local pcall, setmetatable, table, type = pcall, setmetatable, table, type

local _ENV = nil

local max_line_bytes = 256 * 1024

--- Gives the line for a message.
local function encode(message)
	return json.encode(message) .. "\n"
end

local function decode(line)
	local ok, message = pcall(json.decode, line)
	if not ok or type(message) ~= "table" or type(message.type) ~= "string" then
		return nil, "this is no message"
	end
	return message
end

--- Gives feed(bytes), which calls on_message(message) for each whole line. It gives true, or nil and why the stream
-- cannot go on.
local function new_reader(on_message)
	local parts, size = {}, 0
	return function (bytes)
		local from = 1
		while true do
			local at = bytes:find("\n", from, true)
			local part = bytes:sub(from, (at or 0) - 1)
			size = size + #part
			if size > max_line_bytes then return nil, "a message is too long" end
			table.insert(parts, part)
			if not at then return true end
			local message, err = decode(table.concat(parts))
			if not message then return nil, err end
			parts, size, from = {}, 0, at + 1
			on_message(message)
		end
	end
end

local session_methods = {}
local session_mt = { __index = session_methods }

--- Sends a message; false once the connection is gone.
function session_methods:send(message)
	if not self.conn then return false end
	return self.conn:write(encode(message))
end

--- Closes the connection if it is still there.
function session_methods:close()
	if self.conn then self.conn:close() end
end

--- Gives the callbacks for native.listen. sessions: conn -> session, kept up to date. on_message(session, message) may
-- wait: the next message is handed on after it has returned. on_close(session) may be nil.
local function server(sessions, on_message, on_close)
	local function work_off(session)
		if session.is_working then return end
		session.is_working = true
		while session.queue[1] and session.conn do
			on_message(session, table.remove(session.queue, 1))
		end
		session.is_working = false
	end

	local callbacks = {}

	function callbacks.onconnect(conn)
		local id = "admin" .. new_id()
		local session = setmetatable({ type = "admin", id = id, conn = conn, queue = {}, log = logger.init(id) },
			session_mt)
		session.feed = new_reader(function (message)
			-- The answer to a question goes to the command that waits for it, not behind it.
			if message.type == "repl-answer" and session.on_answer then
				session.on_answer(message.text)
			else
				table.insert(session.queue, message)
			end
		end)
		sessions[conn] = session
	end

	function callbacks.onincoming(conn, bytes)
		local session = sessions[conn]
		if not session then return end
		local ok, err = session.feed(bytes)
		if not ok then
			session.log("warn", "The connection is closed: %s", err)
			session:close()
			return
		end
		work_off(session)
	end

	function callbacks.ondisconnect(conn)
		local session = sessions[conn]
		if not session then return end
		sessions[conn], session.conn = nil, nil
		if session.on_answer then session.on_answer(nil) end
		if on_close then on_close(session) end
	end

	return callbacks
end

--- The other end, for programs that wait. connection: of util.console.connect.
local client_methods = {}
local client_mt = { __index = client_methods }

local function client(connection)
	local self = setmetatable({ connection = connection, messages = {} }, client_mt)
	self.feed = new_reader(function (message) table.insert(self.messages, message) end)
	return self
end

--- Sends a message (a table); true, or nil and an error.
function client_methods:send(message)
	return self.connection:write(encode(message))
end

--- Gives the next message, nil and why when the server has gone or does not speak like one.
function client_methods:receive(timeout_seconds)
	while not self.messages[1] do
		local bytes, err = self.connection:read(timeout_seconds)
		if not bytes then return nil, err or "the server has closed the connection" end
		local ok
		ok, err = self.feed(bytes)
		if not ok then return nil, err end
	end
	return table.remove(self.messages, 1)
end

--- Closes the connection at once.
function client_methods:close()
	self.connection:close()
end

return { server = server, client = client, encode = encode, new_reader = new_reader }
