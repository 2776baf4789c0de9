--- WebSocket frames (RFC 6455 5), by libwslay: what we send, a reader of what a client sends, and Prosody's functions
-- for single frames.
local found, wire = pcall(require, "couplet.websocket")
if not found then
	error("this server was built without libwslay (Debian: libwslay-dev)", 0)
end

local type = type
local s_byte, s_pack, s_sub, s_unpack = string.byte, string.pack, string.sub, string.unpack

local _ENV = nil

local TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
local REASON_BYTES = 123 -- a control frame has 125
local PAYLOAD_BYTES = 64 << 20

-- Not in the middle of a character.
local function cut(text)
	if #text <= REASON_BYTES then
		return text
	end
	local at = REASON_BYTES
	while at > 0 and (s_byte(text, at + 1) & 0xC0) == 0x80 do
		at = at - 1
	end
	return s_sub(text, 1, at)
end

local function whole(opcode, payload)
	return wire.write(payload, opcode, true)
end

local function close_payload(code, reason)
	return s_pack(">I2", code) .. cut(reason or "")
end

--- A frame of { opcode =, FIN =, RSV1 =, RSV2 =, RSV3 =, MASK =, data = }: numbers and strings as they are, the others
-- true or not. With MASK, the key is random. Raises an error for a control frame with more than 125 bytes.
local function build(frame)
	local reserved = (frame.RSV1 and 4 or 0) | (frame.RSV2 and 2 or 0) | (frame.RSV3 and 1 or 0)
	return wire.write(frame.data or "", frame.opcode, frame.FIN, reserved, frame.MASK)
end

--- The frame that bytes (a string or a util.dbuffer) begin with, as build takes it but with `length` of its data, which
-- is unmasked; and how many bytes it has. Nil when it is not all here, or is none: nil, false then.
local function parse(bytes)
	if type(bytes) ~= "string" then
		bytes = bytes:sub(1, bytes:length())
	end
	local length, data, opcode, is_final, reserved, is_masked = wire.read(bytes, PAYLOAD_BYTES)
	if not length then
		return nil, false
	elseif length == 0 then
		return nil
	end
	return {
		opcode = opcode, FIN = is_final, MASK = is_masked, data = data, length = #data,
		RSV1 = reserved & 4 ~= 0, RSV2 = reserved & 2 ~= 0, RSV3 = reserved & 1 ~= 0,
	}, length
end

--- A close frame; mask: as a client sends it.
local function build_close(code, reason, mask)
	return wire.write(close_payload(code, reason), CLOSE, true, 0, mask)
end

--- Code and reason of a close frame's data; nothing when there is none.
local function parse_close(data)
	if #data < 2 then
		return
	end
	local code = s_unpack(">I2", data)
	return code, s_sub(data, 3)
end

return {
	--- Gives a reader: push(bytes), next() -> "more" | "text" | "binary" | "ping" | "pong", payload | "close", code,
	-- reason | "failed", code, why; limit(message_bytes).
	reader = wire.reader,
	text = function (payload) return whole(TEXT, payload) end,
	binary = function (payload) return whole(BINARY, payload) end,
	ping = function (payload) return whole(PING, payload or "") end,
	pong = function (payload) return whole(PONG, payload or "") end,
	--- code nil or 1005: none is said.
	close = function (code, reason)
		return whole(CLOSE, code and code ~= 1005 and close_payload(code, reason) or "")
	end,
	build = build,
	parse = parse,
	build_close = build_close,
	parse_close = parse_close,
}
