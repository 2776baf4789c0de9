--- Values to the columns "type" and "value", and back.
-- What cannot be stored raises { storage_error = text }, which read() and write() of the database turn into nil, text.

local json = require "prosody.util.json"
local st = require "prosody.util.stanza"
local xml = require "prosody.util.xml"

local function encode_number(number)
	if math.type(number) == "integer" then return ("%d"):format(number) end
	if number == math.huge then return "1e9999" end
	if number == -math.huge then return "-1e9999" end
	local text = ("%.17g"):format(number)
	if tonumber(text) ~= nil and not text:find("[.eE]") then text = text .. ".0" end
	return text -- nan or -nan for what is not a number
end

-- JSON would drop what it cannot say; a store must not.
local function must_be_data(value, depth)
	local kind = type(value)
	if kind == "table" then
		if depth == 0 then error({ storage_error = "a table is nested too deeply" }, 0) end
		for key, member in pairs(value) do
			must_be_data(key, depth - 1)
			must_be_data(member, depth - 1)
		end
	elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
		error({ storage_error = "a " .. kind .. " cannot be stored" }, 0)
	end
end

local function encode(value)
	local kind = type(value)
	if st.is_stanza(value) then
		return "xml", tostring(value)
	elseif kind == "table" then
		must_be_data(value, 200)
		local text, err = json.encode(value)
		if not text then error({ storage_error = err }, 0) end
		return "json", text
	elseif kind == "string" then
		return "string", value
	elseif kind == "number" then
		return "number", encode_number(value)
	elseif kind == "boolean" then
		return "boolean", tostring(value)
	end
	error({ storage_error = "a " .. kind .. " cannot be stored" }, 0)
end

-- The value; nil, error when the row cannot be understood.
local function decode(kind, text)
	if kind == "string" then return text end
	if kind == "boolean" and (text == "true" or text == "false") then return text == "true" end
	local value, err
	if kind == "number" then
		value = tonumber(text)
		if not value and text:find("^[+-]?nan") then value = 0/0 end
	elseif kind == "json" then
		value, err = json.decode(text)
	elseif kind == "xml" then
		value, err = xml.parse(text)
	end
	if value == nil then return nil, ("unreadable %s value: %s"):format(kind, err or text:sub(1, 40)) end
	return value
end

--- As decode, for a row of which the caller knows more; raises.
local function must_decode(kind, text, user, store, key)
	if key == nil or text == nil then
		error({ storage_error = "the database is damaged: a column is NULL that never is" }, 0)
	end
	local value, err = decode(kind, text)
	if value == nil then
		error({ storage_error = ("store %s of %s@%s, key %q: %s"):format(store, user, module.host, key, err) }, 0)
	end
	return value
end

return { encode = encode, decode = decode, must_decode = must_decode }
