--- JSON Pointer (RFC 6901): naming a place inside a JSON value.
-- Always true: array positions count from 0 in the pointer, as in JSON.
local type = type
local s_find, s_gmatch, s_gsub, s_match, s_sub = string.find, string.gmatch, string.gsub, string.match, string.sub
local tonumber = tonumber

local _ENV = nil

local function unescape(token)
	token = s_gsub(token, "~1", "/") -- in this order: RFC 6901 4
	return (s_gsub(token, "~0", "~"))
end

--- The value at the pointer ("/a/0/b"; "" is the whole), or nil and an error.
local function resolve(document, pointer)
	if pointer == "" then
		return document
	elseif s_sub(pointer, 1, 1) ~= "/" then
		return nil, "invalid-json-pointer"
	end
	local value = document
	for token in s_gmatch(pointer, "/([^/]*)") do
		if type(value) ~= "table" or s_find(token, "~[^01]") or s_find(token, "~$") then
			return nil, "invalid-table"
		end
		token = unescape(token)
		local member = value[token]
		if member == nil and (s_match(token, "^[1-9]%d*$") or token == "0") then
			member = value[tonumber(token) + 1]
		end
		if member == nil then
			return nil, "item-not-found"
		end
		value = member
	end
	return value
end

return { resolve = resolve }
