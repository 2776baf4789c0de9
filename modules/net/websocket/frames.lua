--- WebSocket frames, the server's side (RFC 6455 5), over net.websocket.wire.
local wire = require "net.websocket.wire"

local s_pack, s_sub = string.pack, string.sub

local _ENV = nil

local TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
local REASON_BYTES = 123 -- a control frame has 125

-- Not in the middle of a character.
local function cut(text)
	if #text <= REASON_BYTES then
		return text
	end
	local at = REASON_BYTES
	while at > 0 and (text:byte(at + 1) & 0xC0) == 0x80 do
		at = at - 1
	end
	return s_sub(text, 1, at)
end

return {
	--- Gives a reader: push(bytes), next() -> "more" | "text" | "binary" | "ping" | "pong", payload | "close", code,
	-- reason | "failed", code, why; limit(message_bytes).
	reader = wire.reader,
	text = function (payload) return wire.frame(TEXT, payload) end,
	binary = function (payload) return wire.frame(BINARY, payload) end,
	ping = function (payload) return wire.frame(PING, payload or "") end,
	pong = function (payload) return wire.frame(PONG, payload or "") end,
	--- code nil or 1005: none is said.
	close = function (code, reason)
		if not code or code == 1005 then
			return wire.frame(CLOSE, "")
		end
		return wire.frame(CLOSE, s_pack(">I2", code) .. cut(reason or ""))
	end,
}
