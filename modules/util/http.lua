--- Encodings of HTTP: URLs, forms, header values.
-- Always true: decoding never fails; what is not an escape is left as it is.
local ipairs, pairs, tonumber, tostring, type = ipairs, pairs, tonumber, tostring, type
local s_byte, s_char, s_find, s_format, s_gmatch, s_gsub, s_lower, s_match, s_sub =
	string.byte, string.char, string.find, string.format, string.gmatch, string.gsub, string.lower, string.match,
	string.sub
local t_concat, t_insert, t_sort = table.concat, table.insert, table.sort

local _ENV = nil

local function escape(char)
	return s_format("%%%02x", s_byte(char))
end

--- Everything but RFC 3986's unreserved characters as %xx.
local function urlencode(text)
	return text and (s_gsub(text, "[^%w%-._~]", escape))
end

local function urldecode(text)
	return text and (s_gsub(text, "%%(%x%x)", function (hex) return s_char(tonumber(hex, 16)) end))
end

local function form_escape(text)
	return (s_gsub(s_gsub(tostring(text), "[^%w%-._~ ]", escape), " ", "+"))
end

--- application/x-www-form-urlencoded of { key = value }, keys sorted, or of { { name =, value = }, ... }.
local function formencode(form)
	local parts = {}
	if form[1] then
		for _, field in ipairs(form) do
			t_insert(parts, form_escape(field.name) .. "=" .. form_escape(field.value))
		end
	else
		local names = {}
		for name in pairs(form) do
			t_insert(names, name)
		end
		t_sort(names, function (a, b) return tostring(a) < tostring(b) end)
		for _, name in ipairs(names) do
			t_insert(parts, form_escape(name) .. "=" .. form_escape(form[name]))
		end
	end
	return t_concat(parts, "&")
end

--- The reverse: a list of { name =, value = } whose fields are also the values by name (the last of each). A text
-- without "=" is given back decoded.
local function formdecode(text)
	if not s_match(text, "=") then
		return urldecode(text)
	end
	local fields = {}
	for name, value in s_gmatch(text, "([^=&]*)=([^&]*)") do
		name = urldecode((s_gsub(name, "%+", " ")))
		value = urldecode((s_gsub(value, "%+", " ")))
		t_insert(fields, { name = name, value = value })
		fields[name] = value
	end
	return fields
end

--- Is the token among the comma-separated ones of a header? Case does not matter.
local function contains_token(field, token)
	token = s_lower(token)
	for item in s_gmatch(s_lower(field), "[^,]+") do
		if s_match(item, "^%s*(.-)%s*$") == token then
			return true
		end
	end
	return false
end

--- "/a//b" -> "/a/b"; with a slash at the end when is_dir, without one when not.
local function normalize_path(path, is_dir)
	path = s_gsub(path, "//+", "/")
	if is_dir then
		if s_sub(path, -1) ~= "/" then
			path = path .. "/"
		end
	elseif s_sub(path, -1) == "/" and #path > 1 then
		path = s_sub(path, 1, -2)
	end
	if s_sub(path, 1, 1) ~= "/" then
		path = "/" .. path
	end
	return path
end

--- The hops of a Forwarded header (RFC 7239 4), each a table of its parameters in lower case; nil when it is malformed.
local function parse_forwarded(header)
	if type(header) ~= "string" then
		return nil
	end
	local hops, hop = {}, {}
	local at = 1
	while true do
		at = s_match(header, "^[ \t]*()", at)
		local name, after = s_match(header, "^([%w!#$%%&'*+%-.^_`|~]+)=()", at)
		if name then
			local value
			if s_sub(header, after, after) == "\"" then
				local close = after
				repeat -- a backslash hides what follows it
					close = s_find(header, "[\"\\]", close + 1)
					local hidden = close and s_sub(header, close, close) == "\\"
					if hidden then
						close = close + 1
					end
				until not close or not hidden
				if not close then
					return nil
				end
				value = s_gsub(s_sub(header, after + 1, close - 1), "\\(.)", "%1")
				at = close + 1
			else
				value, at = s_match(header, "^([^%s;,\"]+)()", after)
				if not value then
					return nil
				end
			end
			name = s_lower(name)
			if hop[name] ~= nil then -- each at most once: RFC 7239 4
				return nil
			end
			hop[name] = value
		end
		local delimiter
		delimiter, at = s_match(header, "^[ \t]*(.?)()", at)
		if delimiter == "," or delimiter == "" then
			t_insert(hops, hop)
			hop = {}
			if delimiter == "" then
				return hops
			end
		elseif delimiter ~= ";" then
			return nil
		end
	end
end

return {
	urlencode = urlencode,
	urldecode = urldecode,
	formencode = formencode,
	formdecode = formdecode,
	contains_token = contains_token,
	normalize_path = normalize_path,
	parse_forwarded = parse_forwarded,
}
